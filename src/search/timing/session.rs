//! One session of timings: networks whose latencies the search wants, in interleaved rounds beside the anchors
//! ([`super::anchors`]).
//!
//! A session in which the anchors show the device at another pace than usual by more than [`DISTURBED`] has met other
//! work, which one factor repairs only in part. It is put off and repeated, after 1, 2, 4, … seconds, until it meets the
//! usual pace or `wait_seconds` are spent; then the least disturbed attempt counts, its latencies as uncertain as it was
//! disturbed. The usual pace is the median over the last sessions, and every session in a row that waited without
//! success halves the next one's wait, so that a device that stays slower is waited for only for a while.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::anchors::{Anchors, MOST_DRIFT, Slowdown};
use crate::device::noise::DeviceNoise;
use crate::device::phone::health::Patience;
use crate::device::session::{self, Load, Plan, Session};
use crate::device::{Device, DeviceError, Model};
use crate::latency::Prediction;
use crate::latency::calibrate::measure::model_for;
use crate::network::Network;
use crate::search::candidate::Candidate;
use crate::search::error::SearchError;
use crate::search::seeds::training_seed;
use crate::search::settings::Settings;
use crate::space::Architecture;
use crate::statistics::{Normal, median};
use crate::store::{FailedTiming, Measurement, Purpose};

/// ln(pace over the usual pace) beyond which a session is repeated. One factor is wrong by 0.3 of that.
pub const DISTURBED: f64 = 0.03;
/// Share of timings that a prediction's interval is to hold.
pub(in crate::search) const PREDICTION_LEVEL: f64 = 0.9;
/// Level of the intervals that are stored with timings.
pub(in crate::search) const LEVEL: f64 = crate::store::INTERVAL_LEVEL;
/// Sessions behind the usual pace.
const USUAL_OF: usize = 9;
/// A network whose timing is wanted, with the posterior of its latency.
#[derive(Debug, Clone, Copy)]
pub(in crate::search) struct Wanted<'a> {
    pub candidate: &'a Candidate,
    pub predicted: Prediction,
}

/// What a session gave.
#[derive(Debug, Default)]
pub(in crate::search) struct Timed {
    /// Of the networks that were wanted, those the device can time.
    pub networks: Vec<Measurement>,
    pub anchors: Vec<Measurement>,
    /// The others.
    pub failed: Vec<FailedTiming>,
}

/// Whether to go on: an error if the search is to stop.
pub(in crate::search) type Check<'a> = dyn Fn() -> Result<(), SearchError> + 'a;

/// A session to be.
#[derive(Clone, Copy)]
pub(in crate::search) struct Timing<'a> {
    pub settings: &'a Settings,
    /// The device's place among the search file's, from 0.
    pub place: usize,
    /// Networks of known latency.
    pub anchors: &'a Anchors,
    /// Deviation of a timing's logarithm, where that is known.
    pub deviation: Option<f64>,
    /// Of the device, as it was calibrated.
    pub noise: DeviceNoise,
    /// Logarithm of the device's usual pace against its calibration ([`usual_pace`]).
    pub usual: f64,
    /// How long the session may be put off, in all.
    pub wait: Duration,
    pub step: u64,
}

/// The attempt at a session that counts.
pub(in crate::search) struct Attempt {
    pub session: Session,
    pub slowdown: Slowdown,
    /// How many there were.
    pub attempts: u32,
}

/// Logarithms of the paces of sessions: one for every step.
pub(in crate::search) fn session_paces<'m>(measurements: impl IntoIterator<Item = &'m Measurement>) -> Vec<f64> {
    let mut last = None;
    let mut of_step = |measurement: &Measurement| {
        let first = last.replace(measurement.step) != Some(measurement.step);
        measurement.drift.filter(|_| first).map(f64::ln)
    };
    measurements.into_iter().filter_map(&mut of_step).collect()
}

/// Logarithm of the pace at which the device usually is, by that of its sessions so far: 0 before the first ones.
pub(in crate::search) fn usual_pace(paces: &[f64]) -> f64 {
    // What came before was at the pace of the calibration.
    let before = vec![0.0; USUAL_OF.saturating_sub(paces.len())];
    median(&[&paces[paces.len().saturating_sub(USUAL_OF)..], &before].concat())
}

/// How long a session may be put off that comes after sessions of these paces: half as long for every one in a row that
/// met other work nevertheless, and not at all once that is less than a second.
pub(in crate::search) fn wait(wait_seconds: f64, paces: &[f64]) -> Duration {
    let disturbed = |end: &usize| (paces[end - 1] - usual_pace(&paces[..end - 1])).abs() > DISTURBED;
    let in_vain = (1..=paces.len()).rev().take_while(disturbed).count();
    let seconds = wait_seconds * 0.5_f64.powi(i32::try_from(in_vain).unwrap_or(i32::MAX));
    Duration::from_secs_f64(if in_vain > 0 && seconds < 1.0 { 0.0 } else { seconds })
}

impl Timing<'_> {
    /// Times them all.
    ///
    /// # Errors
    /// A device that fails, is not the calibrated one, or gives no times; a stop request.
    pub fn measure(
        &self,
        device: &mut dyn Device,
        mut wanted: Vec<Wanted<'_>>,
        check: &Check<'_>,
    ) -> Result<Timed, SearchError> {
        let mut failed = Vec::new();
        loop {
            match self.measure_with_retries(device, &wanted, check) {
                // A network the device cannot run costs itself alone; whoever asked for it goes on with a prediction.
                Err(SearchError::Device(DeviceError::Model { model, problem, .. }))
                    if wanted.iter().any(|one| one.is(&model)) =>
                {
                    tracing::warn!("the device cannot time this network, which is left out: {problem}: {model}");
                    let (left_out, others) = wanted.into_iter().partition(|one| one.is(&model));
                    wanted = others;
                    failed.extend(left_out.into_iter().map(|one: Wanted<'_>| self.failure(one, problem.clone())));
                }
                // Nor does an anchor cost more than itself.
                Err(SearchError::Device(DeviceError::Model { model, problem, .. })) if self.is_anchor(&model) => {
                    tracing::warn!("the device can no longer time this network of its calibration: {problem}: {model}");
                    let anchors = self.anchors.without(|line| line == model);
                    let mut timed = Timing { anchors: &anchors, ..*self }.measure(device, wanted, check)?;
                    timed.failed.splice(..0, failed);
                    return Ok(timed);
                }
                other => return other.map(|timed| Timed { failed, ..timed }),
            }
        }
    }

    fn is_anchor(&self, model: &str) -> bool {
        self.anchors.architectures().any(|line| line.to_string() == model)
    }

    fn failure(&self, Wanted { candidate, .. }: Wanted<'_>, problem: String) -> FailedTiming {
        let (digest, architecture) = (candidate.digest.clone(), candidate.architecture.to_string());
        FailedTiming { device: self.place, digest, architecture, step: self.step, problem }
    }

    fn measure_with_retries(
        &self,
        device: &mut dyn Device,
        wanted: &[Wanted<'_>],
        check: &Check<'_>,
    ) -> Result<Timed, SearchError> {
        if wanted.is_empty() {
            return Ok(Timed::default());
        }
        let start = Instant::now();
        let known: Vec<(&Network, f64)> =
            wanted.iter().map(|one| (&one.candidate.network, one.predicted.latency_ms)).collect();
        let anchors = self.anchors.like(&known);
        let plan = Plan {
            rounds: self.settings.devices[self.place].loads,
            seed: training_seed(self.settings.seed, &wanted[0].candidate.digest),
        };
        let lines = wanted.iter().map(|one| &one.candidate.architecture);
        // Whoever asks the search to stop waits for the session to end: half of one would be of no use.
        let attempt =
            self.least_disturbed(device, lines, &anchors, &plan, check, &mut |_| ControlFlow::Continue(()))?;
        let seconds = start.elapsed().as_secs_f64() / wanted.len() as f64;
        let mut timed = self.timed(&attempt, wanted, &anchors)?;
        for measurement in &mut timed.networks {
            (measurement.attempts, measurement.seconds) = (attempt.attempts, seconds);
        }
        Ok(timed)
    }

    /// Networks and anchors in one session, repeated until the device is at its usual pace or the wait is spent; then the least disturbed attempt.
    ///
    /// # Errors
    /// A device that fails or is not the calibrated one; a stop request between two attempts.
    pub fn least_disturbed<'n>(
        &self,
        device: &mut dyn Device,
        networks: impl Iterator<Item = &'n Architecture>,
        anchors: &Anchors,
        plan: &Plan,
        check: &Check<'_>,
        observe: &mut dyn FnMut(&Load) -> ControlFlow<()>,
    ) -> Result<Attempt, SearchError> {
        let mut models = networks.map(|line| model_for(device, line)).collect::<Result<Vec<Model>, _>>()?;
        let first_anchor = models.len();
        for line in anchors.architectures() {
            models.push(model_for(device, line)?);
        }
        let mut attempt = || -> Result<(f64, Session, Slowdown), SearchError> {
            let session = session::measure(device, &models, plan, Vec::new(), observe)?;
            check()?;
            let slowdown = anchors.slowdown(&session.estimates(self.noise), first_anchor);
            Ok(((slowdown.ln.mean - self.usual).abs(), session, slowdown))
        };
        let mut patience = Patience::of(self.wait);
        let (mut disturbed, mut session, mut slowdown) = attempt()?;
        let mut attempts = 1;
        while disturbed > DISTURBED && patience.pause() {
            check()?;
            let again = attempt()?;
            attempts += 1;
            if again.0 < disturbed {
                (disturbed, session, slowdown) = again;
            }
        }
        let drift = slowdown.ln.mean.exp();
        if !(1.0 / MOST_DRIFT..=MOST_DRIFT).contains(&drift) {
            return Err(SearchError::OtherDevice { drift });
        }
        Ok(Attempt { session, slowdown, attempts })
    }

    fn timed(&self, attempt: &Attempt, wanted: &[Wanted<'_>], anchors: &Anchors) -> Result<Timed, SearchError> {
        let Attempt { session, slowdown, .. } = attempt;
        let estimates = session.estimates(self.noise);
        let mut timed = Timed::default();
        for (index, Wanted { candidate, predicted }) in wanted.iter().enumerate() {
            let ln_ms = estimates.ln_latency(index);
            let ln_ms = ln_ms.ok_or_else(|| SearchError::NoTimes(candidate.architecture.to_string()))?;
            timed.networks.push(Measurement {
                digest: candidate.digest.clone(),
                purpose: Purpose::Search,
                predicted_ms: Some(predicted.numbers()),
                timings: session.samples_json(index),
                ..self.row(&candidate.architecture, slowdown, ln_ms)
            });
        }
        for (index, anchor) in (wanted.len()..).zip(anchors.expected(self.deviation, slowdown)) {
            let Some(ln_ms) = estimates.ln_latency(index) else { continue };
            timed.anchors.push(Measurement {
                digest: Network::expand(anchor.architecture)?.digest(),
                purpose: Purpose::Anchor,
                predicted_ms: anchor.predicted.map(|predicted| predicted.numbers()),
                timings: session.samples_json(index),
                ..self.row(anchor.architecture, slowdown, ln_ms)
            });
        }
        Ok(timed)
    }

    /// A measurement without what only its caller knows.
    fn row(&self, architecture: &Architecture, slowdown: &Slowdown, ln_ms: Normal) -> Measurement {
        let interval = slowdown.drift_corrected(ln_ms).exponential_interval(LEVEL);
        Measurement {
            device: self.place,
            digest: String::new(),
            architecture: architecture.to_string(),
            purpose: Purpose::Search,
            step: self.step,
            latency_ms: interval.value,
            interval_ms: [interval.low, interval.high],
            drift: Some(slowdown.ln.mean.exp()),
            attempts: 1,
            predicted_ms: None,
            timings: String::new(),
            // Of an anchor: it is part of what the others took.
            seconds: 0.0,
        }
    }
}

impl Wanted<'_> {
    /// Whether a model of this name is this network's.
    fn is(&self, model: &str) -> bool {
        self.candidate.architecture.to_string() == model
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_stays_slower_is_usual_after_some_sessions() {
        let session = |step: u64, drift: f64| Measurement {
            drift: Some(drift),
            ..Measurement::example(Purpose::Search, step, 1.0)
        };
        let sessions: Vec<Measurement> = (1..20).map(|step| session(step, if step < 10 { 1.0 } else { 1.1 })).collect();
        let after = |count: usize| usual_pace(&session_paces(&sessions[..count]));
        assert_eq!((after(0), after(13)), (0.0, 0.0));
        assert!((after(14) - 1.1_f64.ln()).abs() < 1e-12, "{}", after(14));
    }

    #[test]
    fn waiting_without_success_shortens_the_waits_until_the_device_is_quiet_again() {
        let after = |paces: &[f64]| wait(30.0, paces).as_secs_f64();
        assert_eq!(after(&[]), 30.0);
        assert_eq!(after(&[0.0, 0.02]), 30.0);
        assert_eq!((after(&[0.0, 0.2]), after(&[0.2, 0.2])), (15.0, 7.5));
        assert_eq!(after(&[0.2, 0.1, 0.2, 0.1, 0.2, 0.0]), 0.0, "0.1 has become usual, and 0 is not");
        assert_eq!(after(&[0.2, 0.3, 0.0]), 30.0);
        assert_eq!(wait(0.5, &[]).as_secs_f64(), 0.5);
    }
}
