//! Tables `steps` and `experiences`: what each closed step did, and what its proposer learnt from.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::from_json;
use crate::store::{Ledger, StoreError, database, describe};

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
    /// New networks that were looked at: sampled ones, and mutations of the best networks so far.
    pub considered: usize,
    /// New networks among them that the models turned away.
    pub screened: usize,
    /// New networks whose accuracy was obtained.
    pub trained: usize,
    /// Of those chosen for it, the ones that the proposer itself sampled; the others are mutations of the best.
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
    /// How much slower the device was in this step than when it was calibrated; the latencies are corrected for it.
    pub drift: Option<f64>,
    /// Sessions that were repeated, since the device was at another pace than usual.
    pub repeated: u32,
    /// Timings from sessions so disturbed that their intervals are wide.
    pub widened: usize,
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

impl Ledger {
    /// Closes a step: its summary, its experiences and the proposer's state, all or nothing.
    ///
    /// # Errors
    /// A database error; then nothing of the step is stored.
    pub fn add_step(&mut self, step: &Step, experiences: &[Experience], proposer: &[u8]) -> Result<(), StoreError> {
        let path = database(&self.folder);
        store_step(&mut self.connection, step, experiences, proposer).map_err(|error| describe(&path, error))
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
