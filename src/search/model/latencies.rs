//! What a run knows about latencies: device by device ([`super::device_latencies`]), and as the one combined latency
//! that rewards weigh ([`crate::search::reward::objective`]).
//!
//! With several devices the posterior of ln(combined latency) is normal, too: its mean the combined latency of the
//! means, its variance the sum over the devices of (½ · difference between one deviation more and one less there)². For
//! a product of soft factors that is exact.

use super::device_latencies::DeviceLatencies;
use crate::network::Network;
use crate::search::candidate::Candidate;
use crate::search::error::SearchError;
use crate::search::reward::Objective;
use crate::search::settings::Settings;
use crate::statistics::Normal;
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

    /// Posterior of ln(combined latency) of a network of the space, given the predictors' prior of it.
    pub fn posterior(&self, tokens: &[usize], prior: &Prior) -> Normal {
        let posteriors = self.devices.iter().zip(&prior.0).map(|(device, prior)| device.posterior(tokens, *prior));
        self.combined(&posteriors.collect::<Vec<_>>())
    }

    /// Posterior of ln(latency) of an evaluated network, device by device, its own timings included.
    pub fn tried_posteriors(&self, digest: &str, tokens: &[usize], prior: &Prior) -> Vec<Normal> {
        let devices = self.devices.iter().zip(&prior.0);
        devices.map(|(device, prior)| device.tried_posterior(digest, tokens, *prior)).collect()
    }

    /// The same for ln(combined latency).
    pub fn tried_posterior(&self, digest: &str, tokens: &[usize], prior: &Prior) -> Normal {
        self.combined(&self.tried_posteriors(digest, tokens, prior))
    }

    /// Posteriors, device by device, of what a session on another day will measure: the device's pace differs then.
    pub fn on_another_day(&self, posteriors: &[Normal]) -> Vec<Normal> {
        let another = |(device, posterior): (&DeviceLatencies, &Normal)| Normal {
            deviation: posterior.deviation.hypot(device.repeatability()),
            ..*posterior
        };
        self.devices.iter().zip(posteriors).map(another).collect()
    }

    /// The combined latency in milliseconds of a network of the open step, with its timing.
    pub fn now(&self, candidate: &Candidate) -> f64 {
        let (prior, tokens) = (self.prior(&candidate.network), &candidate.proposal.tokens);
        let posteriors = self.devices.iter().zip(&prior.0);
        let posteriors = posteriors.map(|(device, prior)| device.current_posterior(&candidate.digest, tokens, *prior));
        self.combined(&posteriors.collect::<Vec<_>>()).mean.exp()
    }

    /// Forgets what final sessions said: they are made anew.
    pub fn forget_finals(&mut self) {
        self.devices.iter_mut().for_each(DeviceLatencies::forget_finals);
    }

    /// Learns from a final session on a device: ln(latency in ms) as it alone says it.
    pub fn learn_final(&mut self, device: usize, digest: &str, ln_ms: Normal) {
        self.devices[device].learn_final(digest, ln_ms);
    }

    /// The mean of [`Self::tried_posterior`], cheaply and roughly.
    pub fn mean(&self, digest: &str, tokens: &[usize], prior: &Prior) -> f64 {
        let means = self.devices.iter().zip(&prior.0).map(|(device, prior)| device.mean(digest, tokens, *prior));
        self.combined_ln(&means.collect::<Vec<_>>())
    }

    /// The predicted combined latency of a candidate in milliseconds.
    pub fn expected(&self, candidate: &Candidate) -> f64 {
        let tokens = &candidate.proposal.tokens;
        self.mean(&candidate.digest, tokens, &self.prior(&candidate.network)).exp()
    }

    /// Whether a network was measured inside the loop, on every device.
    pub fn is_measured(&self, digest: &str) -> bool {
        self.devices.iter().all(|device| device.measured(digest).is_some())
    }

    /// The same, if steps before this one measured it.
    pub fn is_measured_before(&self, digest: &str, step: u64) -> bool {
        self.devices.iter().all(|device| device.measured(digest).is_some_and(|m| m.step < step))
    }

    /// Whether a final session timed a network, on every device.
    pub fn is_final(&self, digest: &str) -> bool {
        self.devices.iter().all(|device| device.is_final(digest))
    }

    /// The chance that a network that was tried keeps every device's target.
    pub fn chance_to_keep(&self, digest: &str, tokens: &[usize], prior: &Prior) -> f64 {
        self.objective.chance_to_keep(&self.on_another_day(&self.tried_posteriors(digest, tokens, prior)))
    }

    /// Learns from the step's measurements.
    ///
    /// # Errors
    /// A line of the ledger that is no network of the space.
    pub fn close_step(&mut self) -> Result<(), SearchError> {
        self.devices.iter_mut().try_for_each(DeviceLatencies::close_step)
    }

    fn combined(&self, posteriors: &[Normal]) -> Normal {
        self.objective.combined_posterior(posteriors)
    }

    fn combined_ln(&self, logarithms: &[f64]) -> f64 {
        self.objective.combined_ln(logarithms)
    }
}
