//! A candidate: one proposal with everything that follows from its tokens.

use super::SearchError;
use super::proposer::Proposal;
use crate::network::Network;
use crate::space::{Architecture, Space};

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
}
