//! How repeated timings scatter, and the undisturbed latency behind a few of them.
//!
//! Everywhere in this crate the latency of a network is the **median over fresh loads on the undisturbed device**. Few
//! loads, some of them disturbed, have to tell it. In logarithms, a timing is y = μ + e, where μ is the latency and e is
//! drawn from a mixture:
//!
//! | part | share | density of e |
//! |---|---|---|
//! | undisturbed | 1 − p | normal, mean 0, deviation s: its median is the latency |
//! | delayed | p | the same plus an exponential of mean τ: other work on the machine only adds time |
//! | stray | 0.01 | uniform from 0 to 4, and 10⁻⁹ below 0: a load that took many times as long |
//!
//! s, p and τ are a device's own. They are learnt ([`Noise::learn`]) from loads of many models, by the greatest marginal
//! likelihood (each μ integrated out under a flat prior, so that many models of few loads do not bias s) times a normal
//! prior on ln s, logit p and ln τ. A device whose noise is symmetric gets p ≈ 0, and the estimate is a mean; one whose
//! loads are delayed half of the time gets p ≈ 0.5, and the estimate goes by the lowest loads and knows how far above
//! the latency they usually lie.
//!
//! The estimate itself ([`Noise::locate`]) is the mean of μ under a flat prior and these observations: Pitman's estimator
//! of a location (Pitman 1939), which has no bias whatever the number of observations, and the least mean square error
//! of all that shift with them. The minimum of n loads under symmetric noise of deviation s lies 0.85 s (n = 3) to 2.2 s
//! (n = 40) too low.
//!
//! Simulated (`cargo test --release the_estimator_has_no_bias -- --ignored --nocapture` prints it), 2400 latencies for
//! each row, noise learnt from 60 models; mean error, and root mean square error in parentheses, in percent:
//!
#![doc = include_str!("noise_table.md")]

use serde::{Deserialize, Serialize};

use crate::statistics::Normal;

/// Share of stray timings.
const STRAY: f64 = 0.01;
/// Logarithm up to which they reach.
const STRAY_RANGE: f64 = 4.0;
/// Density of timings far below the latency: nothing makes a device run faster than it can, but a reading may be wrong.
const BELOW: f64 = 1e-9;
/// Groups that noise is learnt from, at most, evenly spread.
const LEARNT_FROM: usize = 64;
/// Steps by which the pattern search for s, p and τ goes, in the deviations of their prior.
const STEPS: [f64; 4] = [1.0, 0.5, 0.25, 0.1];
/// Least deviation: devices that compute their latencies have none at all.
const LEAST_DEVIATION: f64 = 5e-4;

/// The noise of one kind of timing on one device; see the module's text.
///
/// ```
/// use mnas::device::noise::{Noise, Observation};
/// // Three loads, of which one met other work.
/// let loads = [5.00_f64, 5.03, 6.10].map(|ms| Observation::of(ms.ln()));
/// let latency = Noise::LOADS.locate(&loads);
/// assert!((latency.mean.exp() - 5.0).abs() < 0.05 && latency.deviation < 0.03);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// s: standard deviation of the logarithm of an undisturbed timing.
    pub deviation: f64,
    /// p: share of timings that are delayed.
    pub delayed: f64,
    /// τ: mean delay of these, as a logarithm.
    pub delay: f64,
}

/// The logarithm of one timing, and a standard deviation that it has beside the noise, 0 for none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// ln(ms).
    pub value: f64,
    /// Its own further deviation.
    pub deviation: f64,
}

impl Observation {
    /// One with no further deviation.
    pub fn of(value: f64) -> Self {
        Self { value, deviation: 0.0 }
    }
}

/// What is known of a device's noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DeviceNoise {
    /// Of the runs within a load.
    pub runs: Noise,
    /// Of loads, each by the latency of its runs.
    pub loads: Noise,
}

impl Default for DeviceNoise {
    /// What to expect of a device that was never timed.
    fn default() -> Self {
        Self { runs: Noise::RUNS, loads: Noise::LOADS }
    }
}

/// What is expected of s, p and τ before anything was timed, and how far ln s, logit p and ln τ may differ from that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoisePrior {
    /// The most likely noise.
    pub expected: Noise,
    /// Standard deviations of ln s, logit p and ln τ.
    pub deviations: [f64; 3],
}

impl NoisePrior {
    /// Of whole loads, each by the latency of its runs.
    pub const LOADS: Self = Self { expected: Noise::LOADS, deviations: [1.0, 1.5, 0.6] };
    /// Of the runs within one load.
    pub const RUNS: Self = Self { expected: Noise::RUNS, deviations: [1.0, 1.5, 0.6] };
    /// Of a device's pace over time.
    pub const PACES: Self = Self { expected: Noise::PACES, deviations: [0.7, 1.0, 0.6] };

    /// The same spread around what was learnt before.
    pub fn around(self, expected: Noise) -> Self {
        Self { expected, ..self }
    }
}

impl Noise {
    /// What to expect of loads before any were made.
    pub const LOADS: Self = Self { deviation: 0.015, delayed: 0.12, delay: 0.1 };
    /// What to expect of the runs within a load.
    pub const RUNS: Self = Self { deviation: 0.015, delayed: 0.15, delay: 0.06 };
    /// What to expect of a device's pace.
    pub const PACES: Self = Self { deviation: 0.01, delayed: 0.12, delay: 0.15 };

    /// The noise of greatest posterior density, given groups of logarithms: each group are timings of one model. Groups
    /// of one timing tell nothing. A pure function of the groups and their order.
    pub fn learn<'g>(groups: impl IntoIterator<Item = &'g [f64]>, prior: NoisePrior) -> Self {
        let groups: Vec<Vec<Observation>> = groups
            .into_iter()
            .filter(|group| group.len() > 1)
            .map(|group| group.iter().copied().map(Observation::of).collect())
            .collect();
        let kept: Vec<&[Observation]> =
            crate::spread(groups.len(), LEARNT_FROM).into_iter().map(|index| groups[index].as_slice()).collect();
        let posterior = |shift: &[f64; 3]| {
            let noise = prior.shifted(shift);
            let evidence: f64 = kept.iter().map(|group| noise.posterior(group).1).sum();
            evidence - 0.5 * shift.iter().map(|shift| shift * shift).sum::<f64>()
        };
        let mut best = [0.0; 3];
        let mut highest = posterior(&best);
        for step in STEPS {
            while let Some((shift, value)) = better(&best, step, highest, &posterior) {
                (best, highest) = (shift, value);
            }
        }
        prior.shifted(&best)
    }

    /// The latency's logarithm behind some timings of one model: its mean and standard deviation.
    ///
    /// # Panics
    /// Without observations.
    pub fn locate(&self, observations: &[Observation]) -> Normal {
        assert!(!observations.is_empty(), "a latency needs a timing");
        self.posterior(observations).0
    }

    /// The logarithm of the latency that the runs of one load tell, in ms; `None` without runs. A single run, or one number
    /// that stands for all, is the load's latency: what delays it belongs to the noise of loads.
    pub fn load(&self, runs_ms: &[f64]) -> Option<f64> {
        match runs_ms {
            [] => None,
            [only] => Some(only.ln()),
            runs => {
                let runs: Vec<Observation> = runs.iter().map(|ms| Observation::of(ms.ln())).collect();
                Some(self.locate(&runs).mean)
            }
        }
    }

    /// Location and logarithm of the evidence. The likelihood is summed over a grid fine enough for its width, found by
    /// a coarse one over everything that may matter: around every observation, and below the lowest by several delays.
    fn posterior(&self, observations: &[Observation]) -> (Normal, f64) {
        let widths = observations.iter().map(|observation| self.deviation.hypot(observation.deviation));
        let coarse = widths.clone().fold(f64::INFINITY, f64::min);
        let width = widths.fold(0.0, f64::max);
        let cells = self.cells(observations, coarse, width);
        let ln_likelihood = |location: f64| observations.iter().map(|o| self.density(o, location).ln()).sum::<f64>();
        let values: Vec<f64> = cells.iter().map(|cell| ln_likelihood(*cell as f64 * coarse)).collect();
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let count = observations.len() as f64;
        let matters = highest - 18.0 - count / 4.0;
        let parts = (2.0 * count.sqrt()).ceil() as i64;
        let fine = coarse / parts as f64;
        let mut points = Vec::with_capacity(64);
        for (cell, _) in cells.iter().zip(&values).filter(|(_, value)| **value >= matters) {
            for part in 0..parts {
                let location = (*cell as f64 - 0.5 + (part as f64 + 0.5) / parts as f64) * coarse;
                points.push((location, ln_likelihood(location)));
            }
        }
        summed(&points, fine)
    }

    /// The coarse grid, in cells of that width.
    fn cells(&self, observations: &[Observation], coarse: f64, width: f64) -> Vec<i64> {
        let lowest = observations.iter().map(|o| o.value).fold(f64::INFINITY, f64::min);
        let cell = |value: f64| (value / coarse).round() as i64;
        let reach = 5.0 * width;
        // The delays of all timings at once shorten the tail below the lowest.
        let below = reach + 8.0 * self.delay / observations.len() as f64;
        let mut cells: Vec<i64> = (cell(lowest - below)..=cell(lowest + reach)).collect();
        for observation in observations {
            cells.extend(cell(observation.value - reach)..=cell(observation.value + reach));
        }
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    /// The mixture's density at an observation, were the latency's logarithm `location`.
    fn density(&self, observation: &Observation, location: f64) -> f64 {
        let error = observation.value - location;
        let s = match observation.deviation {
            0.0 => self.deviation,
            deviation => self.deviation.hypot(deviation),
        };
        let stray = if (0.0..STRAY_RANGE).contains(&error) { STRAY / STRAY_RANGE } else { BELOW };
        let u = error / s;
        let normal = (-0.5 * u * u).exp();
        let undisturbed = normal / (s * (2.0 * std::f64::consts::PI).sqrt());
        (1.0 - STRAY) * ((1.0 - self.delayed) * undisturbed + self.delayed * self.delayed_density(u, s, normal)) + stray
    }

    /// Density of a normal plus an exponential variable at `u` deviations `s` from the former's mean (the exponentially
    /// modified Gaussian).
    fn delayed_density(&self, u: f64, s: f64, normal: f64) -> f64 {
        let ratio = s / self.delay;
        let z = (ratio - u) * std::f64::consts::FRAC_1_SQRT_2;
        let scaled = match z {
            // erfc is 2 to the last bit.
            z if z < -6.0 => 2.0 * (0.5 * ratio * ratio - ratio * u).exp(),
            z if z < 5.0 => (0.5 * ratio * ratio - ratio * u).exp() * statrs::function::erf::erfc(z),
            // exp(z²) erfc(z), two terms of its asymptotic series: relative error below 3/(4 z⁴), 0.12 %.
            z => normal * (1.0 - 0.5 / (z * z)) / (z * std::f64::consts::PI.sqrt()),
        };
        scaled / (2.0 * self.delay)
    }
}

impl NoisePrior {
    /// The noise that lies so many of the prior's deviations from the expected one.
    fn shifted(&self, shift: &[f64; 3]) -> Noise {
        let [deviation, delayed, delay] = self.deviations;
        let Noise { deviation: s, delayed: p, delay: tau } = self.expected;
        let logit = (p / (1.0 - p)).ln() + delayed * shift[1];
        Noise {
            deviation: (s * (deviation * shift[0]).exp()).max(LEAST_DEVIATION),
            delayed: 1.0 / (1.0 + (-logit).exp()),
            delay: tau * (delay * shift[2]).exp(),
        }
    }
}

/// The first of the six neighbours a step away that is higher than `highest`.
fn better(best: &[f64; 3], step: f64, highest: f64, posterior: &dyn Fn(&[f64; 3]) -> f64) -> Option<([f64; 3], f64)> {
    let neighbours = (0..3).flat_map(|number| [step, -step].map(|by| (number, by)));
    neighbours
        .filter_map(|(number, by)| {
            let mut shift = *best;
            shift[number] += by;
            // Beyond six deviations the prior forbids it anyway.
            (shift[number].abs() <= 6.0).then(|| (shift, posterior(&shift)))
        })
        .find(|(_, value)| *value > highest + 1e-9)
}

/// Mean, deviation and logarithm of the integral of exp of the values at points that far apart.
fn summed(points: &[(f64, f64)], apart: f64) -> (Normal, f64) {
    let highest = points.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let (mut total, mut mean) = (0.0, 0.0);
    for (location, value) in points {
        let weight = (value - highest).exp();
        total += weight;
        mean += weight * location;
    }
    mean /= total;
    let variance: f64 =
        points.iter().map(|(location, value)| (value - highest).exp() * (location - mean).powi(2)).sum::<f64>() / total;
    (Normal { mean, deviation: variance.sqrt() }, highest + (total * apart).ln())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::Rng;

    use super::*;
    use crate::Random;
    use crate::statistics::{median, quantile};

    fn normal(random: &mut Random) -> f64 {
        let (radius, angle): (f64, f64) = (random.gen_range(f64::MIN_POSITIVE..1.0), random.r#gen());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// A way in which a device whose latency is 1 disturbs a load.
    #[derive(Clone, Copy)]
    enum Device {
        Symmetric(f64),
        Delayed { share: f64, deviation: f64 },
        Tripled { deviation: f64 },
    }

    impl Device {
        fn load(self, random: &mut Random) -> f64 {
            let exponential = |random: &mut Random| -0.15 * random.gen_range(f64::MIN_POSITIVE..1.0_f64).ln();
            match self {
                Self::Symmetric(deviation) => 1.0 + deviation * normal(random),
                Self::Delayed { share, deviation } => {
                    let delay = if random.gen_bool(share) { exponential(random) } else { 0.0 };
                    (1.0 + deviation * normal(random)) * (1.0 + delay)
                }
                Self::Tripled { deviation } => {
                    (1.0 + deviation * normal(random)) * if random.gen_bool(0.1) { 3.0 } else { 1.0 }
                }
            }
        }
    }

    /// Estimates of latencies that are all 1: by [`Noise`], the minimum, the lower quartile and the median.
    fn estimates(device: Device, loads: usize, repeats: usize, seed: u64) -> [Vec<f64>; 4] {
        const MODELS: usize = 60;
        let random = &mut crate::seeded(seed);
        let mut found = [const { Vec::new() }; 4];
        for _ in 0..repeats {
            let models: Vec<Vec<f64>> =
                (0..MODELS).map(|_| (0..loads).map(|_| device.load(random).ln()).collect()).collect();
            let noise = Noise::learn(models.iter().map(Vec::as_slice), NoisePrior::LOADS);
            for model in &models {
                let observations: Vec<Observation> = model.iter().copied().map(Observation::of).collect();
                let by = [noise.locate(&observations).mean, quantile(model, 0.0), quantile(model, 0.25), median(model)];
                found.iter_mut().zip(by).for_each(|(found, ln_ms)| found.push(100.0 * (ln_ms.exp() - 1.0)));
            }
        }
        found
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn root_mean_square(values: &[f64]) -> f64 {
        (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
    }

    const DEVICES: [(&str, Device); 6] = [
        ("symmetric, 1 %", Device::Symmetric(0.01)),
        ("symmetric, 2 %", Device::Symmetric(0.02)),
        ("symmetric, 4 %", Device::Symmetric(0.04)),
        ("1 %; 30 % delayed by 15 %", Device::Delayed { share: 0.3, deviation: 0.01 }),
        ("1 %; 50 % delayed by 15 %", Device::Delayed { share: 0.5, deviation: 0.01 }),
        ("1 %; one in ten tripled", Device::Tripled { deviation: 0.01 }),
    ];

    #[test]
    #[ignore = "prints the table of the module's text; takes a minute"]
    fn the_estimator_has_no_bias_whatever_the_number_of_loads() {
        println!("| noise | loads | this estimator | minimum | lower quartile | median |\n|---|---|---|---|---|---|");
        for (name, device) in DEVICES {
            for loads in [3, 5, 15, 40] {
                let found = estimates(device, loads, 40, 7);
                let cells = found.map(|values| format!("{:+.2} ({:.2})", mean(&values), root_mean_square(&values)));
                println!("| {name} | {loads} | {} |", cells.join(" | "));
            }
        }
    }

    #[test]
    fn symmetric_and_delayed_and_stray_loads_all_give_the_undisturbed_median() {
        for (name, device) in DEVICES {
            for (loads, repeats) in [(3, 12), (15, 4)] {
                let [found, minimum, _, median] = estimates(device, loads, repeats, 3);
                let most = if name.contains("50 %") { 1.0 } else { 0.5 };
                let error = root_mean_square(&found) / (found.len() as f64).sqrt();
                let bias = mean(&found).abs();
                assert!(bias < most + 2.0 * error, "{name}, {loads} loads: {bias} %, standard error {error} %");
                // Where all of three loads are tripled, nothing tells.
                if loads > 3 || !name.contains("tripled") {
                    let best = root_mean_square(&minimum).min(root_mean_square(&median));
                    assert!(root_mean_square(&found) < 1.15 * best, "{name}, {loads} loads");
                }
            }
        }
    }

    #[test]
    fn the_stated_deviation_is_the_error_that_is_made() {
        let random = &mut crate::seeded(5);
        let noise = Noise { deviation: 0.02, delayed: 0.4, delay: 0.1 };
        let mut squares = Vec::new();
        for _ in 0..2000 {
            let delay = |random: &mut Random| -0.1 * random.gen_range(f64::MIN_POSITIVE..1.0_f64).ln();
            let load = |random: &mut Random| {
                Observation::of(0.02 * normal(random) + if random.gen_bool(0.4) { delay(random) } else { 0.0 })
            };
            let loads: Vec<Observation> = (0..5).map(|_| load(random)).collect();
            let located = noise.locate(&loads);
            squares.push((located.mean / located.deviation).powi(2));
        }
        assert!((mean(&squares) - 1.0).abs() < 0.15, "{}", mean(&squares));
    }

    #[test]
    fn a_reading_far_too_low_among_five_is_no_latency() {
        let loads = [5.0_f64, 5.02, 4.97, 5.05, 0.5].map(|ms| Observation::of(ms.ln()));
        assert!((Noise::LOADS.locate(&loads).mean.exp() - 5.0).abs() < 0.05);
    }

    proptest! {
        #[test]
        fn a_device_that_is_so_many_times_slower_has_a_latency_so_many_times_as_long(
            loads in prop::collection::vec(-0.1..0.3_f64, 1..8), shift in -3.0..3.0_f64,
        ) {
            let at = |shift: f64| {
                Noise::LOADS.locate(&loads.iter().map(|load| Observation::of(load + shift)).collect::<Vec<_>>())
            };
            let (here, there) = (at(0.0), at(shift));
            prop_assert!((there.mean - here.mean - shift).abs() < 1e-3 && (there.deviation - here.deviation).abs() < 1e-3);
        }
    }
}
