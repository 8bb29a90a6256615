//! Fitting: first guess, process, and how wide the interval must be.
//!
//! Folds of the networks are predicted by models that have not seen them. These predictions state the cross-validated
//! error, and they widen the interval: it is split-conformal on the standardised errors |ln(measured / predicted)| / d,
//! where d is the deviation that the process expects there (Lei et al., "Distribution-Free Predictive Inference for
//! Regression", 2018, sections 2.2 and 5.2). The interval is predicted · exp(± q d), q the ⌈(n + 1) level⌉-th smallest
//! of the n standardised errors; so networks unlike those measured get wider ones, and a new network of the same kind
//! lies inside with about that probability. Fold models have seen fewer networks than the final one, which errs on the
//! wide side.
//!
//! With several sources, each but the largest gets a scale: latencies divided by it are what is fitted. Scales and
//! rates are fitted in turn; a source's mean log ratio is shrunk by one pseudo-count.
//!
//! The order of the measurements does not matter: they are sorted first.

use std::sync::Arc;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::model::{Guess, LatencyModel, WarmStart};
use super::process::{HyperParameters, LayerProcess, MOST_KEPT, pick};
use super::rates::Rates;
use crate::latency::data::DataSet;
use crate::latency::data::features::Features;
use crate::latency::error::FitError;
use crate::latency::metrics;
use crate::spread;

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
/// The fewest that a fit accepts which starts from another device's predictor.
pub const LEAST_WARM_NETWORKS: usize = 3;
/// Up to this many networks every fold is one network, since models without a tenth of so few are much worse, and its
/// model is chosen without it.
const VERY_FEW_NETWORKS: usize = 30;
/// Folds: ten while they are cheap and data are scarce, then five.
const FOLDS: [usize; 2] = [10, 5];
const FEW_NETWORKS: usize = 120;
/// Shares of another device's process that a fit may take over: half, or all where the devices are that alike.
const TRANSFERS: [f64; 2] = [0.5, 1.0];
/// Alternations between source scales and rates.
const SCALE_ROUNDS: usize = 8;

/// What predicts, from the simplest to the one that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Typical rates, or another device's, times one factor.
    Scaled,
    /// The first guess: fitted rates, beside what was taken over from another device.
    Guess,
    /// The first guess and the process.
    Process,
}

impl PartKind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scaled => "one factor for the device",
            Self::Guess => "a rate for each kind of work",
            Self::Process => "rates and a Gaussian process over layers (used)",
        }
    }
}

/// One part of the predictor, judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictorPart {
    /// What predicts.
    pub kind: PartKind,
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
pub(super) struct Fitted {
    pub model: LatencyModel,
    pub judged: FitRecord,
    /// One prediction per measurement, from models that have not seen it, on its own source's scale: milliseconds and
    /// deviation.
    pub held_out: Vec<(f64, f64)>,
}

/// What a fit learnt about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FitRecord {
    pub scales: Vec<SourceScale>,
    pub candidates: Vec<PredictorPart>,
    pub level: f64,
    /// q of the interval predicted · exp(± q d).
    pub deviations: f64,
}

/// Fits `data`, from another device's model if there is one.
pub(super) fn fit(data: &DataSet, warm: Option<&Arc<LatencyModel>>, settings: FitSettings) -> Result<Fitted, FitError> {
    if !(settings.level > 0.0 && settings.level < 1.0) {
        return Err(FitError::Level(settings.level));
    }
    let least = if warm.is_some() { LEAST_WARM_NETWORKS } else { LEAST_NETWORKS };
    if data.len() < least {
        return Err(FitError::TooFew { found: data.len(), least });
    }
    let order = data.sorted();
    let sorted = data.select(&order);
    let scales = source_scales(&sorted);
    let problem = FitProblem::new(&sorted, warm, &scales);
    let everything: Vec<usize> = (0..sorted.len()).collect();
    let chosen = problem.choose(&everything)?;
    let trials = problem.cross_validate(chosen, settings.seed)?;
    let mape = |of: fn(&Trial) -> f64| metrics::mape(&trials.iter().map(of).collect::<Vec<_>>(), &problem.latencies);
    let candidates = vec![
        PredictorPart { kind: PartKind::Scaled, mape: mape(|trial| trial.scaled_ms) },
        PredictorPart { kind: PartKind::Guess, mape: mape(|trial| trial.guess_ms) },
        PredictorPart { kind: PartKind::Process, mape: mape(|trial| trial.predicted.0) },
    ];
    let deviations = conformal_deviations(&trials, &problem.latencies, settings.level);
    let mut held_out = vec![(0.0, 0.0); data.len()];
    for ((at, row), trial) in order.iter().zip(sorted.measurements()).zip(&trials) {
        held_out[*at] = (trial.predicted.0 * scale_of(&scales, &row.source), trial.predicted.1);
    }
    let judged = FitRecord { scales, candidates, level: settings.level, deviations };
    Ok(Fitted { model: problem.fit(&everything, chosen)?, judged, held_out })
}

/// The scale of a source, 1 for one that was not seen.
pub(super) fn scale_of(scales: &[SourceScale], source: &str) -> f64 {
    scales.iter().find(|entry| entry.source == source).map_or(1.0, |entry| entry.scale)
}

struct FitProblem<'a> {
    rows: Vec<&'a Features>,
    lines: Vec<String>,
    latencies: Vec<f64>,
    warm: Option<&'a Arc<LatencyModel>>,
}

/// What a fit goes by.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    start: Option<WarmStart<'a>>,
    parameters: HyperParameters,
}

/// What models that have not seen a network make of it.
#[derive(Clone, Copy)]
struct Trial {
    scaled_ms: f64,
    guess_ms: f64,
    /// Milliseconds and deviation.
    predicted: (f64, f64),
}

impl<'a> FitProblem<'a> {
    fn new(data: &'a DataSet, warm: Option<&'a Arc<LatencyModel>>, scales: &[SourceScale]) -> Self {
        let rows = data.measurements();
        Self {
            rows: rows.iter().map(|row| &row.features).collect(),
            lines: rows.iter().map(|row| row.architecture.to_string()).collect(),
            latencies: rows.iter().map(|row| row.latency_ms / scale_of(scales, &row.source)).collect(),
            warm,
        }
    }

    fn seen(&self, seen: &[usize]) -> (Vec<&'a Features>, Vec<f64>) {
        (pick(&self.rows, seen), pick(&self.latencies, seen))
    }

    /// What is likeliest, of another device's process how much.
    fn choose(&self, seen: &[usize]) -> Result<Chosen<'a>, FitError> {
        let starts = match self.warm {
            None => vec![None],
            Some(model) => TRANSFERS.map(|transfer| Some(WarmStart { model, transfer })).to_vec(),
        };
        let (rows, latencies) = self.seen(seen);
        let mut likeliest: Option<(f64, Chosen<'a>)> = None;
        for start in starts {
            let guess = Guess::fit(start, &rows, &latencies);
            let guesses: Vec<f64> = rows.iter().map(|row| guess.latency_ms(row)).collect();
            let residuals: Vec<f64> = latencies.iter().zip(&guesses).map(|(ms, guess)| (ms / guess).ln()).collect();
            let (likelihood, parameters) =
                LayerProcess::choose(&rows, guess.rates(), &guesses, &residuals, guess.expected())?;
            if likeliest.is_none_or(|(most, _)| likelihood > most) {
                likeliest = Some((likelihood, Chosen { start, parameters }));
            }
        }
        likeliest.map(|(_, chosen)| chosen).ok_or_else(|| FitError::Regression("no first guess suits them".into()))
    }

    /// The guess is fitted to all, the process to as many as it keeps.
    fn fit(&self, seen: &[usize], chosen: Chosen<'_>) -> Result<LatencyModel, FitError> {
        let (rows, latencies) = self.seen(seen);
        let guess = Guess::fit(chosen.start, &rows, &latencies);
        let kept = pick(seen, &spread(seen.len(), MOST_KEPT));
        let lines = kept.iter().map(|&row| self.lines[row].clone()).collect();
        LatencyModel::fit(guess, chosen.parameters, &pick(&self.rows, &kept), lines, &pick(&self.latencies, &kept))
    }

    fn cross_validate(&self, chosen: Chosen<'_>, seed: u64) -> Result<Vec<Trial>, FitError> {
        let mut trials = vec![Trial { scaled_ms: 0.0, guess_ms: 0.0, predicted: (0.0, 0.0) }; self.rows.len()];
        let folds = folds(self.rows.len(), seed);
        let expected = self.warm.map_or_else(Rates::nominal, |model| model.guess().rates().clone());
        for held_out in &folds {
            let seen: Vec<usize> = folds.iter().filter(|fold| *fold != held_out).flatten().copied().collect();
            // One of very few networks decides much of what is chosen, which then suits it better than others.
            let chosen = if self.rows.len() <= VERY_FEW_NETWORKS { self.choose(&seen)? } else { chosen };
            let model = self.fit(&seen, chosen)?;
            let (rows, latencies) = self.seen(&seen);
            let scaled = expected.scaled_to(&rows, &latencies);
            for &row in held_out {
                let features = self.rows[row];
                let (scaled_ms, guess_ms) = (scaled.latency_ms(features), model.guess().latency_ms(features));
                trials[row] = Trial { scaled_ms, guess_ms, predicted: model.predict(features) };
            }
        }
        Ok(trials)
    }
}

fn folds(rows: usize, seed: u64) -> Vec<Vec<usize>> {
    let count = if rows <= VERY_FEW_NETWORKS { rows } else { FOLDS[usize::from(rows > FEW_NETWORKS)] };
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut crate::seeded(seed));
    (0..count).map(|fold| order.iter().skip(fold).step_by(count).copied().collect()).collect()
}

fn conformal_deviations(trials: &[Trial], latencies: &[f64], level: f64) -> f64 {
    let standardised = |(trial, latency): (&Trial, &f64)| (latency / trial.predicted.0).ln().abs() / trial.predicted.1;
    let mut errors: Vec<f64> = trials.iter().zip(latencies).map(standardised).collect();
    errors.sort_by(f64::total_cmp);
    let rank = ((errors.len() + 1) as f64 * level).ceil() as usize;
    errors[rank.clamp(1, errors.len()) - 1]
}

/// The scale of every source; the one with the most networks (the first by name of equals) has 1.
fn source_scales(data: &DataSet) -> Vec<SourceScale> {
    let sources = data.sources();
    let mut scales: Vec<SourceScale> =
        sources.iter().map(|source| SourceScale { source: source.source.clone(), scale: 1.0 }).collect();
    let Some(reference) = sources.iter().rev().max_by_key(|source| source.networks).filter(|_| sources.len() > 1)
    else {
        return scales;
    };
    for _ in 0..SCALE_ROUNDS {
        let problem = FitProblem::new(data, None, &scales);
        let rates = Rates::fit(&problem.rows, &problem.latencies);
        for entry in scales.iter_mut().filter(|entry| entry.source != reference.source) {
            let of_source = data.measurements().iter().filter(|row| row.source == entry.source);
            let logs: Vec<f64> = of_source.map(|row| (row.latency_ms / rates.latency_ms(&row.features)).ln()).collect();
            entry.scale = (logs.iter().sum::<f64>() / (logs.len() + 1) as f64).exp();
        }
    }
    scales
}
