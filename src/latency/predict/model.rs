//! First guess and process together: features in, expected latency and its deviation out.
//!
//! The guess is either made of fitted rates, or of what is known of another device (a *warm start*): rates near its
//! rates, and half of what its own process adds to these in logarithms, or all of it where that is likelier. Then the
//! process learns only how the devices differ, which takes far fewer measurements. (Kennedy and O'Hagan, "Predicting the
//! output from a complex computer code when fast approximations are available", 2000, equation 1: the dearer code is ρ
//! times the cheaper one and a process of its own.) From 15 random networks of a host with a second thread, errors were
//! 4.9 % with nothing of the process, 3.8 % with half and 3.7 % with all of it; without XNNPACK 5.3, 5.2 and 6.1 %.
//!
//! What is known of a layer's shape is worked out when the shape is first met and kept, so that a prediction is a sum
//! over a network's distinct layers. What is kept never changes a result.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::process::{Expected, HyperParameters, LayerPosterior, LayerProcess};
use super::rates::Rates;
use crate::latency::data::features::{Features, LayerShape};
use crate::latency::error::FitError;
use crate::network::Network;

/// A model as it is stored: what was chosen, and the measurements it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredModel {
    pub guess: StoredGuess,
    pub parameters: HyperParameters,
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
    /// Rates around another device's, and that share of what its process adds to its own.
    Warm { rates: Rates, transfer: f64, model: Box<StoredModel> },
}

/// What a fit may start from: another device's model, and the share of its process that is taken over.
#[derive(Debug, Clone, Copy)]
pub(super) struct WarmStart<'a> {
    pub model: &'a Arc<LatencyModel>,
    pub transfer: f64,
}

/// A first guess at a latency.
#[derive(Debug, Clone)]
pub(super) enum Guess {
    Rates(Rates),
    Warm { rates: Rates, transfer: f64, model: Arc<LatencyModel> },
}

impl Guess {
    /// Fits rates: around typical ones, or around another device's.
    pub fn fit(warm: Option<WarmStart<'_>>, rows: &[&Features], latencies_ms: &[f64]) -> Self {
        let Some(WarmStart { model, transfer }) = warm else { return Self::Rates(Rates::fit(rows, latencies_ms)) };
        let rest = |(row, ms): (&&Features, &f64)| ms / model.beside_rates(row).powf(transfer);
        let rest: Vec<f64> = rows.iter().zip(latencies_ms).map(rest).collect();
        Self::Warm { rates: Rates::fit_near(model.guess.rates(), rows, &rest), transfer, model: model.clone() }
    }

    /// Milliseconds per unit of work.
    pub fn rates(&self) -> &Rates {
        match self {
            Self::Rates(rates) | Self::Warm { rates, .. } => rates,
        }
    }

    /// Milliseconds for a network.
    pub fn latency_ms(&self, features: &Features) -> f64 {
        self.rates().latency_ms(features) * self.transferred(features)
    }

    /// The factor that is taken over from another device's process.
    fn transferred(&self, features: &Features) -> f64 {
        match self {
            Self::Rates(_) => 1.0,
            Self::Warm { transfer, model, .. } => model.beside_rates(features).powf(*transfer),
        }
    }

    /// What the process below it is expected to have to correct.
    pub fn expected(&self) -> HyperParameters {
        match self {
            Self::Rates(_) => HyperParameters::EXPECTED,
            Self::Warm { .. } => HyperParameters::EXPECTED_WARM,
        }
    }

    fn stored(&self) -> StoredGuess {
        match self {
            Self::Rates(rates) => StoredGuess::Rates(rates.clone()),
            Self::Warm { rates, transfer, model } => {
                StoredGuess::Warm { rates: rates.clone(), transfer: *transfer, model: Box::new(model.stored.clone()) }
            }
        }
    }
}

/// A model ready to predict.
pub(super) struct LatencyModel {
    guess: Guess,
    process: LayerProcess,
    device: LayerPosterior,
    known: RwLock<HashMap<LayerShape, LayerPosterior, foldhash::fast::FixedState>>,
    stored: StoredModel,
}

impl std::fmt::Debug for LatencyModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stored.fmt(formatter)
    }
}

impl LatencyModel {
    /// Fits the process below a guess.
    pub fn fit(
        guess: Guess,
        parameters: HyperParameters,
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
        let process = LayerProcess::fit(stored.parameters, rows, guess.rates(), &guesses, &stored.residuals)?;
        let device = process.device_posterior();
        Ok(Self { guess, process, device, known: RwLock::default(), stored })
    }

    /// A model from a file.
    ///
    /// # Errors
    /// What does not fit together, in words.
    pub fn from_stored(stored: StoredModel) -> Result<Self, String> {
        let guess = match &stored.guess {
            StoredGuess::Rates(rates) | StoredGuess::Warm { rates, .. } if !rates.is_consistent() => {
                return Err("its rates are not one positive number per kind of work".to_owned());
            }
            StoredGuess::Rates(rates) => Guess::Rates(rates.clone()),
            StoredGuess::Warm { rates, transfer, model } => {
                let (rates, model) = (rates.clone(), Arc::new(Self::from_stored((**model).clone())?));
                Guess::Warm { rates, transfer: *transfer, model }
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
    pub fn other(&self) -> Option<&Arc<LatencyModel>> {
        match &self.guess {
            Guess::Rates(_) => None,
            Guess::Warm { model, .. } => Some(model),
        }
    }

    /// Its first guess.
    pub fn guess(&self) -> &Guess {
        &self.guess
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

    fn predict_layers(&self, features: &Features, layers: &[(&LayerPosterior, u32)]) -> (f64, f64) {
        let by_rates: f64 = layers.iter().map(|(known, count)| f64::from(*count) * known.guess_ms).sum();
        let guess_ms = by_rates * self.guess.transferred(features);
        let Expected { mean, deviation } = self.process.expect(&self.device, layers, guess_ms);
        (guess_ms * mean.exp(), deviation)
    }

    /// By what factor the device differs on a network from its own rates.
    fn beside_rates(&self, features: &Features) -> f64 {
        self.predict(features).0 / self.guess.rates().latency_ms(features)
    }

    /// Works out what is not known yet.
    fn know(&self, features: &Features) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (shape, _) in features.shapes() {
            known.entry(*shape).or_insert_with(|| self.process.layer_posterior(*shape, self.guess.rates()));
        }
    }
}
