//! One step of the search.

use std::collections::HashSet;
use std::time::Instant;

use super::candidate::Candidate;
use super::control::Control;
use super::evaluate::{Task, evaluate};
use super::guide::{Choice, Guide, Standing};
use super::latencies::Latencies;
use super::options::Timing;
use super::proposer::{Proposal, Proposer};
use super::watch::Watch;
use super::{Search, SearchError, generator, timed, training_seed};
use crate::store::{Experience, Seconds, Step};

/// Samples behind one candidate within the limits, at most, as a multiple of those a step wants.
const MOST_DRAWS: usize = 50;
/// Networks are timed in the order of the reward they would have with a latency this many deviations below the expected.
const HOPE: f64 = 1.5;
/// Trainings for which one timing is made.
const TRAININGS_PER_TIMING: u64 = 8;
/// Trainings by which timings are ahead of that pace: the first ones teach the most.
const TRAININGS_AHEAD: u64 = 32;

/// What a search carries from step to step; all of it follows from the ledger.
pub(super) struct Carried<'s> {
    pub proposer: Box<dyn Proposer>,
    pub latencies: Latencies,
    pub guide: Guide<'s>,
    pub watch: Watch,
    pub best_reward: Option<f64>,
}

/// A candidate of this step with its accuracy.
struct Judged<'a> {
    candidate: &'a Candidate,
    accuracy: f64,
}

/// A step's candidates.
struct Candidates {
    /// To be trained.
    chosen: Vec<Candidate>,
    /// Sampled once more: their accuracy is known.
    known: Vec<Candidate>,
}

impl Search<'_> {
    /// Samples, screens, trains, times, rewards and learns; stores the step as closed.
    pub(super) fn step(
        &mut self,
        number: u64,
        carried: &mut Carried<'_>,
        control: &Control,
    ) -> Result<Step, SearchError> {
        let start = Instant::now();
        let mut seconds = Seconds::default();
        let mut step = Step { step: number, ..Step::default() };

        let Candidates { chosen, known } = timed(&mut seconds.controller, || self.candidates(carried, &mut step))?;
        control.progress.note(format!("step {number}: training {} of {} sampled", chosen.len(), step.sampled));
        timed(&mut seconds.training, || self.train(&chosen, number, control))?;
        let evaluations = self.ledger.evaluations_of(number)?;
        carried.guide.learn(&evaluations, &carried.latencies)?;
        step.trained = evaluations.iter().filter(|evaluation| evaluation.outcome.is_ok()).count();
        step.failed = evaluations.len() - step.trained;

        let standings = carried.guide.standings(&carried.latencies);
        let timed_now = self.to_time(&chosen, &standings, &carried.latencies, number)?;
        step.timed = timed_now.len();
        control.progress.note(format!("step {number}: timing {} networks", step.timed));
        let told = timed(&mut seconds.measuring, || self.time(&timed_now, number, &mut carried.latencies, control))?;
        (step.prediction_mape, step.drift) = (told.prediction_mape, told.drift);
        step.changed_devices = self.watch(number, carried, control)?;

        let judged = self.judged(known.iter().chain(&chosen))?;
        let experiences = self.experiences(&judged, &carried.latencies);
        let mut batch: Vec<_> = judged
            .iter()
            .zip(&experiences)
            .map(|(judged, experience)| (judged.candidate.proposal.clone(), experience.reward))
            .collect();
        if !batch.is_empty() {
            step.mean_reward = Some(batch.iter().map(|(_, reward)| reward).sum::<f64>() / batch.len() as f64);
            batch.extend(self.replayed(&standings, &judged));
            step.entropy = timed(&mut seconds.controller, || carried.proposer.learn(&batch))?.entropy;
        }
        let rewards = experiences.iter().map(|experience| experience.reward);
        carried.best_reward = rewards.chain(carried.best_reward).max_by(f64::total_cmp);
        step.best_reward = carried.best_reward;
        let state = carried.proposer.save()?;
        carried.latencies.close_step()?;
        seconds.total = start.elapsed().as_secs_f64();
        step.seconds = seconds;
        self.ledger.add_step(&step, &experiences, &state)?;
        Ok(step)
    }

    /// What the step trains, and what it sampled that is trained already.
    fn candidates(&self, carried: &mut Carried<'_>, step: &mut Step) -> Result<Candidates, SearchError> {
        let sampled = self.sample(&mut *carried.proposer, step)?;
        let mut seen = HashSet::new();
        let unique: Vec<Candidate> =
            sampled.into_iter().filter(|candidate| seen.insert(candidate.digest.clone())).collect();
        let (fresh, known) = self.apart(unique, step.step)?;
        let sampled_in_limits = step.sampled - step.beyond_limits.total();
        step.duplicates = sampled_in_limits - fresh.len();
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
        Ok(Candidates { chosen: choice.chosen, known })
    }

    /// Samples until the step has its candidates within the limits.
    fn sample(&self, proposer: &mut dyn Proposer, step: &mut Step) -> Result<Vec<Candidate>, SearchError> {
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
    fn screen(&self, fresh: Vec<Candidate>, wanted: usize, latencies: &Latencies) -> Choice {
        let predicted: Vec<f64> = fresh.iter().map(|candidate| latencies.expected(candidate)).collect();
        let target_ms = self.settings.target.latency_ms();
        let selected = self.settings.search.window.select(&predicted, target_ms, wanted);
        let chosen: Vec<Candidate> = selected.into_iter().map(|position| fresh[position].clone()).collect();
        Choice { own: chosen.len(), chosen, considered: fresh.len(), ..Choice::default() }
    }

    fn train(&mut self, chosen: &[Candidate], number: u64, control: &Control) -> Result<(), SearchError> {
        // Those an interrupted attempt at this step evaluated keep their numbers, also if the budget, and with it the
        // choice, has changed since; the others take the free ones in order.
        let used: HashSet<u64> = self.ledger.evaluations_of(number)?.into_iter().map(|e| e.id).collect();
        let first = self.ledger.evaluations_before(number)? + 1;
        let mut free = (first..).filter(|id| !used.contains(id));
        let mut tasks = Vec::new();
        for candidate in chosen {
            if self.ledger.evaluation(&candidate.digest)?.is_none() {
                let id = free.next().unwrap_or(first);
                tasks.push(Task { candidate, id, seed: training_seed(self.settings.seed, &candidate.digest) });
            }
        }
        evaluate(&tasks, number, self.accuracy, self.ledger, control)
    }

    /// Every candidate whose accuracy is known.
    fn judged<'c>(&self, candidates: impl Iterator<Item = &'c Candidate>) -> Result<Vec<Judged<'c>>, SearchError> {
        let mut judged = Vec::new();
        for candidate in candidates {
            if let Some(evaluation) = self.ledger.evaluation(&candidate.digest)?
                && let Ok(accuracy) = evaluation.outcome
            {
                judged.push(Judged { candidate, accuracy });
            }
        }
        Ok(judged)
    }

    /// The networks to be timed in this step: of the best tried ones that never were, those with the best reward if
    /// their latency is somewhat below the expected one, at a steady pace. The pace does not ask how much the models
    /// expect of a timing: a predictor that is wrong and sure of itself expects nothing of the networks that show it.
    fn to_time(
        &self,
        chosen: &[Candidate],
        standings: &[Standing],
        latencies: &Latencies,
        number: u64,
    ) -> Result<Vec<Candidate>, SearchError> {
        let spent = self.ledger.measurements_before(number)?;
        let left = usize::try_from(self.settings.measurements.saturating_sub(spent)).unwrap_or(usize::MAX);
        let is_timed = |digest: &str| latencies.measured_before(digest, number).is_some();
        if self.settings.search.timing == Timing::All {
            let judged = self.judged(chosen.iter())?.into_iter().map(|judged| judged.candidate.clone());
            return Ok(judged.filter(|candidate| !is_timed(&candidate.digest)).take(left).collect());
        }
        let trainings = self.ledger.evaluations_before(number)? + TRAININGS_AHEAD;
        let due = trainings.div_ceil(TRAININGS_PER_TIMING).saturating_sub(spent);
        let due = usize::try_from(due).unwrap_or(usize::MAX).min(self.settings.search.timed_per_step).min(left);
        let target = &self.settings.target;
        let mut hopeful: Vec<(&Standing, f64)> = standings
            .iter()
            .filter(|standing| !is_timed(&standing.digest))
            .map(|standing| (standing, standing.belief.hopeful_reward(target, HOPE)))
            .collect();
        hopeful.sort_by(|a, b| b.1.total_cmp(&a.1));
        hopeful.truncate(due);
        let proposal = |tokens: &Vec<usize>| Proposal { tokens: tokens.clone(), log_probabilities: Vec::new() };
        let candidate =
            |(standing, _): (&Standing, f64)| Candidate::new(proposal(&standing.tokens), &self.settings.space);
        hopeful.into_iter().map(candidate).collect()
    }

    fn experiences(&self, judged: &[Judged<'_>], latencies: &Latencies) -> Vec<Experience> {
        judged
            .iter()
            .map(|Judged { candidate, accuracy }| {
                let measured = latencies.measured(&candidate.digest);
                let latency_ms = measured.unwrap_or_else(|| latencies.expected(candidate));
                Experience {
                    digest: candidate.digest.clone(),
                    architecture: candidate.architecture.to_string(),
                    tokens: candidate.proposal.tokens.clone(),
                    accuracy: *accuracy,
                    latency_ms,
                    measured: measured.is_some(),
                    reward: self.settings.target.reward(*accuracy, latency_ms).value,
                }
            })
            .collect()
    }

    /// The best networks of the run with the rewards they are believed to have, for the proposer to learn from once
    /// more; it weighs them by the probabilities it gives them now.
    fn replayed(&self, standings: &[Standing], judged: &[Judged<'_>]) -> Vec<(Proposal, f64)> {
        if !self.settings.search.is_guided() {
            return Vec::new();
        }
        let in_batch = |standing: &&Standing| judged.iter().all(|j| j.candidate.digest != standing.digest);
        let replay = |standing: &Standing| {
            (Proposal { tokens: standing.tokens.clone(), log_probabilities: Vec::new() }, standing.reward)
        };
        standings.iter().filter(in_batch).take(self.settings.search.guide.replayed).map(replay).collect()
    }
}

/// Expected improvement, as a fraction of the best reward, that no longer pays a training.
const NEGLIGIBLE: f64 = 1e-5;

impl Step {
    /// Whether the models expected no improvement worth mentioning from any network that was considered.
    pub fn is_settled(&self) -> bool {
        let least = NEGLIGIBLE * self.best_reward.unwrap_or(0.0).abs();
        self.expected_improvement.is_some_and(|improvement| improvement < least)
    }

    /// The step in one line.
    pub fn line(&self) -> String {
        let percent = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1} %"));
        let reward = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
        format!(
            "step {:>3}: sampled {}{}, known {}, considered {}, screened out {}, trained {} ({} sampled), timed {} (predictor off by {}, drift {}{}); reward mean {}, best {}",
            self.step,
            self.sampled,
            match self.beyond_limits.total() {
                0 => String::new(),
                beyond => format!(", beyond limits {beyond}"),
            },
            self.duplicates,
            self.considered,
            self.screened,
            self.trained,
            self.own,
            self.timed,
            percent(self.prediction_mape),
            self.drift.map_or("–".to_owned(), |drift| format!("{drift:.2}")),
            if self.changed_devices > 0 { ", NOT AS EXPECTED" } else { "" },
            reward(self.mean_reward),
            reward(self.best_reward),
        )
    }
}
