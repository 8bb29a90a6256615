//! Whether the devices are still those that the search knows.
//!
//! Two things are watched on each device, by one [`Drift`] each (see [`crate::latency::drift`]):
//!
//! | evidence | expected | raises when |
//! |---|---|---|
//! | [`Evidence::Predictions`] | the latency that was predicted before the loop timed a network, with its interval | timings keep lying to one side, or outside |
//! | [`Evidence::Anchors`] | what networks of known latency took before, within what a second timing may differ by | they keep lying outside: they have changed places |
//!
//! The predictions are the search's own, corrected by every timing before, and not the calibrated predictor's alone: that
//! one may be a fifth off where the search goes, on the very device it was made for. But they learn, and few networks are
//! timed: a device that became another one half-way is told by them only where it differs grossly. Anchors
//! ([`super::anchors`]) are the same networks again and again. All latencies are freed of the pace that the middle anchor
//! sets: a device on which everything takes a tenth longer is corrected for. One on which some networks do and others do
//! not is another device, and no latency from before compares with one from after.
//!
//! A watch follows from the timings of the closed steps, in the order they were made: a resumed run's is that of one
//! never stopped.

use super::control::Control;
use super::device_latencies::LEVEL;
use super::step::Carried;
use super::{Search, SearchError};
use crate::device::{Description, command};
use crate::latency::drift::Alarm;
use crate::latency::{Drift, Prediction};
use crate::store::{Measurement, Purpose};

/// An anchor this close to what it took before has set the pace itself, and tells nothing.
const SETS_THE_PACE: f64 = 1e-9;

/// What showed that a device is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Timings, beside what the search had predicted.
    Predictions,
    /// Networks of known latency.
    Anchors,
}

impl Evidence {
    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predictions => "predictions",
            Self::Anchors => "anchors",
        }
    }
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    devices: Vec<Watched>,
}

/// One device.
#[derive(Debug, Clone, PartialEq)]
struct Watched {
    predictions: Drift,
    anchors: Drift,
    /// The step whose timings raised the alarm, and what they are evidence of.
    raised: Option<(u64, Evidence)>,
}

/// A device that is no longer the one that the search knows.
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
                    "networks of known latency changed places, {outside:.0} % of their last timings beyond all noise"
                )
            }
        }
    }
}

impl Watched {
    fn new() -> Self {
        Self { predictions: Drift::new(LEVEL), anchors: Drift::new(LEVEL), raised: None }
    }

    fn drift(&self, evidence: Evidence) -> &Drift {
        match evidence {
            Evidence::Predictions => &self.predictions,
            Evidence::Anchors => &self.anchors,
        }
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
        for measurement in measurements.iter().filter(|measurement| measurement.step <= closed) {
            watch.observe(measurement);
        }
        watch
    }

    /// Takes note of a timing, if something was expected of it; says what it showed if it is the one that raises the
    /// device's alarm.
    pub fn observe(&mut self, measurement: &Measurement) -> Option<Changed> {
        let &Measurement { device, step, latency_ms: measured_ms, predicted_ms, purpose, .. } = measurement;
        let [latency_ms, low_ms, high_ms] = predicted_ms?;
        let watched = self.devices.get_mut(device)?;
        let (evidence, drift) = match purpose {
            Purpose::WarmUp => return None,
            Purpose::Anchor if (measured_ms / latency_ms - 1.0).abs() < SETS_THE_PACE => return None,
            Purpose::Anchor => (Evidence::Anchors, &mut watched.anchors),
            Purpose::Search => (Evidence::Predictions, &mut watched.predictions),
        };
        drift.observe(Prediction { latency_ms, low_ms, high_ms }, measured_ms);
        let alarm = drift.alarm().filter(|_| watched.raised.is_none())?;
        watched.raised = Some((step, evidence));
        Some(Changed { device, step, evidence, alarm })
    }

    /// Every device that is no longer the one that the search knows, as its last timings show it.
    pub fn changes(&self) -> impl Iterator<Item = Changed> {
        let changed = |(device, watched): (usize, &Watched)| {
            let (step, evidence) = watched.raised?;
            Some(Changed { device, step, evidence, alarm: watched.drift(evidence).alarm()? })
        };
        self.devices.iter().enumerate().filter_map(changed)
    }
}

impl Search<'_> {
    /// Has the step's timings watched, and says aloud which devices they show to be others now; gives their number.
    pub(super) fn watch(&self, step: u64, carried: &mut Carried<'_>, control: &Control) -> Result<usize, SearchError> {
        let timings = self.ledger.measurements_of(step)?;
        let changes: Vec<Changed> = timings.iter().filter_map(|timing| carried.watch.observe(timing)).collect();
        changes.iter().for_each(|changed| control.progress.line(&self.warning(changed)));
        Ok(changes.len())
    }

    fn warning(&self, changed: &Changed) -> String {
        let Description { id, model, kind, .. } = self.devices[changed.device].description();
        // Of a program of the user's own nothing but its timings is known.
        let doctor = if kind == command::KIND { String::new() } else { format!(" (`mnas doctor --device {id}`)") };
        format!(
            "WARNING: {id} ({model}) is not the device any more that the search knows: {}, as step {} showed. \
             Latencies from before and after do not compare.\n\
             WARNING: stop with `mnas stop {}`, find out what is different{doctor}, calibrate again, and search in a new run",
            changed.finding(),
            changed.step,
            self.ledger.folder().display(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(device: usize, purpose: Purpose, step: u64, measured_ms: f64) -> Measurement {
        Measurement {
            device,
            digest: String::new(),
            architecture: String::new(),
            purpose,
            step,
            latency_ms: measured_ms,
            interval_ms: [measured_ms; 2],
            drift: None,
            predicted_ms: Some([10.0, 9.0, 11.0]),
            timings: String::new(),
            seconds: 0.0,
        }
    }

    /// Of four devices the second takes half as long again for what the loop times from step 21 on, and the third is
    /// another one from step 31 on, which its predictions follow at once: only its anchors tell.
    fn timings() -> Vec<Measurement> {
        let around = |step: u64| if step.is_multiple_of(2) { 10.4 } else { 9.6 };
        let of_device = |device: usize, step: u64| {
            let slower = if device == 1 && step > 20 { 15.0 } else { around(step) };
            let apart = if device == 2 && step > 30 { [8.0, 10.0, 13.0] } else { [9.7, 10.0, 10.1] };
            let anchors = apart.map(|ms| timing(device, Purpose::Anchor, step, ms));
            anchors.into_iter().chain([timing(device, Purpose::Search, step, slower)])
        };
        (1..=40).flat_map(|step| (0..4).flat_map(move |device| of_device(device, step))).collect()
    }

    #[test]
    fn a_device_that_changes_is_named_once_with_what_shows_it_and_the_others_are_not() {
        let mut watch = Watch::new(4);
        let raised: Vec<Changed> = timings().iter().filter_map(|timing| watch.observe(timing)).collect();
        let [second, third] = raised[..] else { panic!("two devices have changed: {raised:?}") };
        assert!(
            matches!(second, Changed { device: 1, step: 21..=26, evidence: Evidence::Predictions, .. }),
            "{second:?}"
        );
        assert!(matches!(third, Changed { device: 2, step: 31..=34, evidence: Evidence::Anchors, .. }), "{third:?}");
        let found = |changed: &Changed| (changed.device, changed.step, changed.evidence);
        assert_eq!(watch.changes().map(|changed| found(&changed)).collect::<Vec<_>>(), [found(&second), found(&third)]);
    }

    #[test]
    fn a_watch_read_from_the_timings_of_the_closed_steps_is_the_one_that_saw_them() {
        let timings = timings();
        for closed in 0..=40 {
            let mut watch = Watch::new(4);
            for timing in timings.iter().filter(|timing| timing.step <= closed) {
                watch.observe(timing);
            }
            assert_eq!(Watch::read(4, &timings, closed), watch);
        }
    }
}
