//! What a run knows about latencies: device by device ([`super::device_latencies`]), and as the one combined latency
//! that rewards weigh ([`crate::search::reward::objective`]).
//!
//! With several devices the belief of ln(combined latency) is normal, too: its mean the combined latency of the means,
//! its variance the sum over the devices of (½ · difference between one deviation more and one less there)². For a
//! product of soft factors that is exact.

use super::device_latencies::DeviceLatencies;
use super::process::Normal;
use crate::network::Network;
use crate::search::candidate::Candidate;
use crate::search::error::SearchError;
use crate::search::reward::Objective;
use crate::search::settings::Settings;
use crate::store::Ledger;

/// What the calibrated predictors alone say of ln(latency) on each device.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior(Vec<Normal>);

/// See the module's text.
pub struct Latencies {
    devices: Vec<DeviceLatencies>,
    objective: Objective,
}

impl Latencies {
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
        let places = 0..settings.devices.len();
        let devices = places.map(|device| DeviceLatencies::read_until(ledger, settings, device, closed));
        Ok(Self { devices: devices.collect::<Result<_, _>>()?, objective: settings.objective.clone() })
    }

    /// Device by device, in the search file's order.
    pub fn devices(&self) -> &[DeviceLatencies] {
        &self.devices
    }

    /// The same, to be timed.
    pub(in crate::search) fn devices_mut(&mut self) -> &mut [DeviceLatencies] {
        &mut self.devices
    }

    /// What the calibrated predictors alone say, by their own intervals.
    pub fn prior(&self, network: &Network) -> Prior {
        Prior(self.devices.iter().map(|device| device.prior(network)).collect())
    }

    /// What is believed of ln(combined latency) of a network of the space, given what the predictors say of it.
    pub fn believe(&self, tokens: &[usize], prior: &Prior) -> Normal {
        let beliefs = self.devices.iter().zip(&prior.0).map(|(device, prior)| device.believe(tokens, *prior));
        self.combined(&beliefs.collect::<Vec<_>>())
    }

    /// The mean of [`Self::believe`], cheaply, also for a network that the loop has timed.
    pub fn mean(&self, digest: &str, tokens: &[usize], prior: &Prior) -> f64 {
        let means = self.devices.iter().zip(&prior.0).map(|(device, prior)| device.mean(digest, tokens, *prior));
        self.combined_ln(&means.collect::<Vec<_>>())
    }

    /// The predicted combined latency of a candidate in milliseconds.
    pub fn expected(&self, candidate: &Candidate) -> f64 {
        let tokens = &candidate.proposal.tokens;
        self.mean(&candidate.digest, tokens, &self.prior(&candidate.network)).exp()
    }

    /// The combined latency of a network that was measured inside the loop, on every device.
    pub fn measured(&self, digest: &str) -> Option<f64> {
        let of = |device: &DeviceLatencies| device.measured(digest).map(|measurement| measurement.latency_ms);
        let latencies: Option<Vec<f64>> = self.devices.iter().map(of).collect();
        latencies.map(|latencies| self.objective.combined_ms(&latencies))
    }

    /// The same, if steps before this one measured it.
    pub fn measured_before(&self, digest: &str, step: u64) -> Option<f64> {
        let before = |device: &DeviceLatencies| device.measured(digest).is_some_and(|m| m.step < step);
        self.devices.iter().all(before).then(|| self.measured(digest)).flatten()
    }

    /// Learns from the step's measurements.
    ///
    /// # Errors
    /// A line of the ledger that is no network of the space.
    pub fn close_step(&mut self) -> Result<(), SearchError> {
        self.devices.iter_mut().try_for_each(DeviceLatencies::close_step)
    }

    fn combined(&self, beliefs: &[Normal]) -> Normal {
        if let [only] = beliefs
            && self.objective.is_plain()
        {
            return *only;
        }
        let means: Vec<f64> = beliefs.iter().map(|belief| belief.mean).collect();
        let half_difference = |device: usize| {
            let shifted = |by: f64| {
                let mut shifted = means.clone();
                shifted[device] += by;
                self.combined_ln(&shifted)
            };
            let deviation = beliefs[device].deviation;
            (shifted(deviation) - shifted(-deviation)) / 2.0
        };
        let variance: f64 = (0..beliefs.len()).map(|device| half_difference(device).powi(2)).sum();
        Normal { mean: self.combined_ln(&means), deviation: variance.sqrt() }
    }

    fn combined_ln(&self, logarithms: &[f64]) -> f64 {
        match logarithms {
            [only] if self.objective.is_plain() => *only,
            _ => {
                let latencies: Vec<f64> = logarithms.iter().map(|ln_latency| ln_latency.exp()).collect();
                self.objective.combined_ms(&latencies).ln()
            }
        }
    }
}
