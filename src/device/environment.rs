//! The machine and moment behind a set of numbers, stored with them so that others can judge and repeat them.

use serde::{Deserialize, Serialize};

use super::Description;

/// Where and when a measurement was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The device that was measured.
    pub device: Description,
    /// SHA-256 of the runtime's library in hexadecimal digits, where this machine loaded one.
    pub library_sha256: Option<String>,
    /// Processor of the machine that measured.
    pub processor: String,
    /// Logical cores this process may use.
    pub cores: usize,
    /// How its clock is governed, where Linux says so.
    pub governor: Option<String>,
    /// Its load average over one minute.
    pub load_average: Option<f64>,
    /// When.
    pub time: jiff::Timestamp,
    /// Version of this program.
    pub mnas_version: String,
}

impl Environment {
    /// The environment as it is now.
    pub fn now(device: Description) -> Self {
        let library = (device.kind == super::host::ID).then(super::litert::Runtime::shared).and_then(Result::ok);
        Self {
            device,
            library_sha256: library.map(|library| library.hash().to_owned()),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            load_average: read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
            time: jiff::Timestamp::now(),
            mnas_version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// Model of this machine's processor, or its architecture where Linux does not say.
pub(super) fn processor() -> String {
    let model = read("/proc/cpuinfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    model.unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// The trimmed text of a file of the system, if it is there.
fn read(path: &str) -> Option<String> {
    fs_err::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
