//! A calibration from a file of other people's measurements.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::seq::SliceRandom;

use super::finish::{Calibration, Measured};
use super::folder::{MEASUREMENTS, PLAN, load_predictor};
use crate::latency::data::{DataSet, LATENCY_COLUMN};
use crate::latency::error::CalibrationError;
use crate::latency::predict::selection::{FitSettings, LEAST_NETWORKS};

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

    pub(super) fn fit(&self) -> FitSettings {
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
    let (environments, assessments) = (Vec::new(), Vec::new());
    let parts = Measured {
        fit,
        held_out,
        all,
        noise: None,
        device: None,
        source,
        warm,
        environments,
        ending: None,
        assessments,
    };
    parts.finish(settings.fit(), out, start)
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
