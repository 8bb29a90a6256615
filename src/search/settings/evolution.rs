//! `[search.evolution]`: the settings of aging evolution.

use serde::{Deserialize, Serialize};

use crate::search::error::OptionError;

/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `population` | 50 | networks that may become parents: the last so many learnt | ≥ 2 |
/// | `tournament` | 10 | of those drawn for one proposal; the best of them is its parent | 1 to `population` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvolutionOptions {
    /// Networks that may become parents.
    pub population: usize,
    /// Networks drawn for one proposal.
    pub tournament: usize,
}

impl Default for EvolutionOptions {
    fn default() -> Self {
        Self { population: 50, tournament: 10 }
    }
}

impl EvolutionOptions {
    /// Checks the ranges of the table above.
    ///
    /// # Errors
    /// Says which number is wrong.
    pub fn check(&self) -> Result<(), OptionError> {
        if self.population < 2 {
            let problem = format!("must be at least 2, found {}", self.population);
            return Err(OptionError::new("search.evolution.population", problem));
        }
        if !(1..=self.population).contains(&self.tournament) {
            let problem = format!("must be from 1 to the population, {}, found {}", self.population, self.tournament);
            return Err(OptionError::new("search.evolution.tournament", problem));
        }
        Ok(())
    }
}
