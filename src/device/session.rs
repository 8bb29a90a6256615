//! Timing several models so that they can be compared: interleaved rounds of fresh loads.
//!
//! In each round every model is loaded afresh once, in an order drawn from the seed, so that slow changes of the
//! machine meet all models alike. All runs are kept. A load's latency is estimated from its runs, a model's from its
//! loads ([`super::noise`], [`super::levels`]); loads, not runs, are the independent samples behind its interval, since one
//! network's latency differs more between fresh loads (4 %) than within one (2.5 %), measured on a shared two-core x86
//! host. A ratio to a baseline is taken round by round.

use std::ops::ControlFlow;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::levels::{Levels, TimedLoad};
use super::noise::{DeviceNoise, Noise, NoisePrior};
use super::{Clock, Device, DeviceError, Model, Timing};
use crate::statistics::{Interval, Normal, median, median_absolute_deviation, median_interval, quantile};

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

/// One model's latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median over fresh loads on the undisturbed device ([`super::noise`]), ms.
    pub median_ms: f64,
    /// Lower end of its 95 % interval.
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
    /// Its latency.
    pub latency_ms: f64,
    /// Its modified z-score.
    pub score: f64,
}

impl Timing {
    /// Logarithm of the latency, in ms, that the runs tell under this noise; `None` without runs.
    pub fn ln_ms(&self, clock: Clock, noise: &Noise) -> Option<f64> {
        noise.load(self.of(clock))
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

    /// What the loads tell of every model, on a device of whose noise this was known before.
    pub fn estimates(&self, known: DeviceNoise) -> Estimates<'_> {
        let runs: Vec<Vec<f64>> =
            self.loads.iter().map(|load| load.timing.of(self.clock).iter().map(|ms| ms.ln()).collect()).collect();
        let runs = Noise::learn(runs.iter().map(Vec::as_slice), NoisePrior::RUNS.around(known.runs));
        let timed = self.loads.iter().filter_map(|load| Some((load, load.timing.ln_ms(self.clock, &runs)?)));
        let loads: Vec<(&Load, f64)> = timed.collect();
        let timed: Vec<TimedLoad> =
            loads.iter().map(|(load, ln_ms)| TimedLoad { model: load.turn.model, ln_ms: *ln_ms }).collect();
        let models = timed.iter().map(|load| load.model + 1).max().unwrap_or(0);
        let levels = Levels::of(&timed, models, NoisePrior::LOADS.around(known.loads));
        Estimates { session: self, loads, runs, levels }
    }
}

/// What the loads of a session tell; see [`Session::estimates`].
#[derive(Debug, Clone)]
pub struct Estimates<'s> {
    session: &'s Session,
    /// Every load with the logarithm of its latency.
    loads: Vec<(&'s Load, f64)>,
    runs: Noise,
    levels: Levels,
}

impl Estimates<'_> {
    /// The noise of the device, as this session shows it.
    pub fn noise(&self) -> DeviceNoise {
        DeviceNoise { runs: self.runs, loads: self.levels.noise }
    }

    /// ln(latency in ms) of a model, `None` if it was not timed.
    pub fn ln_latency(&self, model: usize) -> Option<Normal> {
        self.levels.latencies.get(model).copied().flatten()
    }

    /// A model's latency, `None` if it was not timed.
    pub fn latency(&self, model: usize) -> Option<Latency> {
        let interval = self.ln_latency(model)?.exponential_interval(LEVEL);
        let samples = self.session.samples_ms(model);
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

    /// The latency of each of a model's loads, with its round.
    pub fn loads_ms(&self, model: usize) -> Vec<(usize, f64)> {
        let loads = self.loads.iter().filter(|(load, _)| load.turn.model == model);
        loads.map(|(load, ln_ms)| (load.turn.round, ln_ms.exp())).collect()
    }

    /// A model's latency relative to a baseline's: median of the ratios within each round, with its 95 % bootstrap
    /// interval. `None` if no round timed both.
    pub fn ratio(&self, model: usize, baseline: usize) -> Option<Interval> {
        let baselines = self.loads_ms(baseline);
        let of_round = |round| baselines.iter().find(|(other, _)| *other == round).map(|(_, ms)| *ms);
        let loads = self.loads_ms(model).into_iter();
        let ratios: Vec<f64> = loads.filter_map(|(round, ms)| Some(ms / of_round(round)?)).collect();
        (!ratios.is_empty()).then(|| median_interval(&ratios, LEVEL, &mut crate::seeded(self.session.seed)))
    }

    /// The loads of a model that stand out: those whose modified z-score (Iglewicz and Hoaglin 1993), 0.6745 times the
    /// distance from the median over the median absolute deviation, is beyond 3.5. They are named, and stay among the
    /// rest: the estimate bears them.
    pub fn outliers(&self, model: usize) -> Vec<Outlier> {
        let loads = self.loads_ms(model);
        let values: Vec<f64> = loads.iter().map(|(_, ms)| *ms).collect();
        let (centre, spread) = (median(&values), median_absolute_deviation(&values));
        let outlier = |(round, ms): (usize, f64)| {
            let score = 0.6745 * (ms - centre) / spread;
            (score.is_finite() && score.abs() > 3.5).then_some(Outlier { round, latency_ms: ms, score })
        };
        loads.into_iter().filter_map(outlier).collect()
    }

    /// How a model's time changed over the session: its median in the last third of the rounds relative to the first
    /// third, 1 for no change. Of a reference model this is the machine's drift. `None` for fewer than three rounds.
    pub fn drift(&self, model: usize) -> Option<f64> {
        let mut loads = self.loads_ms(model);
        loads.sort_by_key(|(round, _)| *round);
        let loads: Vec<f64> = loads.into_iter().map(|(_, ms)| ms).collect();
        let third = loads.len() / 3;
        (third > 0).then(|| median(&loads[loads.len() - third..]) / median(&loads[..third]))
    }
}
