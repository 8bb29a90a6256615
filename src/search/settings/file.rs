//! The search file, unchecked as it is read and checked as it is used.
//!
//! Only [`SearchFile::check`] makes [`Settings`], and only those run. Relative paths are taken from the folder of the
//! search file, so a run can be resumed from anywhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::accuracy::{AccuracyOptions, resolve_program};
use super::devices::{DeviceOptions, objective, one_or_more};
use super::search::SearchOptions;
use super::target::TargetOptions;
use crate::network::Limits;
use crate::search::error::{OptionError, SearchFileError};
use crate::search::reward::{Objective, Target};
use crate::space::Space;

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
