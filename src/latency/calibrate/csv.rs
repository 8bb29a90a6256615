//! A calibration from a file of other people's measurements.
//!
//! Which networks are fitted: those that a column says (`part_column`), as many as are asked for, or four fifths drawn at
//! random. Where a file has too few to keep some back, or all are asked for, all are fitted, and the error is that of
//! cross-validation: each network is predicted by models that have not seen it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::seq::SliceRandom;

use super::finish::{Calibration, Measured};
use super::folder::{MEASUREMENTS, PLAN, load_predictor};
use crate::device::noise::Observation;
use crate::latency::data::numbers::Unit;
use crate::latency::data::reading::{ReadOptions, Reading};
use crate::latency::data::{DataSet, LATENCY_COLUMN, Measurement, RowPart};
use crate::latency::error::CalibrationError;
use crate::latency::predict::selection::{FitSettings, LEAST_NETWORKS, LEAST_WARM_NETWORKS};

/// Other people's measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvSettings {
    /// The file.
    pub csv: PathBuf,
    /// Its column of latencies (see [`ReadOptions`]).
    pub latency_column: String,
    /// The unit of its latencies; `None` takes what the column's name says.
    pub unit: Option<Unit>,
    /// A column that says which networks are fitted and which validate; not together with `networks`.
    pub part_column: Option<String>,
    /// Networks to fit, drawn at random; all others validate. `None` takes four fifths, or all where these are too few.
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
        Self {
            csv: csv.to_owned(),
            latency_column: LATENCY_COLUMN.to_owned(),
            unit: None,
            part_column: None,
            networks: None,
            level: 0.9,
            seed: 0,
            warm_start: None,
        }
    }

    pub(super) fn fit(&self) -> FitSettings {
        FitSettings { seed: self.seed, level: self.level }
    }

    /// Reads the file.
    pub(super) fn read(&self) -> Result<Reading, CalibrationError> {
        let Self { latency_column, unit, part_column, .. } = self.clone();
        Ok(Reading::of_file(&self.csv, &ReadOptions { latency_column, unit, part_column })?)
    }

    fn least(&self) -> usize {
        if self.warm_start.is_some() { LEAST_WARM_NETWORKS } else { LEAST_NETWORKS }
    }

    /// The networks to fit and those to validate; the latter may be none.
    fn parts(&self, all: &DataSet) -> Result<(Vec<usize>, Vec<usize>), CalibrationError> {
        let wrong = |what, range: String, found| Err(CalibrationError::Settings { what, range, found });
        let (least, rows) = (self.least(), all.measurements());
        if self.part_column.is_some() {
            let (fit, held_out): (Vec<usize>, Vec<usize>) =
                (0..all.len()).partition(|row| rows[*row].part == Some(RowPart::Fit));
            return match fit.len() {
                found if found < least => wrong("networks to fit", format!("at least {least}"), found),
                _ => Ok((fit, held_out)),
            };
        }
        if all.len() < least {
            return match self.warm_start {
                Some(_) => wrong("networks in the file", format!("at least {least}"), all.len()),
                None => {
                    let start = format!("at least {least} (at least {LEAST_WARM_NETWORKS} with --warm-start)");
                    wrong("networks in the file", start, all.len())
                }
            };
        }
        let fifth = all.len() * 4 / 5;
        let count = self.networks.unwrap_or(if fifth < LEAST_NETWORKS { all.len() } else { fifth });
        if !(least..=all.len()).contains(&count) {
            return wrong("networks", format!("from {least} to the {} in the file", all.len()), count);
        }
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.shuffle(&mut crate::seeded(self.seed));
        let held_out = order.split_off(count);
        Ok((order, held_out))
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
    let Reading { data: all, facts } = settings.read()?;
    let (fit, held_out) = settings.parts(&all)?;
    let warm = settings.warm_start.as_deref().map(load_predictor).transpose()?;
    write_canonical(&all, settings.part_column.as_deref(), &out.join(MEASUREMENTS))?;
    let judged = if held_out.is_empty() { &fit } else { &held_out };
    let noise = noise_floor(&all, judged);
    let (fit, held_out) = (all.select(&fit), all.select(&held_out));
    let source = settings.csv.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let source = format!("{source}, column {}", facts.latency_column);
    let (environments, assessments) = (Vec::new(), Vec::new());
    let parts = Measured {
        fit,
        held_out,
        all,
        noise,
        device: None,
        source,
        warm,
        environments,
        ending: None,
        assessments,
        file: Some(facts),
    };
    parts.finish(settings.fit(), out, start)
}

/// What a perfect predictor would be off by on these networks, in percent: the mean distance of a normal variable from
/// its mean, for the deviation that the repeats' noise leaves to each latency. `None` where too few were repeated.
fn noise_floor(all: &DataSet, judged: &[usize]) -> Option<f64> {
    let loads = all.noise()?.loads;
    if all.measurements().iter().all(|row| row.repeats_ms.len() < 2) {
        return None;
    }
    let deviation = |row: &Measurement| {
        let observations: Vec<Observation> = row.repeats_ms.iter().map(|ms| Observation::of(ms.ln())).collect();
        loads.locate(&observations).deviation
    };
    let total: f64 = judged.iter().map(|row| deviation(&all.measurements()[*row])).sum();
    Some(100.0 * (2.0 / std::f64::consts::PI).sqrt() * total / judged.len().max(1) as f64)
}

fn write_canonical(data: &DataSet, part_column: Option<&str>, path: &Path) -> Result<(), CalibrationError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |record: Vec<&str>| writer.write_record(record).map_err(std::io::Error::from);
    write(["architecture", LATENCY_COLUMN, "source"].into_iter().chain(part_column).collect())?;
    for row in data.measurements() {
        let (line, part) = (row.architecture.to_string(), part_column.and(row.part).map(RowPart::name));
        for latency in &row.repeats_ms {
            write([line.as_str(), &latency.to_string(), &row.source].into_iter().chain(part).collect())?;
        }
    }
    let text = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(crate::files::write_atomically(path, &text)?)
}
