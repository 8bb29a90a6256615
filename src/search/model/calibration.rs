//! The run's own copies of its devices' calibrations, so that it does not depend on folders that may change.

use std::path::Path;

use super::device_latencies::DeviceLatencies;
use crate::latency::calibrate::{MEASUREMENTS, PREDICTOR, part_of};
use crate::latency::data::LATENCY_COLUMN;
use crate::latency::{CalibrationError, DataSet, Predictor};
use crate::search::error::SearchError;
use crate::search::settings::Settings;
use crate::store::Ledger;

/// Name, among the run's settings, of a device's copy of its calibration's measurements: its artefact's hash.
pub(in crate::search) fn calibration_name(device: usize) -> String {
    if device == 0 { "calibration".to_owned() } else { format!("calibration {}", device + 1) }
}

/// The same of its calibration's predictor, which knows what it was started from.
fn predictor_name(device: usize) -> String {
    if device == 0 { "predictor".to_owned() } else { format!("predictor {}", device + 1) }
}

/// Name, among the run's settings, of a device's noise, as its first measurements showed it.
pub(in crate::search) fn noise_name(device: usize) -> String {
    if device == 0 { "noise".to_owned() } else { format!("noise {}", device + 1) }
}

/// The files of the calibrations that the search file names, checked, with the names of the run's copies.
///
/// # Errors
/// A calibration that cannot be read.
pub(in crate::search) fn read_calibrations(settings: &Settings) -> Result<Vec<(String, Vec<u8>)>, SearchError> {
    let mut copies = Vec::new();
    for (device, options) in settings.devices.iter().enumerate() {
        let Some(folder) = &options.predictor else { continue };
        let (measurements, predictor) = (part_of(folder, MEASUREMENTS)?, folder.join(PREDICTOR));
        // Measurements alone, somebody else's, are a calibration too.
        let calibrated = if predictor.exists() { Some(read_predictor(&predictor)?) } else { None };
        let data = DataSet::read(&measurements, LATENCY_COLUMN)?;
        DeviceLatencies::new(device, &data, calibrated.as_ref(), settings)?;
        copies.push((calibration_name(device), fs_err::read(&measurements)?));
        if calibrated.is_some() {
            copies.push((predictor_name(device), fs_err::read(&predictor)?));
        }
    }
    Ok(copies)
}

/// The run's copy of a device's calibration: its measurements, none if it has no calibration, and its predictor.
pub(in crate::search) fn calibration(
    ledger: &Ledger,
    device: usize,
) -> Result<(DataSet, Option<Predictor>), SearchError> {
    let copy = |name: String| ledger.setting(&name).map(|hash| hash.map(|hash| ledger.artefact(&hash)));
    let data = copy(calibration_name(device))?.map(|path| DataSet::read(&path, LATENCY_COLUMN)).transpose()?;
    let predictor = copy(predictor_name(device))?.map(|path| read_predictor(&path)).transpose()?;
    Ok((data.unwrap_or_default(), predictor))
}

fn read_predictor(path: &Path) -> Result<Predictor, SearchError> {
    Ok(Predictor::load(path).map_err(CalibrationError::from)?)
}
