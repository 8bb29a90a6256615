//! The latency predictor: from a few dozen timings to the latency of every network of a space.
//!
//! | step | where |
//! |---|---|
//! | a network's [`Features`]: sums per operator kind, tile padding and map size included | [`features`] |
//! | a [`DataSet`] of measured latencies | [`data`] |
//! | a linear model, a Gaussian process on its residual, chosen by cross-validation, with an interval | [`linear`], [`residual`], [`selection`] |
//! | the [`Predictor`], saved with its provenance | [`predictor`] |
//! | how good it is | [`metrics`] |

pub mod data;
pub mod features;
pub mod linear;
pub mod metrics;
pub mod predictor;
pub mod residual;
pub mod selection;

pub use data::{DataError, DataSet, Measurement};
pub use features::{Feature, Features};
pub use metrics::Metrics;
pub use predictor::{Prediction, Predictor, Provenance};
pub use selection::FitSettings;

/// Why measurements could not be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// Too few networks.
    #[error(
        "a latency predictor needs measurements of at least {least} different networks, found {found}; measure more"
    )]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// A level that is no share.
    #[error("the level of the interval must lie between 0 and 1, found {0}")]
    Level(f64),
    /// The numbers defeat the regressor.
    #[error("the latencies cannot be fitted: {0}")]
    Regression(String),
}

/// Why a predictor could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PredictorError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// Not JSON, cut short, or not the fields of a predictor.
    #[error("{path}: not a whole latency predictor ({error}); run `mnas calibrate` again to make a new one")]
    Broken {
        /// The file.
        path: String,
        /// The reader's message, with line and column.
        error: serde_json::Error,
    },
    /// Of another version.
    #[error("{path}: a latency predictor of format {expected} was expected, found {found}; run `mnas calibrate` again")]
    Version {
        /// The file.
        path: String,
        /// What this program reads.
        expected: u32,
        /// What the file says.
        found: String,
    },
    /// The digest does not fit.
    #[error("{path}: the predictor was changed after it was saved (its digest differs); run `mnas calibrate` again")]
    Edited {
        /// The file.
        path: String,
    },
    /// Whole, but not usable here.
    #[error("{path}: {problem}; run `mnas calibrate` again")]
    Content {
        /// The file.
        path: String,
        /// What does not fit.
        problem: String,
    },
    /// The predictor holds what JSON cannot.
    #[error("the predictor cannot be written as JSON: {0}")]
    Encode(serde_json::Error),
}
