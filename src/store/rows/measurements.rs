//! Table `measurements`: what was timed.

use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{now, unreadable};
use crate::statistics::{Normal, deviations};
use crate::store::{Ledger, StoreError};

/// Level of the intervals that are stored with latencies.
pub const INTERVAL_LEVEL: f64 = 0.95;

/// Why a network was timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Before the first step, to have a predictor at all.
    WarmUp,
    /// Inside the loop: the reward needs it.
    Search,
    /// Beside those, once a session, to know the device's pace: the latency is known already.
    Anchor,
}

impl Purpose {
    /// As stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Search => "search",
            Self::Anchor => "anchor",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::WarmUp, Self::Search, Self::Anchor].into_iter().find(|purpose| purpose.name() == name)
    }
}

/// A finished timing of one network.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The device's place among the search file's, from 0.
    pub device: usize,
    /// [`crate::network::Network::digest`].
    pub digest: String,
    /// Architecture line, or the name of a reference network.
    pub architecture: String,
    /// Why it was timed.
    pub purpose: Purpose,
    /// The step that asked for it; 0 before the first.
    pub step: u64,
    /// The latency on the undisturbed device: the session's slow-down is taken out.
    pub latency_ms: f64,
    /// Low and high end of its interval at [`INTERVAL_LEVEL`]: of the scatter of its loads, and of what taking out the
    /// slow-down leaves unsure.
    pub interval_ms: [f64; 2],
    /// How much slower the device was than when it was calibrated, by networks of known latency timed along.
    pub drift: Option<f64>,
    /// How often its session was made, until the device was at its usual pace or patience ended.
    pub attempts: u32,
    /// What was expected before the timing: latency, low and high end of its interval.
    pub predicted_ms: Option<[f64; 3]>,
    /// Every load's samples, as JSON.
    pub timings: String,
    /// How long it took.
    pub seconds: f64,
}

#[cfg(test)]
impl Measurement {
    /// What tests begin with: a latency on the first device, of a network without a name.
    pub fn example(purpose: Purpose, step: u64, latency_ms: f64) -> Self {
        Self {
            device: 0,
            digest: String::new(),
            architecture: String::new(),
            purpose,
            step,
            latency_ms,
            interval_ms: [latency_ms; 2],
            drift: None,
            attempts: 1,
            predicted_ms: None,
            timings: String::new(),
            seconds: 0.0,
        }
    }
}

impl Measurement {
    /// ln(latency in ms), with its standard deviation.
    pub fn ln_ms(&self) -> Normal {
        let [low, high] = self.interval_ms;
        Normal { mean: self.latency_ms.ln(), deviation: (high / low).ln() / (2.0 * deviations(INTERVAL_LEVEL)) }
    }
}

impl Ledger {
    /// Stores a finished timing; returns once it is on disk. An anchor's replaces that of an interrupted attempt at its
    /// step.
    ///
    /// # Errors
    /// A database error.
    pub fn add_measurement(&self, measurement: &Measurement) -> Result<(), StoreError> {
        let m = measurement;
        let [predicted, low, high] = match m.predicted_ms {
            Some(values) => values.map(Some),
            None => [None; 3],
        };
        let insert = if m.purpose == Purpose::Anchor { "INSERT OR REPLACE" } else { "INSERT" };
        let statement = format!(
            "{insert} INTO measurements (device, digest, architecture, purpose, step, latency_ms, least_ms, most_ms,
                         drift, predicted_ms, low_ms, high_ms, timing, seconds, finished, attempts)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
        );
        let values = params![
            m.device,
            m.digest,
            m.architecture,
            m.purpose.name(),
            m.step,
            m.latency_ms,
            m.interval_ms[0],
            m.interval_ms[1],
            m.drift,
            predicted,
            low,
            high,
            m.timings,
            m.seconds,
            now(),
            m.attempts
        ];
        self.check(self.connection.execute(&statement, values)).map(drop)
    }

    /// The timing of a network on one device for one purpose, if it was done.
    ///
    /// # Errors
    /// A database error.
    pub fn measurement(
        &self,
        device: usize,
        digest: &str,
        purpose: Purpose,
    ) -> Result<Option<Measurement>, StoreError> {
        let query = format!("{MEASUREMENT} WHERE device = ?1 AND digest = ?2 AND purpose = ?3");
        let values = params![device, digest, purpose.name()];
        self.check(self.connection.query_row(&query, values, read_measurement).optional())
    }

    /// The timings of one step in the order they were made.
    ///
    /// # Errors
    /// A database error.
    pub fn measurements_of(&self, step: u64) -> Result<Vec<Measurement>, StoreError> {
        let read = || {
            let mut statement =
                self.connection.prepare_cached(&format!("{MEASUREMENT} WHERE step = ?1 ORDER BY id"))?;
            statement.query_map([step], read_measurement)?.collect()
        };
        self.check(read())
    }

    /// All timings in the order they were made.
    ///
    /// # Errors
    /// A database error.
    pub fn measurements(&self) -> Result<Vec<Measurement>, StoreError> {
        self.all(&format!("{MEASUREMENT} ORDER BY id"), read_measurement)
    }

    /// Number of networks that the loop timed, on whatever devices, in steps before `step`.
    ///
    /// # Errors
    /// A database error.
    pub fn measurements_before(&self, step: u64) -> Result<u64, StoreError> {
        self.count("SELECT COUNT(DISTINCT digest) FROM measurements WHERE purpose = 'search' AND step < ?1", step)
    }
}

const MEASUREMENT: &str =
    "SELECT digest, architecture, purpose, step, latency_ms, predicted_ms, low_ms, high_ms, timing,
                           seconds, drift, device, least_ms, most_ms, attempts FROM measurements";

fn read_measurement(row: &Row<'_>) -> rusqlite::Result<Measurement> {
    let purpose: String = row.get(2)?;
    let predicted: [Option<f64>; 3] = [row.get(5)?, row.get(6)?, row.get(7)?];
    Ok(Measurement {
        digest: row.get(0)?,
        architecture: row.get(1)?,
        purpose: Purpose::named(&purpose)
            .ok_or_else(|| unreadable(2, format!("unknown purpose '{purpose}'").into()))?,
        step: row.get(3)?,
        latency_ms: row.get(4)?,
        predicted_ms: match predicted {
            [Some(middle), Some(low), Some(high)] => Some([middle, low, high]),
            _ => None,
        },
        timings: row.get(8)?,
        seconds: row.get(9)?,
        drift: row.get(10)?,
        device: row.get(11)?,
        interval_ms: [row.get(12)?, row.get(13)?],
        attempts: row.get(14)?,
    })
}
