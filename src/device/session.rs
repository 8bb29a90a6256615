//! Timing several models so that they can be compared: interleaved rounds of fresh loads.
//!
//! In each round every model is loaded afresh once, in an order drawn from the seed, so that slow changes of the
//! machine meet all models alike. All runs are kept. A model's latency is the median over its loads of each load's
//! median; loads, not runs, are the independent samples behind its interval, since one network's median differs more
//! between fresh loads (4 %) than within one (2.5 %), measured on a shared two-core x86 host. A ratio to a baseline is taken round by round.

use std::ops::ControlFlow;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::statistics::{Interval, median, median_absolute_deviation, median_interval, quantile, quantile_interval};
use super::{Clock, Device, DeviceError, Model, Timing};

/// Level of all intervals.
const LEVEL: f64 = 0.95;

/// How a session goes.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `rounds` | 5 | fresh loads of each model | 1 or more |
/// | `seed` | 0 | orders within rounds, bootstrap | any |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Fresh loads of each model.
    pub rounds: usize,
    /// Draws the orders and the bootstrap's resamples.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { rounds: 5, seed: 0 }
    }
}

/// One turn of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The round, from 0.
    pub round: usize,
    /// Index of the model.
    pub model: usize,
}

impl Plan {
    /// All turns in order. A round's order depends on the seed and the round only, so that a resumed session goes on
    /// as it would have.
    pub fn turns(&self, models: usize) -> Vec<Turn> {
        let order = |round: usize| {
            let mut order: Vec<usize> = (0..models).collect();
            order.shuffle(&mut crate::seeded(self.seed ^ (round as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
            order.into_iter().map(move |model| Turn { round, model })
        };
        (0..self.rounds).flat_map(order).collect()
    }
}

/// One fresh load with all its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// When it was this model's turn.
    #[serde(flatten)]
    pub turn: Turn,
    /// All runs.
    #[serde(flatten)]
    pub timing: Timing,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The clock whose median is the latency.
    pub clock: Clock,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// All loads in the order they happened.
    pub loads: Vec<Load>,
}

/// What stands for a load's runs, and for several loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// The median run of a load, the median over loads: what `mnas bench` reports.
    Median,
    /// The fastest run of a load, the fastest over loads: what predictors are fitted to and searches decide by. Whatever
    /// else runs on a machine only adds time. On a shared host, sessions of three loads repeated the fastest to 1.0 %, the
    /// lower quartile to 1.2 % and the median to 1.7 %; of five loads, to 0.9 % each.
    Fastest,
}

impl Statistic {
    /// The quantile over loads that counts.
    pub const fn quantile_over_loads(self) -> f64 {
        match self {
            Self::Median => 0.5,
            Self::Fastest => 0.0,
        }
    }
}

/// One model's latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median over loads of the loads' medians, ms.
    pub median_ms: f64,
    /// Lower end of its 95 % bootstrap interval.
    pub low_ms: f64,
    /// Upper end.
    pub high_ms: f64,
    /// Tenth percentile of all runs, ms.
    pub p10_ms: f64,
    /// Median of all runs, ms.
    pub p50_ms: f64,
    /// Ninetieth percentile of all runs, ms.
    pub p90_ms: f64,
    /// Median absolute deviation of all runs, ms.
    pub mad_ms: f64,
}

/// A load far from a model's others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outlier {
    /// The round, from 0.
    pub round: usize,
    /// Median of its runs.
    pub median_ms: f64,
    /// Its modified z-score.
    pub score: f64,
}

impl Timing {
    /// One number for the runs; `None` without runs.
    pub fn statistic_ms(&self, clock: Clock, statistic: Statistic) -> Option<f64> {
        let runs = self.of(clock);
        match statistic {
            Statistic::Median => (!runs.is_empty()).then(|| median(runs)),
            Statistic::Fastest => runs.iter().copied().min_by(f64::total_cmp),
        }
    }

    /// The runs as the chosen clock saw them; the wall clock's where the device has no other.
    pub fn of(&self, clock: Clock) -> &[f64] {
        match clock {
            Clock::ThreadCpu if !self.cpu_ms.is_empty() => &self.cpu_ms,
            _ => &self.wall_ms,
        }
    }
}

/// Times all models. `done` are the loads of an interrupted session of the same plan and models, which are not
/// repeated; `observe` sees every new load at once, to store it or to show progress, and may end the session early.
///
/// # Errors
/// The first load that fails ends the session; `observe` has seen the loads before it.
pub fn measure(
    device: &mut dyn Device,
    models: &[Model],
    plan: &Plan,
    done: Vec<Load>,
    observe: &mut dyn FnMut(&Load) -> ControlFlow<()>,
) -> Result<Session, DeviceError> {
    let mut session = Session { clock: device.description().clock, seed: plan.seed, loads: done };
    for turn in plan.turns(models.len()) {
        if session.loads.iter().any(|load| load.turn == turn) {
            continue;
        }
        let load = Load { turn, timing: device.time(&models[turn.model])? };
        let flow = observe(&load);
        session.loads.push(load);
        if flow.is_break() {
            break;
        }
    }
    Ok(session)
}

impl Session {
    /// A model's loads by round.
    fn loads_of(&self, model: usize) -> impl Iterator<Item = &Load> {
        self.loads.iter().filter(move |load| load.turn.model == model)
    }

    /// Every run of a model in milliseconds, load after load.
    pub fn samples_ms(&self, model: usize) -> Vec<f64> {
        self.loads_of(model).flat_map(|load| load.timing.of(self.clock)).copied().collect()
    }

    /// All of a model's loads as one JSON text.
    pub fn samples_json(&self, model: usize) -> String {
        let loads: Vec<&Load> = self.loads_of(model).collect();
        serde_json::to_string(&loads).expect("loads are plain numbers")
    }

    /// One number for each of a model's loads, with its round.
    pub fn loads_ms(&self, model: usize, statistic: Statistic) -> Vec<(usize, f64)> {
        let of = |load: &Load| Some((load.turn.round, load.timing.statistic_ms(self.clock, statistic)?));
        self.loads_of(model).filter_map(of).collect()
    }

    /// A model's latency by that statistic, with its 95 % bootstrap interval; `None` if it was not timed.
    pub fn typical(&self, model: usize, statistic: Statistic) -> Option<Interval> {
        let loads: Vec<f64> = self.loads_ms(model, statistic).into_iter().map(|(_, ms)| ms).collect();
        let quantile = statistic.quantile_over_loads();
        (!loads.is_empty()).then(|| quantile_interval(&loads, quantile, LEVEL, &mut crate::seeded(self.seed)))
    }

    /// A model's latency, `None` if it was not timed.
    pub fn latency(&self, model: usize) -> Option<Latency> {
        let interval = self.typical(model, Statistic::Median)?;
        let samples = self.samples_ms(model);
        Some(Latency {
            median_ms: interval.value,
            low_ms: interval.low,
            high_ms: interval.high,
            p10_ms: quantile(&samples, 0.1),
            p50_ms: median(&samples),
            p90_ms: quantile(&samples, 0.9),
            mad_ms: median_absolute_deviation(&samples),
        })
    }

    /// A model's latency relative to a baseline's: median of the ratios within each round, with its 95 % bootstrap
    /// interval. `None` if no round timed both.
    pub fn ratio(&self, model: usize, baseline: usize, statistic: Statistic) -> Option<Interval> {
        let baselines = self.loads_ms(baseline, statistic);
        let of_round = |round| baselines.iter().find(|(other, _)| *other == round).map(|(_, ms)| *ms);
        let loads = self.loads_ms(model, statistic).into_iter();
        let ratios: Vec<f64> = loads.filter_map(|(round, ms)| Some(ms / of_round(round)?)).collect();
        (!ratios.is_empty()).then(|| median_interval(&ratios, LEVEL, &mut crate::seeded(self.seed)))
    }

    /// A model's latency freed of the machine's drift: each load is divided by how much slower than its own median the
    /// reference model was in the same round. It helps where the machine's speed changed by more than the reference's
    /// own loads vary, and adds their noise otherwise. `None` if no round timed both.
    pub fn corrected(&self, model: usize, reference: usize, statistic: Statistic) -> Option<Interval> {
        let slowdowns = self.slowdowns(reference, statistic);
        let of_round = |round| slowdowns.iter().find(|(other, _)| *other == round).map(|(_, slowdown)| *slowdown);
        let loads = self.loads_ms(model, statistic).into_iter();
        let corrected: Vec<f64> = loads.filter_map(|(round, ms)| Some(ms / of_round(round)?)).collect();
        let quantile = statistic.quantile_over_loads();
        let interval = || quantile_interval(&corrected, quantile, LEVEL, &mut crate::seeded(self.seed));
        (!corrected.is_empty()).then(interval)
    }

    /// How much slower than its median a model was in each round.
    pub fn slowdowns(&self, model: usize, statistic: Statistic) -> Vec<(usize, f64)> {
        let loads = self.loads_ms(model, statistic);
        let centre = median(&loads.iter().map(|(_, ms)| *ms).collect::<Vec<_>>());
        loads.into_iter().map(|(round, ms)| (round, ms / centre)).collect()
    }

    /// The loads of a model that stand out: those whose modified z-score (Iglewicz and Hoaglin 1993), 0.6745 times the
    /// distance from the median over the median absolute deviation, is beyond 3.5. They are named, and stay among the
    /// rest: medians bear them.
    pub fn outliers(&self, model: usize) -> Vec<Outlier> {
        let loads = self.loads_ms(model, Statistic::Median);
        let values: Vec<f64> = loads.iter().map(|(_, ms)| *ms).collect();
        let (centre, spread) = (median(&values), median_absolute_deviation(&values));
        let outlier = |(round, ms): (usize, f64)| {
            let score = 0.6745 * (ms - centre) / spread;
            (score.is_finite() && score.abs() > 3.5).then_some(Outlier { round, median_ms: ms, score })
        };
        loads.into_iter().filter_map(outlier).collect()
    }

    /// How a model's time changed over the session: its median in the last third of the rounds relative to the first
    /// third, 1 for no change. Of a reference model this is the machine's drift. `None` for fewer than three rounds.
    pub fn drift(&self, model: usize) -> Option<f64> {
        let mut medians = self.loads_ms(model, Statistic::Median);
        medians.sort_by_key(|(round, _)| *round);
        let medians: Vec<f64> = medians.into_iter().map(|(_, median)| median).collect();
        let third = medians.len() / 3;
        (third > 0).then(|| median(&medians[medians.len() - third..]) / median(&medians[..third]))
    }
}
