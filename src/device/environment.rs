//! The machine and moment behind a set of numbers, stored with them so that others can judge and repeat them.

use mnas_runner::machine::Moment;
use serde::{Deserialize, Serialize};

use super::phone::state::{Properties, State};
use super::{Description, Device};

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
    /// Its clocks and temperatures, as far as Linux tells them.
    #[serde(default)]
    pub moment: Moment,
    /// The phone, where one was measured.
    #[serde(default)]
    pub phone: Option<Surroundings>,
    /// When.
    pub time: jiff::Timestamp,
    /// Version of this program.
    pub mnas_version: String,
}

/// The phone behind a set of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Serial number.
    pub serial: String,
    /// Model, system on a chip, build fingerprint, …
    pub properties: Properties,
    /// The program that timed, with the start of its hash.
    pub runner: String,
    /// SHA-256 of that program, where this machine has its file.
    pub runner_sha256: Option<String>,
    /// SHA-256 of LiteRT's library there.
    pub library_sha256: Option<String>,
    /// Cores that models could use; empty for all.
    pub cores: Vec<usize>,
    /// Whether its fixed-performance mode was on.
    pub fixed_performance: bool,
    /// Clocks, temperatures and battery when the session began.
    pub before: State,
    /// The same now, where the phone still answers.
    pub now: Option<State>,
}

impl Environment {
    /// The environment of a device as it is now, with what the device tells of its own.
    pub fn of(device: &mut dyn Device) -> Self {
        let phone = device.surroundings();
        let library = phone.as_ref().and_then(|phone| phone.library_sha256.clone());
        let now = Self::now(device.description());
        Self { library_sha256: library.or(now.library_sha256), phone, ..now }
    }

    /// The environment as this machine sees it now.
    pub fn now(device: Description) -> Self {
        let library = (device.kind == super::host::ID).then(super::litert::Runtime::shared).and_then(Result::ok);
        Self {
            device,
            library_sha256: library.map(|library| library.hash().to_owned()),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            load_average: read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
            moment: Moment::now(),
            phone: None,
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
