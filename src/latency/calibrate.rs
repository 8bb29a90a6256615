//! A whole calibration: measure (or read), fit, validate on networks not used for the fit, write the folder.
//!
//! | file | holds |
//! |---|---|
//! | `plan.json` | the settings and the device, so that only the same calibration is resumed |
//! | `measurements.csv` | one row per load (see [`crate::latency::measure`]), or the rows of somebody else's file |
//! | `predictor.json` | the predictor, fitted to all measurements |
//! | `environment.json` | where and when each session measured, and what happened meanwhile |
//! | `validation.json` | the error of the predictor that was fitted to the fit part alone |
//! | `report.html` | the same for people |

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::seq::SliceRandom;
use serde::Serialize;
use serde_json::{Value, json};

use super::data::{DataSet, LATENCY_COLUMN};
use super::drift::{Alarm, Drift};
use super::measure::{self, Batch, Measuring, Progress};
use super::plan::{CalibrationSettings, Part, batches};
use super::predictor::{Predictor, Provenance};
use super::selection::LEAST_NETWORKS;
use super::stopping::{Ending, Look};
use super::validation::{CurvePoint, Pair, Validation};
use super::{CalibrationError, FitSettings, Prediction, report};
use crate::device::session::Plan;
use crate::device::{Description, Device, Environment};
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
const ENVIRONMENT: &str = "environment.json";
/// Where the calibrations of devices lie unless another folder is given.
const FOLDER: &str = "calibration";

/// The folder of a device's calibration: `calibration/ID`, in which whatever cannot be in a file name is an underscore.
pub fn folder_of(device: &str) -> PathBuf {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = device.chars().map(safe).collect();
    // A name of dots would leave the folder.
    Path::new(FOLDER).join(name.strip_prefix('.').map_or(name.clone(), |rest| format!("_{rest}")))
}

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
    /// MAPE in percent of a linear regression on multiply-adds, parameters and layers.
    pub mape_by_counts: f64,
    /// That baseline's Kendall's tau-b.
    pub kendall_by_counts: f64,
    /// Rows of a file without a latency, which were left out.
    pub unmeasured: usize,
    /// Why the measuring ended; `null` for a file.
    pub ending: Option<Ending>,
    /// How good the predictor was after each batch but the last; empty where nothing was measured in batches.
    pub looks: Vec<Look>,
    /// What the true mean error is surely below, in percent.
    pub bound: f64,
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
    let batches = batches(settings)?;
    let description = device.description();
    let warm = settings.warm_start.as_deref().map(load_predictor).transpose()?;
    claim(out, &record(settings, &description, warm.as_ref()))?;
    let mut environments = read_environments(&out.join(ENVIRONMENT))?;
    environments.push(json!({ "environment": Environment::of(device) }));
    write_json(&out.join(ENVIRONMENT), &environments)?;
    let mut measuring = Measuring::open(&out.join(MEASUREMENTS))?;
    let fit = FitSettings { seed: settings.seed, level: settings.level };
    let total = settings.rounds * batches.iter().map(Vec::len).sum::<usize>();
    let (mut ending, mut looks) = (Ending::AllMeasured, Vec::new());
    for (index, planned) in batches.iter().enumerate() {
        let further = settings.rounds * planned.len();
        if let Some(why) = enough(&measuring, further, settings, warm.as_ref(), &mut looks)? {
            ending = why;
            break;
        }
        let schedule = Plan { rounds: settings.rounds, seed: settings.seed };
        measuring.batch(device, Batch { planned, schedule, index }, total, progress)?;
    }
    measuring.finish()?;
    if let Some(last) = environments.last_mut() {
        // As it was at the end, and what happened meanwhile.
        *last = json!({ "environment": Environment::of(device), "incidents": device.incidents() });
        write_json(&out.join(ENVIRONMENT), &environments)?;
    }
    let rows = measuring.rows();
    let parts = Parts {
        fit: measure::data_of(rows, &[Part::Fit])?,
        held_out: measure::data_of(rows, &[Part::Validation])?,
        all: measure::data_of(rows, &[Part::Fit, Part::Validation, Part::Repeat])?,
        noise: measure::noise_floor(rows)?,
        device: Some(description),
        source: format!("space {}", settings.space.name),
        warm,
        environments,
        ending: Some(ending),
        looks,
    };
    parts.finish(fit, out, start)
}

/// Whether the batches so far suffice; never while there are rows of a further one on file. Depends on the rows alone,
/// so that a calibration that was interrupted ends where one that was not does.
fn enough(
    measuring: &Measuring,
    further: usize,
    settings: &CalibrationSettings,
    warm: Option<&Predictor>,
    looks: &mut Vec<Look>,
) -> Result<Option<Ending>, CalibrationError> {
    let rows = measuring.rows();
    if rows.is_empty() || (settings.target_error, settings.minutes) == (None, None) {
        return Ok(None);
    }
    let fit = FitSettings { seed: settings.seed, level: settings.level };
    let look =
        Look::at(&measure::data_of(rows, &[Part::Fit])?, &measure::data_of(rows, &[Part::Validation])?, warm, fit)?;
    looks.push(look);
    let seconds: f64 = rows.iter().map(|row| row.seconds).sum();
    let afterwards = seconds * (1.0 + further as f64 / rows.len() as f64);
    Ok(match (settings.target_error, settings.minutes) {
        _ if measuring.on_file() > rows.len() => None,
        (Some(target), _) if look.bound <= target => Some(Ending::ErrorReached),
        (_, Some(minutes)) if afterwards > 60.0 * minutes => Some(Ending::TimeSpent),
        _ => None,
    })
}

/// The predictor of a calibration's folder.
///
/// # Errors
/// As [`Predictor::load`].
pub fn load_predictor(folder: &Path) -> Result<Predictor, CalibrationError> {
    Ok(Predictor::load(&part_of(folder, PREDICTOR)?)?)
}

/// The path of a file of the calibration in `folder`.
///
/// # Errors
/// [`CalibrationError::Missing`] if there is no such file.
pub fn part_of(folder: &Path, file: &'static str) -> Result<PathBuf, CalibrationError> {
    let path = folder.join(file);
    if path.is_file() {
        Ok(path)
    } else {
        Err(CalibrationError::Missing { folder: folder.display().to_string(), file })
    }
}

/// The environments of the sessions so far.
fn read_environments(path: &Path) -> Result<Vec<Value>, CalibrationError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    // A file that is not whole says nothing, and the measurements need it not.
    Ok(serde_json::from_str(&fs_err::read_to_string(path)?).unwrap_or_default())
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CalibrationError> {
    let mut text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    text.push('\n');
    Ok(crate::files::write_atomically(path, text.as_bytes())?)
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
    /// Folder of another device's calibration to start from.
    pub warm_start: Option<PathBuf>,
}

impl CsvSettings {
    /// The defaults for a file.
    pub fn new(csv: &Path) -> Self {
        let csv = csv.to_owned();
        Self { csv, latency_column: LATENCY_COLUMN.to_owned(), networks: None, level: 0.9, seed: 0, warm_start: None }
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
    if all.len() <= LEAST_NETWORKS {
        let range = format!("more than {LEAST_NETWORKS}, some to fit and some to judge");
        return Err(CalibrationError::Settings { what: "networks in the file", range, found: all.len() });
    }
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
    let warm = settings.warm_start.as_deref().map(load_predictor).transpose()?;
    let (environments, looks) = (Vec::new(), Vec::new());
    let parts =
        Parts { fit, held_out, all, noise: None, device: None, source, warm, environments, ending: None, looks };
    parts.finish(settings.fit(), out, start)
}

/// The measurements of a calibration.
struct Parts {
    fit: DataSet,
    held_out: DataSet,
    all: DataSet,
    noise: Option<f64>,
    device: Option<Description>,
    source: String,
    warm: Option<Predictor>,
    environments: Vec<Value>,
    ending: Option<Ending>,
    looks: Vec<Look>,
}

/// Numbers of networks of the learning curve.
const CURVE: [usize; 9] = [15, 20, 30, 50, 75, 100, 150, 200, 300];

impl Parts {
    fn finish(self, settings: FitSettings, out: &Path, start: Instant) -> Result<Calibration, CalibrationError> {
        let fitted = |data: &DataSet| -> Result<Predictor, CalibrationError> {
            let provenance = Provenance::now(data, self.device.clone(), &self.source);
            let (predictor, _) = Predictor::cross_validated_from(self.warm.as_ref(), data, settings)?;
            Ok(predictor.with_provenance(provenance))
        };
        let mut validation = Validation::of(&fitted(&self.fit)?, &self.fit, &self.held_out, self.noise)?;
        let last = Look::at(&self.fit, &self.held_out, self.warm.as_ref(), settings)?;
        validation.environments = self.environments.clone();
        for count in CURVE.into_iter().filter(|count| *count < self.fit.len()) {
            let beginning = self.fit.select(&(0..count).collect::<Vec<_>>());
            let look = Look::at(&beginning, &self.held_out, self.warm.as_ref(), settings)?;
            validation.curve.push(CurvePoint { networks: count, mape: look.mape });
        }
        validation.curve.push(CurvePoint { networks: last.networks, mape: last.mape });
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
            mape_by_counts: validation.by_counts.mape,
            kendall_by_counts: validation.by_counts.kendall,
            unmeasured: self.all.unmeasured(),
            ending: self.ending,
            looks: self.looks,
            bound: last.bound,
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
fn record(settings: &CalibrationSettings, device: &Description, warm: Option<&Predictor>) -> Value {
    let CalibrationSettings { space, networks, validation, repeats, rounds, seed, limits, batch, .. } = settings;
    let mut record = json!({
        "space": space, "networks": networks, "validation": validation, "repeats": repeats, "rounds": rounds,
        "seed": seed, "device": device,
    });
    if limits.any() {
        record["limits"] = json!(limits);
    }
    if let Some(batch) = batch {
        record["batch"] = json!(batch);
    }
    if let Some(warm) = warm {
        record["warm_start"] = json!(warm.provenance().data_hash);
    }
    record
}

/// Makes the folder this calibration's, or finds that it is. More rounds of the same networks go on where fewer ended.
fn claim(out: &Path, record: &Value) -> Result<(), CalibrationError> {
    let path = out.join(PLAN);
    if !path.exists() {
        return write_json(&path, record);
    }
    let text = fs_err::read_to_string(&path)?;
    let other = |field: String| CalibrationError::OtherPlan { path: path.display().to_string(), field };
    let mut found: Value = serde_json::from_str(&text).map_err(|_| other("everything (it is not whole)".to_owned()))?;
    let rounds = |plan: &Value| plan["rounds"].as_u64();
    // The rounds of a second batch already follow the first batch's.
    let goes_on = rounds(&found) < rounds(record) && record.get("batch").is_none();
    if goes_on {
        found["rounds"] = record["rounds"].clone();
    }
    match difference(&found, record) {
        Some(field) => Err(other(field)),
        None if goes_on => write_json(&path, record),
        None => Ok(()),
    }
}

/// The first field, by path, in which two records differ, with both values where they are short.
fn difference(there: &Value, here: &Value) -> Option<String> {
    let fields = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    let (Some(keys), Some(more)) = (fields(here), fields(there)) else {
        let short = |value: &Value| matches!(value, Value::Array(_) | Value::Object(_));
        return (there != here).then(|| match short(there) || short(here) {
            true => String::new(),
            false => format!(" ({there} there, {here} here)"),
        });
    };
    let keys = keys.into_iter().chain(more.into_iter().filter(|key| here.get(key).is_none()));
    let differing = |key: String| {
        let deeper = difference(there.get(&key).unwrap_or(&Value::Null), here.get(&key).unwrap_or(&Value::Null))?;
        let dot = if deeper.is_empty() || deeper.starts_with(' ') { "" } else { "." };
        Some(format!("{key}{dot}{deeper}"))
    };
    keys.into_iter().find_map(differing)
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
    /// Whether the predictor given no longer fits, by the file's networks in order; `null` where it does, or where
    /// none was given.
    pub drift: Option<Alarm>,
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
        Some(predictor) => (Validation::of(predictor, &data, &data, None)?, predict(predictor, architectures)?),
        None => {
            let (predictor, held_out) = Predictor::cross_validated(&data, settings.fit())?;
            let validation = Validation::of_predictions(&predictor, &data, &data, held_out, None)?;
            (validation, predict(&predictor, architectures)?)
        }
    };
    let Validation { pairs, metrics, coverage, .. } = validation;
    let drift = predictor.and_then(|predictor| {
        let mut drift = Drift::new(predictor.level());
        pairs.iter().for_each(|pair| drift.observe(pair.predicted, pair.measured_ms));
        drift.alarm()
    });
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
        drift,
    })
}
