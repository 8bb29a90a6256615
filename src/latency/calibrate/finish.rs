//! The end of a calibration: fit, validate on networks not used for the fit, write the folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::folder::{PREDICTOR, REPORT, VALIDATION};
use super::stopping::{Assessment, StoppingReason};
use crate::device::Description;
use crate::latency::data::DataSet;
use crate::latency::data::reading::FileFacts;
use crate::latency::error::CalibrationError;
use crate::latency::judge::page::page;
use crate::latency::judge::validation::{CurvePoint, Validation};
use crate::latency::predict::predictor::{Prediction, Predictor, Provenance};
use crate::latency::predict::selection::FitSettings;
use crate::report::calibration;

/// What a calibration found; its fields are those of `mnas calibrate --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Networks the validated predictor was fitted to.
    pub networks: usize,
    /// Networks held out; with `cross_validated` none.
    pub validation: usize,
    /// Whether nothing was held out, and the error is that of cross-validation: each network is predicted by models that
    /// have not seen it.
    pub cross_validated: bool,
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
    /// How the file was understood; `null` for a device.
    pub file: Option<FileFacts>,
    /// Why the measuring ended; `null` for a file.
    pub ending: Option<StoppingReason>,
    /// How good the predictor was after each batch but the last; empty where nothing was measured in batches.
    #[serde(rename = "looks")]
    pub assessments: Vec<Assessment>,
    /// What the true mean error is surely below, in percent.
    pub bound: f64,
    /// How long this call took.
    pub seconds: f64,
    /// The folder.
    pub folder: PathBuf,
}

/// The measurements of a calibration.
pub(super) struct Measured {
    pub fit: DataSet,
    pub held_out: DataSet,
    pub all: DataSet,
    pub noise: Option<f64>,
    pub device: Option<Description>,
    pub source: String,
    pub warm: Option<Predictor>,
    pub environments: Vec<Value>,
    pub ending: Option<StoppingReason>,
    pub assessments: Vec<Assessment>,
    pub file: Option<FileFacts>,
}

/// Numbers of networks of the learning curve.
const CURVE: [usize; 9] = [15, 20, 30, 50, 75, 100, 150, 200, 300];

impl Measured {
    /// Writes the folder.
    pub fn finish(self, settings: FitSettings, out: &Path, start: Instant) -> Result<Calibration, CalibrationError> {
        let fitted = |data: &DataSet| -> Result<(Predictor, Vec<Prediction>), CalibrationError> {
            let provenance = Provenance::now(data, self.device.clone(), &self.source);
            let (predictor, unseen) = Predictor::cross_validated_from(self.warm.as_ref(), data, settings)?;
            Ok((predictor.with_provenance(provenance), unseen))
        };
        let (predictor, unseen) = fitted(&self.fit)?;
        let cross_validated = self.held_out.is_empty();
        let mut validation = match cross_validated {
            true => Validation::of_predictions(&predictor, &self.fit, &self.fit, unseen, self.noise)?,
            false => Validation::of(&predictor, &self.fit, &self.held_out, self.noise)?,
        };
        validation.cross_validated = cross_validated;
        let last = Assessment::of(&self.fit, &self.held_out, self.warm.as_ref(), settings)?;
        validation.environments = self.environments.clone();
        for count in CURVE.into_iter().filter(|count| *count < self.fit.len() && !cross_validated) {
            let beginning = self.fit.select(&(0..count).collect::<Vec<_>>());
            let assessment = Assessment::of(&beginning, &self.held_out, self.warm.as_ref(), settings)?;
            validation.curve.push(CurvePoint { networks: count, mape: assessment.mape });
        }
        validation.curve.push(CurvePoint { networks: last.networks, mape: last.mape });
        fitted(&self.all)?.0.save(&out.join(PREDICTOR))?;
        validation.save(&out.join(VALIDATION))?;
        crate::files::write_atomically(&out.join(REPORT), calibration::html(&page(&validation))?.as_bytes())?;
        Ok(Calibration {
            networks: validation.networks,
            validation: self.held_out.len(),
            cross_validated,
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
            file: self.file,
            ending: self.ending,
            assessments: self.assessments,
            bound: last.bound,
            seconds: start.elapsed().as_secs_f64(),
            folder: out.to_owned(),
        })
    }
}
