//! Device profiles: what a device is, how models run on it, and the limits beyond which it is not measured.
//!
//! A profile is a TOML file; `--device` takes its path, or its name if it lies in `devices/`. `mnas devices --save`
//! writes one from what a phone reports. Everything but `id` may be left out:
//!
//! ```toml
//! id = "pixel-4"
//! kind = "phone"               # or "host": this machine
//! model = "Pixel 4"            # ro.product.model; the phone to use is the connected one of that model
//! serial = "99131FFAZ000AB"    # or one particular phone
//! soc = "Snapdragon 855"       # for people
//!
//! [[cluster]]                  # for people: cores of one kind
//! cores = "7"
//! max_mhz = 2841
//!
//! [run]
//! threads = 1
//! cores = "4-7"                # a list or a mask like 0xf0; a phone's default: the cores with the highest clock
//! kernels = "xnnpack"          # or "builtin"
//! delegate = "cpu"             # or "gpu", "nnapi": those need benchmark_model
//! runner = "ours"              # or "benchmark_model"
//! ```
//!
//! | `[run]` | default | purpose | range |
//! |---|---|---|---|
//! | `threads` | 1 | threads of the runtime | 1 to 64, no more than `cores` |
//! | `warmup_runs` | 3 | untimed runs after each load, at least | 0 to 10,000 |
//! | `steady` | true on phones | warm up until neighbouring windows of runs agree | needs our runner |
//! | `rest_ms` | 0 | pause before each load | 0 to 600,000 |
//! | `fixed_performance` | true | ask the phone for its fixed-performance mode, and undo that at the end | |
//! | `reference` | true | time a reference network with every load, and repeat the load if that one was slow | |
//!
//! | `[limits]` | default | purpose | range |
//! |---|---|---|---|
//! | `max_temperature_c` | 70 | of the processor's hottest sensor, before a load | 20 to 150 |
//! | `max_battery_temperature_c` | 42 | of the battery | 20 to 100 |
//! | `max_thermal_status` | 0 | Android's thermal status: 0 none, 1 light, … 6 shutdown | 0 to 6 |
//! | `min_battery_percent` | 30 | charge | 0 to 100 |
//! | `charging` | "any" | whether the phone must (`required`) or must not (`forbidden`) be charging | |
//! | `max_slowdown` | 1.10 | of the reference network against its first timings, unless it lasts | 1.01 to 2 |
//! | `max_away_s` | 120 | how long a phone may stay disconnected | 0 to 86,400 |
//! | `max_wait_s` | 600 | how long to wait for a phone to cool down | 0 to 86,400 |

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::litert::Kernels;
use super::pinning::Pinning;
use super::{DeviceError, host};
use crate::documents;

/// The folder of profiles that are named without a path.
pub const FOLDER: &str = "devices";

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name under which results are kept.
    pub id: String,
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// `ro.product.model` of the phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Serial number of one particular phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Name of the system on a chip, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soc: Option<String>,
    /// Kinds of cores, for people.
    #[serde(default, rename = "cluster", skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<Cluster>,
    /// How models run.
    #[serde(default)]
    pub run: Run,
    /// When it is not measured.
    #[serde(default)]
    pub limits: Limits,
}

/// What a profile describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A phone over adb.
    #[default]
    Phone,
    /// This machine.
    Host,
}

/// Cores of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Their numbers, as in `4-6`.
    pub cores: String,
    /// Highest clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_mhz: Option<u32>,
    /// What they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `[run]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Threads of the runtime.
    pub threads: usize,
    /// Cores, as a list or a mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<String>,
    /// Kernels behind the operators.
    pub kernels: KernelChoice,
    /// What computes.
    pub delegate: Delegate,
    /// The program that times.
    pub runner: RunnerChoice,
    /// That program on this machine, or with `benchmark_model` its path on the phone if it lies there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner_path: Option<PathBuf>,
    /// LiteRT's library for the phone on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library_path: Option<PathBuf>,
    /// Untimed runs after each load, at least.
    pub warmup_runs: usize,
    /// Warm up until times are steady; by default with our runner on a phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steady: Option<bool>,
    /// Pause before each load.
    pub rest_ms: u64,
    /// Ask for fixed-performance mode.
    pub fixed_performance: bool,
    /// Time a reference network with every load.
    pub reference: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            threads: 1,
            cores: None,
            kernels: KernelChoice::default(),
            delegate: Delegate::default(),
            runner: RunnerChoice::default(),
            runner_path: None,
            library_path: None,
            warmup_runs: 3,
            steady: None,
            rest_ms: 0,
            fixed_performance: true,
            reference: true,
        }
    }
}

/// Kernels by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum KernelChoice {
    /// XNNPACK's, what applications get by default.
    #[default]
    Xnnpack,
    /// The interpreter's own.
    Builtin,
}

impl From<KernelChoice> for Kernels {
    fn from(choice: KernelChoice) -> Self {
        match choice {
            KernelChoice::Xnnpack => Self::Xnnpack,
            KernelChoice::Builtin => Self::Builtin,
        }
    }
}

/// What computes on a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delegate {
    /// The processor.
    #[default]
    Cpu,
    /// The graphics processor.
    Gpu,
    /// Android's neural networks API.
    Nnapi,
}

/// Which program times on a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerChoice {
    /// `mnas-runner`: every run on two clocks, and outputs that can be verified.
    #[default]
    Ours,
    /// Google's stock tool, which tells order statistics of the wall clock only.
    BenchmarkModel,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Of the processor's hottest sensor, °C.
    pub max_temperature_c: f64,
    /// Of the battery, °C.
    pub max_battery_temperature_c: f64,
    /// Android's thermal status.
    pub max_thermal_status: u32,
    /// Charge.
    pub min_battery_percent: u32,
    /// Whether it must be charging.
    pub charging: Charging,
    /// Of the reference network against its first timings.
    pub max_slowdown: f64,
    /// How long to wait for a phone to cool down.
    pub max_wait_s: u64,
    /// How long it may stay disconnected.
    pub max_away_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_temperature_c: 70.0,
            max_battery_temperature_c: 42.0,
            max_thermal_status: 0,
            min_battery_percent: 30,
            charging: Charging::Any,
            max_slowdown: 1.10,
            max_wait_s: 600,
            max_away_s: 120,
        }
    }
}

/// Whether a phone that is measured must be charging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charging {
    /// Either way.
    #[default]
    Any,
    /// It must.
    Required,
    /// It must not: chargers heat.
    Forbidden,
}

impl Profile {
    /// All defaults.
    pub fn new(id: &str, kind: Kind) -> Self {
        Self {
            id: id.to_owned(),
            kind,
            model: None,
            serial: None,
            soc: None,
            clusters: Vec::new(),
            run: Run::default(),
            limits: Limits::default(),
        }
    }

    /// The profile that `--device ID` names: a path, or the name of a file in [`FOLDER`]; `None` if there is no such
    /// file and the id is none that must be one.
    ///
    /// # Errors
    /// A file that cannot be read or is no valid profile, with its place.
    pub fn named(id: &str) -> Result<Option<Self>, DeviceError> {
        let path = Self::path_of(id);
        if path != Path::new(id) && !path.is_file() {
            return Ok(None);
        }
        Self::load(&path).map(Some)
    }

    /// The file that an id names, if any: itself where it is a path, else one in [`FOLDER`].
    pub fn path_of(id: &str) -> PathBuf {
        let is_path = id.contains('/') || id.ends_with(".toml");
        if is_path { PathBuf::from(id) } else { Path::new(FOLDER).join(format!("{id}.toml")) }
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// As [`Profile::named`].
    pub fn load(path: &Path) -> Result<Self, DeviceError> {
        let text = crate::text::read(path).map_err(|error| DeviceError::Settings(error.to_string()))?;
        Self::parse(&text).map_err(|problem| DeviceError::Settings(format!("{}: {problem}", path.display())))
    }

    /// Reads and checks a document.
    ///
    /// # Errors
    /// Place and mistake on one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let profile: Self =
            documents::read_toml(text).map_err(|problem| format!("{}: {}", problem.place, problem.message))?;
        profile.check().map(|()| profile)
    }

    /// All profiles of a folder in the order of their names, with those that cannot be read as errors.
    pub fn all_in(folder: &Path) -> Vec<(PathBuf, Result<Self, DeviceError>)> {
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
        paths.sort();
        paths.into_iter().map(|path| (path.clone(), Self::load(&path))).collect()
    }

    /// The document.
    ///
    /// # Errors
    /// None that a profile of ours meets; toml's message.
    pub fn to_toml(&self) -> Result<String, DeviceError> {
        toml::to_string(self).map_err(|error| DeviceError::Settings(format!("profile {}: {error}", self.id)))
    }

    /// The cores to use, if the profile says so.
    ///
    /// # Errors
    /// What is wrong with `run.cores`.
    pub fn pinning(&self) -> Result<Option<Pinning>, String> {
        self.run
            .cores
            .as_deref()
            .map(|text| text.parse().map_err(|problem| format!("run.cores: {problem}")))
            .transpose()
    }

    /// Whether values are in their ranges and go together.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), String> {
        let (run, limits) = (&self.run, &self.limits);
        let cores = self.pinning()?;
        let inside = [
            ("run.threads", run.threads as f64, 1.0, 64.0),
            ("run.warmup_runs", run.warmup_runs as f64, 0.0, 1e4),
            ("run.rest_ms", run.rest_ms as f64, 0.0, 6e5),
            ("limits.max_temperature_c", limits.max_temperature_c, 20.0, 150.0),
            ("limits.max_battery_temperature_c", limits.max_battery_temperature_c, 20.0, 100.0),
            ("limits.max_thermal_status", f64::from(limits.max_thermal_status), 0.0, 6.0),
            ("limits.min_battery_percent", f64::from(limits.min_battery_percent), 0.0, 100.0),
            ("limits.max_slowdown", limits.max_slowdown, 1.01, 2.0),
            ("limits.max_wait_s", limits.max_wait_s as f64, 0.0, 86_400.0),
            ("limits.max_away_s", limits.max_away_s as f64, 0.0, 86_400.0),
        ];
        if let Some((name, value, low, high)) = inside.into_iter().find(|(_, v, low, high)| !(low..=high).contains(&v))
        {
            return Err(format!("{name} must be from {low} to {high}, found {value}"));
        }
        let reserved = [host::ID, super::simulated::ID];
        if self.id.is_empty()
            || self.id.contains(['/', '\\', '\0'])
            || self.id.starts_with('.')
            || reserved.contains(&&*self.id)
        {
            return Err(format!("id must be a file name of its own, found '{}'", self.id));
        }
        if let Some(Pinning::Cores(cores)) = cores
            && cores.len() < run.threads
        {
            return Err(format!("run.threads is {}, more than the {} of run.cores", run.threads, cores.len()));
        }
        match (run.runner, run.delegate) {
            (RunnerChoice::Ours, Delegate::Gpu | Delegate::Nnapi) => {
                Err("run.delegate: only runner = \"benchmark_model\" has delegates other than \"cpu\"".into())
            }
            (RunnerChoice::BenchmarkModel, _) if run.steady == Some(true) => {
                Err("run.steady: only runner = \"ours\" warms up until times are steady".into())
            }
            _ => Ok(()),
        }
    }
}
