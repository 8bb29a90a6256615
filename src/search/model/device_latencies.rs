//! What a run knows about latencies on one device: what it measured, and a predictor for the rest.
//!
//! The predictor is fitted once, to the calibration's measurements (from the same other device's predictor, if the
//! calibration had a warm start) or the run's own first ones. What the timings of the loop say beyond it,
//! ln(measured / predicted), is learnt by a Gaussian process over the tokens ([`super::process`]), which starts from
//! the predictor's held-out errors on those first networks. So a predictor that is a fifth off where the search goes is
//! corrected by the first dozen or so timings there, and what is left uncertain is known. A timing counts there by its
//! error: one from a disturbed session changes little. An open step's timings are never part of it: a step that is
//! interrupted and repeated must choose as it did before.
//!
//! Of a network that was timed, the latency is what three independent pieces of evidence say together, each by its
//! variance: the process without this network's own timing, the timing in the loop, and the final session's. So no timing
//! replaces a prediction that is better.

use std::collections::HashMap;

use super::calibration::{calibration, noise_name};
use super::kernel::{KernelPrior, Layout};
use super::process::GaussianProcess;
use crate::device::Device;
use crate::device::noise::DeviceNoise;
use crate::latency::{DataSet, FitSettings, Prediction, Predictor};
use crate::network::Network;
use crate::search::candidate::Candidate;
use crate::search::error::SearchError;
use crate::search::settings::Settings;
use crate::search::timing::anchors::{ANCHORS, Anchors};
use crate::search::timing::session::{Check, PREDICTION_LEVEL, Timing, Wanted, session_paces, usual_pace, wait};
use crate::space::{Architecture, Space};
use crate::statistics::{Normal, deviations, median_absolute_deviation};
use crate::store::{Ledger, Measurement, Purpose};

/// Fewest residuals the process is trusted with; below, the predictor's own interval stands.
const LEAST_RESIDUALS: usize = 10;
/// Deviation of the logarithm of a timing that counts as one observation: one that is worse counts for less.
const USUAL_ERROR: f64 = 0.015;
/// Deviation of a device's pace from one hour to another, as a logarithm, before its sessions show it.
const REPEATABILITY: f64 = 0.01;
/// Sessions' worth of that expectation.
const REPEATABILITY_WEIGHT: f64 = 5.0;

/// See the module's text.
pub struct DeviceLatencies {
    /// The device's place among the search file's, from 0.
    device: usize,
    predictor: Predictor,
    /// ln(measured / predicted).
    residual: GaussianProcess,
    /// Where in `residual` a network timed by the loop stands.
    learnt: HashMap<String, usize>,
    space: Space,
    measured: HashMap<String, Measurement>,
    /// Digests measured in the open step, not in `residual` yet.
    open: Vec<String>,
    /// ln(latency in ms) as final sessions alone say it.
    finals: HashMap<String, Normal>,
    anchors: Anchors,
    noise: DeviceNoise,
    /// Loads behind one timing.
    loads: usize,
    /// ln(pace) of every session of the closed steps.
    paces: Vec<f64>,
}

impl DeviceLatencies {
    /// Everything the run knew of one device when it had closed that many steps; it needs the device's first
    /// measurements.
    ///
    /// # Errors
    /// An unreadable calibration, or too few measurements.
    pub(super) fn read_until(
        ledger: &Ledger,
        settings: &Settings,
        device: usize,
        closed: u64,
    ) -> Result<Self, SearchError> {
        let (mut data, calibrated) = calibration(ledger, device)?;
        let of_device = ledger.measurements()?.into_iter().filter(|measurement| measurement.device == device);
        let (first, later): (Vec<_>, Vec<_>) = of_device.partition(|m| m.purpose == Purpose::WarmUp);
        let source = main_source(&data);
        for measurement in &first {
            data.push(&architecture(measurement)?, measurement.latency_ms, &source)?;
        }
        let mut latencies = Self::new(device, &data, calibrated.as_ref(), settings)?;
        if let Some(noise) = ledger.setting(&noise_name(device))? {
            latencies.noise = serde_json::from_str(&noise).map_err(|error| SearchError::Ledger(error.to_string()))?;
        }
        for final_row in ledger.finals()? {
            if let Some(ln_ms) = final_row.ln_ms.get(device) {
                latencies.learn_final(&final_row.digest, *ln_ms);
            }
        }
        latencies.paces = session_paces(later.iter().filter(|measurement| measurement.step <= closed));
        for measurement in later.into_iter().filter(|m| m.purpose == Purpose::Search) {
            if measurement.step <= closed {
                latencies.learn(&measurement)?;
            }
            latencies.measured.insert(measurement.digest.clone(), measurement);
        }
        Ok(latencies)
    }

    /// From first measurements, and the predictor of the calibration they stand in, if there is one.
    pub(super) fn new(
        device: usize,
        data: &DataSet,
        calibrated: Option<&Predictor>,
        settings: &Settings,
    ) -> Result<Self, SearchError> {
        let (space, fit) = (&settings.space, FitSettings { seed: settings.seed, level: PREDICTION_LEVEL });
        let (predictor, held_out) = match calibrated {
            Some(calibrated) => calibrated.refitted(data, fit)?,
            None => Predictor::cross_validated(data, fit)?,
        };
        let mut residual = GaussianProcess::new(Layout::of(space), KernelPrior::RESIDUALS);
        for (measurement, held_out) in data.measurements().iter().zip(&held_out) {
            // A calibration may hold networks of other spaces.
            if let Ok(tokens) = space.encode(&measurement.architecture) {
                residual.extend([(tokens.as_slice(), (measurement.latency_ms / held_out.latency_ms).ln())]);
            }
        }
        Ok(Self {
            device,
            predictor,
            residual,
            learnt: HashMap::new(),
            space: space.clone(),
            measured: HashMap::new(),
            open: Vec::new(),
            finals: HashMap::new(),
            anchors: Anchors::of(data),
            noise: DeviceNoise::default(),
            loads: settings.devices[device].loads,
            paces: Vec::new(),
        })
    }

    /// What the calibrated predictor alone says of ln(latency), by its own interval.
    pub fn prior(&self, network: &Network) -> Normal {
        let Prediction { latency_ms, low_ms, high_ms } = self.predictor.predict(network);
        Normal { mean: latency_ms.ln(), deviation: (high_ms / low_ms).ln() / (2.0 * deviations(PREDICTION_LEVEL)) }
    }

    /// Posterior of ln(latency) of a network of the space, given the predictor's prior of it.
    pub fn posterior(&self, tokens: &[usize], prior: Normal) -> Normal {
        if self.residual.len() < LEAST_RESIDUALS {
            return prior;
        }
        let Normal { mean, deviation } = self.residual.posterior(tokens);
        Normal { mean: prior.mean + mean, deviation }
    }

    /// Posterior of ln(latency) of an evaluated network, its own timings included, if there are any.
    pub fn tried_posterior(&self, digest: &str, tokens: &[usize], prior: Normal) -> Normal {
        let in_loop = self.learnt.get(digest).and_then(|index| Some((*index, self.measured.get(digest)?)));
        let posterior = match in_loop {
            None => self.posterior(tokens, prior),
            Some((index, timing)) => self.without(index, prior).and(timing.ln_ms()),
        };
        match self.finals.get(digest) {
            Some(timing) if in_loop.is_none() => self.with_own(posterior).and(*timing),
            Some(timing) => posterior.and(*timing),
            None => posterior,
        }
    }

    /// The same, with a timing of the open step.
    pub fn current_posterior(&self, digest: &str, tokens: &[usize], prior: Normal) -> Normal {
        match self.measured.get(digest) {
            Some(timing) if !self.learnt.contains_key(digest) => {
                self.with_own(self.posterior(tokens, prior)).and(timing.ln_ms())
            }
            _ => self.tried_posterior(digest, tokens, prior),
        }
    }

    /// The posterior of a timed network without its own timing (leave-one-out).
    fn without(&self, index: usize, prior: Normal) -> Normal {
        if self.residual.len() < LEAST_RESIDUALS {
            return prior;
        }
        let Normal { mean, deviation } = self.residual.leave_one_out(index);
        self.with_own(Normal { mean: prior.mean + mean, deviation })
    }

    /// A posterior with the variance that is a network's own added, which the process takes for noise: its noise less a
    /// timing's.
    fn with_own(&self, Normal { mean, deviation }: Normal) -> Normal {
        let own = (self.residual.noise().powi(2) - USUAL_ERROR.powi(2)).max(0.0).sqrt();
        Normal { mean, deviation: deviation.hypot(own) }
    }

    /// The mean of [`Self::tried_posterior`], cheaply and roughly: without what final sessions say.
    pub fn mean(&self, digest: &str, tokens: &[usize], prior: Normal) -> f64 {
        if self.residual.len() < LEAST_RESIDUALS {
            return prior.mean;
        }
        let residual = self.learnt.get(digest).map(|index| self.residual.fitted(*index));
        prior.mean + residual.unwrap_or_else(|| self.residual.mean(tokens))
    }

    /// Standard deviation of the device's pace from one time to another, as a logarithm: what a timing on another day
    /// differs by, and no number of loads takes out.
    pub fn repeatability(&self) -> f64 {
        let count = self.paces.len() as f64;
        let scatter = if self.paces.is_empty() { 0.0 } else { 1.4826 * median_absolute_deviation(&self.paces) };
        // A session's pace is itself known by its anchors only.
        let loads = ANCHORS as f64 * self.loads as f64;
        let of_anchors = self.noise.loads.deviation * (2.0 / loads).sqrt();
        let seen = (scatter.powi(2) - of_anchors.powi(2)).max(0.0);
        ((REPEATABILITY_WEIGHT * REPEATABILITY.powi(2) + count * seen) / (REPEATABILITY_WEIGHT + count)).sqrt()
    }

    /// The prediction for a candidate, with the interval that nine of ten timings should fall into.
    pub fn predict(&self, tokens: &[usize], network: &Network) -> Prediction {
        let Normal { mean, deviation } = self.posterior(tokens, self.prior(network));
        let half_width = deviations(PREDICTION_LEVEL) * deviation.hypot(self.residual.noise());
        Prediction { latency_ms: mean.exp(), low_ms: (mean - half_width).exp(), high_ms: (mean + half_width).exp() }
    }

    /// Standard deviation of a timing's logarithm; none while too little is known.
    fn timing_deviation(&self) -> Option<f64> {
        (self.residual.len() >= LEAST_RESIDUALS).then(|| self.residual.noise())
    }

    /// The network's timing inside the loop.
    pub fn measured(&self, digest: &str) -> Option<&Measurement> {
        self.measured.get(digest)
    }

    /// Whether a final session timed the network.
    pub fn is_final(&self, digest: &str) -> bool {
        self.finals.contains_key(digest)
    }

    /// Learns from a final session: ln(latency in ms) as it alone says it.
    pub fn learn_final(&mut self, digest: &str, ln_ms: Normal) {
        self.finals.insert(digest.to_owned(), ln_ms);
    }

    /// Forgets what final sessions said.
    pub fn forget_finals(&mut self) {
        self.finals.clear();
    }

    /// A session on this device, of a step that is still to be named.
    pub(in crate::search) fn timing<'a>(&'a self, settings: &'a Settings, place: usize) -> Timing<'a> {
        Timing {
            settings,
            place,
            anchors: &self.anchors,
            deviation: self.timing_deviation(),
            noise: self.noise,
            usual: usual_pace(&self.paces),
            wait: wait(settings.devices[place].wait_seconds, &self.paces),
            step: 0,
        }
    }

    /// Networks of known latency, to be timed along with others.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// The device's noise, as it was calibrated.
    pub fn noise(&self) -> DeviceNoise {
        self.noise
    }

    /// Learns from the step's measurements.
    ///
    /// # Errors
    /// A line of the ledger that is no network of the space.
    pub fn close_step(&mut self) -> Result<(), SearchError> {
        let open = std::mem::take(&mut self.open);
        self.paces.extend(session_paces(open.iter().filter_map(|digest| self.measured.get(digest))));
        for digest in open {
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
        let Normal { mean, deviation } = measurement.ln_ms();
        self.learnt.insert(measurement.digest.clone(), self.residual.len());
        let noise = (deviation / USUAL_ERROR).powi(2).max(1.0);
        self.residual.extend_noisy([(tokens.as_slice(), mean - predicted, noise)]);
        Ok(())
    }
}

/// The architecture of a stored line.
fn architecture(measurement: &Measurement) -> Result<Architecture, SearchError> {
    crate::space::parse(&measurement.architecture).map_err(|error| SearchError::Ledger(error.to_string()))
}

/// The source of most measurements; a predictor gives each source a scale of its own.
fn main_source(data: &DataSet) -> String {
    data.sources().into_iter().max_by_key(|source| source.networks).map(|source| source.source).unwrap_or_default()
}

impl DeviceLatencies {
    /// Times the networks the ledger has no timing of, together in interleaved rounds, and stores each.
    pub(in crate::search) fn time(
        &mut self,
        networks: &[Candidate],
        step: u64,
        settings: &Settings,
        device: &mut dyn Device,
        ledger: &Ledger,
        check: &Check<'_>,
    ) -> Result<(), SearchError> {
        let failed = ledger.failed_timings()?;
        let has_failed = |digest: &str| failed.iter().any(|one| one.device == self.device && one.digest == digest);
        let is_open = |digest: &str| self.measured(digest).is_none() && !has_failed(digest);
        let open = networks.iter().filter(|candidate| is_open(&candidate.digest));
        let wanted: Vec<Wanted<'_>> = open
            .map(|candidate| {
                let predicted = self.predict(&candidate.proposal.tokens, &candidate.network);
                Wanted { candidate, predicted }
            })
            .collect();
        let timing = Timing { step, ..self.timing(settings, self.device) };
        let timed = timing.measure(device, wanted, check)?;
        // The anchors first: a network that is on file is not timed again, and they with it.
        for anchor in &timed.anchors {
            ledger.add_measurement(anchor)?;
        }
        for failed in timed.failed {
            ledger.add_failed_timing(failed)?;
        }
        for measurement in timed.networks {
            ledger.add_measurement(&measurement)?;
            self.measured.insert(measurement.digest.clone(), measurement);
        }
        // Those that were measured before an interruption of this very step count as measured in it, too.
        self.open = networks.iter().map(|candidate| candidate.digest.clone()).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::simulated::SimulatedDevice;
    use crate::search::settings::SearchFile;

    /// What a device takes that is a fifth slower than its calibration could know wherever the first token is 0.
    fn truth_ms(tokens: &[usize], network: &Network) -> f64 {
        SimulatedDevice::latency_ms(network) * if tokens[0] == 0 { 1.2 } else { 1.0 }
    }

    fn drawn(space: &Space, first: Option<usize>, count: usize, seed: u64) -> Vec<(Vec<usize>, Network)> {
        let random = &mut crate::seeded(seed);
        let mut one = || {
            let mut tokens = space.sample(random);
            tokens[0] = first.unwrap_or(tokens[0].max(1));
            let network = Network::expand(&space.decode(&tokens).unwrap()).unwrap();
            (tokens, network)
        };
        (0..count).map(|_| one()).collect()
    }

    #[test]
    fn a_predictor_that_is_a_fifth_off_where_the_search_goes_is_corrected_by_the_timings_there() {
        let text = "seed = 1\n[space]\npreset = \"mnasnet\"\n[target]\nlatency_ms = 10\n[accuracy]\nkind = \"simulated\"\n\
                    [budget]\nevaluations = 1\n";
        let settings = SearchFile::parse(text, "test").unwrap().check(std::path::Path::new("."), "test").unwrap();
        let space = &settings.space;
        let mut data = DataSet::default();
        for (tokens, network) in drawn(space, None, 50, 1) {
            data.push(&space.decode(&tokens).unwrap(), truth_ms(&tokens, &network), "").unwrap();
        }
        let mut latencies = DeviceLatencies::new(0, &data, None, &settings).unwrap();
        let unseen = drawn(space, Some(0), 30, 2);
        let error = |latencies: &DeviceLatencies| {
            let off = |(tokens, network): &(Vec<usize>, Network)| {
                let Normal { mean, deviation } = latencies.posterior(tokens, latencies.prior(network));
                assert!(deviation > 0.0 && deviation < 0.5, "{deviation}");
                (mean - truth_ms(tokens, network).ln()).abs()
            };
            unseen.iter().map(off).sum::<f64>() / unseen.len() as f64
        };
        let before = error(&latencies);
        for (index, (tokens, network)) in drawn(space, Some(0), 16, 3).into_iter().enumerate() {
            let digest = network.digest();
            let measurement = Measurement {
                digest: digest.clone(),
                architecture: space.decode(&tokens).unwrap().to_string(),
                ..Measurement::example(Purpose::Search, index as u64 + 1, truth_ms(&tokens, &network))
            };
            latencies.measured.insert(digest.clone(), measurement);
            latencies.open.push(digest);
            latencies.close_step().unwrap();
        }
        let after = error(&latencies);
        assert!(before > 0.1 && after < 0.5 * before, "{before} before, {after} after sixteen timings");
    }
}
