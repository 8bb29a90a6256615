//! Whether the devices are still those that the search knows.
//!
//! Two things are watched on each device, step by step, by one [`Drift`] each (the share of results outside an interval,
//! see [`crate::latency::judge::drift`]):
//!
//! | evidence | expected of a timing | timing that represents the step |
//! |---|---|---|
//! | [`Evidence::Predictions`] | the interval predicted before, of a network that the loop times | the timing in the middle |
//! | [`Evidence::Anchors`] | what a network of known latency took before, give or take noise | the timing farthest from that |
//!
//! "Farthest" is in units of the interval's half width. The predictions are the search's own, corrected by every timing
//! before, and not the calibrated predictor's alone: that one may be a fifth off where the search goes, on the very
//! device it was made for. For the same reason nothing is concluded from predictions that err to one side within
//! their intervals, and those of one step, none of which has learnt from another, count as one. They show a device
//! that became another one only where it differs grossly: they learn, and few networks are timed. Anchors
//! ([`super::anchors`]) are the same networks again and again, and show smaller changes.
//!
//! All latencies are drift-corrected by the median anchor's slow-down: a device on which everything takes a tenth
//! longer is corrected for. One on which some networks do and others do not is another device, and no latency from
//! before compares with one from after.
//!
//! A watch follows from the timings of the closed steps: a resumed run's is that of one never stopped.

use super::{anchors, session};
use crate::latency::judge::drift::Alarm;
use crate::latency::{Drift, Prediction};
use crate::store::{Measurement, Purpose};

/// What showed that a device is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Timings, beside what the search had predicted.
    Predictions,
    /// Networks of known latency.
    Anchors,
}

impl Evidence {
    const ALL: [Self; 2] = [Self::Predictions, Self::Anchors];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predictions => "predictions",
            Self::Anchors => "anchors",
        }
    }

    /// The timing that represents one step on one device, as the table of the module says.
    fn representative<'m>(self, timings: impl Iterator<Item = &'m Measurement>) -> Option<(Prediction, f64)> {
        let purpose = match self {
            Self::Predictions => Purpose::Search,
            Self::Anchors => Purpose::Anchor,
        };
        let expected = timings.filter(|timing| timing.purpose == purpose).filter_map(|timing| {
            let [latency_ms, low_ms, high_ms] = timing.predicted_ms?;
            Some((Prediction { latency_ms, low_ms, high_ms }, timing.latency_ms))
        });
        let mut expected: Vec<(Prediction, f64)> = expected.collect();
        expected.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        match self {
            Self::Predictions => expected.get(expected.len().saturating_sub(1) / 2).copied(),
            Self::Anchors => expected.pop(),
        }
    }
}

/// How far a timing lies from what was expected, in half widths of the interval.
fn distance((expected, measured_ms): &(Prediction, f64)) -> f64 {
    (measured_ms / expected.latency_ms).ln().abs()
        / (expected.high_ms / expected.latency_ms).ln().max(f64::MIN_POSITIVE)
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    devices: Vec<Watched>,
}

/// One device.
#[derive(Debug, Clone, PartialEq)]
struct Watched {
    /// In the order of [`Evidence::ALL`].
    drifts: [Drift; 2],
    /// The step whose timings raised the alarm, and what they are evidence of.
    raised: Option<(u64, Evidence)>,
}

/// A device that is no longer the one that the search knows, or at least does not do what it expects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Changed {
    /// Its place among the search file's, from 0.
    pub device: usize,
    /// The step whose timings showed it.
    pub step: u64,
    /// What showed it.
    pub evidence: Evidence,
    /// How it is now.
    pub alarm: Alarm,
}

impl Changed {
    /// What was found, in words.
    pub fn finding(&self) -> String {
        match self.evidence {
            Evidence::Predictions => self.alarm.finding(),
            Evidence::Anchors => {
                let outside = self.alarm.outside;
                format!(
                    "networks of known latency changed places, in {outside:.0} % of the last sessions beyond all noise"
                )
            }
        }
    }
}

impl Watched {
    fn new() -> Self {
        let levels = [session::PREDICTION_LEVEL, anchors::LEVEL];
        Self { drifts: levels.map(Drift::of_intervals), raised: None }
    }

    /// Takes note of a step's timings on this device; whether they raise the alarm.
    fn observe<'m>(&mut self, step: u64, timings: impl Iterator<Item = &'m Measurement> + Clone) -> bool {
        let silent = self.raised.is_none();
        for (evidence, drift) in Evidence::ALL.into_iter().zip(&mut self.drifts) {
            if let Some((expected, measured_ms)) = evidence.representative(timings.clone()) {
                drift.observe(expected, measured_ms);
            }
            if drift.alarm().is_some() {
                self.raised.get_or_insert((step, evidence));
            }
        }
        silent && self.raised.is_some()
    }

    /// How the device has changed, as its last timings show it.
    fn changed(&self, device: usize) -> Option<Changed> {
        let (step, evidence) = self.raised?;
        Some(Changed { device, step, evidence, alarm: self.drifts[evidence as usize].alarm()? })
    }
}

impl Watch {
    /// A watch over so many devices that has seen nothing.
    pub fn new(devices: usize) -> Self {
        Self { devices: vec![Watched::new(); devices] }
    }

    /// The watch of a run that had closed so many steps, from all its timings in the order they were made.
    pub fn read(devices: usize, measurements: &[Measurement], closed: u64) -> Self {
        let mut watch = Self::new(devices);
        for step in measurements.chunk_by(|a, b| a.step == b.step).filter(|step| step[0].step <= closed) {
            watch.observe(step);
        }
        watch
    }

    /// Takes note of all timings of one step; gives the devices whose alarm they raise.
    pub fn observe(&mut self, timings: &[Measurement]) -> Vec<Changed> {
        let Some(Measurement { step, .. }) = timings.first() else { return Vec::new() };
        let observe = |(device, watched): (usize, &mut Watched)| {
            let raised = watched.observe(*step, timings.iter().filter(|timing| timing.device == device));
            raised.then(|| watched.changed(device)).flatten()
        };
        self.devices.iter_mut().enumerate().filter_map(observe).collect()
    }

    /// Every device that is no longer the one that the search knows, as its last timings show it.
    pub fn changes(&self) -> impl Iterator<Item = Changed> {
        self.devices.iter().enumerate().filter_map(|(device, watched)| watched.changed(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(device: usize, purpose: Purpose, step: u64, measured_ms: f64) -> Measurement {
        let predicted_ms = Some([10.0, 9.0, 11.0]);
        Measurement { device, predicted_ms, ..Measurement::example(purpose, step, measured_ms) }
    }

    /// Of four devices the second takes half as long again for what the loop times from step 21 on, and the third is
    /// another one from step 31 on, which its predictions follow at once: only its anchors tell. On the fourth all
    /// predictions are a little too low, and in every step one of three is far off.
    fn timings() -> Vec<Measurement> {
        let around = |step: u64| if step.is_multiple_of(2) { 10.4 } else { 9.6 };
        let of_device = |device: usize, step: u64| {
            let apart = if device == 2 && step > 30 { [8.0, 10.0, 13.0] } else { [9.7, 10.0, 10.1] };
            let timed = match device {
                1 if step > 20 => vec![15.0],
                3 => vec![10.5, 14.0, 10.4],
                _ => vec![around(step)],
            };
            let timed = timed.into_iter().map(|ms| timing(device, Purpose::Search, step, ms)).collect::<Vec<_>>();
            apart.map(|ms| timing(device, Purpose::Anchor, step, ms)).into_iter().chain(timed)
        };
        (1..=40).flat_map(|step| (0..4).flat_map(move |device| of_device(device, step))).collect()
    }

    fn steps(timings: &[Measurement]) -> impl Iterator<Item = &[Measurement]> {
        timings.chunk_by(|a, b| a.step == b.step)
    }

    #[test]
    fn a_device_that_changes_is_named_once_with_what_shows_it_and_the_others_are_not() {
        let mut watch = Watch::new(4);
        let raised: Vec<Changed> = steps(&timings()).flat_map(|step| watch.observe(step)).collect();
        let [second, third] = raised[..] else { panic!("two devices have changed: {raised:?}") };
        assert!(
            matches!(second, Changed { device: 1, step: 21..=26, evidence: Evidence::Predictions, .. }),
            "{second:?}"
        );
        assert!(matches!(third, Changed { device: 2, step: 31..=33, evidence: Evidence::Anchors, .. }), "{third:?}");
        let found = |changed: &Changed| (changed.device, changed.step, changed.evidence);
        assert_eq!(watch.changes().map(|changed| found(&changed)).collect::<Vec<_>>(), [found(&second), found(&third)]);
    }

    #[test]
    fn a_watch_read_from_the_timings_of_the_closed_steps_is_the_one_that_saw_them() {
        let timings = timings();
        let mut watch = Watch::new(4);
        for (closed, step) in (1..).zip(steps(&timings)) {
            watch.observe(step);
            assert_eq!(Watch::read(4, &timings, closed), watch);
        }
    }
}
