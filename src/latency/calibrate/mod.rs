//! A whole calibration: measure (or read), fit, validate on networks not used for the fit, write the folder.
//!
//! | file | holds |
//! |---|---|
//! | `plan.json` | the settings and the device, so that only the same calibration is resumed |
//! | `measurements.csv` | one row per load (see [`measure`]), or the rows of somebody else's file |
//! | `predictor.json` | the predictor, fitted to all measurements |
//! | `environment.json` | where and when each session measured, and what happened meanwhile |
//! | `validation.json` | the error of the predictor that was fitted to the fit part alone |
//! | `report.html` | the same for people |

mod csv;
mod device;
mod finish;
pub mod folder;
pub mod measure;
pub mod plan;
mod prediction;
pub mod stopping;

pub use csv::{CsvSettings, calibrate_from_csv};
pub use device::calibrate;
pub use finish::Calibration;
pub use folder::{MEASUREMENTS, PREDICTOR, REPORT, VALIDATION, folder_of, load_predictor, part_of};
pub use prediction::{CsvPrediction, NamedPrediction, predict, predict_from_csv};
