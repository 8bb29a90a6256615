//! Whether the devices are still those that the search's predictions are of.
//!
//! Before the loop times a network it predicts the latency, with an interval: the calibrated predictor's word, corrected
//! by every timing before. These predictions are what is watched ([`crate::latency::drift`]), not the calibrated
//! predictor's own: that one may be a fifth off where the search goes, which the corrections take out. What has learnt
//! from all earlier timings is wrong to one side, or outside its interval, time after time only where the device is no
//! longer the one they were made on. The latencies are freed of the pace that the anchors tell ([`super::anchors`]): a
//! device on which everything takes a tenth longer is corrected for. One on which some networks do and others do not is
//! another device, and no latency from before compares with one from after.
//!
//! A watch follows from the timings of the closed steps, in the order they were made: a resumed run's is that of one
//! never stopped.

use super::Search;
use super::candidate::Candidate;
use super::control::Control;
use super::device_latencies::LEVEL;
use super::step::Carried;
use crate::latency::drift::Alarm;
use crate::latency::{Drift, Prediction};
use crate::store::Measurement;

/// See the module's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    devices: Vec<Watched>,
}

/// One device.
#[derive(Debug, Clone, PartialEq)]
struct Watched {
    drift: Drift,
    /// The step whose timings raised the alarm.
    raised: Option<u64>,
}

/// A device that is no longer what its predictions are of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Changed {
    /// Its place among the search file's, from 0.
    pub device: usize,
    /// The step whose timings showed it.
    pub step: u64,
    /// What they showed.
    pub alarm: Alarm,
}

impl Watch {
    /// A watch over so many devices that has seen nothing.
    pub fn new(devices: usize) -> Self {
        Self { devices: vec![Watched { drift: Drift::new(LEVEL), raised: None }; devices] }
    }

    /// The watch of a run that had closed so many steps, from all its timings in the order they were made.
    pub fn read(devices: usize, measurements: &[Measurement], closed: u64) -> Self {
        let mut watch = Self::new(devices);
        for measurement in measurements.iter().filter(|measurement| measurement.step <= closed) {
            watch.observe(measurement);
        }
        watch
    }

    /// Takes note of a timing, if it was predicted; says what it showed if it is the one that raises the alarm.
    pub fn observe(&mut self, measurement: &Measurement) -> Option<Changed> {
        let &Measurement { device, step, latency_ms: measured_ms, predicted_ms, .. } = measurement;
        let [latency_ms, low_ms, high_ms] = predicted_ms?;
        let watched = self.devices.get_mut(device)?;
        watched.drift.observe(Prediction { latency_ms, low_ms, high_ms }, measured_ms);
        let alarm = watched.drift.alarm().filter(|_| watched.raised.is_none())?;
        watched.raised = Some(step);
        Some(Changed { device, step, alarm })
    }

    /// Every device that is no longer what its predictions are of, as its last timings show it.
    pub fn changes(&self) -> impl Iterator<Item = Changed> {
        let changed = |(device, watched): (usize, &Watched)| {
            Some(Changed { device, step: watched.raised?, alarm: watched.drift.alarm()? })
        };
        self.devices.iter().enumerate().filter_map(changed)
    }
}

impl Search<'_> {
    /// Has the step's timings watched, and says aloud which devices they show to be others now; gives their number.
    pub(super) fn watch(
        &self,
        networks: &[Candidate],
        step: u64,
        carried: &mut Carried<'_>,
        control: &Control,
    ) -> usize {
        let mut changes = Vec::new();
        for device in carried.latencies.devices() {
            let timed = networks.iter().filter_map(|candidate| device.measured(&candidate.digest));
            changes.extend(timed.filter(|timed| timed.step == step).filter_map(|timed| carried.watch.observe(timed)));
        }
        changes.iter().for_each(|changed| control.progress.line(&self.warning(changed)));
        changes.len()
    }

    fn warning(&self, changed: &Changed) -> String {
        let (run, device) = (self.ledger.folder().display(), self.devices[changed.device].description().id);
        format!(
            "WARNING: {device} is not the device any more that the search predicts: {}, by {} timings, the last in step {}. \
             Timings from before and after do not compare.\n\
             WARNING: stop with `mnas stop {run}`, let `mnas doctor --device {device}` say what is different, calibrate \
             again, and search in a new run",
            changed.alarm.finding(),
            changed.alarm.at,
            changed.step,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Purpose;

    fn timing(device: usize, step: u64, measured_ms: f64) -> Measurement {
        Measurement {
            device,
            digest: String::new(),
            architecture: String::new(),
            purpose: Purpose::Search,
            step,
            latency_ms: measured_ms,
            interval_ms: [measured_ms; 2],
            drift: None,
            predicted_ms: Some([10.0, 9.0, 11.0]),
            timings: String::new(),
            seconds: 0.0,
        }
    }

    /// Two devices, of which the second takes half as long again from step 21 on.
    fn timings() -> Vec<Measurement> {
        let around = |step: u64| if step.is_multiple_of(2) { 10.4 } else { 9.6 };
        let pair = |step| [timing(0, step, around(step)), timing(1, step, if step > 20 { 15.0 } else { around(step) })];
        (1..=40).flat_map(pair).collect()
    }

    #[test]
    fn a_device_that_changes_is_named_once_and_the_others_are_not() {
        let mut watch = Watch::new(2);
        let raised: Vec<Changed> = timings().iter().filter_map(|timing| watch.observe(timing)).collect();
        assert!(matches!(raised[..], [Changed { device: 1, step: 21..=26, .. }]), "{raised:?}");
        let [changed] = watch.changes().collect::<Vec<_>>()[..] else { panic!("one device has changed") };
        assert_eq!((changed.device, changed.step), (1, raised[0].step));
    }

    #[test]
    fn a_watch_read_from_the_timings_of_the_closed_steps_is_the_one_that_saw_them() {
        let timings = timings();
        for closed in 0..=40 {
            let mut watch = Watch::new(2);
            for timing in timings.iter().filter(|timing| timing.step <= closed) {
                watch.observe(timing);
            }
            assert_eq!(Watch::read(2, &timings, closed), watch);
        }
    }
}
