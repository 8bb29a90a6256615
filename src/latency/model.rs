//! First guess and process together: features in, expected latency and its deviation out.
//!
//! The guess is either made of rates, or another device's whole model times a factor: then the process learns only
//! how the devices differ, which takes far fewer measurements (a *warm start*).
//!
//! What is known of a layer's shape is worked out when the shape is first met and kept, so that a prediction is a sum
//! over a network's distinct layers. What is kept never changes a result.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::FitError;
use super::features::{Features, LayerShape};
use super::process::{Expected, Known, Parameters, Process};
use super::rates::Rates;
use crate::device::statistics::median;
use crate::network::Network;

/// A model as it is stored: what was chosen, and the measurements it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredModel {
    pub guess: StoredGuess,
    pub parameters: Parameters,
    /// The lines of the networks that were fitted.
    pub networks: Vec<String>,
    /// ln(latency / first guess) of each.
    pub residuals: Vec<f64>,
}

/// A first guess as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredGuess {
    /// Milliseconds per unit of work.
    Rates(Rates),
    /// Another device's model.
    Warm { factor: f64, model: Box<StoredModel> },
}

/// A first guess at a latency.
#[derive(Debug, Clone)]
pub(super) enum Guess {
    Rates(Rates),
    Warm { factor: f64, model: Arc<Model> },
}

impl Guess {
    /// Fits rates, or a factor to another device's model.
    pub fn fit(warm: Option<&Arc<Model>>, rows: &[&Features], latencies_ms: &[f64]) -> Self {
        let Some(model) = warm else { return Self::Rates(Rates::fit(rows, latencies_ms)) };
        let ratios: Vec<f64> = rows.iter().zip(latencies_ms).map(|(row, ms)| ms / model.predict(row).0).collect();
        Self::Warm { factor: median(&ratios), model: model.clone() }
    }

    /// Milliseconds per unit of work, up to a factor for all.
    pub fn rates(&self) -> &Rates {
        match self {
            Self::Rates(rates) => rates,
            Self::Warm { model, .. } => model.guess.rates(),
        }
    }

    /// Milliseconds for a network.
    pub fn latency_ms(&self, features: &Features) -> f64 {
        match self {
            Self::Rates(rates) => rates.latency_ms(features),
            Self::Warm { factor, model } => factor * model.predict(features).0,
        }
    }

    /// What the process below it is expected to have to correct.
    pub fn expected(&self) -> Parameters {
        match self {
            Self::Rates(_) => Parameters::EXPECTED,
            Self::Warm { .. } => Parameters::EXPECTED_WARM,
        }
    }

    fn stored(&self) -> StoredGuess {
        match self {
            Self::Rates(rates) => StoredGuess::Rates(rates.clone()),
            Self::Warm { factor, model } => {
                StoredGuess::Warm { factor: *factor, model: Box::new(model.stored.clone()) }
            }
        }
    }
}

/// A model ready to predict.
pub(super) struct Model {
    guess: Guess,
    process: Process,
    device: Known,
    known: RwLock<HashMap<LayerShape, Known, foldhash::fast::FixedState>>,
    stored: StoredModel,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stored.fmt(formatter)
    }
}

impl Model {
    /// Fits the process below a guess.
    pub fn fit(
        guess: Guess,
        parameters: Parameters,
        rows: &[&Features],
        lines: Vec<String>,
        latencies_ms: &[f64],
    ) -> Result<Self, FitError> {
        let residuals = rows.iter().zip(latencies_ms).map(|(row, ms)| (ms / guess.latency_ms(row)).ln()).collect();
        let stored = StoredModel { guess: guess.stored(), parameters, networks: lines, residuals };
        Self::ready(guess, stored, rows)
    }

    fn ready(guess: Guess, stored: StoredModel, rows: &[&Features]) -> Result<Self, FitError> {
        let guesses: Vec<f64> = rows.iter().map(|row| guess.latency_ms(row)).collect();
        let process = Process::fit(stored.parameters, rows, guess.rates(), &guesses, &stored.residuals)?;
        let device = process.know_device();
        Ok(Self { guess, process, device, known: RwLock::default(), stored })
    }

    /// A model from a file.
    ///
    /// # Errors
    /// What does not fit together, in words.
    pub fn from_stored(stored: StoredModel) -> Result<Self, String> {
        let guess = match &stored.guess {
            StoredGuess::Rates(rates) if rates.is_consistent() => Guess::Rates(rates.clone()),
            StoredGuess::Rates(_) => return Err("its rates are not one positive number per kind of work".to_owned()),
            StoredGuess::Warm { factor, model } => {
                Guess::Warm { factor: *factor, model: Arc::new(Self::from_stored((**model).clone())?) }
            }
        };
        if stored.networks.len() != stored.residuals.len() || stored.networks.is_empty() {
            return Err("its arrays have lengths that do not fit together".to_owned());
        }
        let read = |line: &String| {
            let architecture = crate::space::parse(line).map_err(|error| error.to_string())?;
            Ok(Features::of(&Network::expand(&architecture).map_err(|error| error.to_string())?))
        };
        let rows = stored.networks.iter().map(read).collect::<Result<Vec<Features>, String>>()?;
        Self::ready(guess, stored, &rows.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())
    }

    /// The other device's model that is the first guess, if it is one.
    pub fn other(&self) -> Option<&Arc<Model>> {
        match &self.guess {
            Guess::Rates(_) => None,
            Guess::Warm { model, .. } => Some(model),
        }
    }

    /// As it is stored.
    pub fn stored(&self) -> &StoredModel {
        &self.stored
    }

    /// A network's expected latency in milliseconds, and the standard deviation of its measurement's logarithm.
    pub fn predict(&self, features: &Features) -> (f64, f64) {
        loop {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let layers = features.shapes().iter().map(|(shape, count)| Some((known.get(shape)?, *count)));
            if let Some(layers) = layers.collect::<Option<Vec<_>>>() {
                return self.predict_layers(features, &layers);
            }
            drop(known);
            self.know(features);
        }
    }

    fn predict_layers(&self, features: &Features, layers: &[(&Known, u32)]) -> (f64, f64) {
        let guess_ms = match &self.guess {
            Guess::Rates(_) => layers.iter().map(|(known, count)| f64::from(*count) * known.guess_ms).sum(),
            warm @ Guess::Warm { .. } => warm.latency_ms(features),
        };
        let Expected { mean, deviation } = self.process.expect(&self.device, layers, guess_ms);
        (guess_ms * mean.exp(), deviation)
    }

    /// Works out what is not known yet.
    fn know(&self, features: &Features) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (shape, _) in features.shapes() {
            known.entry(*shape).or_insert_with(|| self.process.know(*shape, self.guess.rates()));
        }
    }
}
