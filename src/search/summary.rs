//! What a run found, out of its ledger: the data of `mnas report`.

use std::collections::HashMap;

use super::finale::{SECONDS, TRAINING_SECONDS};
use super::options::Settings;
use super::pareto::{Front, Point};
use super::run::{RunError, settings};
use crate::report::{Candidate, DeviceSummary, PredictedMeasured, ReportData, TargetSummary};
use crate::store::{Experience, FinalRow, Ledger, Measurement, Purpose, Seconds, Step, StoreError};

/// Summarises the run of a ledger, finished or not.
///
/// A candidate's latency is the best that is known of it: of the final session, else measured in the loop, else the
/// predictor's when the candidate was last learnt from.
///
/// # Errors
/// An unreadable ledger or search file.
pub fn summarise(ledger: &Ledger) -> Result<ReportData, RunError> {
    let settings = settings(ledger)?;
    let steps = ledger.steps()?;
    let finals = ledger.finals()?;
    let measurements = ledger.measurements()?;
    let candidates = candidates(ledger, &settings, &measurements, &finals)?;
    let pairs: Vec<PredictedMeasured> = measurements
        .iter()
        .filter_map(|m| m.predicted_ms.map(|p| PredictedMeasured { predicted_ms: p[0], measured_ms: m.latency_ms }))
        .collect();
    let seconds = seconds(ledger, &steps, &measurements)?;
    Ok(ReportData {
        best: best(&candidates, &finals),
        pareto: pareto(&candidates),
        evaluations: candidates.len(),
        measurements: measurements.iter().filter(|m| m.purpose == Purpose::Search).count(),
        best_reward_by_evaluation: best_so_far(&candidates),
        seconds,
        overhead_percent: overhead_percent(&seconds),
        target: target(&settings),
        device: device(ledger, &settings)?,
        accuracy_source: ledger.setting("accuracy")?.unwrap_or_default(),
        algorithm: settings.search.algorithm.name().to_owned(),
        seed: settings.seed,
        version: ledger.setting("version")?.unwrap_or_default(),
        candidates,
        steps,
        predictor: pairs.into(),
        final_rows: finals,
    })
}

/// Every evaluated candidate in order of evaluation.
fn candidates(
    ledger: &Ledger,
    settings: &Settings,
    measurements: &[Measurement],
    finals: &[FinalRow],
) -> Result<Vec<Candidate>, StoreError> {
    let learnt: HashMap<String, Experience> =
        ledger.experiences()?.into_iter().map(|experience| (experience.digest.clone(), experience)).collect();
    let in_loop = measurements.iter().filter(|m| m.purpose == Purpose::Search);
    let measured: HashMap<&str, f64> = in_loop.map(|m| (m.digest.as_str(), m.latency_ms)).collect();
    let last: HashMap<&str, f64> = finals.iter().map(|row| (row.digest.as_str(), row.latency_ms)).collect();
    let mut candidates = Vec::new();
    for evaluation in ledger.evaluations()? {
        // An evaluation of a step that is still open has no latency yet.
        let (Ok(accuracy), Some(experience)) = (&evaluation.outcome, learnt.get(&evaluation.digest)) else { continue };
        let known = last.get(evaluation.digest.as_str()).or_else(|| measured.get(evaluation.digest.as_str())).copied();
        let latency_ms = known.unwrap_or(experience.latency_ms);
        candidates.push(Candidate {
            reward: settings.target.reward(*accuracy, latency_ms).value,
            accuracy: *accuracy,
            latency_ms,
            measured: known.is_some(),
            architecture: evaluation.architecture,
        });
    }
    Ok(candidates)
}

/// The winner of the final session; before there is one, the best measured candidate, else the best at all.
fn best(candidates: &[Candidate], finals: &[FinalRow]) -> Option<Candidate> {
    if let Some(row) = finals.iter().find(|row| row.reward.is_some()) {
        return candidates.iter().find(|candidate| candidate.architecture == row.architecture).cloned();
    }
    let measured_first = |candidate: &&Candidate| (candidate.measured, candidate.reward);
    candidates
        .iter()
        .max_by(|a, b| measured_first(a).partial_cmp(&measured_first(b)).unwrap_or(std::cmp::Ordering::Equal))
        .cloned()
}

fn pareto(candidates: &[Candidate]) -> Vec<Candidate> {
    let mut front = Front::default();
    for candidate in candidates {
        let (accuracy, latency_ms) = (candidate.accuracy, candidate.latency_ms);
        front.insert(Point { accuracy, latency_ms, candidate: candidate.clone() });
    }
    front.points().iter().map(|point| point.candidate.clone()).collect()
}

fn best_so_far(candidates: &[Candidate]) -> Vec<f64> {
    let rise = |best: &mut f64, candidate: &Candidate| {
        *best = best.max(candidate.reward);
        Some(*best)
    };
    candidates.iter().scan(f64::NEG_INFINITY, rise).collect()
}

/// Wall time of the steps, of the measurements before the first, and of what came after the last.
fn seconds(ledger: &Ledger, steps: &[Step], measurements: &[Measurement]) -> Result<Seconds, StoreError> {
    let warm_up: f64 = measurements.iter().filter(|m| m.purpose == Purpose::WarmUp).map(|m| m.seconds).sum();
    let stored = |name| Ok::<f64, StoreError>(ledger.setting(name)?.and_then(|text| text.parse().ok()).unwrap_or(0.0));
    let (measuring, training) = (warm_up + stored(SECONDS)?, stored(TRAINING_SECONDS)?);
    let mut sum = Seconds { training, measuring, controller: 0.0, total: training + measuring };
    for step in steps {
        sum += step.seconds;
    }
    Ok(sum)
}

/// Share of the wall time that was neither training nor timing: sampling, learning, predicting, storing.
fn overhead_percent(seconds: &Seconds) -> f64 {
    if seconds.total <= 0.0 {
        return 0.0;
    }
    100.0 * (seconds.total - seconds.training - seconds.measuring) / seconds.total
}

fn target(settings: &Settings) -> TargetSummary {
    TargetSummary { latency_ms: settings.target.latency_ms(), reward: settings.target.kind().name().to_owned() }
}

fn device(ledger: &Ledger, settings: &Settings) -> Result<DeviceSummary, StoreError> {
    let stored = ledger.setting("device")?.and_then(|text| serde_json::from_str(&text).ok());
    Ok(stored.unwrap_or_else(|| DeviceSummary { id: settings.device.id.clone(), ..DeviceSummary::default() }))
}
