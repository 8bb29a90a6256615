//! Clocks, temperatures and memory, as Linux and Android tell them in `/sys` and `/proc`.
//!
//! | file | holds |
//! |---|---|
//! | `/sys/devices/system/cpu/cpuN/cpufreq/scaling_cur_freq` | the clock that core N's governor asks for, kHz |
//! | `/sys/devices/system/cpu/cpuN/cpufreq/cpuinfo_max_freq` | the highest clock of core N, kHz |
//! | `/sys/class/thermal/thermal_zoneN/type`, `…/temp` | a sensor's name, and its temperature in 1/1000 °C |
//!
//! Phones hide some of them from the shell; what cannot be read is left out.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The machine at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Moment {
    /// Cores whose clock can be read, by number.
    pub cores: Vec<Core>,
    /// Temperature sensors that can be read, by number.
    pub zones: Vec<Zone>,
    /// Load average over one minute.
    pub load_average: Option<f64>,
}

/// One core's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core {
    /// As the system numbers it.
    pub core: usize,
    /// Current clock.
    pub khz: u64,
    /// Highest clock, where it is told.
    pub max_khz: Option<u64>,
    /// Who decides on the clock.
    pub governor: Option<String>,
}

/// One temperature sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Its `type`.
    pub name: String,
    /// Degrees Celsius.
    pub celsius: f64,
}

impl Moment {
    /// The machine now.
    pub fn now() -> Self {
        Self::under(Path::new("/"))
    }

    /// The machine whose `sys` and `proc` lie under `root`.
    pub fn under(root: &Path) -> Self {
        let cores = numbered(&root.join("sys/devices/system/cpu"), "cpu");
        let zones = numbered(&root.join("sys/class/thermal"), "thermal_zone");
        Self {
            cores: cores.iter().filter_map(|(number, folder)| core(*number, &folder.join("cpufreq"))).collect(),
            zones: zones.iter().filter_map(|(_, folder)| zone(folder)).collect(),
            load_average: read(&root.join("proc/loadavg")).and_then(|text| text.split(' ').next()?.parse().ok()),
        }
    }
}

fn core(core: usize, folder: &Path) -> Option<Core> {
    let number = |name: &str| read(&folder.join(name))?.parse().ok();
    Some(Core {
        core,
        khz: number("scaling_cur_freq")?,
        max_khz: number("cpuinfo_max_freq"),
        governor: read(&folder.join("scaling_governor")),
    })
}

fn zone(folder: &Path) -> Option<Zone> {
    let celsius = read(&folder.join("temp"))?.parse::<f64>().ok()? / 1000.0;
    Some(Zone { name: read(&folder.join("type"))?, celsius })
}

/// Folders named `prefix` and a number, in order of the number.
fn numbered(folder: &Path, prefix: &str) -> Vec<(usize, std::path::PathBuf)> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let number = |entry: &fs_err::DirEntry| entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok();
    let mut found: Vec<_> = entries.filter_map(|entry| Some((number(&entry)?, entry.path()))).collect();
    found.sort_unstable();
    found
}

/// The trimmed text of a small file of the system, if it is there and may be read.
pub fn read(path: &Path) -> Option<String> {
    Some(fs_err::read_to_string(path).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Most memory that this process ever held, in megabytes of 2^20 bytes.
pub fn peak_memory_mb() -> f64 {
    // SAFETY: an all-zero rusage is valid, and the pointer is to a local.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    usage.ru_maxrss as f64 / 1024.0
}
