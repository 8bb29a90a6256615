//! Whether a predictor still fits its device, judged by results that came after it was made.
//!
//! Every result is a measured latency beside its prediction and interval. Three things can go wrong, each watched by a
//! statistic e that is multiplied by a likelihood ratio at every result and never falls below 1 (an e-detector, Shin,
//! Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", 2023, section 2: the
//! cumulative sum form):
//!
//! | alarm | watched | tolerated share | share taken as drift |
//! |---|---|---|---|
//! | [`Change::Slower`] | measured above the prediction | 0.6 | 0.9 |
//! | [`Change::Faster`] | measured below the prediction | 0.6 | 0.9 |
//! | [`Change::Scattered`] | measured outside the interval | 1 − level | 1 − level / 2 |
//!
//! The ratio is (share taken as drift) / (tolerated share) for a result of the watched kind, and of their complements
//! otherwise. No distribution is assumed. While no share exceeds the tolerated one, each statistic's expected number of
//! results until it reaches the threshold is at least the threshold; three of them share one rate, so each is given
//! 3 · [`RESULTS_PER_FALSE_ALARM`]. So a predictor that fits raises at most one false alarm in a thousand results, on
//! average. A device that has become 20 % slower than a predictor off by 3 % raises one after a handful.
//!
//! ```
//! use mnas::latency::{Prediction, judge::drift::{Change, Drift}};
//! let mut drift = Drift::new(0.9);
//! let predicted = Prediction { latency_ms: 10.0, low_ms: 9.5, high_ms: 10.5 };
//! for _ in 0..30 { drift.observe(predicted, 12.0); }
//! let alarm = drift.alarm().expect("20 % slower, thirty times");
//! assert_eq!(alarm.change, Change::Slower);
//! assert!((alarm.typical_ratio - 1.2).abs() < 1e-12);
//! ```

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::latency::predict::predictor::Prediction;
use crate::statistics::median;

/// Results between two false alarms, on average, at least.
pub const RESULTS_PER_FALSE_ALARM: f64 = 1000.0;
/// Statistics that share this rate.
const STATISTICS: f64 = 3.0;
/// Share of results on one side of the prediction: tolerated, and taken as drift.
const ONE_SIDED: (f64, f64) = (0.6, 0.9);
/// Results that describe the present.
const RECENT: usize = 30;

/// How the device differs from the predictor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Nearly everything takes longer.
    Slower,
    /// Nearly everything takes less time.
    Faster,
    /// Too many networks lie outside their intervals.
    Scattered,
}

/// What no longer fits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// How.
    pub change: Change,
    /// Median of measured over predicted latency over the last results.
    pub typical_ratio: f64,
    /// Percent of the last results that lay outside their interval.
    pub outside: f64,
    /// The result, counted from 1, that raised the alarm.
    pub at: usize,
}

impl Alarm {
    /// What no longer fits, in words.
    pub fn finding(&self) -> String {
        let percent = 100.0 * (self.typical_ratio - 1.0);
        match self.change {
            Change::Slower => format!("the device is slower than its predictor says ({percent:+.1} %)"),
            Change::Faster => format!("the device is faster than its predictor says ({percent:+.1} %)"),
            Change::Scattered => format!("{:.0} % of the last results lie outside their interval", self.outside),
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; seen at result {}: calibrate again", self.finding(), self.at)
    }
}

/// Watches a predictor; see the module's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    level: f64,
    /// Whether results on one side of the predictions raise an alarm.
    one_sided: bool,
    results: usize,
    slower: f64,
    faster: f64,
    scattered: f64,
    alarm: Option<(Change, usize)>,
    /// Measured over predicted, and whether that lay outside the interval.
    recent: VecDeque<(f64, bool)>,
}

impl Drift {
    /// Watches a predictor whose intervals hold this share of networks.
    pub fn new(level: f64) -> Self {
        let recent = VecDeque::with_capacity(RECENT);
        Self { level, one_sided: true, results: 0, slower: 1.0, faster: 1.0, scattered: 1.0, alarm: None, recent }
    }

    /// Watches the intervals alone: for predictions that lie to one side for reasons of their own.
    pub fn of_intervals(level: f64) -> Self {
        Self { one_sided: false, ..Self::new(level) }
    }

    /// Takes note of one result.
    pub fn observe(&mut self, predicted: Prediction, measured_ms: f64) {
        let outside = !(predicted.low_ms..=predicted.high_ms).contains(&measured_ms);
        self.results += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((measured_ms / predicted.latency_ms, outside));
        let tolerated = (1.0 - self.level).max(f64::EPSILON);
        let watched = [
            (Change::Slower, &mut self.slower, measured_ms > predicted.latency_ms, ONE_SIDED),
            (Change::Faster, &mut self.faster, measured_ms < predicted.latency_ms, ONE_SIDED),
            (Change::Scattered, &mut self.scattered, outside, (tolerated, 0.5 * (1.0 + tolerated))),
        ];
        for (change, statistic, seen, (tolerated, drifted)) in watched {
            if change != Change::Scattered && !self.one_sided {
                continue;
            }
            let ratio = if seen { drifted / tolerated } else { (1.0 - drifted) / (1.0 - tolerated) };
            *statistic = statistic.max(1.0) * ratio;
            if *statistic >= STATISTICS * RESULTS_PER_FALSE_ALARM && self.alarm.is_none() {
                self.alarm = Some((change, self.results));
            }
        }
    }

    /// How many results were seen.
    pub fn results(&self) -> usize {
        self.results
    }

    /// The first alarm, with how things are now; it stays until a new predictor gets a new watch.
    pub fn alarm(&self) -> Option<Alarm> {
        let (change, at) = self.alarm?;
        let ratios: Vec<f64> = self.recent.iter().map(|(ratio, _)| *ratio).collect();
        let outside = self.recent.iter().filter(|(_, outside)| *outside).count() as f64;
        // A device that is much slower leaves the intervals before it shows to be slower than the predictions.
        let change = match median(&ratios) {
            _ if change != Change::Scattered => change,
            ratio if self.slower >= self.faster && ratio > 1.0 && self.lies(|ratio| ratio > 1.0) => Change::Slower,
            ratio if ratio < 1.0 && self.lies(|ratio| ratio < 1.0) => Change::Faster,
            _ => Change::Scattered,
        };
        Some(Alarm { change, typical_ratio: median(&ratios), outside: 100.0 * outside / ratios.len() as f64, at })
    }

    /// Whether nearly all of the last results lie on that side of their predictions.
    fn lies(&self, side: impl Fn(f64) -> bool) -> bool {
        let count = self.recent.iter().filter(|(ratio, _)| side(*ratio)).count();
        count as f64 >= 0.5 * (ONE_SIDED.0 + ONE_SIDED.1) * self.recent.len() as f64
    }
}
