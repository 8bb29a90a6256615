//! One step of the search.

use std::collections::HashSet;
use std::time::Instant;

use super::candidate::Candidate;
use super::control::Control;
use super::evaluate::{Task, evaluate};
use super::latencies::Latencies;
use super::proposer::{Proposal, Proposer};
use super::{Search, SearchError, generator, timed, training_seed};
use crate::network::Resource;
use crate::store::{BeyondLimits, Experience, Seconds, Step};

/// Samples behind one candidate within the limits, at most, as a multiple of those a step wants.
const MOST_DRAWS: usize = 50;

/// A candidate of this step with its accuracy.
struct Judged<'a> {
    candidate: &'a Candidate,
    accuracy: f64,
}

impl Search<'_> {
    /// Samples, screens, trains, times, rewards and learns; stores the step as closed.
    pub(super) fn step(
        &mut self,
        number: u64,
        proposer: &mut dyn Proposer,
        latencies: &mut Latencies,
        control: &Control,
    ) -> Result<Step, SearchError> {
        let start = Instant::now();
        let mut seconds = Seconds::default();
        let mut step = Step { step: number, ..Step::default() };

        let candidates = timed(&mut seconds.controller, || self.sample(number, proposer, &mut step))?;
        let unique = first_of_each(&candidates);
        let fresh = self.fresh(&unique, number)?;
        step.duplicates = candidates.len() - fresh.len();
        let chosen = self.screen(&fresh, latencies, number)?;
        step.screened = fresh.len() - chosen.len();

        control.progress.note(format!("step {number}: training {} of {} sampled", chosen.len(), step.sampled));
        timed(&mut seconds.training, || self.train(&chosen, number, control))?;
        let judged = self.judged(&unique)?;
        step.trained =
            judged.iter().filter(|judged| chosen.iter().any(|c| c.digest == judged.candidate.digest)).count();
        step.failed = chosen.len() - step.trained;

        let timed_now = self.promising(&judged, latencies, number)?;
        step.timed = timed_now.len();
        control.progress.note(format!("step {number}: timing {} networks", step.timed));
        let told = timed(&mut seconds.measuring, || self.time(&timed_now, number, latencies, control))?;
        (step.prediction_mape, step.drift) = (told.prediction_mape, told.drift);

        let experiences = self.experiences(&judged, latencies);
        let batch: Vec<_> = judged
            .iter()
            .zip(&experiences)
            .map(|(judged, experience)| (judged.candidate.proposal.clone(), experience.reward))
            .collect();
        if !batch.is_empty() {
            step.entropy = timed(&mut seconds.controller, || proposer.learn(&batch))?.entropy;
            step.mean_reward = Some(batch.iter().map(|(_, reward)| reward).sum::<f64>() / batch.len() as f64);
        }
        step.best_reward = self.best_reward(&experiences)?;
        let state = proposer.save()?;
        latencies.close_step()?;
        seconds.total = start.elapsed().as_secs_f64();
        step.seconds = seconds;
        self.ledger.add_step(&step, &experiences, &state)?;
        Ok(step)
    }

    /// Samples until the step has its candidates within the limits, or the limits prove too tight for that.
    fn sample(&self, number: u64, proposer: &mut dyn Proposer, step: &mut Step) -> Result<Vec<Candidate>, SearchError> {
        let random = &mut generator(self.settings.seed, number, "propose");
        let wanted = self.settings.search.sampled_per_step;
        let mut candidates = Vec::new();
        for _ in 0..MOST_DRAWS {
            for proposal in proposer.propose(wanted - candidates.len(), random)? {
                step.sampled += 1;
                candidates.extend(self.within_limits(proposal, &mut step.beyond_limits)?);
            }
            if candidates.len() == wanted {
                break;
            }
        }
        Ok(candidates)
    }

    /// The proposal as a candidate, or the count of what it has too much of.
    fn within_limits(&self, proposal: Proposal, beyond: &mut BeyondLimits) -> Result<Option<Candidate>, SearchError> {
        let candidate = match Candidate::new(proposal, &self.settings.space) {
            Err(SearchError::Expand(_)) => {
                beyond.undeployable += 1;
                return Ok(None);
            }
            candidate => candidate?,
        };
        match self.settings.limits.exceeded(&candidate.network) {
            None => return Ok(Some(candidate)),
            Some(Resource::Params) => beyond.params += 1,
            Some(Resource::Madds) => beyond.madds += 1,
            Some(Resource::MemoryMb) => beyond.memory_mb += 1,
        }
        Ok(None)
    }

    /// The candidates whose network no earlier step evaluated. (One that this step evaluated before it was
    /// interrupted is still this step's.)
    fn fresh<'c>(&self, unique: &[&'c Candidate], number: u64) -> Result<Vec<&'c Candidate>, SearchError> {
        let mut fresh = Vec::new();
        for candidate in unique {
            if self.ledger.evaluation(&candidate.digest)?.is_none_or(|evaluation| evaluation.step == number) {
                fresh.push(*candidate);
            }
        }
        Ok(fresh)
    }

    fn screen<'c>(
        &self,
        fresh: &[&'c Candidate],
        latencies: &Latencies,
        number: u64,
    ) -> Result<Vec<&'c Candidate>, SearchError> {
        let left = self.settings.evaluations.saturating_sub(self.ledger.evaluations_before(number)?);
        let wanted = self.settings.search.trained_per_step.min(usize::try_from(left).unwrap_or(usize::MAX));
        let predicted: Vec<f64> = fresh.iter().map(|candidate| latencies.expected(candidate)).collect();
        let target_ms = self.settings.target.latency_ms();
        let selected = self.settings.search.window.select(&predicted, target_ms, wanted);
        Ok(selected.into_iter().map(|position| fresh[position]).collect())
    }

    fn train(&mut self, chosen: &[&Candidate], number: u64, control: &Control) -> Result<(), SearchError> {
        // Those an interrupted attempt at this step evaluated keep their numbers, also if the budget, and with it the
        // choice, has changed since; the others take the free ones in order.
        let used: HashSet<u64> =
            self.ledger.evaluations()?.into_iter().filter(|e| e.step == number).map(|e| e.id).collect();
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

    /// Every sampled network whose accuracy is known, new or from before.
    fn judged<'c>(&self, unique: &[&'c Candidate]) -> Result<Vec<Judged<'c>>, SearchError> {
        let mut judged = Vec::new();
        for candidate in unique {
            if let Some(evaluation) = self.ledger.evaluation(&candidate.digest)?
                && let Ok(accuracy) = evaluation.outcome
            {
                judged.push(Judged { candidate, accuracy });
            }
        }
        Ok(judged)
    }

    /// The networks to be timed in this step: the best by provisional reward among those never timed before.
    fn promising<'c>(
        &self,
        judged: &[Judged<'c>],
        latencies: &Latencies,
        number: u64,
    ) -> Result<Vec<&'c Candidate>, SearchError> {
        let spent = self.ledger.measurements_before(number)?;
        let left = usize::try_from(self.settings.measurements.saturating_sub(spent)).unwrap_or(usize::MAX);
        let mut ranked: Vec<(&Candidate, f64)> = judged
            .iter()
            .filter(|judged| latencies.measured_before(&judged.candidate.digest, number).is_none())
            .map(|judged| {
                let expected_ms = latencies.expected(judged.candidate);
                (judged.candidate, self.settings.target.reward(judged.accuracy, expected_ms).value)
            })
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(self.settings.search.timed_per_step.min(left));
        Ok(ranked.into_iter().map(|(candidate, _)| candidate).collect())
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

    fn best_reward(&self, experiences: &[Experience]) -> Result<Option<f64>, SearchError> {
        let before = self.ledger.steps()?.last().and_then(|step| step.best_reward);
        Ok(experiences.iter().map(|experience| experience.reward).chain(before).max_by(f64::total_cmp))
    }
}

/// One candidate per network, in the order drawn.
fn first_of_each(candidates: &[Candidate]) -> Vec<&Candidate> {
    let mut seen = HashSet::new();
    candidates.iter().filter(|candidate| seen.insert(candidate.digest.as_str())).collect()
}

impl Step {
    /// The step in one line.
    pub fn line(&self) -> String {
        let percent = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1} %"));
        let reward = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
        format!(
            "step {:>3}: sampled {}{}, known {}, screened out {}, trained {}, timed {} (predictor off by {}, drift {}); reward mean {}, best {}",
            self.step,
            self.sampled,
            match self.beyond_limits.total() {
                0 => String::new(),
                beyond => format!(", beyond limits {beyond}"),
            },
            self.duplicates,
            self.screened,
            self.trained,
            self.timed,
            percent(self.prediction_mape),
            self.drift.map_or("–".to_owned(), |drift| format!("{drift:.2}")),
            reward(self.mean_reward),
            reward(self.best_reward),
        )
    }
}
