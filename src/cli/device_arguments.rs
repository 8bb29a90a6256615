//! The flags that choose a device and how it is used, the same for every command that times, and those that say how a file
//! of timings is read.

use std::time::Duration;

use super::input;
use crate::device::profile::KernelChoice;
use crate::device::{Choice, host};
use crate::latency::data::LATENCY_COLUMN;
use crate::latency::data::numbers::Unit;

/// Which device, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct DeviceArguments {
    /// The device: host, simulated, a profile (its name in devices/, or its path), or a phone's serial number.
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// A program of yours that times models, with its arguments, instead of --device; give it last.
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true, conflicts_with = "device")]
    pub command: Vec<String>,
    /// How long the program of --command may take over one network; then it is started again and asked once more
    /// (default: as long as it likes).
    #[arg(long, value_name = "SECONDS", value_parser = input::timeout, requires = "command")]
    pub timeout: Option<Duration>,
    /// Threads a model runs with (default: the profile's, else 1).
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Cores a model may use, as in 0,1 (default: the profile's, else a phone's biggest, else all).
    #[arg(long, value_delimiter = ',', value_name = "CORES")]
    pub cores: Vec<usize>,
    /// Kernels behind the operators (default: the profile's, else xnnpack).
    #[arg(long, value_name = "KERNELS")]
    pub kernels: Option<KernelChoice>,
    /// Run models in tract, about three times slower and no phone's runtime, where LiteRT cannot be loaded.
    #[arg(long)]
    pub fallback: bool,
}

impl DeviceArguments {
    /// The device that is asked for, by default this machine.
    pub fn choice(&self, runs: usize, seed: u64) -> Choice {
        Choice {
            command: self.command.clone(),
            timeout: self.timeout,
            threads: self.threads,
            cores: self.cores.clone(),
            kernels: self.kernels,
            fallback: self.fallback,
            runs,
            seed,
            ..Choice::of(self.device.as_deref().unwrap_or(host::ID))
        }
    }
}

/// How a CSV of timings is read.
#[derive(Debug, Clone, clap::Args)]
pub struct FileArguments {
    /// The CSV's column of latencies; unless given, one that speaks of latency or time is found where there is no latency_ms.
    #[arg(long, default_value = LATENCY_COLUMN, value_name = "NAME", requires = "from")]
    pub latency_column: String,
    /// The unit of the CSV's latencies: us, ms or s. Unless given, the one that the column's name says, else ms.
    #[arg(long, value_name = "UNIT", requires = "from")]
    pub unit: Option<Unit>,
}
