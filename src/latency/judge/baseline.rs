//! What far simpler predictors make of a network: regressions on counts that everybody can take without a device.
//!
//! | baseline | latency ≈ |
//! |---|---|
//! | [`Counts::Madds`] | a · multiply-adds |
//! | [`Counts::All`] | a · multiply-adds + b · parameters + c · layers + d |
//!
//! Each minimises the mean squared relative error, mean of (predicted / measured − 1)² / 2, by linfa's elastic net on
//! the counts over the measured latency, every column scaled to a root mean square of 1. The penalty is so small that it
//! decides only between counts that go hand in hand. A calibration that is hardly better than these has learnt little.
//!
//! ```
//! use mnas::latency::judge::baseline::{CountRegression, Counts};
//! use mnas::{latency::{DataSet, Features}, network::Network, space::Space};
//!
//! let (space, mut random) = (Space::preset("demo")?, mnas::seeded(1));
//! let mut data = DataSet::default();
//! for _ in 0..30 {
//!     let architecture = space.decode(&space.sample(&mut random))?;
//!     let features = Features::of(&Network::expand(&architecture)?);
//!     data.push(&architecture, 0.5 + 0.1 * features.madds() + 2.0 * features.parameters(), "")?;
//! }
//! let baseline = CountRegression::fit(Counts::All, &data)?;
//! let row = &data.measurements()[0];
//! assert!((baseline.latency_ms(&row.features) / row.latency_ms - 1.0).abs() < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use linfa::Dataset;
use linfa::traits::Fit as _;
use linfa_elasticnet::ElasticNet;
use ndarray::{Array1, Array2, Axis};

use crate::latency::data::DataSet;
use crate::latency::data::features::{Feature, Features};
use crate::latency::error::FitError;

/// Weight of the penalty beside the mean squared relative error.
const PENALTY: f64 = 1e-4;
/// Relative change of a coefficient at which the descent ends, or after so many rounds.
const TOLERANCE: f64 = 1e-8;
const MOST_ROUNDS: u32 = 10_000;

/// What a baseline counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Multiply-adds.
    Madds,
    /// Multiply-adds, parameters and layers, and a constant.
    All,
}

impl Counts {
    fn of(self, features: &Features) -> Vec<f64> {
        match self {
            Self::Madds => vec![features.madds()],
            Self::All => vec![features.madds(), features.parameters(), features.get(Feature::Layer), 1.0],
        }
    }
}

/// A linear regression on counts.
#[derive(Debug, Clone, PartialEq)]
pub struct CountRegression {
    counts: Counts,
    /// Milliseconds per unit of each count.
    rates: Vec<f64>,
}

impl CountRegression {
    /// Fits measurements; of none, a baseline that predicts 0 ms.
    ///
    /// # Errors
    /// [`FitError::Regression`] for numbers that defeat the regressor.
    pub fn fit(counts: Counts, data: &DataSet) -> Result<Self, FitError> {
        let rows = data.measurements();
        let relative =
            rows.iter().flat_map(|row| counts.of(&row.features).into_iter().map(|count| count / row.latency_ms));
        let relative: Vec<f64> = relative.collect();
        let columns = relative.len().checked_div(rows.len()).unwrap_or(0);
        let failed = |error: &dyn std::fmt::Display| FitError::Regression(error.to_string());
        let mut records = Array2::from_shape_vec((rows.len(), columns), relative).map_err(|error| failed(&error))?;
        let scales = records.map_axis(Axis(0), |column| (column.dot(&column) / column.len() as f64).sqrt());
        records /= &scales;
        let net = ElasticNet::params().penalty(PENALTY).with_intercept(false);
        let net = net.tolerance(TOLERANCE).max_iterations(MOST_ROUNDS);
        let fitted = net.fit(&Dataset::new(records, Array1::ones(rows.len()))).map_err(|error| failed(&error))?;
        Ok(Self { counts, rates: (fitted.hyperplane() / &scales).to_vec() })
    }

    /// The latency of a network with these features.
    pub fn latency_ms(&self, features: &Features) -> f64 {
        self.counts.of(features).iter().zip(&self.rates).map(|(count, rate)| count * rate).sum()
    }
}
