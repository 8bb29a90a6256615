//! A proposal, and the candidate it is with everything that follows from its tokens.

use super::error::SearchError;
use crate::network::{Limits, Network, Resource};
use crate::space::{Architecture, Space};
use crate::store::BeyondLimits;

/// A proposed token sequence, with what its proposer needs to learn from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Tokens of the space.
    pub tokens: Vec<usize>,
    /// Per token the log probability under the policy that drew it; empty where no policy did.
    pub log_probabilities: Vec<f32>,
}

/// A proposal, decoded and expanded.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// As proposed.
    pub proposal: Proposal,
    /// Its decoding.
    pub architecture: Architecture,
    /// Its expansion.
    pub network: Network,
    /// What makes it the same network as another.
    pub digest: String,
}

impl Candidate {
    /// Decodes and expands a proposal.
    ///
    /// # Errors
    /// A proposal that is not of the space, or a network too large to deploy.
    pub fn new(proposal: Proposal, space: &Space) -> Result<Self, SearchError> {
        let architecture = space.decode(&proposal.tokens).map_err(crate::space::SpaceError::from)?;
        let network = Network::expand(&architecture)?;
        let digest = network.digest();
        Ok(Self { proposal, architecture, network, digest })
    }

    /// The proposal as a candidate that keeps to the limits, or a count in `beyond` of what it has too much of.
    ///
    /// # Errors
    /// A proposal that is not of the space.
    pub fn within(
        proposal: Proposal,
        space: &Space,
        limits: &Limits,
        beyond: &mut BeyondLimits,
    ) -> Result<Option<Self>, SearchError> {
        let candidate = match Self::new(proposal, space) {
            Err(SearchError::Expand(_)) => {
                beyond.undeployable += 1;
                return Ok(None);
            }
            candidate => candidate?,
        };
        match limits.exceeded(&candidate.network) {
            None => return Ok(Some(candidate)),
            Some(Resource::Params) => beyond.params += 1,
            Some(Resource::Madds) => beyond.madds += 1,
            Some(Resource::MemoryMb) => beyond.memory_mb += 1,
        }
        Ok(None)
    }
}
