//! Table `evaluations`: what accuracies were obtained.

use rusqlite::{OptionalExtension, Row, params};

use super::now;
use crate::store::{Ledger, StoreError};

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
