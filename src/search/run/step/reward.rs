//! The rewards of a step, and what the proposer learns from.

use crate::search::candidate::{Candidate, Proposal};
use crate::search::error::SearchError;
use crate::search::model::Latencies;
use crate::search::propose::guide::Standing;
use crate::search::run::{Carried, Search};
use crate::store::{Experience, Step};

/// A candidate of this step with its accuracy.
pub(super) struct Evaluated<'a> {
    pub candidate: &'a Candidate,
    accuracy: f64,
}

/// Proposals with their rewards.
pub(super) struct LearningBatch {
    /// Of this step.
    own: Vec<(Proposal, f64)>,
    /// Of steps before.
    replayed: Vec<(Proposal, f64)>,
}

impl Search<'_> {
    /// Every candidate whose accuracy is known.
    pub(super) fn judged<'c>(
        &self,
        candidates: impl Iterator<Item = &'c Candidate>,
    ) -> Result<Vec<Evaluated<'c>>, SearchError> {
        let mut judged = Vec::new();
        for candidate in candidates {
            if let Some(evaluation) = self.ledger.evaluation(&candidate.digest)?
                && let Ok(accuracy) = evaluation.outcome
            {
                judged.push(Evaluated { candidate, accuracy });
            }
        }
        Ok(judged)
    }

    /// The candidates as the proposer learns from them.
    pub(super) fn experiences(&self, judged: &[Evaluated<'_>], latencies: &Latencies) -> Vec<Experience> {
        judged
            .iter()
            .map(|Evaluated { candidate, accuracy }| {
                let latency_ms = latencies.now(candidate);
                Experience {
                    digest: candidate.digest.clone(),
                    architecture: candidate.architecture.to_string(),
                    tokens: candidate.proposal.tokens.clone(),
                    accuracy: *accuracy,
                    latency_ms,
                    measured: latencies.is_measured(&candidate.digest),
                    reward: self.settings.target.reward(*accuracy, latency_ms).value,
                }
            })
            .collect()
    }

    /// What the proposer learns from: the step's rewards, and those of the best networks of the run once more.
    pub(super) fn batch(
        &self,
        judged: &[Evaluated<'_>],
        experiences: &[Experience],
        standings: &[Standing],
    ) -> LearningBatch {
        let own = judged.iter().zip(experiences);
        let own: Vec<_> = own.map(|(judged, e)| (judged.candidate.proposal.clone(), e.reward)).collect();
        let replayed = if own.is_empty() { Vec::new() } else { self.replayed(standings, judged) };
        LearningBatch { own, replayed }
    }

    /// Lets the proposer learn from the batch.
    pub(super) fn learn(
        &self,
        batch: LearningBatch,
        carried: &mut Carried<'_>,
        step: &mut Step,
    ) -> Result<(), SearchError> {
        let LearningBatch { own: mut batch, replayed } = batch;
        if !batch.is_empty() {
            step.mean_reward = Some(batch.iter().map(|(_, reward)| reward).sum::<f64>() / batch.len() as f64);
            batch.extend(replayed);
            step.entropy = carried.proposer.learn(&batch)?.entropy;
        }
        Ok(())
    }

    /// Replay: the best networks of the run with their expected rewards, for the proposer to learn from once
    /// more; it weighs them by the probabilities it gives them now.
    fn replayed(&self, standings: &[Standing], judged: &[Evaluated<'_>]) -> Vec<(Proposal, f64)> {
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
