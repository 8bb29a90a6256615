//! `[search.guide]`: the settings of the models that rank.

use serde::{Deserialize, Serialize};

use super::range::within;
use crate::search::error::OptionError;

/// `[search.guide]`
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `mutations` | 5 | mutations looked at per candidate the proposer sampled: a fifth of the best networks, the others of the candidates with the highest expected improvement | 0 to 100 |
/// | `replayed` | 8 | replay buffer: best networks of the run that the proposer learns from again in every step | 0 to 1000 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuideOptions {
    /// Mutations per sampled candidate; `variations` in search files written before.
    #[serde(alias = "variations")]
    pub mutations: f64,
    /// Best networks learnt from again.
    pub replayed: usize,
}

impl Default for GuideOptions {
    fn default() -> Self {
        Self { mutations: 5.0, replayed: 8 }
    }
}

impl GuideOptions {
    /// Checks the ranges of the table above.
    ///
    /// # Errors
    /// Says which number is wrong.
    pub fn check(&self) -> Result<(), OptionError> {
        if !(0.0..=100.0).contains(&self.mutations) {
            let problem = format!("must be from 0 to 100, found {}", self.mutations);
            return Err(OptionError::new("search.guide.mutations", problem));
        }
        within("search.guide.replayed", self.replayed, 0, 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_mutations_had_before_is_still_read() {
        let read = |text: &str| toml::from_str::<GuideOptions>(text).unwrap();
        assert_eq!(read("variations = 2.0"), read("mutations = 2.0"));
        assert!(toml::from_str::<GuideOptions>("variation = 2.0").is_err());
    }
}
