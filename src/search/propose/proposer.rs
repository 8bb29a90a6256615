//! What proposes networks and learns from their rewards.

use crate::Random;
use crate::search::candidate::Proposal;
use crate::search::error::ProposerError;

/// What learning a batch tells about the proposer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Learnt {
    /// Entropy of the policy as a fraction of a uniform one's: 1 undecided, 0 decided.
    pub entropy: Option<f64>,
}

/// Proposes and learns. Its whole state round-trips through [`Proposer::save`], and every random choice comes from the
/// generator that is passed in, so that a resumed search proposes what an uninterrupted one would.
pub trait Proposer {
    /// Draws `count` token sequences; they may repeat.
    ///
    /// # Errors
    /// [`ProposerError`] from the library below.
    fn propose(&mut self, count: usize, random: &mut Random) -> Result<Vec<Proposal>, ProposerError>;

    /// Learns from proposals and their rewards: those of the last [`Proposer::propose`], and networks that others
    /// proposed, which have no log probabilities.
    ///
    /// # Errors
    /// [`ProposerError`] from the library below.
    fn learn(&mut self, batch: &[(Proposal, f64)]) -> Result<Learnt, ProposerError>;

    /// The whole state.
    ///
    /// # Errors
    /// [`ProposerError`] from the library below.
    fn save(&self) -> Result<Vec<u8>, ProposerError>;
}
