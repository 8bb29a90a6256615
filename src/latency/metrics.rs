//! How well predictions agree with measurements.
//!
//! | figure | of predictions `p` and measurements `m` |
//! |---|---|
//! | MAPE | 100 · mean of abs(p − m) / m |
//! | within x % | 100 · share of pairs with abs(p − m) / m ≤ x / 100 |
//! | Kendall's tau-b | (concordant − discordant pairs) / sqrt(pairs untied in p · pairs untied in m) |
//! | Spearman | Pearson's correlation of ranks, ties sharing their mean rank |
//! | Pearson | covariance over the product of the standard deviations |
//!
//! Correlations of constant or fewer than two values are not defined; they are given as 0.
//!
//! ```
//! let metrics = mnas::latency::Metrics::of(&[12.0, 25.0], &[16.0, 20.0]);
//! assert_eq!((metrics.mape, metrics.kendall), (25.0, 1.0));
//! ```

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::statistics;

/// The agreement of predictions with measurements.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean absolute relative error in percent.
    pub mape: f64,
    /// Percent of predictions within 5 % of the measurement.
    pub within_5: f64,
    /// Percent of predictions within 10 % of the measurement.
    pub within_10: f64,
    /// Kendall's tau-b.
    pub kendall: f64,
    /// Spearman's rank correlation.
    pub spearman: f64,
    /// Pearson's correlation.
    pub pearson: f64,
}

impl Metrics {
    /// All figures of two equally long lists; measurements must be positive. Empty lists give zeros.
    ///
    /// # Panics
    /// If the lists differ in length.
    pub fn of(predicted: &[f64], measured: &[f64]) -> Self {
        assert_eq!(predicted.len(), measured.len(), "one prediction per measurement");
        Self {
            mape: mape(predicted, measured),
            within_5: within(predicted, measured, 5.0),
            within_10: within(predicted, measured, 10.0),
            kendall: kendall(predicted, measured),
            spearman: spearman(predicted, measured),
            pearson: pearson(predicted, measured),
        }
    }
}

fn relative_errors<'a>(predicted: &'a [f64], measured: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    predicted.iter().zip(measured).map(|(p, m)| (p - m).abs() / m)
}

/// Mean absolute relative error in percent.
pub fn mape(predicted: &[f64], measured: &[f64]) -> f64 {
    100.0 * relative_errors(predicted, measured).sum::<f64>() / measured.len().max(1) as f64
}

/// Percent of predictions within `percent` of the measurement.
pub fn within(predicted: &[f64], measured: &[f64], percent: f64) -> f64 {
    let hits = relative_errors(predicted, measured).filter(|error| *error <= percent / 100.0).count();
    100.0 * hits as f64 / measured.len().max(1) as f64
}

/// Kendall's tau-b, by comparing all pairs.
pub fn kendall(first: &[f64], second: &[f64]) -> f64 {
    let (mut agreement, mut untied_first, mut untied_second) = (0i64, 0i64, 0i64);
    for i in 0..first.len() {
        for j in 0..i {
            let (a, b) = (sign(first[i], first[j]), sign(second[i], second[j]));
            agreement += a * b;
            untied_first += a.abs();
            untied_second += b.abs();
        }
    }
    ratio(agreement as f64, (untied_first as f64 * untied_second as f64).sqrt())
}

fn sign(a: f64, b: f64) -> i64 {
    match a.total_cmp(&b) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

/// Pearson's correlation.
pub fn pearson(first: &[f64], second: &[f64]) -> f64 {
    let (mean_first, mean_second) = (mean(first), mean(second));
    let products = |f: fn(f64, f64) -> f64| -> f64 {
        first.iter().zip(second).map(|(a, b)| f(a - mean_first, b - mean_second)).sum()
    };
    ratio(products(|a, b| a * b), (products(|a, _| a * a) * products(|_, b| b * b)).sqrt())
}

/// Spearman's rank correlation.
pub fn spearman(first: &[f64], second: &[f64]) -> f64 {
    pearson(&ranks(first), &ranks(second))
}

/// Ranks from 0, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let below = order.partition_point(|&i| values[i] < values[tied[0]]);
        tied.iter().for_each(|&i| ranks[i] = below as f64 + (tied.len() - 1) as f64 / 2.0);
    }
    ranks
}

/// The `share` quantile (0 to 1) with linear interpolation between order statistics; `None` of nothing.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    (!values.is_empty()).then(|| statistics::quantile(values, share))
}

/// The median; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator > 0.0 { numerator / denominator } else { 0.0 }
}
