//! Medians, quantiles, spread and bootstrap intervals, and the normal distribution (by statrs): pure functions.

use rand::Rng;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Continuous, ContinuousCDF};

use crate::Random;

/// Resamples behind a bootstrap interval: enough that its ends repeat to about a tenth of its width.
const RESAMPLES: usize = 2000;

/// A value with the interval that covers it at some level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A normal distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normal {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
}

impl Normal {
    /// The median of exp of this variable, and the interval that holds it at that level.
    pub fn exponential_interval(self, level: f64) -> Interval {
        let half_width = deviations(level) * self.deviation;
        Interval { value: self.mean.exp(), low: (self.mean - half_width).exp(), high: (self.mean + half_width).exp() }
    }

    /// The chance that the variable is at most this.
    pub fn chance_below(self, value: f64) -> f64 {
        if self.deviation <= 0.0 {
            return if self.mean <= value { 1.0 } else { 0.0 };
        }
        statrs::distribution::Normal::standard().cdf((value - self.mean) / self.deviation)
    }

    /// E\[max(X, 0)\] = μ Φ(u) + σ φ(u), u = μ / σ: the expected improvement if X is what a value exceeds the best one by.
    pub fn expected_excess(self) -> f64 {
        let Self { mean, deviation } = self;
        if deviation <= f64::MIN_POSITIVE {
            return mean.max(0.0);
        }
        let standard = statrs::distribution::Normal::standard();
        let u = mean / deviation;
        (mean * standard.cdf(u) + deviation * standard.pdf(u)).max(0.0)
    }

    /// What two independent pieces of evidence say together: the product of their densities, normalised.
    pub fn and(self, other: Self) -> Self {
        let (a, b) = (self.deviation.powi(2), other.deviation.powi(2));
        if a + b <= 0.0 {
            return self;
        }
        Self { mean: (self.mean * b + other.mean * a) / (a + b), deviation: (a * b / (a + b)).sqrt() }
    }
}

/// Half the width, in standard deviations, of the interval around the mean that holds a normal variable with that
/// probability: 1.96 for 0.95.
///
/// # Panics
/// If the level is not between 0 and 1.
///
/// ```
/// let [two_sided, one_sided] = [mnas::statistics::deviations(0.95), mnas::statistics::deviations_above(0.95)];
/// assert!((two_sided - 1.9600).abs() < 1e-4 && (one_sided - 1.6449).abs() < 1e-4);
/// ```
pub fn deviations(level: f64) -> f64 {
    deviations_above(0.5 + level / 2.0)
}

/// The standard normal quantile: so many standard deviations above the mean lies the bound that a normal variable stays
/// below with that probability, 2.33 for 0.99.
///
/// # Panics
/// If the level is not between 0 and 1.
pub fn deviations_above(level: f64) -> f64 {
    statrs::distribution::Normal::standard().inverse_cdf(level)
}

/// The median; NaN for no samples.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The `q` quantile, 0 to 1, linear between the nearest order statistics (Hyndman and Fan's type 7); NaN for no
/// samples.
///
/// ```
/// use mnas::statistics::quantile;
/// assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
/// ```
pub fn quantile(samples: &[f64], q: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    below + (above - below) * position.fract()
}

/// Median of the absolute deviations from the median, unscaled; NaN for no samples.
pub fn median_absolute_deviation(samples: &[f64]) -> f64 {
    let centre = median(samples);
    median(&samples.iter().map(|sample| (sample - centre).abs()).collect::<Vec<_>>())
}

/// The `q` quantile with its percentile bootstrap interval (Efron 1979) at `level`, e.g. 0.95.
///
/// The samples must be independent of each other: medians of loads, not runs within one load.
pub fn quantile_interval(samples: &[f64], q: f64, level: f64, random: &mut Random) -> Interval {
    let value = quantile(samples, q);
    if samples.len() < 2 {
        return Interval { value, low: value, high: value };
    }
    let mut resampled = vec![0.0; samples.len()];
    let quantiles: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            resampled.fill_with(|| samples[random.gen_range(0..samples.len())]);
            quantile(&resampled, q)
        })
        .collect();
    let tail = (1.0 - level) / 2.0;
    Interval { value, low: quantile(&quantiles, tail), high: quantile(&quantiles, 1.0 - tail) }
}

/// The median with its bootstrap interval: [`quantile_interval`] of one half.
pub fn median_interval(samples: &[f64], level: f64, random: &mut Random) -> Interval {
    quantile_interval(samples, 0.5, level, random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_function_and_its_quantiles_have_their_known_values() {
        let standard = Normal { mean: 0.0, deviation: 1.0 };
        for (u, known) in [(0.0, 0.5), (1.0, 0.841_344_746), (-1.959_964, 0.025), (3.0, 0.998_650_102)] {
            assert!((standard.chance_below(u) - known).abs() < 1e-8, "{u}");
        }
        for (level, known) in [(0.9, 1.644_854), (0.95, 1.959_964), (0.97, 2.170_090)] {
            assert!((deviations(level) - known).abs() < 1e-6, "{level}");
        }
        assert!((deviations_above(0.99) - 2.326_348).abs() < 1e-6);
    }

    #[test]
    fn the_expected_excess_is_the_average_of_what_lies_above_zero() {
        for (mean, deviation) in [(0.3, 0.5), (-0.4, 0.2), (0.0, 1.0), (0.2, 0.0), (-0.2, 0.0)] {
            let normal = Normal { mean, deviation };
            let count = 200_000;
            let at = |number| mean + deviation * deviations_above((f64::from(number) + 0.5) / f64::from(count));
            let average = (0..count).map(|number| at(number).max(0.0)).sum::<f64>() / f64::from(count);
            assert!((normal.expected_excess() - average).abs() < 1e-5, "{normal:?}: {average}");
        }
    }
}
