//! A calibration on a device: measure, batch by batch, as long as it is worth it.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::finish::{Calibration, Measured};
use super::folder::{ENVIRONMENT, MEASUREMENTS, claim, load_predictor, record, write_json};
use super::measure::{self, Batch, Measuring, Progress};
use super::plan::{CalibrationSettings, Part, batches};
use super::stopping::{Assessment, StoppingReason};
use crate::device::session::Plan;
use crate::device::{Device, Environment};
use crate::latency::error::CalibrationError;
use crate::latency::predict::predictor::Predictor;
use crate::latency::predict::selection::FitSettings;

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
    let (mut ending, mut assessments) = (StoppingReason::AllMeasured, Vec::new());
    for (index, planned) in batches.iter().enumerate() {
        let further = settings.rounds * planned.len();
        if let Some(why) = enough(&measuring, further, settings, warm.as_ref(), &mut assessments)? {
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
    let parts = Measured {
        fit: measure::data_of(rows, &[Part::Fit])?,
        held_out: measure::data_of(rows, &[Part::Validation])?,
        all: measure::data_of(rows, &[Part::Fit, Part::Validation, Part::Repeat])?,
        noise: measure::noise_floor(rows)?,
        device: Some(description),
        source: format!("space {}", settings.space.name),
        warm,
        environments,
        ending: Some(ending),
        assessments,
        file: None,
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
    assessments: &mut Vec<Assessment>,
) -> Result<Option<StoppingReason>, CalibrationError> {
    let rows = measuring.rows();
    if rows.is_empty() || (settings.target_error, settings.minutes) == (None, None) {
        return Ok(None);
    }
    let fit = FitSettings { seed: settings.seed, level: settings.level };
    let assessment = Assessment::of(
        &measure::data_of(rows, &[Part::Fit])?,
        &measure::data_of(rows, &[Part::Validation])?,
        warm,
        fit,
    )?;
    assessments.push(assessment);
    let seconds: f64 = rows.iter().map(|row| row.seconds).sum();
    let afterwards = seconds * (1.0 + further as f64 / rows.len() as f64);
    Ok(match (settings.target_error, settings.minutes) {
        _ if measuring.on_file() > rows.len() => None,
        (Some(target), _) if assessment.bound <= target => Some(StoppingReason::ErrorReached),
        (_, Some(minutes)) if afterwards > 60.0 * minutes => Some(StoppingReason::TimeSpent),
        _ => None,
    })
}

/// The environments of the sessions so far.
fn read_environments(path: &Path) -> Result<Vec<Value>, CalibrationError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    // A file that is not whole says nothing, and the measurements need it not.
    Ok(serde_json::from_str(&fs_err::read_to_string(path)?).unwrap_or_default())
}
