//! A calibration's folder: its files, and whether it can be continued.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::plan::CalibrationSettings;
use crate::device::Description;
use crate::latency::error::CalibrationError;
use crate::latency::predict::predictor::Predictor;

/// File names within a calibration's folder.
pub const MEASUREMENTS: &str = "measurements.csv";
/// The predictor.
pub const PREDICTOR: &str = "predictor.json";
/// The validation.
pub const VALIDATION: &str = "validation.json";
/// The page for people.
pub const REPORT: &str = "report.html";
/// The settings and the device.
pub(super) const PLAN: &str = "plan.json";
/// Where and when each session measured.
pub(super) const ENVIRONMENT: &str = "environment.json";
/// Where the calibrations of devices lie unless another folder is given.
const FOLDER: &str = "calibration";

/// The folder of a device's calibration: `calibration/ID`, in which whatever cannot be in a file name is an underscore.
pub fn folder_of(device: &str) -> PathBuf {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = device.chars().map(safe).collect();
    // A name of dots would leave the folder.
    Path::new(FOLDER).join(name.strip_prefix('.').map_or(name.clone(), |rest| format!("_{rest}")))
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

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CalibrationError> {
    let mut text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    text.push('\n');
    Ok(crate::files::write_atomically(path, text.as_bytes())?)
}

/// What must be equal for a calibration to be continued.
pub(super) fn record(settings: &CalibrationSettings, device: &Description, warm: Option<&Predictor>) -> Value {
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
pub(super) fn claim(out: &Path, record: &Value) -> Result<(), CalibrationError> {
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
