//! What can time a model: this host, a phone, an external program, a simulated device.
//!
//! A [`Device`] loads a .tflite model afresh and runs it; everything about orders, rounds and medians lies above, so
//! that every device is measured in the same way.

pub mod checks;
pub mod command;
pub mod environment;
pub mod host;
pub mod incident;
pub mod levels;
mod machine;
pub mod noise;
mod open;
pub mod phone;
pub mod profile;
pub mod session;
pub mod simulated;
pub mod tract;
pub mod verify;

pub use environment::Environment;
pub use incident::{Incident, IncidentKind};
pub use mnas_runner::{litert, pinning};
pub use open::{Choice, Place, open, place};
pub use phone::Surroundings;
pub use profile::Profile;
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::space::Architecture;

/// A model to be timed.
#[derive(Debug, Clone)]
pub struct Model {
    /// Shown to people: an architecture line, a reference name, or a file name.
    pub name: String,
    /// Present unless the model came from a foreign .tflite file.
    pub architecture: Option<Architecture>,
    /// The expansion of `architecture`.
    pub network: Option<Network>,
    /// The .tflite file.
    pub bytes: Vec<u8>,
}

/// Which of a timing's two clocks stands for the latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Elapsed time: what a user waits.
    Wall,
    /// Processor time of the one thread that runs the model: the same on an idle machine, and steady on a busy one.
    ThreadCpu,
}

/// All runs of one fresh load, in order. From a device that tells no single runs, one number for all of them (see
/// [`phone::benchmark_model::Printed::timing`]).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// Elapsed milliseconds of every run.
    pub wall_ms: Vec<f64>,
    /// Thread processor milliseconds of every run; empty where the device cannot tell.
    pub cpu_ms: Vec<f64>,
}

/// What a device is, as stored with every number it gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// As given to `--device`: `host`, a profile's name, a serial number, …
    pub id: String,
    /// `host`, `host (tract fallback)`, `command`, `simulated`, `phone`.
    pub kind: String,
    /// Processor or phone model.
    pub model: String,
    /// Runtime and version that ran the models.
    pub runtime: String,
    /// Threads a model ran with.
    pub threads: usize,
    /// The clock whose median is the latency.
    pub clock: Clock,
}

/// Times models. Implementations: host (LiteRT), phone (adb), external command, simulated.
pub trait Device: Send {
    /// What this is.
    fn description(&self) -> Description;

    /// Whether [`Device::time`] reads the model's .tflite file; one that computes latencies from the network alone is
    /// spared the writing of it.
    fn reads_files(&self) -> bool {
        true
    }

    /// Loads `model` afresh, warms up, and times a fixed number of runs, all of which are returned.
    ///
    /// # Errors
    /// Says which model failed on which device and why; the device stays usable.
    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError>;

    /// The model's output for one input, both f32 and row-major, so that a timed model is known to compute what it
    /// should. `None` from devices that only tell times.
    ///
    /// # Errors
    /// As [`Device::time`].
    fn infer(&mut self, _model: &Model, _input: &[f32]) -> Result<Option<Vec<f32>>, DeviceError> {
        Ok(None)
    }

    /// What happened since the last call besides timing: waits, repeated loads, reconnections.
    fn incidents(&mut self) -> Vec<Incident> {
        Vec::new()
    }

    /// The machine that ran the models, where that is not this one.
    fn surroundings(&mut self) -> Option<Surroundings> {
        None
    }
}

/// Why a timing did not come.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The runtime's library cannot be used.
    #[error("{0}")]
    Library(String),
    /// The device cannot be used as asked.
    #[error("{0}")]
    Settings(String),
    /// The model does not run there.
    #[error("device {device}: model '{model}': {problem}")]
    Model {
        /// The device's id.
        device: String,
        /// The model's name.
        model: String,
        /// What the runtime said.
        problem: String,
    },
    /// The link to a phone.
    #[error(transparent)]
    Adb(#[from] crate::adb::AdbError),
    /// The device is in no state to be measured, and did not get into one in time.
    #[error("device {device} is not ready to be measured (waited {waited_s} s): {problem}")]
    NotReady {
        /// The device's id.
        device: String,
        /// How long it was waited for.
        waited_s: u64,
        /// What is the case, and what to do.
        problem: String,
    },
}

impl From<litert::LiteRtError> for DeviceError {
    fn from(error: litert::LiteRtError) -> Self {
        Self::Library(error.to_string())
    }
}
