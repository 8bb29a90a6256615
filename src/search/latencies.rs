//! What a run knows about latencies: what it measured, and a predictor for the rest.
//!
//! The predictor of a step is fitted to the calibration's measurements (or the run's own first ones) and to those that
//! closed steps made, never to an open step's: a step that is interrupted and repeated must screen as it did before.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Instant;

use super::anchors::Anchors;
use super::candidate::Candidate;
use super::control::Control;
use super::options::Settings;
use super::{Search, SearchError, training_seed};
use crate::device::session::{self, Plan, Statistic};
use crate::device::{Device, DeviceError};
use crate::latency::calibrate::MEASUREMENTS;
use crate::latency::data::LATENCY_COLUMN;
use crate::latency::measure::timing_model;
use crate::latency::metrics;
use crate::latency::plan::{CalibrationSettings, Part, Planned, plan};
use crate::latency::{DataSet, FitSettings, Prediction, Predictor};
use crate::network::Network;
use crate::search::progress::Progress;
use crate::space::Architecture;
use crate::store::{Ledger, Measurement, Purpose};

/// Name of the copy of the calibration's measurements among the run's settings: its artefact's hash.
pub(super) const CALIBRATION: &str = "calibration";

/// See the module's text.
pub struct Latencies {
    data: DataSet,
    predictor: Predictor,
    measured: HashMap<String, Measurement>,
    /// Digests measured in the open step, not in `data` yet.
    open: Vec<String>,
    anchors: Anchors,
    /// The source that the calibration's measurements carry: the loop's are of the same device.
    source: String,
    seed: u64,
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
        Self::read(search.ledger, search.settings.seed)
    }

    /// Everything the run has in its ledger; it needs its first measurements.
    ///
    /// # Errors
    /// An unreadable calibration, or too few measurements.
    pub fn read(ledger: &Ledger, seed: u64) -> Result<Self, SearchError> {
        let mut data = calibration(ledger)?;
        let closed = ledger.steps()?.len() as u64;
        let (first, later): (Vec<_>, Vec<_>) =
            ledger.measurements()?.into_iter().partition(|m| m.purpose == Purpose::WarmUp);
        let source = main_source(&data);
        for measurement in &first {
            learn(&mut data, measurement, &source)?;
        }
        let anchors = Anchors::of(&data)?;
        let mut measured = HashMap::new();
        for measurement in later {
            if measurement.step <= closed {
                learn(&mut data, &measurement, &source)?;
            }
            measured.insert(measurement.digest.clone(), measurement);
        }
        let predictor = fit(&data, seed)?;
        Ok(Self { data, predictor, measured, open: Vec::new(), anchors, source, seed })
    }

    /// What the predictor says.
    pub fn predict(&self, network: &Network) -> Prediction {
        self.predictor.predict(network)
    }

    /// The predicted latency of a candidate in milliseconds.
    pub fn expected(&self, candidate: &Candidate) -> f64 {
        self.predict(&candidate.network).latency_ms
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

    /// Lets the step's measurements into the predictor.
    ///
    /// # Errors
    /// A fit that fails.
    pub fn close_step(&mut self) -> Result<(), SearchError> {
        if self.open.is_empty() {
            return Ok(());
        }
        for digest in self.open.drain(..) {
            if let Some(measurement) = self.measured.get(&digest) {
                learn(&mut self.data, measurement, &self.source)?;
            }
        }
        self.predictor = fit(&self.data, self.seed)?;
        Ok(())
    }
}

fn fit(data: &DataSet, seed: u64) -> Result<Predictor, SearchError> {
    Ok(Predictor::fit(data, FitSettings { seed, ..FitSettings::default() })?)
}

/// The source of most measurements; a predictor gives each source a scale of its own.
fn main_source(data: &DataSet) -> String {
    data.sources().into_iter().max_by_key(|source| source.networks).map(|source| source.source).unwrap_or_default()
}

/// Adds a stored measurement to the data that is fitted.
fn learn(data: &mut DataSet, measurement: &Measurement, source: &str) -> Result<(), SearchError> {
    let line = &measurement.architecture;
    let architecture = crate::space::parse(line).map_err(|error| SearchError::Ledger(error.to_string()))?;
    Ok(data.push(&architecture, measurement.latency_ms, source)?)
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
        networks: &[&Candidate],
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
                predicted: Some(latencies.predict(&candidate.network)),
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
        models.push(timing_model(one.architecture)?);
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
