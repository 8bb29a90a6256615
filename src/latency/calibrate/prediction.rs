//! What a predictor says of networks, alone and beside the measurements of a file.

use serde::Serialize;

use super::csv::CsvSettings;
use crate::latency::data::reading::{FileFacts, Reading};
use crate::latency::error::{CalibrationError, FitError};
use crate::latency::judge::drift::Alarm;
use crate::latency::judge::misfit::Misfit;
use crate::latency::judge::validation::{Pair, Validation};
use crate::latency::predict::predictor::{Prediction, Predictor};
use crate::network::Network;
use crate::space::Architecture;

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
    /// Whether the device of the predictor given has drifted, by the file's networks in order; `null` where it has not,
    /// where something else than drift is why the two do not fit, or where no predictor was given.
    pub drift: Option<Alarm>,
    /// Why the file does not fit the predictor given; `null` where it does, or where none was given.
    pub misfit: Option<Misfit>,
    /// What to do about that, in words.
    pub advice: Option<String>,
    /// How the file was understood.
    pub file: FileFacts,
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
    let Reading { data, facts } = settings.read()?;
    if data.is_empty() {
        return Err(FitError::TooFew { found: 0, least: 1 }.into());
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
    let misfit = predictor.and_then(|predictor| Misfit::of(predictor, &data, &pairs, coverage));
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
        drift: misfit.as_ref().and_then(Misfit::alarm),
        advice: misfit.as_ref().map(Misfit::to_string),
        misfit,
        file: facts,
    })
}
