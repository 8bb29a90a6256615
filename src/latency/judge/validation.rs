//! How good a predictor is on networks it has not seen, with what to compare that to.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::baseline::{CountRegression, Counts};
use crate::latency::data::{DataSet, Measurement};
use crate::latency::error::{CalibrationError, FitError};
use crate::latency::metrics::{Metrics, quantile};
use crate::latency::predict::predictor::{Prediction, Predictor, Provenance};
use crate::latency::predict::selection::{PredictorPart, SourceScale};

/// One held-out network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The network.
    pub architecture: String,
    /// Its measured latency.
    pub measured_ms: f64,
    /// What was predicted, without having seen it.
    #[serde(flatten)]
    pub predicted: Prediction,
    /// What multiply-adds alone predict.
    pub by_madds_ms: f64,
    /// What a regression on multiply-adds, parameters and layers predicts.
    #[serde(default)]
    pub by_counts_ms: f64,
}

/// A validation, as stored in `validation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Networks the validated predictor was fitted to.
    pub networks: usize,
    /// Networks held out; where [`Validation::cross_validated`], those fitted.
    pub validation: usize,
    /// Whether nothing was held out, and each network was predicted by models that have not seen it. The simple baselines
    /// have seen it.
    #[serde(default)]
    pub cross_validated: bool,
    /// The predictor's agreement with the held-out measurements.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// The noise floor in percent: the MAPE of a perfect predictor; `None` where nothing was measured twice.
    pub noise: Option<f64>,
    /// The level the intervals are meant to have, in percent.
    pub level: f64,
    /// Percent of held-out networks inside their interval.
    pub coverage: f64,
    /// Median distance from a prediction to its interval's upper end, in percent.
    pub half_width: f64,
    /// The same agreement for milliseconds proportional to multiply-adds.
    pub by_madds: Metrics,
    /// The same for a linear regression on multiply-adds, parameters and layers.
    #[serde(default)]
    pub by_counts: Metrics,
    /// The regressors that were tried, with their cross-validated errors within the fit part.
    pub candidates: Vec<PredictorPart>,
    /// Scales of several sources.
    pub scales: Vec<SourceScale>,
    /// What was measured.
    pub provenance: Provenance,
    /// Where and when the measurements were made, one entry per session; empty for a file.
    pub environments: Vec<serde_json::Value>,
    /// The error on the held-out networks of predictors that were fitted to the first so many networks.
    pub curve: Vec<CurvePoint>,
    /// Every held-out network.
    pub pairs: Vec<Pair>,
}

/// One point of the learning curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Networks in the fit.
    pub networks: usize,
    /// Mean absolute relative error in percent on the held-out networks.
    pub mape: f64,
}

impl Validation {
    /// Judges a predictor that was fitted to `fit` on `held_out`.
    ///
    /// # Errors
    /// As [`CountRegression::fit`].
    pub fn of(predictor: &Predictor, fit: &DataSet, held_out: &DataSet, noise: Option<f64>) -> Result<Self, FitError> {
        let predict = |row: &Measurement| predictor.predict_for_source(&row.features, &row.source);
        Self::of_predictions(predictor, fit, held_out, held_out.measurements().iter().map(predict).collect(), noise)
    }

    /// The same for predictions that were made elsewhere, one per measurement of `held_out`.
    ///
    /// # Errors
    /// As [`CountRegression::fit`].
    pub fn of_predictions(
        predictor: &Predictor,
        fit: &DataSet,
        held_out: &DataSet,
        predictions: Vec<Prediction>,
        noise: Option<f64>,
    ) -> Result<Self, FitError> {
        let (by_madds, by_counts) =
            (CountRegression::fit(Counts::Madds, fit)?, CountRegression::fit(Counts::All, fit)?);
        let pairs: Vec<Pair> = (held_out.measurements().iter().zip(predictions))
            .map(|(row, predicted)| Pair {
                architecture: row.architecture.to_string(),
                measured_ms: row.latency_ms,
                predicted,
                by_madds_ms: by_madds.latency_ms(&row.features),
                by_counts_ms: by_counts.latency_ms(&row.features),
            })
            .collect();
        let list = |of: fn(&Pair) -> f64| pairs.iter().map(of).collect::<Vec<f64>>();
        let measured = list(|pair| pair.measured_ms);
        let inside = pairs.iter().filter(|pair| pair.covered()).count();
        Ok(Self {
            networks: fit.len(),
            validation: pairs.len(),
            cross_validated: false,
            metrics: Metrics::of(&list(|pair| pair.predicted.latency_ms), &measured),
            noise,
            level: 100.0 * predictor.level(),
            coverage: 100.0 * inside as f64 / pairs.len().max(1) as f64,
            half_width: quantile(&list(|pair| 100.0 * (pair.predicted.high_ms / pair.predicted.latency_ms - 1.0)), 0.5)
                .unwrap_or(0.0),
            by_madds: Metrics::of(&list(|pair| pair.by_madds_ms), &measured),
            by_counts: Metrics::of(&list(|pair| pair.by_counts_ms), &measured),
            candidates: predictor.candidates().to_vec(),
            scales: predictor.scales().to_vec(),
            provenance: predictor.provenance().clone(),
            environments: Vec::new(),
            curve: Vec::new(),
            pairs,
        })
    }

    /// Writes `validation.json`.
    ///
    /// # Errors
    /// What the file system says, with the path.
    pub fn save(&self, path: &Path) -> Result<(), CalibrationError> {
        let mut text = serde_json::to_string_pretty(self).map_err(std::io::Error::from)?;
        text.push('\n');
        Ok(crate::files::write_atomically(path, text.as_bytes())?)
    }
}

impl Pair {
    /// Whether the measured latency lies in the interval.
    pub fn covered(&self) -> bool {
        (self.predicted.low_ms..=self.predicted.high_ms).contains(&self.measured_ms)
    }
}
