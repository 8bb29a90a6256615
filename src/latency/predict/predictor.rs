//! The latency predictor: a first guess times exp(what the Gaussian process over layers expects), with an interval.
//!
//! Fitting and selection are described in [`crate::latency::predict::selection`]. A predictor is stored as one JSON document:
//!
//! ```text
//! { "format": 3, "digest": blake3 of the compact text of "predictor", "predictor": { "provenance": …, "features": […], "model": … } }
//! ```
//! so that a truncated or edited file is told from a sound one, and one of another version from both.
//!
//! ```
//! use mnas::latency::{DataSet, FitSettings, Predictor};
//! use mnas::{network::Network, space::Space};
//!
//! let space = Space::preset("demo")?;
//! let mut random = mnas::seeded(1);
//! let mut data = DataSet::default();
//! for _ in 0..40 {
//!     let architecture = space.decode(&space.sample(&mut random))?;
//!     let madds = Network::expand(&architecture)?.madds();
//!     data.push(&architecture, 1.0 + madds as f64 / 1e7, "")?;
//! }
//! let predictor = Predictor::fit(&data, FitSettings::default())?;
//! let network = Network::expand(&space.decode(&space.sample(&mut random))?)?;
//! let prediction = predictor.predict(&network);
//! assert!((prediction.latency_ms / (1.0 + network.madds() as f64 / 1e7) - 1.0).abs() < 0.02);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::model::{LatencyModel, StoredModel};
use super::selection::{self, FitRecord, FitSettings, PredictorPart, SourceScale};
use crate::device::Description;
use crate::latency::data::DataSet;
use crate::latency::data::features::{COUNT, Feature, Features};
use crate::latency::error::{FitError, PredictorError};
use crate::network::Network;

/// Version of the file's layout and of the features.
const FORMAT: u32 = 4;

/// A predicted latency with the interval that holds the measured one with the predictor's nominal level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Milliseconds.
    pub latency_ms: f64,
    /// Lower end of the interval.
    pub low_ms: f64,
    /// Upper end of the interval.
    pub high_ms: f64,
}

impl Prediction {
    /// Latency, low and high end.
    pub fn numbers(&self) -> [f64; 3] {
        [self.latency_ms, self.low_ms, self.high_ms]
    }
}

/// Where a predictor comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The device that was measured; `None` where the measurements came from a file.
    pub device: Option<Description>,
    /// What was measured: the space's name, or the file.
    pub source: String,
    /// When it was fitted.
    pub date: jiff::Timestamp,
    /// Digest of the measurements (see [`DataSet::digest`]).
    pub data_hash: String,
    /// Networks in the fit.
    pub networks: usize,
    /// Version of this program.
    pub mnas_version: String,
}

impl Provenance {
    /// Of a fit to `data`, now.
    pub fn now(data: &DataSet, device: Option<Description>, source: &str) -> Self {
        Self {
            device,
            source: source.to_owned(),
            date: jiff::Timestamp::now(),
            data_hash: data.digest(),
            networks: data.len(),
            mnas_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A fitted predictor.
#[derive(Debug, Clone)]
pub struct Predictor {
    model: Arc<LatencyModel>,
    judged: FitRecord,
    provenance: Provenance,
}

/// The `predictor` of the file.
#[derive(Serialize, Deserialize)]
struct Stored {
    provenance: Provenance,
    features: Vec<String>,
    judged: FitRecord,
    model: StoredModel,
}

/// The whole file.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    digest: String,
    predictor: Stored,
}

impl Predictor {
    /// Fits measurements. Deterministic for equal data and settings; well under a second for 300 networks.
    ///
    /// # Errors
    /// [`FitError`]: too few networks, or numbers that no regressor can handle.
    pub fn fit(data: &DataSet, settings: FitSettings) -> Result<Self, FitError> {
        Ok(Self::cross_validated_from(None, data, settings)?.0)
    }

    /// Fits measurements of a device of which another one's predictor is a good first guess: far fewer suffice.
    ///
    /// # Errors
    /// As [`Predictor::fit`].
    pub fn warm_started(data: &DataSet, other: &Predictor, settings: FitSettings) -> Result<Self, FitError> {
        Ok(Self::cross_validated_from(Some(other), data, settings)?.0)
    }

    /// Fits measurements as this predictor was fitted, from the same other device's predictor if it had one, and gives
    /// beside the new predictor what models that had not seen a measurement made of it.
    ///
    /// # Errors
    /// As [`Predictor::fit`].
    pub fn refitted(&self, data: &DataSet, settings: FitSettings) -> Result<(Self, Vec<Prediction>), FitError> {
        let other = self.model.other().map(|model| Self { model: model.clone(), ..self.clone() });
        Self::cross_validated_from(other.as_ref(), data, settings)
    }

    /// Fits measurements and gives beside the predictor what models that had not seen a measurement made of it.
    ///
    /// # Errors
    /// As [`Predictor::fit`].
    pub fn cross_validated(data: &DataSet, settings: FitSettings) -> Result<(Self, Vec<Prediction>), FitError> {
        Self::cross_validated_from(None, data, settings)
    }

    /// Fits measurements, from another device's predictor if one is given, and gives beside the predictor what models
    /// that had not seen a measurement made of it.
    ///
    /// # Errors
    /// As [`Predictor::fit`].
    pub fn cross_validated_from(
        other: Option<&Predictor>,
        data: &DataSet,
        settings: FitSettings,
    ) -> Result<(Self, Vec<Prediction>), FitError> {
        let found = selection::fit(data, other.map(|other| &other.model), settings)?;
        let provenance = Provenance::now(data, None, "");
        let predictor = Self { model: Arc::new(found.model), judged: found.judged, provenance };
        let held_out = found.held_out.into_iter().map(|expected| predictor.interval(expected)).collect();
        Ok((predictor, held_out))
    }

    /// The same predictor, of which it is known what was measured.
    pub fn with_provenance(mut self, provenance: Provenance) -> Self {
        self.provenance = provenance;
        self
    }

    /// The latency of a network on the device (on the reference source's scale, if there were several).
    pub fn predict(&self, network: &Network) -> Prediction {
        self.predict_features(&Features::of(network))
    }

    /// The latency of a network with these features.
    pub fn predict_features(&self, features: &Features) -> Prediction {
        self.interval(self.model.predict(features))
    }

    /// The latency as `source` measures it.
    pub fn predict_for_source(&self, features: &Features, source: &str) -> Prediction {
        let (latency_ms, deviation) = self.model.predict(features);
        self.interval((latency_ms * selection::scale_of(&self.judged.scales, source), deviation))
    }

    /// The interval around a predicted latency, from the deviation of its logarithm.
    fn interval(&self, (latency_ms, deviation): (f64, f64)) -> Prediction {
        let factor = (self.judged.deviations * deviation).exp();
        Prediction { latency_ms, low_ms: latency_ms / factor, high_ms: latency_ms * factor }
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Share of networks the interval is meant to hold.
    pub fn level(&self) -> f64 {
        self.judged.level
    }

    /// The parts of the predictor with their cross-validated errors, the simplest first; the last is used.
    pub fn candidates(&self) -> &[PredictorPart] {
        &self.judged.candidates
    }

    /// Every source's scale; one entry of 1 if there was but one.
    pub fn scales(&self) -> &[SourceScale] {
        &self.judged.scales
    }

    /// The networks it was fitted to, those of another device's predictor that it started from included.
    pub fn fitted_networks(&self) -> Vec<Features> {
        let models = std::iter::successors(Some(&self.model), |model| model.other());
        let lines = models.flat_map(|model| &model.stored().networks);
        // Whatever is stored was read once.
        lines.filter_map(|line| Some(Features::of(&Network::expand(&crate::space::parse(line).ok()?).ok()?))).collect()
    }

    /// Writes the JSON document.
    ///
    /// # Errors
    /// What the file system says, with the path.
    pub fn save(&self, path: &Path) -> Result<(), PredictorError> {
        let predictor = Stored {
            provenance: self.provenance.clone(),
            features: Feature::ALL.iter().map(|feature| feature.name().to_owned()).collect(),
            judged: self.judged.clone(),
            model: self.model.stored().clone(),
        };
        let document = Document { format: FORMAT, digest: digest(&predictor)?, predictor };
        let mut text = serde_json::to_string_pretty(&document).map_err(PredictorError::Encode)?;
        text.push('\n');
        Ok(crate::files::write_atomically(path, text.as_bytes())?)
    }

    /// Reads what [`Predictor::save`] wrote.
    ///
    /// # Errors
    /// [`PredictorError`], which names the file and says what to do: unreadable, truncated, edited, of another version.
    pub fn load(path: &Path) -> Result<Self, PredictorError> {
        let name = || path.display().to_string();
        let text = fs_err::read_to_string(path)?;
        let document: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| PredictorError::Broken { path: name(), error })?;
        let format = document.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT)) {
            let found = format.map_or("none".to_owned(), |format| format.to_string());
            return Err(PredictorError::Version { path: name(), expected: FORMAT, found });
        }
        let document: Document =
            serde_json::from_str(&text).map_err(|error| PredictorError::Broken { path: name(), error })?;
        if digest(&document.predictor)? != document.digest {
            return Err(PredictorError::Edited { path: name() });
        }
        document.predictor.check().map_err(|problem| PredictorError::Content { path: name(), problem })
    }
}

impl Stored {
    fn check(self) -> Result<Predictor, String> {
        let known = Feature::ALL.iter().map(|feature| feature.name());
        if !self.features.iter().map(String::as_str).eq(known) {
            return Err(format!("its {} features are not the {COUNT} this program reads", self.features.len()));
        }
        let Self { provenance, judged, model, .. } = self;
        Ok(Predictor { model: Arc::new(LatencyModel::from_stored(model)?), judged, provenance })
    }
}

fn digest(predictor: &Stored) -> Result<String, PredictorError> {
    let text = serde_json::to_vec(predictor).map_err(PredictorError::Encode)?;
    Ok(blake3::hash(&text).to_hex().to_string())
}
