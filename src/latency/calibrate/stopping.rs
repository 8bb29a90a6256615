//! When a calibration has measured enough.
//!
//! After every batch the predictor is judged twice: on the validation networks, which no fit sees, and by
//! cross-validation within the fit. Of either list of n absolute relative errors the upper bound is
//! mean + z · (standard deviation) / √n with z = 2.33, the normal quantile of 0.99. The true mean exceeds it about
//! once in a hundred assessments, so that a calibration of five batches stops too early in at most about one case in
//! twenty. The larger bound counts: the error that is stated stays below the target, and not by chance.
//!
//! The measured latencies' own noise is part of these errors. A target below the noise floor is never reached.

use serde::Serialize;

use crate::latency::data::DataSet;
use crate::latency::error::FitError;
use crate::latency::metrics;
use crate::latency::predict::predictor::Predictor;
use crate::latency::predict::selection::FitSettings;
use crate::statistics::deviations_above;

/// The true mean error is below its upper bound in this share of assessments.
const LEVEL: f64 = 0.99;

/// Why the measuring ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppingReason {
    /// Every planned network is measured.
    AllMeasured,
    /// The error is surely below the target.
    ErrorReached,
    /// The next batch would have gone beyond the minutes.
    TimeSpent,
}

impl StoppingReason {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllMeasured => "all planned networks are measured",
            Self::ErrorReached => "the target error is reached",
            Self::TimeSpent => "the next batch would have taken more than the minutes given",
        }
    }
}

/// How good the predictor was after some batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assessment {
    /// Networks in the fit.
    pub networks: usize,
    /// Mean error in percent on the validation networks; where there are none, in cross-validation.
    pub mape: f64,
    /// Mean error in percent in cross-validation within the fit.
    pub cross_validated: f64,
    /// What the true mean error is surely below, in percent.
    pub bound: f64,
}

impl Assessment {
    /// Fits and judges.
    ///
    /// # Errors
    /// As [`Predictor::fit`].
    pub fn of(
        fit: &DataSet,
        held_out: &DataSet,
        warm: Option<&Predictor>,
        settings: FitSettings,
    ) -> Result<Self, FitError> {
        let (predictor, seen) = Predictor::cross_validated_from(warm, fit, settings)?;
        let within: Vec<f64> = seen.iter().map(|prediction| prediction.latency_ms).collect();
        let without: Vec<f64> = (held_out.measurements().iter())
            .map(|row| predictor.predict_for_source(&row.features, &row.source).latency_ms)
            .collect();
        let (within, without) = (errors(&within, &fit.latencies_ms()), errors(&without, &held_out.latencies_ms()));
        let without = if held_out.is_empty() { within.clone() } else { without };
        Ok(Self {
            networks: fit.len(),
            mape: mean(&without),
            cross_validated: mean(&within),
            bound: upper_bound(&within).max(upper_bound(&without)),
        })
    }
}

fn errors(predicted: &[f64], measured: &[f64]) -> Vec<f64> {
    predicted.iter().zip(measured).map(|(p, m)| metrics::mape(&[*p], &[*m])).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// What the mean of the distribution behind these values is surely below; infinite for fewer than two.
fn upper_bound(values: &[f64]) -> f64 {
    let (count, mean) = (values.len() as f64, mean(values));
    if count < 2.0 {
        return f64::INFINITY;
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    mean + deviations_above(LEVEL) * (variance / count).sqrt()
}
