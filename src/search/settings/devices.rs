//! The devices of a search file: `[device]`, or several `[[device]]`.
//!
//! ```toml
//! [target]
//! latency_ms = 20.0             # of every device that does not state its own
//! combine = "worst"             # or "product"
//!
//! [[device]]
//! id = "host"
//! predictor = "calibration/host"
//!
//! [[device]]
//! command = ["./measure.py"]
//! latency_ms = 45.0
//! weight = 0.5
//! ```

use std::path::{Path, PathBuf};

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::range::within;
use crate::device::profile::Profile;
use crate::device::{Choice, host, simulated};
use crate::external::timeout_of;
use crate::search::error::OptionError;
use crate::search::reward::{Combine, DeviceTarget, Objective, Target};

/// Most devices of one search.
const MOST: usize = 16;

/// `[device]`, or one of several `[[device]]`.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `id` | `"host"` | the device, as in `--device` | `host`, a profile (its path or name, from the search file's folder, else from the current one), a phone's serial number, or `simulated` for a dry run |
/// | `command` | none | a program of yours that times models, instead of `id` | |
/// | `timeout` | none | seconds that this program may take over one load; then it is started again and asked once more | above 0 |
/// | `predictor` | none | calibration folder to start from; without it networks are measured first | |
/// | `threads` | the profile's, else 1 | threads a model runs with | 1 to 64 |
/// | `cores` | all | cores a model may use, as in `[1]` | existing cores |
/// | `fallback` | false | run models in tract, about three times slower, where LiteRT is missing | |
/// | `loads` | 5 | fresh loads behind one measured latency ([`crate::device::noise`]) | 1 to 100 |
/// | `runs` | 8 | timed runs per load | 1 to 10000 |
/// | `wait_seconds` | 30 | how long a session that finds the device disturbed is put off and repeated, at most, before it is taken with a wide interval; 0 for never | 0 to 86400 |
/// | `latency_ms` | `[target]`'s | the target on this device | above 0 |
/// | `weight` | 1 | how much its latency over its target counts beside the others' ([`Objective`]) | 0.001 to 1000 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceOptions {
    /// The device.
    pub id: String,
    /// A program that times models.
    pub command: Vec<String>,
    /// Seconds that it may take over one load.
    pub timeout: Option<f64>,
    /// Calibration folder.
    pub predictor: Option<PathBuf>,
    /// Threads a model runs with.
    pub threads: Option<usize>,
    /// Cores a model may use; empty for the profile's, else all.
    pub cores: Vec<usize>,
    /// Whether the host may fall back to tract where LiteRT cannot be loaded.
    pub fallback: bool,
    /// Fresh loads per measured latency.
    pub loads: usize,
    /// Timed runs per load.
    pub runs: usize,
    /// How long a disturbed session is put off, at most.
    pub wait_seconds: f64,
    /// The target on this device, where it is not `[target]`'s.
    pub latency_ms: Option<f64>,
    /// How much this device counts.
    pub weight: f64,
}

impl Default for DeviceOptions {
    fn default() -> Self {
        Self {
            id: "host".to_owned(),
            command: Vec::new(),
            timeout: None,
            predictor: None,
            threads: None,
            cores: Vec::new(),
            fallback: false,
            loads: 5,
            runs: 8,
            wait_seconds: 30.0,
            latency_ms: None,
            weight: 1.0,
        }
    }
}

impl DeviceOptions {
    /// The device that is asked for.
    pub fn choice(&self, seed: u64, scratch: PathBuf) -> Choice {
        Choice {
            id: self.id.clone(),
            command: self.command.clone(),
            timeout: self.timeout.and_then(|seconds| timeout_of(seconds).ok()),
            threads: self.threads,
            cores: self.cores.clone(),
            kernels: None,
            fallback: self.fallback,
            runs: self.runs,
            seed,
            scratch,
        }
    }

    /// Makes the id of a profile that lies beside the search file the path of that profile; one that lies elsewhere is
    /// looked for from the current folder.
    pub(super) fn resolve_profile(&mut self, folder: &Path) {
        let path = folder.join(Profile::path_of(&self.id));
        if ![host::ID, simulated::ID].contains(&self.id.as_str()) && path.is_file() {
            self.id = path.display().to_string();
        }
    }

    fn check(&self) -> Result<(), OptionError> {
        within("device.threads", self.threads.unwrap_or(1), 1, 64)?;
        within("device.loads", self.loads, 1, 100)?;
        within("device.runs", self.runs, 1, 10_000)?;
        let wrong = |place: &str, range: &str, found: f64| {
            Err(OptionError::new(place, format!("must be {range}, found {found}")))
        };
        if !(0.0..=86_400.0).contains(&self.wait_seconds) {
            return wrong("device.wait_seconds", "from 0 to 86400", self.wait_seconds);
        }
        match self.timeout.map(timeout_of) {
            Some(Err(problem)) => return Err(OptionError::new("device.timeout", problem)),
            Some(Ok(_)) if self.command.is_empty() => {
                return Err(OptionError::new("device.timeout", "has no use without a command; remove it"));
            }
            _ => {}
        }
        match (self.latency_ms, self.weight) {
            (Some(target), _) if !(target > 0.0 && target.is_finite()) => {
                wrong("device.latency_ms", "a number of milliseconds above 0", target)
            }
            (_, weight) if !(1e-3..=1e3).contains(&weight) => wrong("device.weight", "from 0.001 to 1000", weight),
            _ => Ok(()),
        }
    }
}

/// What all devices together are wanted to do.
///
/// # Errors
/// The first option out of range.
pub(super) fn objective(devices: &[DeviceOptions], target: Target, combine: Combine) -> Result<Objective, OptionError> {
    if !(1..=MOST).contains(&devices.len()) {
        return Err(OptionError::new("device", format!("give from 1 to {MOST} devices, found {}", devices.len())));
    }
    devices.iter().try_for_each(DeviceOptions::check)?;
    if let [DeviceOptions { weight, .. }] = devices
        && *weight != 1.0
    {
        return Err(OptionError::new("device.weight", "has no use with one device; remove it"));
    }
    let wanted = |device: &DeviceOptions| {
        DeviceTarget::new(device.latency_ms.unwrap_or_else(|| target.latency_ms()), device.weight)
    };
    Ok(Objective::new(target, devices.iter().map(wanted).collect(), combine))
}

/// Reads one table or an array of them.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DeviceOptions>, D::Error> {
    struct OneOrMore;

    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<DeviceOptions>;

        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("a table [device], or several [[device]]")
        }

        fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
            Ok(vec![DeviceOptions::deserialize(MapAccessDeserializer::new(map))?])
        }

        fn visit_seq<S: SeqAccess<'de>>(self, sequence: S) -> Result<Self::Value, S::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(sequence))
        }
    }

    deserializer.deserialize_any(OneOrMore)
}
