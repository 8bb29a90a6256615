//! A whole calibration: measure (or read), fit, validate on networks not used for the fit, write the folder.
//!
//! | file | holds |
//! |---|---|
//! | `plan.json` | the settings and the device, so that only the same calibration is resumed |
//! | `measurements.csv` | one row per load (see [`crate::latency::measure`]), or the rows of somebody else's file |
//! | `predictor.json` | the predictor, fitted to all measurements |
//! | `validation.json` | the error of the predictor that was fitted to the fit part alone |
//! | `report.html` | the same for people |

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::seq::SliceRandom;
use serde::Serialize;
use serde_json::{Value, json};

use super::data::{DataSet, LATENCY_COLUMN};
use super::measure::{self, Progress};
use super::plan::{CalibrationSettings, Part, plan};
use super::predictor::{Predictor, Provenance};
use super::selection::LEAST_NETWORKS;
use super::validation::{Pair, Validation};
use super::{CalibrationError, FitSettings, Prediction, report};
use crate::device::session::Plan;
use crate::device::{Description, Device};
use crate::network::Network;
use crate::space::Architecture;

/// File names within a calibration's folder.
pub const MEASUREMENTS: &str = "measurements.csv";
/// The predictor.
pub const PREDICTOR: &str = "predictor.json";
/// The validation.
pub const VALIDATION: &str = "validation.json";
/// The page for people.
pub const REPORT: &str = "report.html";
const PLAN: &str = "plan.json";

/// What a calibration found; its fields are those of `mnas calibrate --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Networks the validated predictor was fitted to.
    pub networks: usize,
    /// Networks held out.
    pub validation: usize,
    /// Mean absolute relative error in percent.
    pub mape: f64,
    /// Percent of held-out networks within 5 %.
    pub within_5: f64,
    /// Percent of held-out networks within 10 %.
    pub within_10: f64,
    /// Kendall's tau-b.
    pub kendall: f64,
    /// Spearman's rank correlation.
    pub spearman: f64,
    /// The noise floor in percent; `null` where nothing was measured twice.
    pub noise: Option<f64>,
    /// Nominal level of the intervals in percent.
    pub level: f64,
    /// Percent of held-out networks inside their interval.
    pub coverage: f64,
    /// MAPE in percent of milliseconds proportional to multiply-adds.
    pub mape_by_madds: f64,
    /// The same baseline's Kendall's tau-b.
    pub kendall_by_madds: f64,
    /// Rows of a file without a latency, which were left out.
    pub unmeasured: usize,
    /// How long this call took.
    pub seconds: f64,
    /// The folder.
    pub folder: PathBuf,
}

/// Calibrates a device into the folder `out`; an interrupted calibration of the same settings and device is continued.
///
/// # Errors
/// [`CalibrationError`]; whatever was measured stays in the folder.
pub fn calibrate(
    device: &mut dyn Device,
    settings: &CalibrationSettings,
    out: &Path,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Calibration, CalibrationError> {
    let start = Instant::now();
    let planned = plan(settings)?;
    let description = device.description();
    claim(out, &record(settings, &description))?;
    let schedule = Plan { rounds: settings.rounds, seed: settings.seed };
    let rows = measure::measure(device, &planned, schedule, &out.join(MEASUREMENTS), progress)?;
    let parts = Parts {
        fit: measure::data_of(&rows, &[Part::Fit])?,
        held_out: measure::data_of(&rows, &[Part::Validation])?,
        all: measure::data_of(&rows, &[Part::Fit, Part::Validation, Part::Repeat])?,
        noise: measure::noise_floor(&rows)?,
        device: Some(description),
        source: format!("space {}", settings.space.name),
    };
    parts.finish(FitSettings { seed: settings.seed, level: settings.level }, out, start)
}

/// Other people's measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvSettings {
    /// The file.
    pub csv: PathBuf,
    /// Its column of latencies.
    pub latency_column: String,
    /// Networks to fit, drawn at random; all others validate. `None` takes four fifths.
    pub networks: Option<usize>,
    /// Nominal level of the interval.
    pub level: f64,
    /// Seed of the draw and the folds.
    pub seed: u64,
}

impl CsvSettings {
    /// The defaults for a file.
    pub fn new(csv: &Path) -> Self {
        let csv = csv.to_owned();
        Self { csv, latency_column: LATENCY_COLUMN.to_owned(), networks: None, level: 0.9, seed: 0 }
    }

    fn fit(&self) -> FitSettings {
        FitSettings { seed: self.seed, level: self.level }
    }
}

/// Fits and validates the measurements of a file into the folder `out`.
///
/// # Errors
/// [`CalibrationError`], with line and column for what is wrong in the file.
pub fn calibrate_from_csv(settings: &CsvSettings, out: &Path) -> Result<Calibration, CalibrationError> {
    let start = Instant::now();
    if out.join(PLAN).exists() {
        let field = "being measured on a device, not read from a file".to_owned();
        return Err(CalibrationError::OtherPlan { path: out.display().to_string(), field });
    }
    let all = DataSet::read(&settings.csv, &settings.latency_column)?;
    let count = settings.networks.unwrap_or(all.len() * 4 / 5);
    if count < LEAST_NETWORKS || count >= all.len() {
        let range = format!("at least {LEAST_NETWORKS} and below the {} in the file", all.len());
        return Err(CalibrationError::Settings { what: "networks", range, found: count });
    }
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.shuffle(&mut crate::seeded(settings.seed));
    write_canonical(&all, &out.join(MEASUREMENTS))?;
    let (fit, held_out) = (all.select(&order[..count]), all.select(&order[count..]));
    let source = settings.csv.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let source = format!("{source}, column {}", settings.latency_column);
    Parts { fit, held_out, all, noise: None, device: None, source }.finish(settings.fit(), out, start)
}

/// The measurements of a calibration.
struct Parts {
    fit: DataSet,
    held_out: DataSet,
    all: DataSet,
    noise: Option<f64>,
    device: Option<Description>,
    source: String,
}

impl Parts {
    fn finish(self, settings: FitSettings, out: &Path, start: Instant) -> Result<Calibration, CalibrationError> {
        let fitted = |data: &DataSet| -> Result<Predictor, CalibrationError> {
            let provenance = Provenance::now(data, self.device.clone(), &self.source);
            Ok(Predictor::fit(data, settings)?.with_provenance(provenance))
        };
        let validation = Validation::of(&fitted(&self.fit)?, &self.fit, &self.held_out, self.noise);
        fitted(&self.all)?.save(&out.join(PREDICTOR))?;
        validation.save(&out.join(VALIDATION))?;
        crate::files::write_atomically(&out.join(REPORT), report::html(&validation)?.as_bytes())?;
        Ok(Calibration {
            networks: validation.networks,
            validation: validation.validation,
            mape: validation.metrics.mape,
            within_5: validation.metrics.within_5,
            within_10: validation.metrics.within_10,
            kendall: validation.metrics.kendall,
            spearman: validation.metrics.spearman,
            noise: validation.noise,
            level: validation.level,
            coverage: validation.coverage,
            mape_by_madds: validation.by_madds.mape,
            kendall_by_madds: validation.by_madds.kendall,
            unmeasured: self.all.unmeasured(),
            seconds: start.elapsed().as_secs_f64(),
            folder: out.to_owned(),
        })
    }
}

fn write_canonical(data: &DataSet, path: &Path) -> Result<(), CalibrationError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |record: [&str; 3]| writer.write_record(record).map_err(std::io::Error::from);
    write(["architecture", LATENCY_COLUMN, "source"])?;
    for row in data.measurements() {
        for latency in &row.repeats_ms {
            write([&row.architecture.to_string(), &latency.to_string(), &row.source])?;
        }
    }
    let text = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(crate::files::write_atomically(path, &text)?)
}

/// What must be equal for a calibration to be continued.
fn record(settings: &CalibrationSettings, device: &Description) -> Value {
    let CalibrationSettings { space, networks, validation, repeats, rounds, seed, level: _, limits } = settings;
    let mut record = json!({
        "space": space, "networks": networks, "validation": validation, "repeats": repeats, "rounds": rounds,
        "seed": seed, "device": device,
    });
    if limits.any() {
        record["limits"] = json!(limits);
    }
    record
}

/// Makes the folder this calibration's, or finds that it is.
fn claim(out: &Path, record: &Value) -> Result<(), CalibrationError> {
    let path = out.join(PLAN);
    if !path.exists() {
        let mut text = serde_json::to_string_pretty(record).map_err(std::io::Error::from)?;
        text.push('\n');
        return Ok(crate::files::write_atomically(&path, text.as_bytes())?);
    }
    let text = fs_err::read_to_string(&path)?;
    let other = |field: String| CalibrationError::OtherPlan { path: path.display().to_string(), field };
    let found: Value = serde_json::from_str(&text).map_err(|_| other("everything (it is not whole)".to_owned()))?;
    let differs = |field: &&String| found.get(field.as_str()) != record.get(field.as_str());
    match record.as_object().and_then(|fields| fields.keys().find(differs)) {
        Some(field) => Err(other(field.clone())),
        None => Ok(()),
    }
}

/// What a predictor says about one network; an entry of `mnas predict --json`'s `predictions`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NamedPrediction {
    /// The network.
    pub architecture: String,
    /// Its latency.
    #[serde(flatten)]
    pub predicted: Prediction,
}

/// Predicts the latencies of networks.
///
/// # Errors
/// An architecture without a network.
pub fn predict(
    predictor: &Predictor,
    architectures: &[Architecture],
) -> Result<Vec<NamedPrediction>, CalibrationError> {
    let one = |architecture: &Architecture| {
        let predicted = predictor.predict(&Network::expand(architecture)?);
        Ok(NamedPrediction { architecture: architecture.to_string(), predicted })
    };
    architectures.iter().map(one).collect()
}

/// Predictions beside the measurements of a file, with their errors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CsvPrediction {
    /// The architectures asked for, then the file's networks.
    pub predictions: Vec<NamedPrediction>,
    /// The file's networks, predicted and measured.
    pub pairs: Vec<Pair>,
    /// Mean absolute relative error in percent.
    pub mape: f64,
    /// Percent of the file's networks within 5 %.
    pub within_5: f64,
    /// Percent of the file's networks within 10 %.
    pub within_10: f64,
    /// Kendall's tau-b.
    pub kendall: f64,
    /// Percent of the file's networks inside their interval.
    pub coverage: f64,
}

/// Predicts `architectures` and every network of a file, and compares the latter with what the file says. Without a
/// predictor one is fitted to the file, and each of the file's networks is predicted by models that have not seen it.
///
/// # Errors
/// [`CalibrationError`], with line and column for what is wrong in the file.
pub fn predict_from_csv(
    settings: &CsvSettings,
    predictor: Option<&Predictor>,
    architectures: &[Architecture],
) -> Result<CsvPrediction, CalibrationError> {
    let data = DataSet::read(&settings.csv, &settings.latency_column)?;
    if data.is_empty() {
        return Err(super::FitError::TooFew { found: 0, least: 1 }.into());
    }
    let (validation, mut predictions) = match predictor {
        Some(predictor) => (Validation::of(predictor, &data, &data, None), predict(predictor, architectures)?),
        None => {
            let (predictor, held_out) = Predictor::cross_validated(&data, settings.fit())?;
            let validation = Validation::of_predictions(&predictor, &data, &data, held_out, None);
            (validation, predict(&predictor, architectures)?)
        }
    };
    let Validation { pairs, metrics, coverage, .. } = validation;
    let of_pair = |pair: &Pair| NamedPrediction { architecture: pair.architecture.clone(), predicted: pair.predicted };
    predictions.extend(pairs.iter().map(of_pair));
    Ok(CsvPrediction {
        predictions,
        pairs,
        mape: metrics.mape,
        within_5: metrics.within_5,
        within_10: metrics.within_10,
        kendall: metrics.kendall,
        coverage,
    })
}
