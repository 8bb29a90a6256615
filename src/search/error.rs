//! What can go wrong: with an option, a search file, a proposer, a search, a run.

use std::path::PathBuf;

use crate::report::svg::PlotError;
use crate::store::StoreError;
use crate::train::AccuracyError;

/// An option outside its range, or one that does not go with another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct OptionError {
    /// As in `search.trained_per_step`.
    pub place: String,
    /// What was expected and what came.
    pub problem: String,
}

impl OptionError {
    /// An error at a place of the search file.
    pub fn new(place: &str, problem: impl Into<String>) -> Self {
        Self { place: place.to_owned(), problem: problem.into() }
    }
}

/// Why a search file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SearchFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// Not TOML, or an unknown or misshapen entry.
    #[error("{file}: at '{place}': {message}")]
    Format {
        /// The file.
        file: String,
        /// Where in it.
        place: String,
        /// The reader's message.
        message: String,
    },
    /// An option out of range.
    #[error("{file}: {error}")]
    Option {
        /// The file.
        file: String,
        /// Which, and why.
        error: OptionError,
    },
    /// The space it names.
    #[error(transparent)]
    Space(#[from] crate::space::SpaceError),
}

/// A proposer's problem: its saved state does not fit, or torch refused.
#[derive(Debug, thiserror::Error)]
#[error("{algorithm}: {problem}")]
pub struct ProposerError {
    /// `ppo`, `evolution` or `random`.
    pub algorithm: &'static str,
    /// What went wrong.
    pub problem: String,
}

/// Why a search ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Stopped on request; everything finished is stored.
    #[error("stopped; everything finished is stored")]
    Stopped,
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The space or tokens.
    #[error(transparent)]
    Space(#[from] crate::space::SpaceError),
    /// A network that cannot be deployed.
    #[error(transparent)]
    Expand(#[from] crate::network::ExpandError),
    /// Accuracies cannot be obtained.
    #[error("accuracy: {0}")]
    Accuracy(#[from] AccuracyError),
    /// The device.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
    /// The .tflite writer.
    #[error(transparent)]
    Tflite(#[from] crate::tflite::TfliteError),
    /// The predictor cannot be fitted.
    #[error(transparent)]
    Fit(#[from] crate::latency::FitError),
    /// A calibration's predictor, planning the first measurements, or writing a model to time.
    #[error(transparent)]
    Calibration(#[from] crate::latency::CalibrationError),
    /// The calibration's measurements.
    #[error(transparent)]
    Data(#[from] crate::latency::DataError),
    /// The proposer.
    #[error(transparent)]
    Proposer(#[from] ProposerError),
    /// A file of the run.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The ledger holds what this program did not write.
    #[error("the run's ledger is damaged: {0}")]
    Ledger(String),
    /// The device is not the calibrated one.
    #[error(
        "networks of the calibration take {drift:.2} times what they took then: this is another device or setting than \
         the calibrated one; calibrate it, or leave [device] predictor out"
    )]
    OtherDevice {
        /// Now over then.
        drift: f64,
    },
    /// A device that answers without times.
    #[error("the device gave no times for '{0}'")]
    NoTimes(String),
    /// The budget was spent before the first evaluation.
    #[error(
        "no network was evaluated: the time budget was spent before, or nothing new could be sampled; give it more \
         [budget] hours, or a larger space"
    )]
    NothingDone,
    /// Nothing could be evaluated.
    #[error(
        "no candidate could be evaluated: all {failed} failed; the last said: {last}\nMend that, and give `mnas resume` \
         more --evaluations: those that failed count as done"
    )]
    NothingWorked {
        /// How many were tried.
        failed: usize,
        /// The last one's problem.
        last: String,
    },
}

/// Why a run could not be started, resumed or finished.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The search file.
    #[error(transparent)]
    File(#[from] SearchFileError),
    /// The run directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the run.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The calibration it starts from.
    #[error(transparent)]
    Calibration(Box<SearchError>),
    /// The search itself; the run can be resumed.
    #[error("{error}\nEverything finished is stored; continue with `mnas resume {folder}`")]
    Search {
        /// What happened.
        error: Box<SearchError>,
        /// The run.
        folder: PathBuf,
    },
    /// What the run's ledger holds cannot be made a report of.
    #[error(transparent)]
    Unreadable(Box<SearchError>),
    /// The report's plots.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The trainer cannot be set up.
    #[error("accuracy: {0}")]
    Accuracy(#[from] AccuracyError),
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
}
