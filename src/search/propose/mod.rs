//! What is proposed and what of it is trained: the proposers, the mutations of the best networks, and the acquisition
//! function that ranks both.

pub mod acquisition;
pub mod choose;
mod evolution;
pub mod guide;
#[cfg(feature = "torch")]
mod policy;
pub mod pool;
pub mod proposer;
mod random;
mod screen;

use super::error::ProposerError;
use super::settings::{Algorithm, SearchOptions};
use crate::space::Space;
use proposer::Proposer;

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
