//! What can be wrong with a file of measurements.

use crate::network::ExpandError;
use crate::space::ArchitectureError;

/// The column of latencies unless another is named.
pub const LATENCY_COLUMN: &str = "latency_ms";

/// Why measurements cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// Not CSV.
    #[error("{origin}: {error}")]
    Csv {
        /// The file.
        origin: String,
        /// The reader's message, with the line.
        error: csv::Error,
    },
    /// A row of another length.
    #[error(
        "{origin}, line {line}: expected {expected} cells, as the header has, found {found} (where a decimal comma splits a \
         number, separate columns by semicolons, or put the number in quotes)"
    )]
    Cells {
        /// The file.
        origin: String,
        /// Counted from 1, header included.
        line: u64,
        /// Cells of the header.
        expected: u64,
        /// Cells of the row.
        found: u64,
    },
    /// A column is missing.
    #[error("{origin}: no column '{column}'; the header has {found}")]
    Column {
        /// The file.
        origin: String,
        /// What was looked for.
        column: String,
        /// The header's columns.
        found: String,
    },
    /// An architecture that cannot be understood.
    #[error("{origin}, line {line}: {error}")]
    Architecture {
        /// The file.
        origin: String,
        /// Counted from 1, header included.
        line: u64,
        /// What is wrong with it.
        error: ArchitectureError,
    },
    /// An architecture without a network.
    #[error("{origin}, line {line}: {error}")]
    Network {
        /// The file.
        origin: String,
        /// Counted from 1, header included.
        line: u64,
        /// What is wrong with it.
        error: ExpandError,
    },
    /// Two columns that may be meant.
    #[error("{origin}: {found} may both be column '{column}'; {remedy}")]
    SeveralColumns {
        /// The file.
        origin: String,
        /// What was looked for.
        column: String,
        /// Which there are.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The first line is a row.
    #[error(
        "{origin}: the first line holds a network, and a header was expected, as in 'architecture,latency_ms'; put one \
         above it"
    )]
    NoHeader {
        /// The file.
        origin: String,
    },
    /// Rows of one network that contradict each other, in most of the file.
    #[error(
        "{origin}: the rows of {contradicting} of {networks} networks contradict each other: lines {lines} say {values} ms \
         for one network; keep those that are right, or name where they come from in a column 'source'"
    )]
    Contradictory {
        /// The file.
        origin: String,
        /// How many networks' rows do.
        contradicting: usize,
        /// Of how many.
        networks: usize,
        /// Lines of the first of them.
        lines: String,
        /// What these say.
        values: String,
    },
    /// A value that is not what belongs there.
    #[error("{origin}, line {line}, column '{column}': expected {expected}, found '{found}'")]
    Value {
        /// The file.
        origin: String,
        /// Counted from 1, header included.
        line: u64,
        /// Name of the column.
        column: String,
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
}
