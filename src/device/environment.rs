//! The machine and moment behind a set of numbers, stored with them so that others can judge and repeat them.

use mnas_runner::machine::Moment;
use serde::{Deserialize, Serialize};

use super::machine::{self, processor};
use super::phone::Surroundings;
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
            governor: machine::governor(),
            load_average: machine::load_average(),
            moment: Moment::now(),
            phone: None,
            time: jiff::Timestamp::now(),
            mnas_version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
