//! What proposes networks and learns from their rewards.

mod evolution;
#[cfg(feature = "torch")]
mod policy;
mod random;

use crate::Random;
use crate::space::Space;

use super::options::{Algorithm, SearchOptions};

pub use evolution::EvolutionOptions;

/// A proposed token sequence, with what its proposer needs to learn from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Tokens of the space.
    pub tokens: Vec<usize>,
    /// Per token the log probability under the policy that drew it; empty where no policy did.
    pub log_probabilities: Vec<f32>,
}

/// What learning a batch tells about the proposer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Learnt {
    /// Entropy of the policy as a fraction of a uniform one's: 1 undecided, 0 decided.
    pub entropy: Option<f64>,
}

/// A proposer's problem: its saved state does not fit, or torch refused.
#[derive(Debug, thiserror::Error)]
#[error("{algorithm}: {problem}")]
pub struct ProposerError {
    /// `ppo`, `evolution` or `random`.
    pub algorithm: &'static str,
    /// What went wrong.
    pub problem: String,
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

/// The proposer that `options` name, fresh or from a saved state.
///
/// # Errors
/// An unusable state, or PPO in a build without torch.
pub fn make(
    options: &SearchOptions,
    space: &Space,
    #[cfg_attr(not(feature = "torch"), expect(unused_variables, reason = "only the policy draws initial weights"))]
    seed: u64,
    state: Option<&[u8]>,
) -> Result<Box<dyn Proposer>, ProposerError> {
    match options.algorithm {
        #[cfg(feature = "torch")]
        Algorithm::Ppo => policy::make(&options.ppo, space, seed, state),
        #[cfg(not(feature = "torch"))]
        Algorithm::Ppo => Err(ProposerError {
            algorithm: "ppo",
            problem: "this build has no torch; build with the default features, or set algorithm = \"evolution\""
                .to_owned(),
        }),
        Algorithm::Evolution => evolution::make(&options.evolution, space, state),
        Algorithm::Random => Ok(Box::new(random::Uniform::new(space))),
    }
}
