//! What can go wrong: with a fit, a stored predictor, a calibration.

use super::data::DataError;

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

/// Why a calibration did not end.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// A setting out of range.
    #[error("{what} must be {range}, found {found}")]
    Settings {
        /// Which.
        what: &'static str,
        /// What it may be.
        range: String,
        /// What it is.
        found: usize,
    },
    /// A folder that should hold a calibration does not.
    #[error("{folder} holds no calibration: there is no {file}; `mnas calibrate` makes one, and names its folder")]
    Missing {
        /// The folder.
        folder: String,
        /// What is not there.
        file: &'static str,
    },
    /// The space holds too few networks.
    #[error("space '{space}' holds {holds}, too few to draw {wanted} different ones; ask for fewer networks")]
    SpaceTooSmall {
        /// The space's name.
        space: String,
        /// How many architectures, or how few of them limits leave.
        holds: String,
        /// Networks wanted.
        wanted: usize,
    },
    /// Stopped from outside.
    #[error("interrupted after {done} of {total} measurements, which are kept; run the same command to go on")]
    Interrupted {
        /// Loads done.
        done: usize,
        /// Loads in all.
        total: usize,
    },
    /// The folder belongs to a calibration with other settings.
    #[error(
        "{path}: the folder holds a calibration that differs in {field}; choose another --out (with --warm-start from \
         this one it needs far fewer networks), or remove it"
    )]
    OtherPlan {
        /// The plan's file.
        path: String,
        /// The first field that differs.
        field: String,
    },
    /// The file of measurements is not this plan's.
    #[error("{path}, line {line}: not a measurement of this calibration; choose another --out or remove the file")]
    OtherRows {
        /// The file.
        path: String,
        /// Counted from 1, header included.
        line: usize,
    },
    /// The file of measurements cannot be read.
    #[error("{path}: {error}; choose another --out or remove the file")]
    Rows {
        /// The file.
        path: String,
        /// The reader's message, with the line.
        error: csv::Error,
    },
    /// The measurements of a file.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The fit.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The predictor's file.
    #[error(transparent)]
    Predictor(#[from] PredictorError),
    /// The device.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
    /// A model that cannot be written.
    #[error(transparent)]
    Model(#[from] crate::tflite::TfliteError),
    /// An architecture without a network.
    #[error(transparent)]
    Expand(#[from] crate::network::ExpandError),
    /// An architecture that cannot be read.
    #[error(transparent)]
    Architecture(#[from] crate::space::ArchitectureError),
    /// Tokens that do not belong to the space.
    #[error(transparent)]
    Tokens(#[from] crate::space::TokenError),
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The plot.
    #[error(transparent)]
    Plot(#[from] crate::report::svg::PlotError),
}
