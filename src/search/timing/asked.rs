//! A network whose timing is wanted, with what is expected of it.

use crate::latency::Prediction;
use crate::space::Architecture;
use crate::store::Purpose;

/// Share of timings that a prediction's interval is to hold.
pub(in crate::search) const LEVEL: f64 = 0.9;

/// A network whose timing is wanted.
#[derive(Debug, Clone)]
pub(in crate::search) struct Asked<'a> {
    pub architecture: &'a Architecture,
    /// [`crate::network::Network::digest`].
    pub digest: String,
    pub purpose: Purpose,
    /// What is believed of its latency.
    pub predicted: Option<Prediction>,
}

impl Asked<'_> {
    /// Whether a model of this name is this network's.
    pub(super) fn is(&self, model: &str) -> bool {
        self.architecture.to_string() == model
    }
}
