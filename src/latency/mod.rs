//! The latency predictor: from a few dozen timings to the latency of every network of a space.
//!
//! | step | where |
//! |---|---|
//! | a [`DataSet`] of measured latencies | [`data`] |
//! | a network's [`Features`]: its layers' shapes, and the work behind each, tile padding included | [`data::features`] |
//! | a rate for each kind of work, a Gaussian process over layers for what these get wrong, an interval | `predict::rates`, `predict::process`, `predict::selection` |
//! | the [`Predictor`], saved with its provenance | `predict::predictor` |
//! | how good it is | [`metrics`], `judge::validation`, `judge::baseline` |
//! | whether it still fits, and if not, why | [`judge::drift`], [`judge::misfit`] |
//! | measuring a device for it | [`calibrate::plan`], [`calibrate::measure`], [`data::pace`], [`calibrate::stopping`] |
//! | a whole calibration, on a device or from a file | [`mod@calibrate`] |
//!
//! Each room imports only those before it in the order [`metrics`] < [`data`] < `error` < `predict` < [`judge`] <
//! [`mod@calibrate`].

pub mod calibrate;
pub mod data;
mod error;
pub mod judge;
pub mod metrics;
mod predict;

pub use calibrate::measure::{Progress, timing_model};
pub use calibrate::plan::CalibrationSettings;
pub use calibrate::{
    Calibration, CsvPrediction, CsvSettings, NamedPrediction, calibrate, calibrate_from_csv, predict_from_csv,
};
pub use data::features::{Feature, Features};
pub use data::{DataError, DataSet, Measurement};
pub use error::{CalibrationError, FitError, PredictorError};
pub use judge::drift::Drift;
pub use judge::validation::{Pair, Validation};
pub use metrics::Metrics;
pub use predict::predictor::{Prediction, Predictor, Provenance};
pub use predict::selection::FitSettings;
