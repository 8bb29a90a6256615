//! Everything a report shows; its JSON form is that of `mnas report --json`.

use serde::{Deserialize, Serialize};

use crate::network::Limits;
use crate::store::{FinalRow, Seconds, Step};

/// A search's results and how they came about. Latencies in milliseconds, accuracies as fractions.
///
/// Every candidate has one latency throughout, the median over fresh loads on the undisturbed device: what the predictor,
/// the timings of the run, and the final session say of it together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReportData {
    /// The candidate the search would return, and how sure that is.
    #[serde(flatten)]
    pub pick: Pick,
    /// The candidates that no other beats in both accuracy and latency, by rising latency.
    pub pareto: Vec<Candidate>,
    /// How much of the plane the front covers.
    pub hypervolume: Hypervolume,
    /// Accuracies obtained.
    pub evaluations: usize,
    /// Timings made on the device during the search.
    pub measurements: usize,
    /// Reward of the best candidate after each evaluation, by the candidates' latencies of the end; one that looks
    /// better than the final choice counts as much as that one.
    pub best_reward_by_evaluation: Vec<f64>,
    /// Where the time went.
    pub seconds: Seconds,
    /// The loop's own part of the wall time, in percent: all that is neither training nor measuring.
    pub overhead_percent: f64,
    /// Most that any network may cost.
    pub limits: Limits,
    /// The device, or the first of several.
    pub device: DeviceSummary,
    /// All devices, in the search file's order.
    pub devices: Vec<DeviceSummary>,
    /// Where the accuracies come from, one line.
    pub accuracy_source: String,
    /// `ppo`, `evolution` or `random`.
    pub algorithm: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Version of this program.
    pub version: String,
    /// When the search ends.
    pub budget: BudgetSummary,
    /// Why its last process ended: `evaluations`, `time` or `converged`, or `stopped` on request; none while it runs
    /// and after it was killed.
    pub ended: Option<String>,
    /// What happened to the candidates, from sampling to the final timing.
    pub phases: Vec<Phase>,
    /// Every evaluated candidate, in order of evaluation.
    pub candidates: Vec<Candidate>,
    /// What each step of the loop did.
    pub steps: Vec<Step>,
    /// How well the predictor did on the candidates that were timed after it had predicted them.
    pub predictor: PredictorCheck,
    /// The finalists and the reference networks, timed in interleaved rounds at the end.
    pub final_rows: Vec<FinalRow>,
}

/// What a run gives for one target.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pick {
    /// The network for the target; none before the first evaluation.
    pub best: Option<Candidate>,
    /// Whether its latency keeps to the target.
    pub target_met: Option<TargetMet>,
    /// How many of the run's networks are more likely to keep to it than not.
    #[serde(default)]
    pub within_target: usize,
    /// The next best network.
    pub runner_up: Option<Candidate>,
    /// What was asked for.
    pub target: TargetSummary,
}

/// Whether a latency keeps to a target, as far as its interval tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetMet {
    /// The whole interval does.
    Yes,
    /// The interval holds the target.
    Unsure,
    /// The whole interval lies above the target.
    No,
}

impl TargetMet {
    /// Judges an interval.
    pub fn of(low_ms: f64, high_ms: f64, target_ms: f64) -> Self {
        match () {
            () if high_ms <= target_ms => Self::Yes,
            () if low_ms <= target_ms => Self::Unsure,
            () => Self::No,
        }
    }
}

/// One evaluated candidate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Candidate {
    /// Its line.
    pub architecture: String,
    /// As observed, a fraction.
    pub accuracy: f64,
    /// Posterior mean of its accuracy: the observed one without its noise. Networks are chosen by it.
    pub expected_accuracy: f64,
    /// Timed if `measured`, else predicted. With several devices the combined latency: that with which the first device
    /// alone would earn the reward.
    pub latency_ms: f64,
    /// Low end of the latency's 95 % interval, which a timing on another day lies within.
    pub low_ms: f64,
    /// High end.
    pub high_ms: f64,
    /// The latency over the target; with several devices the largest of theirs.
    pub latency_ratio: f64,
    /// Whether the latency was timed, on every device.
    pub measured: bool,
    /// Its expected reward: with the expected accuracy, averaged over the posterior of the latency. Networks are chosen
    /// by it.
    pub reward: f64,
    /// The chance that it keeps the target, on every device.
    #[serde(default)]
    pub target_chance: f64,
    /// The least reward within the latency's interval, with the expected accuracy.
    pub reward_low: f64,
    /// Parameters.
    pub params: usize,
    /// Multiply-adds.
    pub madds: usize,
    /// Peak activation memory (fp32), in megabytes of 10^6 bytes.
    pub memory_mb: f64,
    /// With several devices each one's part, in the search file's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceLatency>,
}

/// A candidate's latency on one of several devices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DeviceLatency {
    /// Measured if `measured`, else predicted.
    pub latency_ms: f64,
    /// Low end of its interval.
    pub low_ms: f64,
    /// High end.
    pub high_ms: f64,
    /// Whether it was timed.
    pub measured: bool,
    /// The device's target.
    pub target_ms: f64,
    /// Whether it is kept.
    pub target_met: TargetMet,
    /// The reward if this were the only device.
    pub reward: f64,
}

/// The area that the Pareto front dominates, up to a reference point.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Hypervolume {
    /// Accuracy (a fraction) times milliseconds.
    pub value: f64,
    /// The same as a fraction of what a network of accuracy 1 and no latency would dominate.
    pub share: f64,
    /// Accuracy of the reference point.
    pub reference_accuracy: f64,
    /// Latency of the reference point; slower networks do not count.
    pub reference_ms: f64,
    /// The value after each evaluation.
    pub by_evaluation: Vec<f64>,
}

/// The reward's target.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TargetSummary {
    /// T; with several devices the first one's.
    pub latency_ms: f64,
    /// `soft`, `hard` or `absolute`.
    pub reward: String,
    /// Exponent below the target; without use where the reward is absolute.
    pub alpha: f64,
    /// Exponent above the target, or slope where the reward is absolute.
    pub beta: f64,
    /// With several devices how they make one reward: `worst` or `product`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combine: Option<String>,
}

/// The budget of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BudgetSummary {
    /// Networks whose accuracy is obtained.
    pub evaluations: u64,
    /// Networks timed inside the loop; none: as many as the steps ask for.
    pub measurements: Option<u64>,
    /// Wall-clock hours.
    pub hours: Option<f64>,
}

/// One station on the way of the candidates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Phase {
    /// What happened: `sampled`, `screened out`, `trained`, …
    pub phase: String,
    /// To how many networks, or how often.
    pub count: usize,
    /// Why, or by what rule.
    pub why: String,
    /// Wall time spent on it, where it takes any.
    pub seconds: Option<f64>,
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
    /// Devices that were no longer what was predicted.
    #[serde(default)]
    pub changes: Vec<DeviceChange>,
}

/// A device that became another one while the search ran: its latencies from before and after do not compare.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DeviceChange {
    /// As given to `--device`.
    pub device: String,
    /// Processor or phone.
    pub model: String,
    /// The step whose timings showed it.
    pub step: u64,
    /// What these are evidence of: `predictions` of the networks that the loop timed, or `anchors`, networks of known
    /// latency that were timed beside them.
    pub evidence: String,
    /// Percent of the last such timings outside the interval that was expected.
    pub outside: f64,
    /// What was found, in words.
    pub finding: String,
}

/// One candidate's latency, before and after it was timed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictedMeasured {
    /// What the predictor said.
    pub predicted_ms: f64,
    /// What the device took.
    pub measured_ms: f64,
}
