//! `[target]`: the latency wanted and the form of the reward.

use serde::{Deserialize, Serialize};

use crate::search::reward::{Combine, RewardKind, Target, TargetError};

/// The `[target]` of a search file, unchecked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetOptions {
    /// T in milliseconds.
    pub latency_ms: f64,
    /// The form of the reward.
    #[serde(default)]
    pub reward: RewardKind,
    /// Overrides the kind's α; `absolute` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Overrides the kind's β.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// With several devices, how their parts make one reward.
    #[serde(default)]
    pub combine: Combine,
}

impl TargetOptions {
    /// Checks the numbers and fills in the kind's α and β.
    ///
    /// # Errors
    /// [`TargetError`]: the first number outside its range.
    pub fn check(&self) -> Result<Target, TargetError> {
        Target::new(self.latency_ms, self.reward, self.alpha, self.beta)
    }
}
