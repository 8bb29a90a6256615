//! The first guess at a latency: every kind of work has its price.
//!
//! latencyᵢ ≈ Σⱼ rateⱼ amountᵢⱼ, where the rates minimise
//!
//! Σᵢ (latencyᵢ' / latencyᵢ − 1)² / 0.04² + Σⱼ (rateⱼ / typicalⱼ − 1)² / dⱼ², dⱼ = 0.6 max(1, rateⱼ / typicalⱼ):
//!
//! the *relative* errors, of which some 4 % are not for rates to explain, and the distance to [`Feature::typical_ms`]
//! times one factor for the whole device (the median of latency over typical latency), counted in octaves rather than in
//! milliseconds for rates above. So twenty networks suffice for rates that are all sensible, and two hundred overrule the
//! typical ones, even where a device is hundreds of times slower at something. Each round of non-negative least squares
//! (Lawson and Hanson's algorithm, crate `nnls`) takes dⱼ from the round before. No rate is below 0.3
//! typicalⱼ: the process corrects in proportion to rates, and could do nothing for work that is thought free. In a warm
//! start another device's rates stand for the typical ones, and the factor 0.6 is 0.1.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::latency::data::features::{COUNT, Feature, Features, LayerShape};
use crate::statistics::median;

/// What rates alone are expected to be off by, relative.
const EXPECTED_ERROR: f64 = 0.04;
/// How far a rate is expected to be from the typical one, relative.
const EXPECTED_SPREAD: f64 = 0.6;
/// The same from another device's rate, a factor for all of them aside.
const SPREAD_NEAR: f64 = 0.1;
/// No work is free: the least rate relative to the typical one.
const LEAST: f64 = 0.3;

/// Rounds of least squares.
const ROUNDS: usize = 4;

/// Milliseconds per unit of each kind of work, in the order of [`Feature::ALL`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rates(Vec<f64>);

impl Rates {
    /// The typical rates.
    pub fn nominal() -> Self {
        Self(Feature::ALL.iter().map(|feature| feature.typical_ms()).collect())
    }

    /// These rates times the factor that suits these latencies best.
    pub fn scaled_to(&self, rows: &[&Features], latencies_ms: &[f64]) -> Self {
        let ratios: Vec<f64> = rows.iter().zip(latencies_ms).map(|(row, ms)| ms / self.latency_ms(row)).collect();
        let factor = median(&ratios);
        Self(self.0.iter().map(|rate| rate * factor).collect())
    }

    /// The rates that suit these latencies (as many as rows, positive).
    pub fn fit(rows: &[&Features], latencies_ms: &[f64]) -> Self {
        Self::fit_around(&Self::nominal(), EXPECTED_SPREAD, rows, latencies_ms)
    }

    /// The same near another device's rates, times a factor.
    pub fn fit_near(other: &Self, rows: &[&Features], latencies_ms: &[f64]) -> Self {
        Self::fit_around(other, SPREAD_NEAR, rows, latencies_ms)
    }

    fn fit_around(expected: &Self, spread: f64, rows: &[&Features], latencies_ms: &[f64]) -> Self {
        let typical = expected.scaled_to(rows, latencies_ms);
        let mut system = Array2::zeros((rows.len() + COUNT, COUNT));
        let mut target = Array1::zeros(rows.len() + COUNT);
        for (index, (row, latency)) in rows.iter().zip(latencies_ms).enumerate() {
            let terms = row.totals().into_iter().zip(&typical.0).map(|(amount, rate)| amount * rate);
            let terms = terms.map(|ms| ms / latency / EXPECTED_ERROR);
            system.row_mut(index).assign(&terms.collect::<Array1<f64>>());
            target[index] = 1.0 / EXPECTED_ERROR;
        }
        let mut relative = Array1::ones(COUNT);
        for _ in 0..ROUNDS {
            for (feature, factor) in relative.iter().enumerate() {
                let weight = 1.0 / (spread * f64::max(*factor, 1.0));
                system[[rows.len() + feature, feature]] = weight;
                target[rows.len() + feature] = weight;
            }
            relative = nnls::nnls(system.view(), target.view()).0;
        }
        Self(relative.iter().zip(&typical.0).map(|(factor, rate)| factor.max(LEAST) * rate).collect())
    }

    /// Whether there is one positive rate for each kind of work.
    pub(super) fn is_consistent(&self) -> bool {
        self.0.len() == COUNT && self.0.iter().all(|rate| rate.is_finite() && *rate > 0.0)
    }

    /// The rate of one kind.
    pub fn of(&self, feature: Feature) -> f64 {
        self.0[feature as usize]
    }

    /// What a layer of this shape costs by these rates.
    pub fn layer_ms(&self, shape: LayerShape) -> f64 {
        shape.work().map(|work| self.of(work.feature) * work.amount).sum()
    }

    /// What a network costs by these rates.
    pub fn latency_ms(&self, features: &Features) -> f64 {
        features.shapes().iter().map(|(shape, count)| f64::from(*count) * self.layer_ms(*shape)).sum()
    }
}
