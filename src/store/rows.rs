//! The ledger's rows, written and read.

use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{Ledger, StoreError};

/// A finished evaluation of one network.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Number within the run, from 1, in the order of proposal.
    pub id: u64,
    /// [`crate::network::Network::digest`].
    pub digest: String,
    /// Architecture line.
    pub architecture: String,
    /// The step that proposed it.
    pub step: u64,
    /// A fraction, or why there is none.
    pub outcome: Result<f64, String>,
    /// How long it took.
    pub seconds: f64,
}

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
    /// The latency that counts, freed of the drift.
    pub latency_ms: f64,
    /// Low and high end of its 95 % interval, as the scatter of its loads gives it.
    pub interval_ms: [f64; 2],
    /// How much slower the device was than when it was calibrated, by networks of known latency timed along.
    pub drift: Option<f64>,
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
            predicted_ms: None,
            timings: String::new(),
            seconds: 0.0,
        }
    }
}

/// Wall seconds of a step, by what they were spent on.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Seconds {
    /// Obtaining accuracies.
    pub training: f64,
    /// Timing on the device.
    pub measuring: f64,
    /// Sampling from and updating the controller.
    pub controller: f64,
    /// Everything, the three above included.
    pub total: f64,
}

impl std::ops::AddAssign for Seconds {
    fn add_assign(&mut self, other: Self) {
        self.training += other.training;
        self.measuring += other.measuring;
        self.controller += other.controller;
        self.total += other.total;
    }
}

/// Candidates that no training was spent on because they need more than allowed, by the first limit they exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BeyondLimits {
    /// Too many parameters.
    pub params: usize,
    /// Too many multiply-adds.
    pub madds: usize,
    /// Too much activation memory.
    pub memory_mb: usize,
    /// Too large for any file.
    pub undeployable: usize,
}

impl BeyondLimits {
    /// All of them.
    pub fn total(&self) -> usize {
        self.params + self.madds + self.memory_mb + self.undeployable
    }
}

impl std::ops::AddAssign for BeyondLimits {
    fn add_assign(&mut self, other: Self) {
        self.params += other.params;
        self.madds += other.madds;
        self.memory_mb += other.memory_mb;
        self.undeployable += other.undeployable;
    }
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// From 1.
    pub step: u64,
    /// Candidates the proposer sampled.
    pub sampled: usize,
    /// Of those, the ones beyond the limits on parameters, multiply-adds and memory.
    pub beyond_limits: BeyondLimits,
    /// Of the others, networks already evaluated, in this step or before.
    pub duplicates: usize,
    /// New networks that were looked at: sampled ones, and variations of the best networks so far.
    pub considered: usize,
    /// New networks among them that the models turned away.
    pub screened: usize,
    /// New networks whose accuracy was obtained.
    pub trained: usize,
    /// Of those chosen for it, the ones that the proposer itself sampled; the others are variations of the best.
    pub own: usize,
    /// New networks whose evaluation failed.
    pub failed: usize,
    /// Networks timed on the device.
    pub timed: usize,
    /// The greatest expected improvement of the reward among the networks that were considered, where models rank.
    pub expected_improvement: Option<f64>,
    /// Best reward of the run so far.
    pub best_reward: Option<f64>,
    /// Mean reward of what was learnt from.
    pub mean_reward: Option<f64>,
    /// The policy's entropy as a fraction of a uniform one's, where the proposer has a policy.
    pub entropy: Option<f64>,
    /// Mean absolute percentage error of the predictor over this step's timings.
    pub prediction_mape: Option<f64>,
    /// How much slower the device was in this step than when it was calibrated; latencies are freed of it.
    pub drift: Option<f64>,
    /// Devices that this step's timings showed to be no longer what the search's predictions are of.
    pub changed_devices: usize,
    /// Where the time went.
    pub seconds: Seconds,
}

/// One candidate as the proposer learnt from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Experience {
    /// [`crate::network::Network::digest`].
    pub digest: String,
    /// Architecture line.
    pub architecture: String,
    /// Its tokens.
    pub tokens: Vec<usize>,
    /// A fraction.
    pub accuracy: f64,
    /// Measured or predicted.
    pub latency_ms: f64,
    /// Whether the latency was timed on the device.
    pub measured: bool,
    /// The reward of these two.
    pub reward: f64,
}

/// One row of the table at the end of a search.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FinalRow {
    /// `candidate 1`, `mobilenet-v2`, …
    pub name: String,
    /// [`crate::network::Network::digest`].
    pub digest: String,
    /// Architecture line.
    pub architecture: String,
    /// Latency by the statistic that predictors are fitted to, freed of the drift.
    pub latency_ms: f64,
    /// Low end of its 95 % interval.
    pub low_ms: f64,
    /// High end of its 95 % interval.
    pub high_ms: f64,
    /// How much slower the device was than when it was calibrated.
    pub drift: f64,
    /// Every load's samples, as JSON.
    pub samples: String,
    /// With several devices each one's timing; the latency above is then the combined one, drift and ratio the worst.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<FinalTiming>,
    /// Latency over MobileNetV2's, from the same rounds; none if that was not timed.
    pub ratio_to_mobilenet_v2: Option<f64>,
    /// The proxy's accuracy; none for references.
    pub accuracy: Option<f64>,
    /// What the model of all accuracies makes of it: the observed accuracy less its luck; none for references.
    #[serde(default)]
    pub expected_accuracy: Option<f64>,
    /// Reward with the re-timed latency and the proxy's accuracy; none for references.
    pub reward: Option<f64>,
    /// Multiply-adds.
    pub madds: usize,
    /// Parameters.
    pub params: usize,
}

/// The final timing of one network on one of several devices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FinalTiming {
    /// Latency, freed of the drift.
    pub latency_ms: f64,
    /// Low end of its 95 % interval.
    pub low_ms: f64,
    /// High end.
    pub high_ms: f64,
    /// How much slower the device was than when it was calibrated.
    pub drift: f64,
    /// Latency over MobileNetV2's on that device.
    pub ratio_to_mobilenet_v2: Option<f64>,
    /// Every load's samples, as JSON.
    pub samples: String,
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

impl Ledger {
    /// Stores a finished evaluation; returns once it is on disk.
    ///
    /// # Errors
    /// A database error, also if this network is already evaluated.
    pub fn add_evaluation(&self, evaluation: &Evaluation) -> Result<(), StoreError> {
        let (accuracy, problem) = match &evaluation.outcome {
            Ok(accuracy) => (Some(*accuracy), None),
            Err(problem) => (None, Some(problem)),
        };
        let e = evaluation;
        let statement = "INSERT INTO evaluations (id, digest, architecture, step, accuracy, problem, seconds, finished)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let values = params![e.id, e.digest, e.architecture, e.step, accuracy, problem, e.seconds, now()];
        self.check(self.connection.execute(statement, values)).map(drop)
    }

    /// The evaluation of a network, if it was ever done.
    ///
    /// # Errors
    /// A database error.
    pub fn evaluation(&self, digest: &str) -> Result<Option<Evaluation>, StoreError> {
        let query = format!("{EVALUATION} WHERE digest = ?1");
        self.check(self.connection.query_row(&query, [digest], read_evaluation).optional())
    }

    /// Number of evaluations that steps before `step` finished.
    ///
    /// # Errors
    /// A database error.
    pub fn evaluations_before(&self, step: u64) -> Result<u64, StoreError> {
        self.count("SELECT COUNT(*) FROM evaluations WHERE step < ?1", step)
    }

    /// Number of networks that the loop timed, on whatever devices, in steps before `step`.
    ///
    /// # Errors
    /// A database error.
    pub fn measurements_before(&self, step: u64) -> Result<u64, StoreError> {
        self.count("SELECT COUNT(DISTINCT digest) FROM measurements WHERE purpose = 'search' AND step < ?1", step)
    }

    fn count(&self, query: &str, step: u64) -> Result<u64, StoreError> {
        self.check(self.connection.query_row(query, [step], |row| row.get(0)))
    }

    /// The evaluations of one step in the order of their ids.
    ///
    /// # Errors
    /// A database error.
    pub fn evaluations_of(&self, step: u64) -> Result<Vec<Evaluation>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(&format!("{EVALUATION} WHERE step = ?1 ORDER BY id"))?;
            statement.query_map([step], read_evaluation)?.collect()
        };
        self.check(read())
    }

    /// All evaluations in the order of their ids.
    ///
    /// # Errors
    /// A database error.
    pub fn evaluations(&self) -> Result<Vec<Evaluation>, StoreError> {
        self.all(&format!("{EVALUATION} ORDER BY id"), read_evaluation)
    }

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
                         drift, predicted_ms, low_ms, high_ms, timing, seconds, finished)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
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
            now()
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

    /// Closes a step: its summary, its experiences and the proposer's state, all or nothing.
    ///
    /// # Errors
    /// A database error; then nothing of the step is stored.
    pub fn add_step(&mut self, step: &Step, experiences: &[Experience], proposer: &[u8]) -> Result<(), StoreError> {
        let path = super::database(&self.folder);
        store_step(&mut self.connection, step, experiences, proposer).map_err(|error| super::describe(&path, error))
    }

    /// All closed steps in order.
    ///
    /// # Errors
    /// A database error.
    pub fn steps(&self) -> Result<Vec<Step>, StoreError> {
        self.all("SELECT summary FROM steps ORDER BY step", |row| from_json(row, 0))
    }

    /// The proposer's state behind the last closed step.
    ///
    /// # Errors
    /// A database error.
    pub fn proposer(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let query = "SELECT proposer FROM steps ORDER BY step DESC LIMIT 1";
        self.check(self.connection.query_row(query, [], |row| row.get(0)).optional())
    }

    /// All experiences, step by step in the order learnt.
    ///
    /// # Errors
    /// A database error.
    pub fn experiences(&self) -> Result<Vec<Experience>, StoreError> {
        let query = "SELECT digest, architecture, tokens, accuracy, latency_ms, measured, reward
                     FROM experiences ORDER BY step, position";
        self.all(query, |row| {
            Ok(Experience {
                digest: row.get(0)?,
                architecture: row.get(1)?,
                tokens: from_json(row, 2)?,
                accuracy: row.get(3)?,
                latency_ms: row.get(4)?,
                measured: row.get(5)?,
                reward: row.get(6)?,
            })
        })
    }

    /// Replaces the table at the end of the search.
    ///
    /// # Errors
    /// A database error; then the old table stays.
    pub fn set_finals(&mut self, rows: &[FinalRow]) -> Result<(), StoreError> {
        let path = super::database(&self.folder);
        let store = |connection: &mut rusqlite::Connection| {
            let transaction = connection.transaction()?;
            transaction.execute("DELETE FROM finals", [])?;
            for (position, row) in rows.iter().enumerate() {
                let json = serde_json::to_string(row).expect("a row is plain data");
                transaction
                    .execute("INSERT INTO finals (position, row) VALUES (?1, ?2)", params![position as u64, json])?;
            }
            transaction.commit()
        };
        store(&mut self.connection).map_err(|error| super::describe(&path, error))
    }

    /// The table at the end of the search; empty until there is one.
    ///
    /// # Errors
    /// A database error.
    pub fn finals(&self) -> Result<Vec<FinalRow>, StoreError> {
        self.all("SELECT row FROM finals ORDER BY position", |row| from_json(row, 0))
    }

    fn all<T>(&self, query: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, StoreError> {
        let collect = || self.connection.prepare(query)?.query_map([], read)?.collect();
        self.check(collect())
    }
}

const EVALUATION: &str = "SELECT id, digest, architecture, step, accuracy, problem, seconds FROM evaluations";

fn read_evaluation(row: &Row<'_>) -> rusqlite::Result<Evaluation> {
    let accuracy: Option<f64> = row.get(4)?;
    let problem: Option<String> = row.get(5)?;
    Ok(Evaluation {
        id: row.get(0)?,
        digest: row.get(1)?,
        architecture: row.get(2)?,
        step: row.get(3)?,
        outcome: accuracy.ok_or(problem.unwrap_or_default()),
        seconds: row.get(6)?,
    })
}

const MEASUREMENT: &str =
    "SELECT digest, architecture, purpose, step, latency_ms, predicted_ms, low_ms, high_ms, timing,
                           seconds, drift, device, least_ms, most_ms FROM measurements";

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
    })
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| unreadable(column, error.into()))
}

fn unreadable(column: usize, error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
}

fn store_step(
    connection: &mut rusqlite::Connection,
    step: &Step,
    experiences: &[Experience],
    proposer: &[u8],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    // Only the last state is ever needed, and a controller's is a megabyte.
    transaction.execute("UPDATE steps SET proposer = x'' WHERE step = (SELECT MAX(step) FROM steps)", [])?;
    let summary = serde_json::to_string(step).expect("a summary is plain data");
    transaction.execute(
        "INSERT INTO steps (step, summary, proposer) VALUES (?1, ?2, ?3)",
        params![step.step, summary, proposer],
    )?;
    let statement =
        "INSERT INTO experiences (step, position, digest, architecture, tokens, accuracy, latency_ms, measured,
                     reward) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    for (position, e) in experiences.iter().enumerate() {
        let tokens = serde_json::to_string(&e.tokens).expect("tokens are plain numbers");
        let values = params![
            step.step,
            position as u64,
            e.digest,
            e.architecture,
            tokens,
            e.accuracy,
            e.latency_ms,
            e.measured,
            e.reward
        ];
        transaction.execute(statement, values)?;
    }
    transaction.commit()
}
