//! What a run knows about latencies on one device: what it measured, and a predictor for the rest.
//!
//! The predictor is fitted once, to the calibration's measurements (from the same other device's predictor, if the
//! calibration had a warm start) or the run's own first ones. What the timings of the loop say beyond it,
//! ln(measured / predicted), is learnt by a Gaussian process over the tokens ([`super::process`]), which starts from
//! the predictor's held-out errors on those first networks. So a predictor that is a fifth off where the search goes is
//! corrected by the first dozen or so timings there, and what is left uncertain is known. An open step's timings are
//! never part of it: a step that is interrupted and repeated must choose as it did before.

use std::collections::HashMap;

use super::calibration::calibration;
use super::kernel::{KernelPrior, Layout};
use super::process::{Normal, Process};
use crate::device::Device;
use crate::latency::{DataSet, FitSettings, Prediction, Predictor};
use crate::network::Network;
use crate::search::candidate::Candidate;
use crate::search::error::SearchError;
use crate::search::settings::Settings;
use crate::search::timing::anchors::Anchors;
use crate::search::timing::asked::{Asked, LEVEL};
use crate::search::timing::session::Timing;
use crate::space::{Architecture, Space};
use crate::store::{Ledger, Measurement, Purpose};

/// Fewest residuals the process is trusted with; below, the predictor's own interval stands.
const LEAST_RESIDUALS: usize = 10;
/// Half the width, in standard deviations, of an interval that holds [`LEVEL`] of all timings.
const DEVIATIONS: f64 = 1.645;

/// See the module's text.
pub struct DeviceLatencies {
    /// The device's place among the search file's, from 0.
    device: usize,
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
        let (space, fit) = (&settings.space, FitSettings { seed: settings.seed, level: LEVEL });
        let (predictor, held_out) = match calibrated {
            Some(calibrated) => calibrated.refitted(data, fit)?,
            None => Predictor::cross_validated(data, fit)?,
        };
        let mut residual = Process::new(Layout::of(space), KernelPrior::RESIDUALS);
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
            anchors: Anchors::of(data),
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
        let Normal { mean, deviation } = self.residual.posterior(tokens);
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

    /// Standard deviation of a timing's logarithm; none while too little is known.
    fn timing_deviation(&self) -> Option<f64> {
        (self.residual.len() >= LEAST_RESIDUALS).then(|| self.residual.noise())
    }

    /// The network's timing inside the loop.
    pub fn measured(&self, digest: &str) -> Option<&Measurement> {
        self.measured.get(digest)
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
    ) -> Result<(), SearchError> {
        let open: Vec<Asked<'_>> = networks
            .iter()
            .filter(|candidate| self.measured(&candidate.digest).is_none())
            .map(|candidate| Asked {
                architecture: &candidate.architecture,
                digest: candidate.digest.clone(),
                purpose: Purpose::Search,
                predicted: Some(self.predict(&candidate.proposal.tokens, &candidate.network)),
            })
            .collect();
        let anchors = Some((&self.anchors, self.timing_deviation()));
        let timed = Timing { settings, place: self.device, anchors, step }.measure(device, open)?;
        // The anchors first: a network that is on file is not timed again, and they with it.
        for anchor in &timed.anchors {
            ledger.add_measurement(anchor)?;
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
                let Normal { mean, deviation } = latencies.believe(tokens, latencies.prior(network));
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
