//! The ledger's rows, written and read, table by table.

mod evaluations;
mod failed_timings;
mod finals;
mod measurements;
mod steps;

pub use evaluations::Evaluation;
pub use failed_timings::FailedTiming;
pub use finals::{FinalRow, FinalTiming};
pub use measurements::{INTERVAL_LEVEL, Measurement, Purpose};
pub use steps::{BeyondLimits, Experience, Seconds, Step};

use rusqlite::Row;

use super::{Ledger, StoreError};

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

impl Ledger {
    fn count(&self, query: &str, step: u64) -> Result<u64, StoreError> {
        self.check(self.connection.query_row(query, [step], |row| row.get(0)))
    }

    fn all<T>(&self, query: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, StoreError> {
        let collect = || self.connection.prepare(query)?.query_map([], read)?.collect();
        self.check(collect())
    }
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| unreadable(column, error.into()))
}

fn unreadable(column: usize, error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
}
