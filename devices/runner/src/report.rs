//! The JSON report: everything that was seen, for whoever wants to judge it.

use serde::{Deserialize, Serialize};

use crate::machine::Moment;

/// The version of this form, counted up when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// What `--json_output` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The program.
    pub runner: Runner,
    /// LiteRT.
    pub runtime: Runtime,
    /// `--graph` as given.
    pub graph: String,
    /// SHA-256 of the model that ran: no number can be taken for another model's.
    pub graph_sha256: String,
    /// Threads of the runtime.
    pub threads: usize,
    /// Whether XNNPACK's kernels ran, not the interpreter's own.
    pub xnnpack: bool,
    /// This process.
    pub pid: u32,
    /// Cores it was allowed to use.
    pub affinity: Vec<usize>,
    /// Loading and compiling the model.
    pub init_ms: f64,
    /// Every run before the timed ones, elapsed.
    pub warmup_wall_ms: Vec<f64>,
    /// Every timed run, elapsed.
    pub wall_ms: Vec<f64>,
    /// Every timed run's processor time of the calling thread, which with several threads is only a part of the work.
    pub cpu_ms: Vec<f64>,
    /// The machine right before the first timed run.
    pub before: Moment,
    /// The machine right after the last.
    pub after: Moment,
    /// Growth of the process's memory by loading the model, MB.
    pub memory_init_mb: f64,
    /// Growth of the process's memory in all, MB.
    pub memory_overall_mb: f64,
}

/// Which program ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    /// `mnas-runner`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its file, where that was asked for and can be read.
    pub sha256: Option<String>,
}

/// Which LiteRT ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// As [`crate::litert::Runtime::version`] says it.
    pub version: String,
    /// SHA-256 of its library, where that was asked for.
    pub sha256: Option<String>,
}
