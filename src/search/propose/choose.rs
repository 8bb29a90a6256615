//! Choosing what to train. The acquisition function is expected improvement ([`super::acquisition`]) on the best reward that
//! is expected of any network tried. It ranks the proposer's samples and mutations of the best networks so far; then,
//! four times over, mutations of what ranks highest.
//!
//! A batch is what ranks highest, but for its last network: that is the highest when every accuracy is taken for ten times
//! as uncertain, which explores. The first networks of a run, when nothing is known, are a maximin design: of the proposer's
//! samples inside the latency window always the one farthest from those chosen and tried. `benches/SEARCH.md` has what
//! each of these gives.
//!
//! Everything here follows from the evaluations and timings of closed steps and the step's generator.

use rayon::prelude::*;

use super::acquisition::Posterior;
use super::guide::Guide;
use super::pool::{Origin, PARENTS, Pool};
use crate::Random;
use crate::search::candidate::Candidate;
use crate::search::error::SearchError;
use crate::search::model::Latencies;
use crate::statistics::Normal;
use crate::store::BeyondLimits;

/// Factor of the accuracies' deviations for the last choice of a batch.
const EXPLORATION: f64 = 10.0;
/// Rounds of mutations: of the best networks tried, then of the highest ranked candidates.
const ROUNDS: usize = 5;
/// A candidate to be ranked, with its posterior.
struct Considered {
    candidate: Candidate,
    origin: Origin,
    posterior: Posterior,
}

/// What a step trains, and how it was found.
#[derive(Default)]
pub struct BatchChoice {
    /// The networks to train.
    pub chosen: Vec<Candidate>,
    /// Those of them that the proposer itself sampled.
    pub own: usize,
    /// New networks that were looked at.
    pub considered: usize,
    /// Mutations that no training may be spent on.
    pub beyond_limits: BeyondLimits,
    /// The greatest expected improvement among them; none while nothing is known.
    pub improvement: Option<f64>,
}

impl Guide<'_> {
    /// Chooses `wanted` networks to train from what the proposer sampled and mutations of the best.
    ///
    /// # Errors
    /// A sequence that is not of the space.
    pub fn choose(
        &self,
        sampled: Vec<Candidate>,
        wanted: usize,
        latencies: &Latencies,
        random: &mut Random,
    ) -> Result<BatchChoice, SearchError> {
        let tried = self.tried.iter().map(|tried| tried.digest.clone()).chain(self.failed.iter().cloned());
        let mut pool = Pool::new(self.settings, &self.layout, tried);
        let options = &self.settings.search;
        let in_a_round = (options.guide.mutations * options.sampled_per_step as f64) as usize / ROUNDS;
        let own = pool.admit(sampled);
        if self.missing() > 0 {
            return Ok(self.maximin(own, wanted, latencies));
        }
        let standings = self.standings(latencies);
        let best = standings.first().map_or(0.0, |standing| standing.reward);
        let mut considered = self.consider(own, Origin::Proposer, latencies);
        let mut parents: Vec<Vec<usize>> =
            standings.into_iter().take(PARENTS).map(|standing| standing.tokens).collect();
        for round in 0..ROUNDS {
            if round > 0 {
                parents = self.highest_ranked(&considered, best);
            }
            let mutations = pool.mutations(&parents, in_a_round, random)?;
            considered.extend(self.consider(mutations, Origin::Mutation, latencies));
        }
        Ok(BatchChoice { beyond_limits: pool.beyond_limits, ..self.batch(&considered, wanted, best) })
    }

    fn consider(&self, candidates: Vec<Candidate>, origin: Origin, latencies: &Latencies) -> Vec<Considered> {
        let entry = |candidate: Candidate| {
            let tokens = &candidate.proposal.tokens;
            let ln_latency = latencies.posterior(tokens, &latencies.prior(&candidate.network));
            let posterior = Posterior { accuracy: self.accuracy.posterior(tokens), ln_latency };
            Considered { candidate, origin, posterior }
        };
        candidates.into_par_iter().map(entry).collect()
    }

    /// The tokens of the few that rank highest.
    fn highest_ranked(&self, considered: &[Considered], best: f64) -> Vec<Vec<usize>> {
        let few = self.ranked(considered, 1.0, best).into_iter().take(PARENTS);
        few.map(|(_, entry)| entry.candidate.proposal.tokens.clone()).collect()
    }

    /// The candidates by their expected improvement on `best`, highest first, with the accuracies' deviations multiplied by
    /// `exploration`.
    fn ranked<'o>(
        &self,
        considered: impl IntoIterator<Item = &'o Considered>,
        exploration: f64,
        best: f64,
    ) -> Vec<(f64, &'o Considered)> {
        let score = |entry: &'o Considered| {
            let Normal { mean, deviation } = entry.posterior.accuracy;
            let accuracy = Normal { mean, deviation: exploration * deviation };
            (Posterior { accuracy, ..entry.posterior }.expected_improvement(&self.settings.target, best), entry)
        };
        let mut scored: Vec<_> = considered.into_iter().map(score).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored
    }

    /// What ranks highest, and one network that explores.
    fn batch(&self, considered: &[Considered], wanted: usize, best: f64) -> BatchChoice {
        let ranked = self.ranked(considered, 1.0, best);
        let exploring = usize::from(wanted > 1);
        let (first, others) = ranked.split_at(ranked.len().min(wanted - exploring));
        let others = self.ranked(others.iter().map(|(_, entry)| *entry), EXPLORATION, best);
        let chosen: Vec<&Considered> =
            first.iter().chain(others.iter().take(exploring)).map(|(_, entry)| *entry).collect();
        BatchChoice {
            own: chosen.iter().filter(|entry| entry.origin == Origin::Proposer).count(),
            chosen: chosen.into_iter().map(|entry| entry.candidate.clone()).collect(),
            considered: considered.len(),
            improvement: ranked.first().map(|(score, _)| *score),
            ..BatchChoice::default()
        }
    }

    /// A maximin design of the candidates inside the latency window, and of the nearest outside where those are too few.
    fn maximin(&self, candidates: Vec<Candidate>, wanted: usize, latencies: &Latencies) -> BatchChoice {
        let considered = candidates.len();
        let predicted: Vec<f64> = candidates.iter().map(|candidate| latencies.expected(candidate)).collect();
        let target_ms = self.settings.target.latency_ms();
        let inside = self.settings.search.window.inside(&predicted, target_ms, wanted);
        let mut left: Vec<&Candidate> = inside.into_iter().map(|position| &candidates[position]).collect();
        let mut chosen: Vec<Candidate> = Vec::new();
        let nearest = |candidate: &Candidate, chosen: &[Candidate]| {
            let tokens = &candidate.proposal.tokens;
            let distance = |other: &Candidate| self.layout.distance(tokens, &other.proposal.tokens);
            let tried = self.tried.iter().map(|tried| self.layout.distance(tokens, &tried.tokens));
            chosen.iter().map(distance).chain(tried).fold(f64::INFINITY, f64::min)
        };
        while chosen.len() < wanted && !left.is_empty() {
            let distances: Vec<f64> = left.iter().map(|candidate| nearest(candidate, &chosen)).collect();
            let farthest = (0..left.len()).max_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(b.cmp(&a)));
            chosen.push(left.remove(farthest.unwrap_or(0)).clone());
        }
        BatchChoice { own: chosen.len(), chosen, considered, ..BatchChoice::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::simulated::SimulatedDevice;
    use crate::search::candidate::Proposal;
    use crate::search::settings::SearchFile;
    use crate::store::{Beginning, Evaluation, Ledger, Measurement, Purpose};
    use std::path::Path;

    /// The share of tokens that are 0: what many small changes improve.
    fn accuracy(tokens: &[usize]) -> f64 {
        tokens.iter().filter(|token| **token == 0).count() as f64 / tokens.len() as f64
    }

    #[test]
    fn what_is_chosen_is_expected_to_be_better_than_thousands_of_mutations_of_the_best_tried() {
        // No latency is too long: accuracy alone counts.
        let text = "seed = 1\n[space]\npreset = \"mnasnet\"\n[target]\nlatency_ms = 1e6\nreward = \"hard\"\n\
                    [accuracy]\nkind = \"simulated\"\n[budget]\nevaluations = 1\n";
        let settings = SearchFile::parse(text, "test").unwrap().check(Path::new("."), "test").unwrap();
        let random = &mut crate::seeded(5);
        let drawn = |random: &mut Random| {
            let proposal = Proposal { tokens: settings.space.sample(random), log_probabilities: Vec::new() };
            Candidate::new(proposal, &settings.space).unwrap()
        };
        let tried: Vec<Candidate> = (0..60).map(|_| drawn(random)).collect();
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&folder.path().join("run"), Beginning::default()).unwrap();
        for candidate in &tried {
            let measurement = Measurement {
                digest: candidate.digest.clone(),
                architecture: candidate.architecture.to_string(),
                ..Measurement::example(Purpose::WarmUp, 0, SimulatedDevice::latency_ms(&candidate.network))
            };
            ledger.add_measurement(&measurement).unwrap();
        }
        let latencies = Latencies::read(&ledger, &settings).unwrap();
        let mut guide = Guide::new(&settings);
        let evaluations = (1..).zip(&tried).map(|(id, candidate)| Evaluation {
            id,
            digest: candidate.digest.clone(),
            architecture: candidate.architecture.to_string(),
            step: 1,
            outcome: Ok(accuracy(&candidate.proposal.tokens)),
            seconds: 0.0,
        });
        guide.learn(&evaluations.collect::<Vec<_>>(), &latencies).unwrap();

        let best = |candidates: &[Candidate]| {
            let expected = |candidate: &Candidate| guide.accuracy.posterior(&candidate.proposal.tokens).mean;
            candidates.iter().map(expected).max_by(f64::total_cmp).unwrap()
        };
        let parents: Vec<Vec<usize>> =
            guide.standings(&latencies).into_iter().take(PARENTS).map(|standing| standing.tokens).collect();
        let mut pool = Pool::new(&settings, &guide.layout, tried.iter().map(|candidate| candidate.digest.clone()));
        let mutations = pool.mutations(&parents, 2000, random).unwrap();
        let choice = guide.choose((0..64).map(|_| drawn(random)).collect(), 4, &latencies, random).unwrap();
        assert!(choice.considered <= 64 * 6, "{}", choice.considered);
        assert!(best(&choice.chosen) > best(&mutations), "{} and {}", best(&choice.chosen), best(&mutations));
    }
}
