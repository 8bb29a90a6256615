//! The LSTM controller as a proposer.

use super::proposer::{Learnt, Proposer};
use crate::Random;
use crate::controller::{Controller, ControllerError, Experience, PpoSettings};
use crate::search::candidate::Proposal;
use crate::search::error::ProposerError;
use crate::search::seeds::generator;
use crate::space::Space;

struct PolicyProposer {
    controller: Controller,
}

fn problem(error: impl std::fmt::Display) -> ProposerError {
    ProposerError { algorithm: "ppo", problem: error.to_string() }
}

pub fn make(
    settings: &PpoSettings,
    space: &Space,
    seed: u64,
    state: Option<&[u8]>,
) -> Result<Box<dyn Proposer>, ProposerError> {
    // One thread: the only number with which a resumed controller continues bit for bit, and the fastest here.
    tch::set_num_threads(1);
    let settings = settings.clone().check().map_err(problem)?;
    let sizes = space.token_sizes();
    let controller = match state {
        None => Controller::new(&sizes, settings, &mut generator(seed, 0, "controller")),
        Some(bytes) => Controller::from_bytes(bytes, &sizes, settings),
    };
    Ok(Box::new(PolicyProposer { controller: controller.map_err(problem)? }))
}

impl PolicyProposer {
    /// The batch as the controller wants it. What others proposed gets the probabilities of the present policy.
    fn experiences(&self, batch: &[(Proposal, f64)]) -> Result<Vec<Experience>, ProposerError> {
        let foreign = batch.iter().map(|(proposal, _)| proposal).filter(|p| p.log_probabilities.is_empty());
        let foreign: Vec<&[usize]> = foreign.map(|proposal| proposal.tokens.as_slice()).collect();
        let mut scored = self.controller.log_probabilities(&foreign).map_err(problem)?.into_iter();
        let mut experience = |(proposal, reward): &(Proposal, f64)| Experience {
            tokens: proposal.tokens.clone(),
            log_probabilities: match proposal.log_probabilities.is_empty() {
                true => scored.next().unwrap_or_default(),
                false => proposal.log_probabilities.clone(),
            },
            reward: *reward,
        };
        Ok(batch.iter().map(&mut experience).collect())
    }
}

impl Proposer for PolicyProposer {
    fn propose(&mut self, count: usize, random: &mut Random) -> Result<Vec<Proposal>, ProposerError> {
        let sampled = self.controller.sample(count, random).into_iter();
        Ok(sampled.map(|s| Proposal { tokens: s.tokens, log_probabilities: s.log_probabilities }).collect())
    }

    fn learn(&mut self, batch: &[(Proposal, f64)]) -> Result<Learnt, ProposerError> {
        let experiences = self.experiences(batch)?;
        match self.controller.update(&experiences) {
            Ok(statistics) => Ok(Learnt { entropy: Some(statistics.entropy) }),
            // The controller is as it was; one batch less is better than a lost run.
            Err(error @ ControllerError::Diverged(_)) => {
                tracing::warn!("{error}; this batch is left out");
                Ok(Learnt::default())
            }
            Err(error) => Err(problem(error)),
        }
    }

    fn save(&self) -> Result<Vec<u8>, ProposerError> {
        self.controller.to_bytes().map_err(problem)
    }
}
