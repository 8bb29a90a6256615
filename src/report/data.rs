//! Everything a report shows; its JSON form is that of `mnas report --json`.

use serde::{Deserialize, Serialize};

use crate::store::{FinalRow, Seconds, Step};

/// A search's results and how they came about. Latencies in milliseconds, accuracies as fractions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReportData {
    /// The candidate the search would return; none before the first evaluation.
    pub best: Option<Candidate>,
    /// The candidates that no other beats in both accuracy and latency, by rising latency.
    pub pareto: Vec<Candidate>,
    /// Accuracies obtained.
    pub evaluations: usize,
    /// Timings made on the device during the search.
    pub measurements: usize,
    /// Best reward after each evaluation.
    pub best_reward_by_evaluation: Vec<f64>,
    /// Where the time went.
    pub seconds: Seconds,
    /// The loop's own part of the wall time, in percent: all that is neither training nor measuring.
    pub overhead_percent: f64,
    /// What was asked for.
    pub target: TargetSummary,
    /// What the latencies belong to.
    pub device: DeviceSummary,
    /// Where the accuracies come from, one line.
    pub accuracy_source: String,
    /// `ppo`, `evolution` or `random`.
    pub algorithm: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Version of this program.
    pub version: String,
    /// Every evaluated candidate, in order of evaluation.
    pub candidates: Vec<Candidate>,
    /// What each step of the loop did.
    pub steps: Vec<Step>,
    /// How well the predictor did on the candidates that were timed after it had predicted them.
    pub predictor: PredictorCheck,
    /// The finalists and the reference networks, timed in interleaved rounds at the end.
    pub final_rows: Vec<FinalRow>,
}

/// One evaluated candidate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Candidate {
    /// Its line.
    pub architecture: String,
    /// A fraction.
    pub accuracy: f64,
    /// Measured if `measured`, else predicted.
    pub latency_ms: f64,
    /// Whether the latency was timed on the device.
    pub measured: bool,
    /// Its reward.
    pub reward: f64,
}

/// The reward's target.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TargetSummary {
    /// T.
    pub latency_ms: f64,
    /// `soft`, `hard` or `absolute`.
    pub reward: String,
}

/// The device in words.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DeviceSummary {
    /// As given to `--device`.
    pub id: String,
    /// Processor or phone.
    pub model: String,
    /// What ran the models.
    pub runtime: String,
    /// Threads per model.
    pub threads: usize,
}

impl Step {
    /// Share of the sampled candidates that were new; 0 if none was sampled.
    pub fn new_share(&self) -> f64 {
        (self.sampled - self.duplicates.min(self.sampled)) as f64 / self.sampled.max(1) as f64
    }
}

/// Predictions against later measurements.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PredictorCheck {
    /// The pairs, in order of measurement.
    pub pairs: Vec<PredictedMeasured>,
    /// Mean absolute error of the predictions in percent of the measurements; none without pairs.
    pub mape: Option<f64>,
}

/// One candidate's latency, before and after it was timed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictedMeasured {
    /// What the predictor said.
    pub predicted_ms: f64,
    /// What the device took.
    pub measured_ms: f64,
}

impl From<Vec<PredictedMeasured>> for PredictorCheck {
    fn from(pairs: Vec<PredictedMeasured>) -> Self {
        let error = |pair: &PredictedMeasured| 100.0 * (pair.predicted_ms / pair.measured_ms - 1.0).abs();
        let mape = (!pairs.is_empty()).then(|| pairs.iter().map(error).sum::<f64>() / pairs.len() as f64);
        Self { pairs, mape }
    }
}
