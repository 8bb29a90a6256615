//! Sentences that text and page share.

use super::data::{Candidate, DeviceChange, DeviceLatency, DeviceSummary, Pick, ReportData, TargetMet};
use super::format::{duration, millions, ms, percent};

/// Where a latency comes from.
pub(super) fn source(candidate: &Candidate) -> &'static str {
    if candidate.measured { "measured" } else { "predicted" }
}

/// `1.96 to 2.01`.
pub(super) fn interval(candidate: &Candidate) -> String {
    format!("{:.2} to {:.2}", candidate.low_ms, candidate.high_ms)
}

/// Whether the target is kept.
pub(super) fn met(met: TargetMet) -> &'static str {
    match met {
        TargetMet::Yes => "kept",
        TargetMet::Unsure => "within the interval",
        TargetMet::No => "not kept",
    }
}

/// What to do about a target that the pick does not keep.
pub(super) fn missed(pick: &Pick) -> Option<String> {
    if pick.target_met != Some(TargetMet::No) {
        return None;
    }
    let (target, kind) = (ms(pick.target.latency_ms), &pick.target.reward);
    match pick.within_target {
        0 => Some(format!("no network of this run keeps to {target}")),
        _ if kind == "hard" => None,
        within => Some(format!(
            "{target} is kept by {within} of the run's networks; the {kind} reward is no limit and prefers this one: \
             `mnas report --reward hard` chooses among them"
        )),
    }
}

/// The pick in one line: `accuracy 80.3 % (79.9 % expected), 1.67 ms predicted, 1.60 to 1.75 (target 2.00 ms: kept, chance
/// 99 %), reward 0.8137`.
pub(super) fn best(pick: &Pick, best: &Candidate) -> String {
    let chance = percent(best.target_chance);
    let kept = pick.target_met.map_or_else(String::new, |found| format!(": {}, chance {chance}", met(found)));
    format!(
        "accuracy {} ({} expected), {} {}, {} (target {}{kept}), reward {:.4}",
        percent(best.accuracy),
        percent(best.expected_accuracy),
        ms(best.latency_ms),
        source(best),
        interval(best),
        ms(pick.target.latency_ms),
        best.reward,
    )
}

/// A candidate's latency on each of several devices.
pub(super) fn devices(data: &ReportData, candidate: &Candidate) -> Vec<String> {
    let line = |(device, part): (&DeviceSummary, &DeviceLatency)| {
        format!(
            "{}: {} {}, {:.2} to {:.2} (target {}: {})",
            device.model,
            ms(part.latency_ms),
            if part.measured { "measured" } else { "predicted" },
            part.low_ms,
            part.high_ms,
            ms(part.target_ms),
            met(part.target_met),
        )
    };
    data.devices.iter().zip(&candidate.devices).map(line).collect()
}

/// Where the networks are to run: `AMD EPYC`, or `AMD EPYC and Pixel 4 (worst)`.
pub(super) fn place(data: &ReportData) -> String {
    match &data.pick.target.combine {
        None => data.device.model.clone(),
        Some(combine) => {
            let models: Vec<&str> = data.devices.iter().map(|device| device.model.as_str()).collect();
            format!("{} ({combine})", models.join(" and "))
        }
    }
}

/// What a network costs beside its latency.
pub(super) fn costs(candidate: &Candidate) -> String {
    format!(
        "{} parameters, {} multiply-adds, {:.2} MB of activations",
        millions(candidate.params),
        millions(candidate.madds),
        candidate.memory_mb,
    )
}

/// The next best.
pub(super) fn runner_up(pick: &Pick) -> Option<String> {
    let next = pick.runner_up.as_ref()?;
    Some(format!(
        "runner-up: accuracy {} ({} expected), {} {}, reward {:.4}",
        percent(next.accuracy),
        percent(next.expected_accuracy),
        ms(next.latency_ms),
        source(next),
        next.reward,
    ))
}

/// Why the search ended.
pub(super) fn ended(data: &ReportData) -> String {
    match data.ended.as_deref() {
        Some("evaluations") => format!("its budget of {} evaluations is spent", data.budget.evaluations),
        Some("time") => {
            let hours = data.budget.hours.map_or_else(String::new, |hours| format!(" of {}", duration(3600.0 * hours)));
            format!("its budget{hours} is spent")
        }
        Some("converged") => {
            "it converged: its last steps found no new network, or none with an expected improvement".to_owned()
        }
        Some("stopped") => "it was asked to stop; `mnas resume` goes on".to_owned(),
        Some(other) => other.to_owned(),
        None => "under way, or killed; `mnas resume` goes on after a kill".to_owned(),
    }
}

/// The front's hypervolume with its reference point.
pub(super) fn hypervolume(data: &ReportData) -> String {
    let volume = &data.hypervolume;
    format!(
        "hypervolume of the front: {} of the plane above accuracy {} and below {}",
        percent(volume.share),
        volume.reference_accuracy,
        ms(volume.reference_ms),
    )
}

/// How well the predictor did; none before a candidate was timed.
pub(super) fn predictor(data: &ReportData) -> Option<String> {
    let mape = data.predictor.mape?;
    Some(format!("predictor: {mape:.1} % mean error on {} candidates timed later", data.predictor.pairs.len()))
}

/// The devices that became others, or no longer did what was expected of them, one line each.
pub(super) fn changes(data: &ReportData) -> Vec<String> {
    let line = |change: &DeviceChange| {
        let (verdict, advice) = match change.evidence.as_str() {
            "anchors" => (
                "is not the device any more that the search knew",
                "latencies from before and after do not compare: calibrate again, and search in a new run",
            ),
            _ => (
                "no longer did what the search expected of it",
                "either it has changed, or the search had reached networks unlike those its predictor was fitted to: \
                 calibrate again, with more networks",
            ),
        };
        format!(
            "{} ({}) {verdict}: {}, as step {} showed; {advice}",
            change.device, change.model, change.finding, change.step
        )
    };
    data.predictor.changes.iter().map(line).collect()
}

/// What the loop itself cost.
pub(super) fn overhead(data: &ReportData) -> String {
    format!("the loop's own overhead, controller included: {:.2} % of the wall time", data.overhead_percent)
}
