//! What a run knows about latencies: what it measured, and a predictor for the rest.
//!
//! The predictor is fitted once, to the calibration's measurements or the run's own first ones. What the timings of the
//! loop say beyond it, ln(measured / predicted), is learnt by a Gaussian process over the tokens ([`super::surrogate`]),
//! which starts from the predictor's held-out errors on those first networks. So a predictor that is a fifth off where
//! the search goes is corrected by the first few timings there, and what is left uncertain is known. An open step's
//! timings are never part of it: a step that is interrupted and repeated must choose as it did before.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Instant;

use super::anchors::Anchors;
use super::candidate::Candidate;
use super::control::Control;
use super::options::Settings;
use super::surrogate::{Layout, Normal, Process};
use super::{Search, SearchError, training_seed};
use crate::device::session::{self, Plan, Statistic};
use crate::device::{Device, DeviceError};
use crate::latency::calibrate::MEASUREMENTS;
use crate::latency::data::LATENCY_COLUMN;
use crate::latency::measure::model_for;
use crate::latency::metrics;
use crate::latency::plan::{CalibrationSettings, Part, Planned, plan};
use crate::latency::{DataSet, FitSettings, Prediction, Predictor};
use crate::network::Network;
use crate::search::progress::Progress;
use crate::space::{Architecture, Space};
use crate::store::{Ledger, Measurement, Purpose};

/// Name of the copy of the calibration's measurements among the run's settings: its artefact's hash.
pub(super) const CALIBRATION: &str = "calibration";

/// Fewest residuals the process is trusted with; below, the predictor's own interval stands.
const LEAST_RESIDUALS: usize = 10;
/// Half the width of a 90 % interval in standard deviations.
const DEVIATIONS: f64 = 1.645;

/// See the module's text.
pub struct Latencies {
    predictor: Predictor,
    /// ln(measured / predicted).
    residual: Process,
    /// Where in `residual` a network timed by the loop stands.
    learnt: HashMap<String, usize>,
    space: Space,
    measured: HashMap<String, Measurement>,
    /// Digests measured in the open step, not in `residual` yet.
    open: Vec<String>,
    anchors: Anchors,
}

impl Latencies {
    /// Everything the run knows. Where it has no calibration, measures its first networks now.
    ///
    /// # Errors
    /// An unreadable calibration, a device that fails, or a stop request.
    pub fn open(search: &mut Search<'_>, control: &Control) -> Result<Self, SearchError> {
        if search.ledger.setting(CALIBRATION)?.is_none() {
            warm_up(search, control)?;
        }
        Self::read(search.ledger, search.settings)
    }

    /// Everything the run has in its ledger; it needs its first measurements.
    ///
    /// # Errors
    /// An unreadable calibration, or too few measurements.
    pub fn read(ledger: &Ledger, settings: &Settings) -> Result<Self, SearchError> {
        Self::read_until(ledger, settings, ledger.steps()?.len() as u64)
    }

    /// Everything the run knew when it had closed that many steps.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_until(ledger: &Ledger, settings: &Settings, closed: u64) -> Result<Self, SearchError> {
        let mut data = calibration(ledger)?;
        let (first, later): (Vec<_>, Vec<_>) =
            ledger.measurements()?.into_iter().partition(|m| m.purpose == Purpose::WarmUp);
        let source = main_source(&data);
        for measurement in &first {
            data.push(&architecture(measurement)?, measurement.latency_ms, &source)?;
        }
        let mut latencies = Self::new(&data, &settings.space, settings.seed)?;
        for measurement in later {
            if measurement.step <= closed {
                latencies.learn(&measurement)?;
            }
            latencies.measured.insert(measurement.digest.clone(), measurement);
        }
        Ok(latencies)
    }

    fn new(data: &DataSet, space: &Space, seed: u64) -> Result<Self, SearchError> {
        let (predictor, held_out) = Predictor::cross_validated(data, FitSettings { seed, ..FitSettings::default() })?;
        let mut residual = Process::new(Layout::of(space));
        for (measurement, held_out) in data.measurements().iter().zip(&held_out) {
            // A calibration may hold networks of other spaces.
            if let Ok(tokens) = space.encode(&measurement.architecture) {
                residual.extend([(tokens.as_slice(), (measurement.latency_ms / held_out.latency_ms).ln())]);
            }
        }
        Ok(Self {
            predictor,
            residual,
            learnt: HashMap::new(),
            space: space.clone(),
            measured: HashMap::new(),
            open: Vec::new(),
            anchors: Anchors::of(data)?,
        })
    }

    /// What the calibrated predictor alone says of ln(latency), by its own interval.
    pub fn prior(&self, network: &Network) -> Normal {
        let Prediction { latency_ms, low_ms, high_ms } = self.predictor.predict(network);
        Normal { mean: latency_ms.ln(), deviation: (high_ms / low_ms).ln() / (2.0 * DEVIATIONS) }
    }

    /// What is believed of ln(latency) of a network of the space, given what the predictor says of it.
    pub fn believe(&self, tokens: &[usize], prior: Normal) -> Normal {
        if self.residual.len() < LEAST_RESIDUALS {
            return prior;
        }
        let Normal { mean, deviation } = self.residual.posterior(tokens).normal;
        Normal { mean: prior.mean + mean, deviation }
    }

    /// The mean of [`Self::believe`], cheaply, also for a network that the loop has timed.
    pub fn mean(&self, digest: &str, tokens: &[usize], prior: Normal) -> f64 {
        if self.residual.len() < LEAST_RESIDUALS {
            return prior.mean;
        }
        let residual = self.learnt.get(digest).map(|index| self.residual.fitted(*index));
        prior.mean + residual.unwrap_or_else(|| self.residual.mean(tokens))
    }

    /// The prediction for a candidate, with the interval that nine of ten timings should fall into.
    pub fn predict(&self, tokens: &[usize], network: &Network) -> Prediction {
        let Normal { mean, deviation } = self.believe(tokens, self.prior(network));
        let half_width = DEVIATIONS * deviation.hypot(self.residual.noise());
        Prediction { latency_ms: mean.exp(), low_ms: (mean - half_width).exp(), high_ms: (mean + half_width).exp() }
    }

    /// The predicted latency of a candidate in milliseconds.
    pub fn expected(&self, candidate: &Candidate) -> f64 {
        let tokens = &candidate.proposal.tokens;
        self.mean(&candidate.digest, tokens, self.prior(&candidate.network)).exp()
    }

    /// The latency measured inside the loop.
    pub fn measured(&self, digest: &str) -> Option<f64> {
        self.measured.get(digest).map(|measurement| measurement.latency_ms)
    }

    /// The latency measured by a step before this one.
    pub fn measured_before(&self, digest: &str, step: u64) -> Option<f64> {
        self.measured.get(digest).filter(|measurement| measurement.step < step).map(|m| m.latency_ms)
    }

    /// Networks of known latency, to be timed along with others.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// Learns from the step's measurements.
    ///
    /// # Errors
    /// A line of the ledger that is no network of the space.
    pub fn close_step(&mut self) -> Result<(), SearchError> {
        for digest in std::mem::take(&mut self.open) {
            if let Some(measurement) = self.measured.get(&digest).cloned() {
                self.learn(&measurement)?;
            }
        }
        Ok(())
    }

    fn learn(&mut self, measurement: &Measurement) -> Result<(), SearchError> {
        let architecture = architecture(measurement)?;
        let tokens = self.space.encode(&architecture).map_err(crate::space::SpaceError::from)?;
        let predicted = self.prior(&Network::expand(&architecture)?).mean;
        self.learnt.insert(measurement.digest.clone(), self.residual.len());
        self.residual.extend([(tokens.as_slice(), measurement.latency_ms.ln() - predicted)]);
        Ok(())
    }
}

/// The architecture of a stored line.
fn architecture(measurement: &Measurement) -> Result<Architecture, SearchError> {
    crate::space::parse(&measurement.architecture).map_err(|error| SearchError::Ledger(error.to_string()))
}

fn fit(data: &DataSet, seed: u64) -> Result<Predictor, SearchError> {
    Ok(Predictor::fit(data, FitSettings { seed, ..FitSettings::default() })?)
}

/// The source of most measurements; a predictor gives each source a scale of its own.
fn main_source(data: &DataSet) -> String {
    data.sources().into_iter().max_by_key(|source| source.networks).map(|source| source.source).unwrap_or_default()
}

/// The file of measurements of the calibration that the search file names, checked; `None` if it names none.
///
/// # Errors
/// A calibration that cannot be read.
pub fn read_calibration(settings: &Settings) -> Result<Option<Vec<u8>>, SearchError> {
    let Some(folder) = &settings.device.predictor else { return Ok(None) };
    let path = folder.join(MEASUREMENTS);
    let data = DataSet::read(&path, LATENCY_COLUMN)?;
    fit(&data, settings.seed)?;
    Ok(Some(fs_err::read(&path)?))
}

/// The run's copy of its calibration's measurements; empty if it has none.
fn calibration(ledger: &Ledger) -> Result<DataSet, SearchError> {
    match ledger.setting(CALIBRATION)? {
        Some(hash) => Ok(DataSet::read(&ledger.artefact(&hash), LATENCY_COLUMN)?),
        None => Ok(DataSet::default()),
    }
}

/// Measures networks of the space before the first step, one after the other, as far as the ledger lacks them.
fn warm_up(search: &mut Search<'_>, control: &Control) -> Result<(), SearchError> {
    // A tiny space is not measured empty.
    let half = usize::try_from(search.settings.space.size() / 2u8).unwrap_or(usize::MAX);
    let wanted = search.settings.search.warm_up_measurements.min(half);
    let progress = Progress::new("measuring", wanted as u64, 0, control.progress.visible());
    let mut settings = CalibrationSettings::new(search.settings.space.clone());
    settings.networks = wanted;
    (settings.validation, settings.repeats) = (1, 0);
    settings.seed = search.settings.seed;
    settings.limits = search.settings.limits;
    for Planned { architecture, part } in plan(&settings)? {
        if part != Part::Fit {
            continue;
        }
        control.check()?;
        let network = Network::expand(&architecture)?;
        let digest = network.digest();
        if search.ledger.measurement(0, &digest, Purpose::WarmUp)?.is_none() {
            let asked = Asked { architecture: &architecture, digest: &digest, predicted: None };
            let measured = measure(search.settings, &mut *search.device, &[asked], None, 0)?;
            for measurement in measured {
                search.ledger.add_measurement(&measurement)?;
            }
        }
        progress.evaluated();
    }
    progress.finish();
    Ok(())
}

impl Search<'_> {
    /// Times the networks the ledger has no timing of, together in interleaved rounds, and stores each. Returns the
    /// predictor's mean absolute percentage error over all of them, and the device's drift.
    pub(super) fn time(
        &mut self,
        networks: &[Candidate],
        step: u64,
        latencies: &mut Latencies,
        control: &Control,
    ) -> Result<Timed, SearchError> {
        control.check()?;
        let open: Vec<Asked<'_>> = networks
            .iter()
            .filter(|candidate| latencies.measured(&candidate.digest).is_none())
            .map(|candidate| Asked {
                architecture: &candidate.architecture,
                digest: &candidate.digest,
                predicted: Some(latencies.predict(&candidate.proposal.tokens, &candidate.network)),
            })
            .collect();
        for measurement in measure(self.settings, &mut *self.device, &open, Some(latencies.anchors()), step)? {
            self.ledger.add_measurement(&measurement)?;
            latencies.measured.insert(measurement.digest.clone(), measurement);
        }
        // Those that were measured before an interruption of this very step count as measured in it, too.
        latencies.open = networks.iter().map(|candidate| candidate.digest.clone()).collect();
        let measured = || networks.iter().filter_map(|candidate| latencies.measured.get(&candidate.digest));
        let pair = |m: &Measurement| Some((m.predicted_ms?[0], m.latency_ms));
        let (predicted, timed): (Vec<f64>, Vec<f64>) = measured().filter_map(pair).unzip();
        Ok(Timed {
            prediction_mape: (!timed.is_empty()).then(|| metrics::mape(&predicted, &timed)),
            drift: measured().find_map(|measurement| measurement.drift),
        })
    }
}

/// What timing some networks told beside their latencies.
pub(super) struct Timed {
    /// Mean absolute percentage error of the predictions.
    pub prediction_mape: Option<f64>,
    /// How much slower the device was than when it was calibrated.
    pub drift: Option<f64>,
}

/// A network whose timing is wanted.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub architecture: &'a Architecture,
    pub digest: &'a str,
    pub predicted: Option<Prediction>,
}

impl Asked<'_> {
    /// Whether a model of this name is this network's.
    fn is(&self, model: &str) -> bool {
        self.architecture.to_string() == model
    }
}

/// Times networks: before the first step as they are, within the loop beside the anchors and freed of the drift.
fn measure(
    settings: &Settings,
    device: &mut dyn Device,
    asked: &[Asked<'_>],
    anchors: Option<&Anchors>,
    step: u64,
) -> Result<Vec<Measurement>, SearchError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let start = Instant::now();
    let mut models = Vec::new();
    for one in asked {
        models.push(model_for(device, one.architecture)?);
    }
    models.extend(anchors.iter().flat_map(|anchors| anchors.models().iter().cloned()));
    let plan = Plan { rounds: settings.device.loads, seed: training_seed(settings.seed, asked[0].digest) };
    // Whoever asks the search to stop waits for the session to end: half of one would be of no use.
    let session = match session::measure(device, &models, &plan, Vec::new(), &mut |_| ControlFlow::Continue(())) {
        // A network the device cannot run costs itself alone; whoever asked for it goes on with a prediction.
        Err(DeviceError::Model { model, problem, .. }) if asked.iter().any(|one| one.is(&model)) => {
            tracing::warn!("the device cannot time this network, which is left out: {problem}: {model}");
            let rest: Vec<Asked<'_>> = asked.iter().filter(|one| !one.is(&model)).copied().collect();
            return measure(settings, device, &rest, anchors, step);
        }
        session => session?,
    };
    let seconds = start.elapsed().as_secs_f64() / asked.len() as f64;
    let drift = anchors.map(|anchors| anchors.drift(&session, asked.len())).transpose()?;
    let purpose = if anchors.is_some() { Purpose::Search } else { Purpose::WarmUp };
    let mut measurements = Vec::new();
    for (index, one) in asked.iter().enumerate() {
        let latency = session.typical(index, Statistic::Fastest);
        let latency = latency.ok_or_else(|| SearchError::NoTimes(one.architecture.to_string()))?;
        let drift_factor = drift.unwrap_or(1.0);
        measurements.push(Measurement {
            device: 0,
            digest: one.digest.to_owned(),
            architecture: one.architecture.to_string(),
            purpose,
            step,
            latency_ms: latency.value / drift_factor,
            interval_ms: [latency.low / drift_factor, latency.high / drift_factor],
            drift,
            predicted_ms: one.predicted.map(|p| [p.latency_ms, p.low_ms, p.high_ms]),
            timings: session.samples_json(index),
            seconds,
        });
    }
    Ok(measurements)
}
