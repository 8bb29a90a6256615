//! The `[accuracy]` of a search file: where accuracies come from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::external::timeout_of;
use crate::train::command::CommandAccuracy;
use crate::train::table::{AccuracyTable, StandIn};
use crate::train::{Accuracy, AccuracyError};

/// `[accuracy]`: `kind = "proxy"` with `data`, `"command"` with `command`, `"table"` with `file`, or `"simulated"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub enum AccuracyOptions {
    /// Short training in torch on an image folder.
    #[cfg(feature = "torch")]
    Proxy(crate::train::proxy::ProxyOptions),
    /// The user's own trainer.
    Command(CommandOptions),
    /// Known accuracies.
    Table(TableOptions),
    /// A formula of the network, for dry runs and tests: not an accuracy.
    Simulated(SimulatedOptions),
}

/// `[accuracy]` of `kind = "command"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandOptions {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How often it is started: so many requests are answered side by side.
    #[serde(default = "one_worker")]
    pub workers: usize,
    /// How long it may take over one network, in seconds; by default as long as it likes.
    pub timeout: Option<f64>,
}

impl CommandOptions {
    fn checked(self) -> Result<Self, String> {
        self.timeout().map_err(|problem| format!("timeout {problem}"))?;
        Ok(self)
    }

    fn timeout(&self) -> Result<Option<Duration>, String> {
        self.timeout.map(timeout_of).transpose()
    }
}

fn one_worker() -> usize {
    1
}

/// `[accuracy]` of `kind = "table"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableOptions {
    /// A JSON file `{"input=224 …": 0.71, …}`.
    pub file: PathBuf,
}

/// `[accuracy]` of `kind = "simulated"`: see [`crate::train::table::StandIn`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatedOptions {
    /// Standard deviation of the noise, a fraction.
    pub noise: f64,
    /// Milliseconds each evaluation pretends to work.
    pub delay_ms: u64,
    /// Evaluations side by side.
    pub workers: usize,
}

impl Default for SimulatedOptions {
    fn default() -> Self {
        Self { noise: 0.003, delay_ms: 0, workers: 1 }
    }
}

const KINDS: &str = "kind must be \"proxy\", \"command\", \"table\" or \"simulated\"";

impl TryFrom<toml::Table> for AccuracyOptions {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let kind = match table.remove("kind") {
            Some(toml::Value::String(kind)) => kind,
            _ => return Err(KINDS.to_owned()),
        };
        match kind.as_str() {
            #[cfg(feature = "torch")]
            "proxy" => Ok(Self::Proxy(read(table)?)),
            #[cfg(not(feature = "torch"))]
            "proxy" => Err("this build has no torch, so no proxy training; use kind = \"command\"".to_owned()),
            "command" => Ok(Self::Command(read::<CommandOptions>(table)?.checked()?)),
            "table" => Ok(Self::Table(read(table)?)),
            "simulated" => Ok(Self::Simulated(read(table)?)),
            other => Err(format!("{KINDS}, found \"{other}\"")),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(table: toml::Table) -> Result<T, String> {
    table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

/// A program named by a path is taken from `folder`; one named by a bare word is searched in PATH.
pub(super) fn resolve_program(command: &mut [String], folder: &Path) {
    if let Some(program) = command.first_mut().filter(|program| program.contains('/')) {
        *program = folder.join(&*program).display().to_string();
    }
}

impl AccuracyOptions {
    /// The same with paths taken from `folder`.
    pub fn resolved(self, folder: &Path) -> Self {
        match self {
            #[cfg(feature = "torch")]
            Self::Proxy(mut options) => {
                options.data = folder.join(options.data);
                Self::Proxy(options)
            }
            Self::Command(mut options) => {
                resolve_program(&mut options.command, folder);
                Self::Command(options)
            }
            Self::Table(TableOptions { file }) => Self::Table(TableOptions { file: folder.join(file) }),
            other => other,
        }
    }

    /// Opens it: reads the images, starts the program.
    ///
    /// # Errors
    /// [`AccuracyError::Fatal`] with what is missing.
    pub fn open(&self) -> Result<Box<dyn Accuracy>, AccuracyError> {
        match self {
            #[cfg(feature = "torch")]
            Self::Proxy(options) => {
                let proxy = crate::train::proxy::Proxy::load(options.clone());
                Ok(Box::new(proxy.map_err(|error| AccuracyError::Fatal(error.to_string()))?))
            }
            Self::Command(options) => {
                let timeout = options.timeout().map_err(AccuracyError::Fatal)?;
                let trainer = CommandAccuracy::start(&options.command, options.workers);
                let trainer = trainer.map_err(|error| AccuracyError::Fatal(error.to_string()))?;
                Ok(Box::new(trainer.with_timeout(timeout)))
            }
            Self::Table(options) => Ok(Box::new(AccuracyTable::load(&options.file)?)),
            Self::Simulated(options) => Ok(Box::new(StandIn {
                noise: options.noise,
                delay: Duration::from_millis(options.delay_ms),
                workers: options.workers,
            })),
        }
    }
}
