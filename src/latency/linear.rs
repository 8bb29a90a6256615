//! The linear part of the predictor: latency as a weighted sum of features.
//!
//! Both regressors minimise the *relative* error, Σ (Σⱼ wⱼ xᵢⱼ / yᵢ − 1)², by dividing every row by its latency; columns
//! are scaled to unit norm first, so that one penalty suits all.
//!
//! | regressor | minimises | what it is good at |
//! |---|---|---|
//! | [`LinearKind::NonNegative`] | the error plus a faint ridge, all wⱼ ≥ 0 (Lawson and Hanson's algorithm, crate `nnls`) | few measurements: every layer costs something, so it extrapolates sensibly |
//! | [`LinearKind::ElasticNet`] | the error plus L1 and L2 penalties (linfa-elasticnet) | work that makes a network faster, such as alignment, has a negative weight |
//!
//! Either may see all features or a core of twenty. On 300 networks timed on a host the non-negative fit to 20 networks
//! was off by 7.8 % with the core and by 10.0 % with all; from 100 networks on, all are better.

use linfa::Dataset;
use linfa::traits::Fit as _;
use ndarray::{Array1, Array2, ArrayView1, Axis, concatenate};
use serde::{Deserialize, Serialize};

use super::FitError;
use super::features::Feature;

/// Ridge of the non-negative fit relative to the columns' unit norm: makes collinear features share their weight.
const RIDGE: f64 = 1e-3;
/// Elastic net's penalty and its share of L1.
const PENALTY: (f64, f64) = (1e-4, 1.0);
const TOLERANCE: f64 = 1e-7;
const MOST_ITERATIONS: u32 = 3000;

/// Which linear regressor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinearKind {
    /// Non-negative least squares.
    NonNegative,
    /// Elastic net.
    ElasticNet,
}

impl LinearKind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::NonNegative => "non-negative least squares",
            Self::ElasticNet => "elastic net",
        }
    }
}

/// Which features a linear regressor sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureSet {
    /// What matters most, for few measurements.
    Core,
    /// All of them.
    All,
}

/// [`FeatureSet::Core`].
const CORE: [Feature; 20] = [
    Feature::LayerCount,
    Feature::FirstConv,
    Feature::PointwiseTiles,
    Feature::PointwiseOutput,
    Feature::Conv3Tiles,
    Feature::Conv3StridedTiles,
    Feature::Conv5Tiles,
    Feature::Conv5StridedTiles,
    Feature::ConvOutput,
    Feature::Depthwise3,
    Feature::Depthwise3Strided,
    Feature::Depthwise5,
    Feature::Depthwise5Strided,
    Feature::GateCount,
    Feature::GateScaled,
    Feature::MaxPool,
    Feature::MaxPoolStrided,
    Feature::Added,
    Feature::Dense,
    Feature::LargeMaps,
];

impl FeatureSet {
    /// Whether the feature of this index belongs to it; the constant behind the last one always does.
    fn holds(self, index: usize) -> bool {
        self == Self::All || index == super::features::COUNT || CORE.iter().any(|&feature| feature as usize == index)
    }
}

/// A fitted weighted sum with a constant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// How it was fitted.
    pub kind: LinearKind,
    /// What it sees.
    pub set: FeatureSet,
    /// Milliseconds every network costs.
    pub constant_ms: f64,
    /// Milliseconds per unit of each feature; 0 for those outside the set.
    pub weights: Vec<f64>,
    /// No network is predicted to be faster than this: half the fastest one seen.
    pub least_ms: f64,
}

impl Linear {
    /// Fits `latencies_ms` (length n, positive) as sums over the columns of `features` (n by d).
    ///
    /// # Errors
    /// [`FitError::Regression`] if the regressor fails on these numbers.
    pub fn fit(
        kind: LinearKind,
        set: FeatureSet,
        features: &Array2<f64>,
        latencies_ms: ArrayView1<f64>,
    ) -> Result<Self, FitError> {
        let ones = Array2::ones((features.nrows(), 1));
        let mut relative = concatenate![Axis(1), features.view(), ones];
        relative.axis_iter_mut(Axis(0)).zip(latencies_ms).for_each(|(mut row, latency)| row /= *latency);
        let unseen = relative.columns_mut().into_iter().enumerate().filter(|(index, _)| !set.holds(*index));
        unseen.for_each(|(_, mut column)| column.fill(0.0));
        let norms = relative.map_axis(Axis(0), |column| column.dot(&column).sqrt());
        // A feature that never occurs has no norm; any divisor keeps its column at zero.
        let norms = norms.mapv(|norm| if norm > 0.0 { norm } else { 1.0 });
        relative /= &norms;
        let scaled = match kind {
            LinearKind::NonNegative => non_negative(&relative),
            LinearKind::ElasticNet => elastic_net(&relative)?,
        };
        let mut weights = (scaled / norms).to_vec();
        let constant_ms = weights.pop().unwrap_or(0.0);
        let fastest = latencies_ms.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(Self { kind, set, constant_ms, weights, least_ms: fastest / 2.0 })
    }

    /// Milliseconds for one row of features.
    pub fn predict(&self, features: &[f64]) -> f64 {
        let sum: f64 = self.weights.iter().zip(features).map(|(weight, feature)| weight * feature).sum();
        (self.constant_ms + sum).max(self.least_ms)
    }
}

fn non_negative(relative: &Array2<f64>) -> Array1<f64> {
    let (rows, columns) = relative.dim();
    let ridge = Array2::from_diag_elem(columns, RIDGE.sqrt());
    let system = concatenate![Axis(0), relative.view(), ridge];
    let target = Array1::from_shape_fn(rows + columns, |row| if row < rows { 1.0 } else { 0.0 });
    nnls::nnls(system.view(), target.view()).0
}

fn elastic_net(relative: &Array2<f64>) -> Result<Array1<f64>, FitError> {
    // linfa divides the squared error by the number of rows; columns of unit norm are brought back to unit variance.
    let root = (relative.nrows() as f64).sqrt();
    let dataset = Dataset::new(relative * root, Array1::ones(relative.nrows()));
    let fitted = linfa_elasticnet::ElasticNet::params()
        .penalty(PENALTY.0)
        .l1_ratio(PENALTY.1)
        .with_intercept(false)
        .tolerance(TOLERANCE)
        .max_iterations(MOST_ITERATIONS)
        .fit(&dataset)
        .map_err(|error| FitError::Regression(error.to_string()))?;
    Ok(fitted.hyperplane() * root)
}
