//! Timing networks inside the loop: which, and on every device.

use crate::latency::metrics;
use crate::search::candidate::{Candidate, Proposal};
use crate::search::error::SearchError;
use crate::search::model::Latencies;
use crate::search::propose::guide::Standing;
use crate::search::run::Search;
use crate::search::run::control::Control;
use crate::search::settings::Timing;
use crate::store::{Measurement, Step};

/// Networks are timed in the order of their rewards at the lower confidence bound of the latency: so many deviations
/// below the expected logarithm.
const OPTIMISM: f64 = 1.5;
/// Deviation of the logarithm of a timing beyond which it counts as one of a disturbed session.
const WIDENED: f64 = 0.03;
/// Trainings for which one timing is made.
const TRAININGS_PER_TIMING: u64 = 8;
/// Trainings by which timings are ahead of that pace: the first ones teach the most.
const TRAININGS_AHEAD: u64 = 32;

impl Search<'_> {
    /// Times the networks on every device, as far as the ledger lacks that, and stores each timing.
    pub(super) fn time(
        &mut self,
        networks: &[Candidate],
        latencies: &mut Latencies,
        control: &Control,
        step: &mut Step,
    ) -> Result<(), SearchError> {
        for (of_device, device) in latencies.devices_mut().iter_mut().zip(&mut *self.devices) {
            control.check()?;
            of_device.time(networks, step.step, self.settings, &mut **device, self.ledger, &|| control.check())?;
        }
        let digests = || networks.iter().map(|candidate| candidate.digest.as_str());
        let measured = || latencies.devices().iter().flat_map(|device| digests().filter_map(|d| device.measured(d)));
        let pairs = measured().filter_map(|m| Some((m.predicted_ms?[0], m.latency_ms)));
        let (predicted, timed): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let from_one = |drift: &f64| drift.ln().abs();
        let on_all = |digest: &&str| latencies.devices().iter().all(|device| device.measured(digest).is_some());
        step.timed = digests().filter(on_all).count();
        let sessions = latencies.devices().iter().filter_map(|device| digests().find_map(|d| device.measured(d)));
        step.repeated = sessions.map(|session| session.attempts - 1).sum();
        let widened = |m: &&Measurement| m.ln_ms().deviation > WIDENED;
        step.widened = measured().filter(widened).count();
        step.prediction_mape = (!timed.is_empty()).then(|| metrics::mape(&predicted, &timed));
        // Of several devices the one farthest from what it was.
        step.drift = measured().filter_map(|m| m.drift).max_by(|a, b| from_one(a).total_cmp(&from_one(b)));
        Ok(())
    }

    /// The networks to be timed in this step: of the best tried ones that never were, those with the best reward if
    /// their latency is at its lower confidence bound, at a steady pace. The pace does not ask how much the models
    /// expect of a timing: a predictor that is wrong and sure of itself expects nothing of the networks that show it.
    pub(super) fn to_time(
        &self,
        chosen: &[Candidate],
        standings: &[Standing],
        latencies: &Latencies,
        number: u64,
    ) -> Result<Vec<Candidate>, SearchError> {
        let spent = self.ledger.measurements_before(number)?;
        let left = usize::try_from(self.settings.measurements.saturating_sub(spent)).unwrap_or(usize::MAX);
        let failed = self.ledger.failed_timings()?;
        let has_failed = |digest: &str| failed.iter().any(|failed| failed.step < number && failed.digest == digest);
        let is_timed = |digest: &str| latencies.is_measured_before(digest, number) || has_failed(digest);
        if self.settings.search.timing == Timing::All {
            let judged = self.judged(chosen.iter())?.into_iter().map(|judged| judged.candidate.clone());
            return Ok(judged.filter(|candidate| !is_timed(&candidate.digest)).take(left).collect());
        }
        let trainings = self.ledger.evaluations_before(number)? + TRAININGS_AHEAD;
        let due = trainings.div_ceil(TRAININGS_PER_TIMING).saturating_sub(spent);
        let due = usize::try_from(due).unwrap_or(usize::MAX).min(self.settings.search.timed_per_step).min(left);
        let target = &self.settings.target;
        let mut ranked: Vec<(&Standing, f64)> = standings
            .iter()
            .filter(|standing| !is_timed(&standing.digest))
            .map(|standing| (standing, standing.posterior.optimistic_reward(target, OPTIMISM)))
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(due);
        let proposal = |tokens: &Vec<usize>| Proposal { tokens: tokens.clone(), log_probabilities: Vec::new() };
        let candidate =
            |(standing, _): (&Standing, f64)| Candidate::new(proposal(&standing.tokens), &self.settings.space);
        ranked.into_iter().map(candidate).collect()
    }
}
