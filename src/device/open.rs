//! From what a user names to a device that can time.

use std::path::PathBuf;

use super::command::CommandDevice;
use super::host::{self, HostDevice, HostSettings};
use super::pinning::Pinning;
use super::simulated::{self, SimulatedDevice};
use super::{Device, DeviceError};

/// A device as asked for on the command line or in a search file.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// `host`, or `simulated` for dry runs.
    pub id: String,
    /// A program that times models, instead of `id`; empty for none.
    pub command: Vec<String>,
    /// Threads a model runs with.
    pub threads: usize,
    /// Cores a model may use; empty for all.
    pub cores: Vec<usize>,
    /// Whether the host may fall back to tract where LiteRT cannot be loaded, saying so loudly.
    pub fallback: bool,
    /// Timed runs per load.
    pub runs: usize,
    /// Seed of a simulated device's noise.
    pub seed: u64,
    /// Where models are put for a program to read.
    pub scratch: PathBuf,
}

impl Choice {
    /// This device with one thread and the defaults of everything else.
    pub fn of(id: &str) -> Self {
        let defaults = HostSettings::default();
        Self {
            id: id.to_owned(),
            command: Vec::new(),
            threads: defaults.threads,
            cores: Vec::new(),
            fallback: false,
            runs: defaults.runs,
            seed: 0,
            scratch: std::env::temp_dir(),
        }
    }
}

/// Opens the device.
///
/// # Errors
/// An unknown id, a missing runtime library, settings out of range, a program that does not start.
pub fn open(choice: &Choice) -> Result<Box<dyn Device>, DeviceError> {
    if !choice.command.is_empty() {
        let program = CommandDevice::start(&choice.command, &choice.scratch);
        return Ok(Box::new(program.map_err(|error| DeviceError::Library(error.to_string()))?));
    }
    match choice.id.as_str() {
        host::ID => {
            let pinning = if choice.cores.is_empty() { Pinning::None } else { Pinning::Cores(choice.cores.clone()) };
            let settings =
                HostSettings { threads: choice.threads, pinning, runs: choice.runs, ..HostSettings::default() };
            let open = if choice.fallback { HostDevice::with_fallback } else { HostDevice::new };
            Ok(Box::new(open(settings)?))
        }
        simulated::ID => Ok(Box::new(SimulatedDevice::new(choice.seed))),
        other => Err(DeviceError::Settings(format!(
            "no device '{other}'; known are {} (this machine) and {} (made-up latencies, for dry runs)",
            host::ID,
            simulated::ID,
        ))),
    }
}
