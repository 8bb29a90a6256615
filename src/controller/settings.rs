//! Hyper-parameters of the controller: [`PpoSettings`] as written in a file, [`ValidPpoSettings`] as used.
//!
//! | name | default | purpose | range |
//! |---|---|---|---|
//! | `hidden` | 100 | units of the LSTM | 1 to 4096 |
//! | `embedding` | 32 | length of the vector that stands for the previous token | 1 to 4096 |
//! | `initial_range` | 0.1 | every parameter starts uniform in ±range | above 0, at most 1 |
//! | `learning_rate` | 1e-3 | Adam's step | above 0, at most 1 |
//! | `clip` | 0.2 | probability ratios count within 1 ± clip | above 0, below 1 |
//! | `epochs` | 4 | passes over a batch in one update | 1 to 100 |
//! | `entropy_weight` | 0.1 | weight of the entropy bonus (nats per token) | 0 to 10 |
//! | `logit_bound` | 2 | logits stay within ± this, so that no policy decides wholly and a long search goes on finding new networks | above 0, at most 100 |
//! | `baseline` | `moving_average` | what a reward is compared with: `value` or `moving_average` | |
//! | `value_weight` | 0.5 | with `value`: weight of the value head's squared error | 0 to 10 |
//! | `gae_lambda` | 0.95 | with `value`: how far a reward reaches back, 1 all the way, 0 one token | 0 to 1 |
//! | `average_weight` | 0.95 | weight of the past in the moving average and variance of the rewards | 0 to below 1 |
//! | `gradient_norm` | 0.5 | longer gradients are scaled down to this norm | above 0 |
//!
//! `benches/SEARCH.md` says how they were picked.

use serde::{Deserialize, Serialize};

/// What a reward is compared with to become an advantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The exponential moving average of past rewards, the same for every token (NASNet).
    #[default]
    MovingAverage,
    /// A value head on the LSTM and generalised advantage estimation.
    Value,
}

/// Hyper-parameters before [`PpoSettings::check`]; the module's text has the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PpoSettings {
    /// Units of the LSTM.
    pub hidden: usize,
    /// Length of a token's input vector.
    pub embedding: usize,
    /// Parameters start uniform in ± this.
    pub initial_range: f64,
    /// Adam's step.
    pub learning_rate: f64,
    /// Probability ratios count within 1 ± this.
    pub clip: f64,
    /// Passes over a batch in one update.
    pub epochs: usize,
    /// Weight of the entropy bonus.
    pub entropy_weight: f64,
    /// Bound of the logits.
    pub logit_bound: f64,
    /// What rewards are compared with.
    pub baseline: Baseline,
    /// Weight of the value head's error.
    pub value_weight: f64,
    /// Reach of generalised advantage estimation.
    pub gae_lambda: f64,
    /// Weight of the past in the rewards' moving average and variance.
    pub average_weight: f64,
    /// Greatest norm of a gradient.
    pub gradient_norm: f64,
}

impl Default for PpoSettings {
    fn default() -> Self {
        Self {
            hidden: 100,
            embedding: 32,
            initial_range: 0.1,
            learning_rate: 1e-3,
            clip: 0.2,
            epochs: 4,
            entropy_weight: 0.1,
            logit_bound: 2.0,
            baseline: Baseline::MovingAverage,
            value_weight: 0.5,
            gae_lambda: 0.95,
            average_weight: 0.95,
            gradient_norm: 0.5,
        }
    }
}

/// A hyper-parameter outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("controller setting {name} must be {expected}, but is {found}")]
pub struct PpoSettingsError {
    /// The setting.
    pub name: &'static str,
    /// Its range in words.
    pub expected: &'static str,
    /// What came.
    pub found: f64,
}

/// PpoSettings within their ranges.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidPpoSettings(PpoSettings);

impl std::ops::Deref for ValidPpoSettings {
    type Target = PpoSettings;

    fn deref(&self) -> &PpoSettings {
        &self.0
    }
}

impl PpoSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// The first setting outside its range.
    pub fn check(self) -> Result<ValidPpoSettings, PpoSettingsError> {
        let within = |name, expected, found: f64, holds: bool| match holds {
            true => Ok(()),
            false => Err(PpoSettingsError { name, expected, found }),
        };
        for (name, count) in [("hidden", self.hidden), ("embedding", self.embedding)] {
            within(name, "from 1 to 4096", count as f64, (1..=4096).contains(&count))?;
        }
        within("epochs", "from 1 to 100", self.epochs as f64, (1..=100).contains(&self.epochs))?;
        for (name, value) in [("initial_range", self.initial_range), ("learning_rate", self.learning_rate)] {
            within(name, "above 0 and at most 1", value, value > 0.0 && value <= 1.0)?;
        }
        within("clip", "above 0 and below 1", self.clip, self.clip > 0.0 && self.clip < 1.0)?;
        for (name, value) in [("entropy_weight", self.entropy_weight), ("value_weight", self.value_weight)] {
            within(name, "from 0 to 10", value, (0.0..=10.0).contains(&value))?;
        }
        let bound = self.logit_bound;
        within("logit_bound", "above 0 and at most 100", bound, bound > 0.0 && bound <= 100.0)?;
        within("gae_lambda", "from 0 to 1", self.gae_lambda, (0.0..=1.0).contains(&self.gae_lambda))?;
        let average = self.average_weight;
        within("average_weight", "from 0 to below 1", average, (0.0..1.0).contains(&average))?;
        let norm = self.gradient_norm;
        within("gradient_norm", "above 0 and finite", norm, norm > 0.0 && norm.is_finite())?;
        Ok(ValidPpoSettings(self))
    }
}
