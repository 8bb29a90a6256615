//! `[search]`: how a search proceeds.

use serde::{Deserialize, Serialize};

use super::evolution::EvolutionOptions;
use super::guide::GuideOptions;
use super::range::within;
use crate::search::error::OptionError;

/// What proposes networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// The LSTM controller with proximal policy optimisation.
    #[default]
    Ppo,
    /// Aging evolution.
    Evolution,
    /// Uniform sampling.
    Random,
}

impl Algorithm {
    /// As the search file names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ppo => "ppo",
            Self::Evolution => "evolution",
            Self::Random => "random",
        }
    }
}

/// Which networks are timed inside the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// Those that may prove to be the best.
    #[default]
    Promising,
    /// Every network that is trained.
    All,
}

/// `[search]`
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `algorithm` | `"ppo"` | what proposes networks | `ppo`, `evolution`, `random` |
/// | `sampled_per_step` | 64 | candidates sampled in one step | ≥ `trained_per_step` |
/// | `guided` | true for `ppo` | whether a model of the accuracies seen so far ranks the samples, and mutations of the best networks beside them; without it the predicted latency alone screens | |
/// | `trained_per_step` | 4 | candidates trained in one step | ≥ 1 |
/// | `warm_up_evaluations` | 12 | networks trained first, far from each other, before the model ranks | 0 to 100000 |
/// | `timing` | `"promising"` | which networks are timed on the device: for every eight trainings the one that may yet prove to be the best, or `"all"` that are trained | |
/// | `timed_per_step` | 1 | with `promising`: how many in one step, at most | 0 to `trained_per_step` |
/// | `window` | `{ low = 0.5, high = 1.15 }` | predicted latencies, as fractions of the target, worth training | 0 ≤ low < high |
/// | `warm_up_measurements` | 40 | networks measured first where no predictor is given | ≥ 20 |
/// | `patience` | 20 | steps without one new network after which the search has converged and ends | ≥ 1 |
/// | `stop_when_converged` | false | end as soon as the models expect no improvement worth a training any more | |
/// | `finalists` | 3 | best candidates re-timed at the end | ≥ 1 |
/// | `final_loads` | 15 | fresh loads of each finalist and reference at the end | ≥ 3 |
/// | `guide` | | table of the models' own settings, [`GuideOptions`] | |
/// | `ppo`, `evolution` | | tables of the algorithm's own settings | |
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchOptions {
    /// What proposes networks.
    pub algorithm: Algorithm,
    /// Candidates sampled in one step.
    pub sampled_per_step: usize,
    /// Whether models rank; absent: the algorithm's own default.
    pub guided: Option<bool>,
    /// Candidates trained in one step.
    pub trained_per_step: usize,
    /// Networks trained before the model ranks.
    pub warm_up_evaluations: usize,
    /// Which candidates are timed.
    pub timing: Timing,
    /// Promising candidates timed in one step, at most.
    pub timed_per_step: usize,
    /// Predicted latencies worth training.
    pub window: Window,
    /// Networks measured first where no predictor is given.
    pub warm_up_measurements: usize,
    /// Steps without a new network after which the search ends.
    pub patience: usize,
    /// Whether to end once the models expect no improvement.
    pub stop_when_converged: bool,
    /// Candidates re-timed at the end.
    pub finalists: usize,
    /// Fresh loads of each at the end.
    pub final_loads: usize,
    /// The models' settings.
    pub guide: GuideOptions,
    /// The controller's settings.
    #[cfg(feature = "torch")]
    pub ppo: crate::controller::PpoSettings,
    /// Evolution's settings.
    pub evolution: EvolutionOptions,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            sampled_per_step: 64,
            guided: None,
            trained_per_step: 4,
            warm_up_evaluations: 12,
            timing: Timing::default(),
            timed_per_step: 1,
            window: Window::default(),
            warm_up_measurements: 40,
            patience: 20,
            stop_when_converged: false,
            finalists: 3,
            final_loads: 15,
            guide: GuideOptions::default(),
            #[cfg(feature = "torch")]
            ppo: Default::default(),
            evolution: EvolutionOptions::default(),
        }
    }
}

impl SearchOptions {
    /// Whether a model of accuracy ranks the candidates.
    pub fn is_guided(&self) -> bool {
        self.guided.unwrap_or(self.algorithm == Algorithm::Ppo)
    }

    pub(super) fn check(&self) -> Result<(), OptionError> {
        const MANY: usize = 100_000;
        within("search.trained_per_step", self.trained_per_step, 1, MANY)?;
        within("search.sampled_per_step", self.sampled_per_step, self.trained_per_step, MANY)?;
        within("search.timed_per_step", self.timed_per_step, 0, self.trained_per_step)?;
        within("search.warm_up_evaluations", self.warm_up_evaluations, 0, MANY)?;
        within("search.warm_up_measurements", self.warm_up_measurements, 20, MANY)?;
        within("search.patience", self.patience, 1, MANY)?;
        within("search.finalists", self.finalists, 1, 100)?;
        within("search.final_loads", self.final_loads, 3, 1000)?;
        self.window.check()?;
        self.guide.check()?;
        self.evolution.check()
    }
}

/// The band of predicted latencies, as fractions of the target, whose candidates are trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Window {
    /// Lower edge; a network far below the target wastes what the target allows.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
}

impl Default for Window {
    fn default() -> Self {
        Self { low: 0.5, high: 1.15 }
    }
}

impl Window {
    /// Checks 0 ≤ low < high.
    ///
    /// # Errors
    /// Says which edge is wrong.
    pub fn check(self) -> Result<Self, OptionError> {
        if self.low >= 0.0 && self.high.is_finite() && self.low < self.high {
            return Ok(self);
        }
        Err(OptionError::new(
            "search.window",
            format!("needs 0 <= low < high as fractions of the target, found low = {}, high = {}", self.low, self.high),
        ))
    }
}
