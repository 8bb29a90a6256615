//! Fitting: which regressors to use, chosen by cross-validation, and how wide the interval must be.
//!
//! Eight candidates, a linear part ([`LinearKind`]) of few or all features ([`FeatureSet`]) with and without a Gaussian
//! process on its residual, predict every network from folds that do not hold it. The least mean relative error wins
//! and is fitted to everything.
//!
//! The interval is split-conformal on the same out-of-fold predictions (Lei et al., "Distribution-Free Predictive
//! Inference for Regression", 2018, section 2.2): half its width is the ⌈(n + 1) level⌉-th smallest of
//! |ln(measured / predicted)|, so a new network of the same kind lies inside with at least that probability. Fold
//! models have seen fewer networks than the final one, which errs on the wide side.
//!
//! With several sources, each but the largest gets a scale: latencies divided by it are what the regressors see.
//! Scales and non-negative weights are fitted in turn; a source's mean log ratio is shrunk by one pseudo-count.

use ndarray::{Array1, Array2, Axis};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::FitError;
use super::data::DataSet;
use super::features::COUNT;
use super::linear::{FeatureSet, Linear, LinearKind};
use super::metrics;
use super::residual::{KernelParameters, Residual};

/// How to fit.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `seed` | 0 | assignment to folds | any |
/// | `level` | 0.9 | share of networks the interval should hold | above 0, below 1 |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitSettings {
    /// Seed of the folds.
    pub seed: u64,
    /// Nominal level of the interval.
    pub level: f64,
}

impl Default for FitSettings {
    fn default() -> Self {
        Self { seed: 0, level: 0.9 }
    }
}

/// The fewest networks a fit accepts.
pub const LEAST_NETWORKS: usize = 10;
/// Folds: ten while they are cheap and data are scarce, then five.
const FOLDS: [usize; 2] = [10, 5];
const FEW_NETWORKS: usize = 120;
/// Alternations between source scales and weights.
const SCALE_ROUNDS: usize = 8;

/// One candidate of the selection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The linear part.
    pub linear: LinearKind,
    /// What it sees.
    pub set: FeatureSet,
    /// Whether a Gaussian process corrects it.
    pub gaussian_process: bool,
    /// Cross-validated mean absolute relative error in percent.
    pub mape: f64,
}

/// The factor of one source's latencies against the reference source's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceScale {
    /// The source.
    pub source: String,
    /// Its latencies divided by this are the reference's.
    pub scale: f64,
}

/// Everything a fit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fitted {
    pub linear: Linear,
    pub residual: Option<Residual>,
    pub scales: Vec<SourceScale>,
    pub candidates: Vec<Candidate>,
    pub level: f64,
    /// Half the interval's width in ln(latency).
    pub half_width: f64,
}

/// Out-of-fold predictions beside the model fitted to everything.
pub(super) struct CrossValidated {
    pub fitted: Fitted,
    /// One prediction per measurement, from models that have not seen it, on its own source's scale.
    pub held_out_ms: Vec<f64>,
}

/// Fits and selects.
pub(super) fn fit(data: &DataSet, settings: FitSettings) -> Result<CrossValidated, FitError> {
    if !(settings.level > 0.0 && settings.level < 1.0) {
        return Err(FitError::Level(settings.level));
    }
    if data.len() < LEAST_NETWORKS {
        return Err(FitError::TooFew { found: data.len(), least: LEAST_NETWORKS });
    }
    let scales = source_scales(data)?;
    let problem = Problem::new(data, &scales);
    let folds = folds(data.len(), settings.seed);
    let mut tried = Vec::new();
    for kind in [LinearKind::NonNegative, LinearKind::ElasticNet] {
        for set in [FeatureSet::Core, FeatureSet::All] {
            tried.extend(problem.cross_validate(kind, set, &folds)?);
        }
    }
    let candidates: Vec<Candidate> = tried.iter().map(|trial| trial.candidate).collect();
    let best = tried.into_iter().min_by(|a, b| a.candidate.mape.total_cmp(&b.candidate.mape));
    let best = best.ok_or_else(|| FitError::Regression("no candidate could be fitted".into()))?;
    let (linear, residual) = problem.fit(best.candidate.linear, best.candidate.set, best.parameters)?;
    let half_width = conformal_half_width(&best.predictions, &problem.latencies, settings.level);
    let held_out_ms = data.measurements().iter().zip(&best.predictions);
    let held_out_ms = held_out_ms.map(|(row, value)| value * scale_of(&scales, &row.source)).collect();
    let fitted = Fitted { linear, residual, scales, candidates, level: settings.level, half_width };
    Ok(CrossValidated { fitted, held_out_ms })
}

/// The scale of a source, 1 for one that was not seen.
pub(super) fn scale_of(scales: &[SourceScale], source: &str) -> f64 {
    scales.iter().find(|entry| entry.source == source).map_or(1.0, |entry| entry.scale)
}

struct Problem {
    features: Array2<f64>,
    latencies: Array1<f64>,
}

struct Trial {
    candidate: Candidate,
    parameters: Option<KernelParameters>,
    predictions: Array1<f64>,
}

impl Problem {
    fn new(data: &DataSet, scales: &[SourceScale]) -> Self {
        let rows = data.measurements();
        Self {
            features: Array2::from_shape_fn((rows.len(), COUNT), |(row, column)| rows[row].features.0[column]),
            latencies: rows.iter().map(|row| row.latency_ms / scale_of(scales, &row.source)).collect(),
        }
    }

    fn select(&self, rows: &[usize]) -> Self {
        Self { features: self.features.select(Axis(0), rows), latencies: self.latencies.select(Axis(0), rows) }
    }

    fn linear_predictions(&self, linear: &Linear) -> Array1<f64> {
        self.features.rows().into_iter().map(|row| linear.predict(&row.to_vec())).collect()
    }

    fn residuals(&self, linear: &Linear) -> Array1<f64> {
        (&self.latencies / &self.linear_predictions(linear)).ln()
    }

    fn fit(
        &self,
        kind: LinearKind,
        set: FeatureSet,
        parameters: Option<KernelParameters>,
    ) -> Result<(Linear, Option<Residual>), FitError> {
        let linear = Linear::fit(kind, set, &self.features, self.latencies.view())?;
        let residuals = self.residuals(&linear);
        let residual = parameters.map(|parameters| Residual::fit(parameters, &self.features, residuals.view()));
        Ok((linear, residual.transpose()?))
    }

    /// Out-of-fold predictions of one linear kind without and with the process.
    fn cross_validate(&self, kind: LinearKind, set: FeatureSet, folds: &[Vec<usize>]) -> Result<[Trial; 2], FitError> {
        let linear = Linear::fit(kind, set, &self.features, self.latencies.view())?;
        let parameters = Residual::choose(&self.features, self.residuals(&linear).view())?;
        let mut plain = Array1::zeros(self.latencies.len());
        let mut corrected = plain.clone();
        for held_out in folds {
            let seen: Vec<usize> = folds.iter().filter(|fold| *fold != held_out).flatten().copied().collect();
            let (linear, residual) = self.select(&seen).fit(kind, set, Some(parameters))?;
            let residual = residual.map(|residual| residual.ready());
            for &row in held_out {
                let features = self.features.row(row).to_vec();
                plain[row] = linear.predict(&features);
                let correction = residual.as_ref().map_or(0.0, |residual| residual.predict(&features));
                corrected[row] = plain[row] * correction.exp();
            }
        }
        let trial = |parameters: Option<KernelParameters>, predictions: Array1<f64>| Trial {
            candidate: Candidate {
                linear: kind,
                set,
                gaussian_process: parameters.is_some(),
                mape: metrics::mape(&predictions.to_vec(), &self.latencies.to_vec()),
            },
            parameters,
            predictions,
        };
        Ok([trial(None, plain), trial(Some(parameters), corrected)])
    }
}

fn folds(rows: usize, seed: u64) -> Vec<Vec<usize>> {
    let count = FOLDS[usize::from(rows > FEW_NETWORKS)];
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut crate::seeded(seed));
    (0..count).map(|fold| order.iter().skip(fold).step_by(count).copied().collect()).collect()
}

fn conformal_half_width(predictions: &Array1<f64>, latencies: &Array1<f64>, level: f64) -> f64 {
    let mut errors: Vec<f64> = (latencies / predictions).iter().map(|ratio| ratio.ln().abs()).collect();
    errors.sort_by(f64::total_cmp);
    let rank = ((errors.len() + 1) as f64 * level).ceil() as usize;
    errors[rank.clamp(1, errors.len()) - 1]
}

/// The scale of every source; the one with the most networks (the first by name of equals) has 1.
fn source_scales(data: &DataSet) -> Result<Vec<SourceScale>, FitError> {
    let sources = data.sources();
    let mut scales: Vec<SourceScale> =
        sources.iter().map(|source| SourceScale { source: source.source.clone(), scale: 1.0 }).collect();
    let Some(reference) = sources.iter().rev().max_by_key(|source| source.networks).filter(|_| sources.len() > 1)
    else {
        return Ok(scales);
    };
    for _ in 0..SCALE_ROUNDS {
        let problem = Problem::new(data, &scales);
        let linear =
            Linear::fit(LinearKind::NonNegative, FeatureSet::Core, &problem.features, problem.latencies.view())?;
        let predictions = problem.linear_predictions(&linear);
        for entry in scales.iter_mut().filter(|entry| entry.source != reference.source) {
            let ratios = data.measurements().iter().zip(&predictions).filter(|(row, _)| row.source == entry.source);
            let logs: Vec<f64> = ratios.map(|(row, predicted)| (row.latency_ms / predicted).ln()).collect();
            entry.scale = (logs.iter().sum::<f64>() / (logs.len() + 1) as f64).exp();
        }
    }
    Ok(scales)
}

/// Milliseconds per million multiply-adds, through the origin, by least relative squares: the baseline that stands
/// beside every validation.
pub(super) fn madds_baseline(data: &DataSet) -> f64 {
    let ratio = |row: &super::data::Measurement| row.features.get(super::features::Feature::Madds) / row.latency_ms;
    let sums = data.measurements().iter().map(ratio).fold((0.0, 0.0), |(first, second), x| (first + x, second + x * x));
    if sums.1 > 0.0 { sums.0 / sums.1 } else { 0.0 }
}
