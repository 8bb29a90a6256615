//! Table `finals`: the timings at the end of a search.

use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::from_json;
use crate::statistics::Normal;
use crate::store::{Ledger, StoreError, database, describe};

/// One row of the table at the end of a search.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FinalRow {
    /// `candidate 1`, `mobilenet-v2`, …
    pub name: String,
    /// [`crate::network::Network::digest`].
    pub digest: String,
    /// Architecture line.
    pub architecture: String,
    /// What all timings and the models together say of the latency on the undisturbed device; of a reference, what the
    /// final session says.
    pub latency_ms: f64,
    /// Low end of its 95 % interval.
    pub low_ms: f64,
    /// High end of its 95 % interval.
    pub high_ms: f64,
    /// How much slower the device was than when it was calibrated.
    pub drift: f64,
    /// ln(latency in ms) as the final session alone says it, device by device.
    #[serde(default)]
    pub ln_ms: Vec<Normal>,
    /// Every load's samples, as JSON.
    pub samples: String,
    /// With several devices each one's timing; the latency above is then the combined one, drift and ratio the worst.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<FinalTiming>,
    /// Latency over MobileNetV2's, from the same rounds; none if that was not timed.
    pub ratio_to_mobilenet_v2: Option<f64>,
    /// The proxy's accuracy; none for references.
    pub accuracy: Option<f64>,
    /// Posterior mean of its accuracy: the observed one without its noise; none for references.
    #[serde(default)]
    pub expected_accuracy: Option<f64>,
    /// The expected reward; none for references.
    pub reward: Option<f64>,
    /// Multiply-adds.
    pub madds: usize,
    /// Parameters.
    pub params: usize,
}

/// The final timing of one network on one of several devices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FinalTiming {
    /// Latency on the undisturbed device.
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

impl Ledger {
    /// Replaces the table at the end of the search.
    ///
    /// # Errors
    /// A database error; then the old table stays.
    pub fn set_finals(&mut self, rows: &[FinalRow]) -> Result<(), StoreError> {
        let path = database(&self.folder);
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
        store(&mut self.connection).map_err(|error| describe(&path, error))
    }

    /// The table at the end of the search; empty until there is one.
    ///
    /// # Errors
    /// A database error.
    pub fn finals(&self) -> Result<Vec<FinalRow>, StoreError> {
        self.all("SELECT row FROM finals ORDER BY position", |row| from_json(row, 0))
    }
}
