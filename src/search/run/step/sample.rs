//! Sampling candidates and choosing which of them to train.

use std::collections::HashSet;

use crate::search::candidate::{Candidate, Proposal};
use crate::search::error::SearchError;
use crate::search::model::Latencies;
use crate::search::propose::choose::BatchChoice;
use crate::search::propose::proposer::Proposer;
use crate::search::run::{Carried, Search};
use crate::search::seeds::generator;
use crate::store::Step;

/// Samples behind one candidate within the limits, at most, as a multiple of those a step wants.
const MOST_DRAWS: usize = 50;

impl Search<'_> {
    /// What the proposer samples: networks not evaluated yet, and others whose accuracy is known.
    pub(super) fn sample(
        &self,
        carried: &mut Carried<'_>,
        step: &mut Step,
    ) -> Result<(Vec<Candidate>, Vec<Candidate>), SearchError> {
        let sampled = self.draw(&mut *carried.proposer, step)?;
        let mut seen = HashSet::new();
        let unique: Vec<Candidate> =
            sampled.into_iter().filter(|candidate| seen.insert(candidate.digest.clone())).collect();
        let (fresh, known) = self.apart(unique, step.step)?;
        step.duplicates = step.sampled - step.beyond_limits.total() - fresh.len();
        Ok((fresh, known))
    }

    /// What the step trains.
    pub(super) fn choose(
        &self,
        fresh: Vec<Candidate>,
        carried: &Carried<'_>,
        step: &mut Step,
    ) -> Result<Vec<Candidate>, SearchError> {
        let wanted = self.wanted(carried, step.step)?;
        let choice = match self.settings.search.is_guided() {
            true => {
                let random = &mut generator(self.settings.seed, step.step, "choose");
                carried.guide.choose(fresh, wanted, &carried.latencies, random)?
            }
            false => self.screen(fresh, wanted, &carried.latencies),
        };
        step.beyond_limits += choice.beyond_limits;
        step.considered = choice.considered;
        step.screened = choice.considered - choice.chosen.len();
        step.own = choice.own;
        step.expected_improvement = choice.improvement;
        Ok(choice.chosen)
    }

    /// Samples until the step has its candidates within the limits.
    fn draw(&self, proposer: &mut dyn Proposer, step: &mut Step) -> Result<Vec<Candidate>, SearchError> {
        let random = &mut generator(self.settings.seed, step.step, "propose");
        let wanted = self.settings.search.sampled_per_step;
        let mut candidates = Vec::new();
        for _ in 0..MOST_DRAWS {
            for proposal in proposer.propose(wanted - candidates.len(), random)? {
                step.sampled += 1;
                let (space, limits) = (&self.settings.space, &self.settings.limits);
                candidates.extend(Candidate::within(proposal, space, limits, &mut step.beyond_limits)?);
            }
            if candidates.len() == wanted {
                return Ok(candidates);
            }
        }
        // Limits that hardly any sample keeps to: samples are made smaller until they do.
        for proposal in proposer.propose(wanted - candidates.len(), random)? {
            step.sampled += 1;
            let (space, limits) = (&self.settings.space, &self.settings.limits);
            let (_, tokens) = limits.shrunk(space, proposal.tokens).map_err(crate::space::SpaceError::from)?;
            let smaller = Proposal { tokens, log_probabilities: Vec::new() };
            candidates.extend(Candidate::within(smaller, space, limits, &mut step.beyond_limits)?);
        }
        Ok(candidates)
    }

    /// Those whose network no earlier step evaluated, and the others. (One that this step evaluated before it was
    /// interrupted is still this step's.)
    fn apart(&self, unique: Vec<Candidate>, number: u64) -> Result<(Vec<Candidate>, Vec<Candidate>), SearchError> {
        let (mut fresh, mut known) = (Vec::new(), Vec::new());
        for candidate in unique {
            match self.ledger.evaluation(&candidate.digest)? {
                Some(evaluation) if evaluation.step != number => known.push(candidate),
                _ => fresh.push(candidate),
            }
        }
        Ok((fresh, known))
    }

    /// How many networks the step trains: more as long as the models know too little, never more than is left.
    fn wanted(&self, carried: &Carried<'_>, number: u64) -> Result<usize, SearchError> {
        let options = &self.settings.search;
        let left = self.settings.evaluations.saturating_sub(self.ledger.evaluations_before(number)?);
        let first = if options.is_guided() { carried.guide.missing() } else { 0 };
        Ok(options.trained_per_step.max(first).min(usize::try_from(left).unwrap_or(usize::MAX)))
    }

    /// The screen without models of accuracy: by predicted latency alone.
    fn screen(&self, fresh: Vec<Candidate>, wanted: usize, latencies: &Latencies) -> BatchChoice {
        let predicted: Vec<f64> = fresh.iter().map(|candidate| latencies.expected(candidate)).collect();
        let target_ms = self.settings.target.latency_ms();
        let selected = self.settings.search.window.select(&predicted, target_ms, wanted);
        let chosen: Vec<Candidate> = selected.into_iter().map(|position| fresh[position].clone()).collect();
        BatchChoice { own: chosen.len(), chosen, considered: fresh.len(), ..BatchChoice::default() }
    }
}
