//! Uniform sampling: the baseline every search must beat.

use super::proposer::{Learnt, Proposer};
use crate::Random;
use crate::search::candidate::Proposal;
use crate::search::error::ProposerError;
use crate::space::Space;

/// Draws every token uniformly and learns nothing.
pub struct Uniform {
    space: Space,
}

impl Uniform {
    /// A proposer for this space.
    pub fn new(space: &Space) -> Self {
        Self { space: space.clone() }
    }
}

impl Proposer for Uniform {
    fn propose(&mut self, count: usize, random: &mut Random) -> Result<Vec<Proposal>, ProposerError> {
        let draw = |_| Proposal { tokens: self.space.sample(random), log_probabilities: Vec::new() };
        Ok((0..count).map(draw).collect())
    }

    fn learn(&mut self, _batch: &[(Proposal, f64)]) -> Result<Learnt, ProposerError> {
        Ok(Learnt::default())
    }

    fn save(&self) -> Result<Vec<u8>, ProposerError> {
        Ok(Vec::new())
    }
}
