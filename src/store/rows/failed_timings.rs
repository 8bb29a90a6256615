//! Networks that a device could not time: a list among the run's settings, as JSON.

use serde::{Deserialize, Serialize};

use super::unreadable;
use crate::store::{Ledger, StoreError};

/// Name, among the run's settings, of the list.
const NAME: &str = "failed_timings";

/// A network that a device could not time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTiming {
    /// The device's place among the search file's, from 0.
    pub device: usize,
    /// [`crate::network::Network::digest`].
    pub digest: String,
    /// Architecture line.
    pub architecture: String,
    /// The step that wanted it; 0 for what was to be measured first.
    pub step: u64,
    /// Why, in one line.
    pub problem: String,
}

impl Ledger {
    /// Stores that a network could not be timed.
    ///
    /// # Errors
    /// A database error.
    pub fn add_failed_timing(&self, failed: FailedTiming) -> Result<(), StoreError> {
        let mut all = self.failed_timings()?;
        all.push(failed);
        self.set(NAME, &serde_json::to_string(&all).expect("texts and numbers can always be written as JSON"))
    }

    /// All networks that could not be timed, in the order in which that was found.
    ///
    /// # Errors
    /// A database error.
    pub fn failed_timings(&self) -> Result<Vec<FailedTiming>, StoreError> {
        let Some(text) = self.setting(NAME)? else { return Ok(Vec::new()) };
        self.check(serde_json::from_str(&text).map_err(|error| unreadable(0, error.into())))
    }
}
