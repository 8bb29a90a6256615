//! `[search.guide]`: the settings of the models that rank.

use serde::{Deserialize, Serialize};

use super::range::within;
use crate::search::error::OptionError;

/// `[search.guide]`
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `variations` | 5 | variations looked at per candidate the proposer sampled: a fifth of the best networks, the others of the most promising variations and samples | 0 to 100 |
/// | `replayed` | 8 | best networks of the run that the proposer learns from once more in every step | 0 to 1000 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuideOptions {
    /// Variations per sampled candidate.
    pub variations: f64,
    /// Best networks learnt from again.
    pub replayed: usize,
}

impl Default for GuideOptions {
    fn default() -> Self {
        Self { variations: 5.0, replayed: 8 }
    }
}

impl GuideOptions {
    /// Checks the ranges of the table above.
    ///
    /// # Errors
    /// Says which number is wrong.
    pub fn check(&self) -> Result<(), OptionError> {
        if !(0.0..=100.0).contains(&self.variations) {
            let problem = format!("must be from 0 to 100, found {}", self.variations);
            return Err(OptionError::new("search.guide.variations", problem));
        }
        within("search.guide.replayed", self.replayed, 0, 1000)
    }
}
