//! The search file, unchecked as it is read and checked as it is used.
//!
//! Only [`SearchFile::check`] makes [`Settings`], and only those run. Relative paths are taken from the folder of the
//! search file, so a run can be resumed from anywhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::accuracy::{AccuracyOptions, resolve_program};
use super::devices::{DeviceOptions, objective, one_or_more};
use super::guide::GuideOptions;
use super::objective::Objective;
use super::proposer::EvolutionOptions;
use super::reward::{Target, TargetOptions};
use super::screen::Window;
use crate::network::Limits;
use crate::space::Space;
use crate::store::Step;

/// An option outside its range, or one that does not go with another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct OptionError {
    /// As in `search.trained_per_step`.
    pub place: String,
    /// What was expected and what came.
    pub problem: String,
}

impl OptionError {
    /// An error at a place of the search file.
    pub fn new(place: &str, problem: impl Into<String>) -> Self {
        Self { place: place.to_owned(), problem: problem.into() }
    }
}

/// Why a search file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SearchFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// Not TOML, or an unknown or misshapen entry.
    #[error("{file}: at '{place}': {message}")]
    Format {
        /// The file.
        file: String,
        /// Where in it.
        place: String,
        /// The reader's message.
        message: String,
    },
    /// An option out of range.
    #[error("{file}: {error}")]
    Option {
        /// The file.
        file: String,
        /// Which, and why.
        error: OptionError,
    },
    /// The space it names.
    #[error(transparent)]
    Space(#[from] crate::space::SpaceError),
}

/// A search file as it stands in TOML.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchFile {
    /// Seed of every random choice of the run.
    #[serde(default = "one")]
    pub seed: u64,
    /// Where the networks come from.
    pub space: SpaceOptions,
    /// The latency wanted and the form of the reward.
    pub target: TargetOptions,
    /// What a network may cost beside its latency.
    #[serde(default)]
    pub limits: Limits,
    /// What times the networks: one `[device]`, or several `[[device]]`.
    #[serde(default = "this_host", deserialize_with = "one_or_more")]
    pub device: Vec<DeviceOptions>,
    /// What obtains accuracies.
    pub accuracy: AccuracyOptions,
    /// When the search ends.
    pub budget: BudgetOptions,
    /// How it searches.
    #[serde(default)]
    pub search: SearchOptions,
}

fn one() -> u64 {
    1
}

fn this_host() -> Vec<DeviceOptions> {
    vec![DeviceOptions::default()]
}

/// `[space]`: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceOptions {
    /// Name of a space that comes with the program.
    pub preset: Option<String>,
    /// A space file.
    pub file: Option<PathBuf>,
}

/// `[budget]`: the search ends when evaluations or hours are spent; beyond its measurements it goes by predictions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetOptions {
    /// Networks whose accuracy is obtained.
    pub evaluations: u64,
    /// Networks timed inside the loop; absent: as many as the steps ask for.
    pub measurements: Option<u64>,
    /// Wall-clock hours, over all resumptions.
    pub hours: Option<f64>,
}

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
/// | `guided` | true for `ppo` | whether a model of the accuracies seen so far ranks the samples, and variations of the best networks beside them; without it the predicted latency alone screens | |
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
    pub ppo: crate::controller::Settings,
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

    /// Whether the steps so far say that going on is of no use: nothing new to train, or, if asked for, nothing that
    /// promises an improvement, for `patience` steps.
    pub fn has_converged(&self, steps: &[Step]) -> bool {
        let barren = |step: &&Step| step.trained + step.failed == 0;
        let last = || steps.iter().rev();
        last().take_while(barren).count() >= self.patience
            || self.stop_when_converged && last().take_while(|step| step.is_settled()).count() >= self.patience
    }

    fn check(&self) -> Result<(), OptionError> {
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

pub(super) fn within(place: &str, value: usize, least: usize, most: usize) -> Result<(), OptionError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(OptionError::new(place, format!("must be from {least} to {most}, found {value}")))
}

/// A checked search file: what a search runs with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Seed of every random choice of the run.
    pub seed: u64,
    /// Where the networks come from.
    pub space: Space,
    /// What a combined latency is weighed with: the objective's own target.
    pub target: Target,
    /// The latencies wanted on all devices, and the form of the reward.
    pub objective: Objective,
    /// What a network may cost beside its latency; some network of the space keeps to it.
    pub limits: Limits,
    /// What times the networks, at least one; their paths are absolute.
    pub devices: Vec<DeviceOptions>,
    /// What obtains accuracies; its paths are absolute.
    pub accuracy: AccuracyOptions,
    /// Networks whose accuracy is obtained.
    pub evaluations: u64,
    /// Networks timed inside the loop at most.
    pub measurements: u64,
    /// Wall-clock time over all resumptions.
    pub time: Option<Duration>,
    /// How it searches.
    pub search: SearchOptions,
}

impl SearchFile {
    /// Reads TOML text; `file` names it in messages.
    ///
    /// # Errors
    /// [`SearchFileError::Format`] with the place in the document.
    pub fn parse(text: &str, file: &str) -> Result<Self, SearchFileError> {
        crate::documents::read_toml(text).map_err(|problem| SearchFileError::Format {
            file: file.to_owned(),
            place: problem.place,
            message: problem.message,
        })
    }

    /// Checks every option and resolves relative paths against `folder`.
    ///
    /// # Errors
    /// The first option that cannot be used, with its place.
    pub fn check(self, folder: &Path, file: &str) -> Result<Settings, SearchFileError> {
        let option = |error: OptionError| SearchFileError::Option { file: file.to_owned(), error };
        self.search.check().map_err(option)?;
        let target = self.target.check().map_err(|error| option(OptionError::new("target", error.to_string())))?;
        let objective = objective(&self.device, target, self.target.combine).map_err(option)?;
        #[cfg(feature = "torch")]
        self.search.ppo.clone().check().map_err(|error| option(OptionError::new("search.ppo", error.to_string())))?;
        self.budget.check().map_err(option)?;
        let space = self.space.load(folder).map_err(|error| match error {
            SpaceProblem::Option(error) => option(error),
            SpaceProblem::Space(error) => error.into(),
        })?;
        let limits = self.limits;
        limits.check(&space).map_err(|error| option(OptionError::new("limits", error.to_string())))?;
        let mut devices = self.device;
        for device in &mut devices {
            device.predictor = device.predictor.take().map(|path| folder.join(path));
            device.resolve_profile(folder);
            resolve_program(&mut device.command, folder);
        }
        Ok(Settings {
            seed: self.seed,
            space,
            target: *objective.target(),
            objective,
            limits,
            devices,
            accuracy: self.accuracy.resolved(folder),
            evaluations: self.budget.evaluations,
            measurements: self.budget.measurements.unwrap_or(u64::MAX),
            time: self.budget.hours.map(|hours| Duration::from_secs_f64(hours * 3600.0)),
            search: self.search,
        })
    }
}

enum SpaceProblem {
    Option(OptionError),
    Space(crate::space::SpaceError),
}

impl SpaceOptions {
    fn load(&self, folder: &Path) -> Result<Space, SpaceProblem> {
        match (&self.preset, &self.file) {
            (Some(name), None) => Space::preset(name).map_err(SpaceProblem::Space),
            (None, Some(path)) => Space::from_file(&folder.join(path)).map_err(SpaceProblem::Space),
            _ => {
                Err(SpaceProblem::Option(OptionError::new("space", "give either preset or file, and only one of them")))
            }
        }
    }
}

impl BudgetOptions {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Says which number is wrong.
    pub fn check(&self) -> Result<(), OptionError> {
        if self.evaluations == 0 {
            return Err(OptionError::new("budget.evaluations", "must be at least 1, found 0"));
        }
        match self.hours {
            Some(hours) if !(hours > 0.0 && hours < 1e5) => {
                Err(OptionError::new("budget.hours", format!("must be above 0 and below 100000, found {hours}")))
            }
            _ => Ok(()),
        }
    }
}
