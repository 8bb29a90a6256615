//! Whether a phone is as fast as it was: by its clocks, and by a reference network timed with every load.

use std::collections::BTreeMap;

use mnas_runner::report::Report;

use crate::statistics::median;

/// A core at less than this share of the highest clock it was seen at after a load is throttled.
const CLOCK_SHARE: f64 = 0.9;

/// A slowdown up to this that does not pass is the phone's speed from then on; a greater one is never believed.
const LASTING_SLOWDOWN: f64 = 1.5;

/// A load that was too slow to count.
#[derive(Debug, Clone, PartialEq)]
pub struct Slow {
    /// What was slow, with the limit.
    pub why: String,
    /// The reference network's time, if such a speed may be believed once it has lasted.
    pub reference_ms: Option<f64>,
}

/// What is known of a phone's full speed.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    max_slowdown: f64,
    first_ms: Vec<f64>,
    baseline_ms: Option<f64>,
    highest_khz: BTreeMap<usize, u64>,
}

impl Pace {
    /// Nothing known yet.
    pub fn new(max_slowdown: f64) -> Self {
        Self { max_slowdown, first_ms: Vec::new(), baseline_ms: None, highest_khz: BTreeMap::new() }
    }

    /// Whether the baseline rests on so many loads.
    pub fn has_baseline(&self, loads: usize) -> bool {
        self.first_ms.len() >= loads
    }

    /// One of the first loads of the reference network; their median is the baseline.
    pub fn learn(&mut self, reference_ms: f64) {
        self.first_ms.push(reference_ms);
        self.baseline_ms = Some(median(&self.first_ms));
    }

    /// Judges a load by the reference network's time with it.
    ///
    /// # Errors
    /// How slow it was. A phone that became faster was throttled when the baseline was taken: the new time is the
    /// baseline from then on.
    pub fn reference(&mut self, reference_ms: f64) -> Result<(), Slow> {
        let Some(baseline_ms) = self.baseline_ms else { return Ok(()) };
        let slowdown = reference_ms / baseline_ms;
        if slowdown < 1.0 / self.max_slowdown {
            self.baseline_ms = Some(reference_ms);
        }
        match slowdown > self.max_slowdown {
            true => Err(Slow {
                why: format!(
                    "the reference network took {slowdown:.2} × its {baseline_ms:.3} ms, limit {:.2} ×",
                    self.max_slowdown
                ),
                reference_ms: (slowdown <= LASTING_SLOWDOWN).then_some(reference_ms),
            }),
            false => Ok(()),
        }
    }

    /// Takes a speed that has lasted as the phone's speed from now on.
    pub fn settle(&mut self, reference_ms: f64) {
        self.baseline_ms = Some(reference_ms);
    }

    /// Judges a load by the clocks that its runner read right after the last run, while the busy core was still busy:
    /// the fastest of the cores it could use against the highest clock seen so. An idle core's clock tells nothing.
    ///
    /// # Errors
    /// The clock that dropped.
    pub fn clocks(&mut self, report: &Report) -> Result<(), Slow> {
        let cores = report.after.cores.iter().filter(|core| report.affinity.contains(&core.core));
        let Some(fastest) = cores.max_by_key(|core| core.khz) else { return Ok(()) };
        let highest = self.highest_khz.values().copied().max().unwrap_or(0).max(fastest.khz);
        self.highest_khz
            .insert(fastest.core, fastest.khz.max(self.highest_khz.get(&fastest.core).copied().unwrap_or(0)));
        match (fastest.khz as f64) < CLOCK_SHARE * highest as f64 {
            true => Err(Slow {
                why: format!(
                    "core {} ended it at {} MHz, after {} MHz before",
                    fastest.core,
                    fastest.khz / 1000,
                    highest / 1000
                ),
                reference_ms: None,
            }),
            false => Ok(()),
        }
    }
}
