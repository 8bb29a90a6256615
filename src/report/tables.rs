//! The report's tables, as cells: text and page differ only in how they draw them.

use super::data::{Candidate, Phase, Pick, ReportData};
use super::format::{duration, millions, ms, or_dash, percent};
use super::words;
use crate::store::{FinalRow, Step};

/// At most so many steps are listed one by one; longer searches are summed up in equal stretches.
const MOST_STEP_ROWS: usize = 20;

/// On which side the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column's name and alignment.
pub type Column = (&'static str, Align);

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: &'static str,
    /// The columns' heads.
    pub columns: Vec<Column>,
    /// The cells, row by row.
    pub rows: Vec<Vec<String>>,
}

/// Every table that has rows, in reading order.
pub fn all(data: &ReportData) -> Vec<Table> {
    [finalists(data), pareto(data), phases(data), steps(data), time(data)]
        .into_iter()
        .filter(|table| !table.rows.is_empty())
        .collect()
}

/// Words before, numbers between, words after.
fn columns(before: &[&'static str], numbers: &[&'static str], after: &[&'static str]) -> Vec<Column> {
    let all = [(before, Align::Left), (numbers, Align::Right), (after, Align::Left)];
    all.into_iter().flat_map(|(names, align)| names.iter().map(move |name| (*name, align))).collect()
}

fn finalists(data: &ReportData) -> Table {
    let row = |row: &FinalRow| {
        vec![
            row.name.clone(),
            ms(row.latency_ms),
            format!("{:.2} to {:.2}", row.low_ms, row.high_ms),
            or_dash(row.ratio_to_mobilenet_v2, |ratio| format!("{ratio:.2}")),
            or_dash(row.accuracy, percent),
            or_dash(row.expected_accuracy, percent),
            millions(row.madds),
            millions(row.params),
        ]
    };
    Table {
        title: "Final timing, in interleaved rounds",
        columns: columns(
            &["network"],
            &["latency", "interval", "of MobileNetV2", "accuracy", "expected", "multiply-adds", "parameters"],
            &[],
        ),
        rows: data.final_rows.iter().map(row).collect(),
    }
}

fn pareto(data: &ReportData) -> Table {
    let row = |candidate: &Candidate| {
        vec![
            ms(candidate.latency_ms),
            words::interval(candidate),
            words::source(candidate).to_owned(),
            percent(candidate.accuracy),
            percent(candidate.expected_accuracy),
            format!("{:.4}", candidate.reward),
            millions(candidate.madds),
            millions(candidate.params),
            candidate.architecture.clone(),
        ]
    };
    Table {
        title: "Pareto front",
        columns: columns(
            &[],
            &["latency", "interval", "source", "accuracy", "expected", "reward", "multiply-adds", "parameters"],
            &["architecture"],
        ),
        rows: data.pareto.iter().map(row).collect(),
    }
}

/// One row per target.
pub(super) fn picks(picks: &[Pick]) -> Table {
    let row = |pick: &Pick| {
        let best = |show: fn(&Candidate) -> String| or_dash(pick.best.as_ref(), show);
        vec![
            ms(pick.target.latency_ms),
            best(|best| percent(best.accuracy)),
            best(|best| percent(best.expected_accuracy)),
            best(|best| ms(best.latency_ms)),
            best(words::interval),
            best(|best| words::source(best).to_owned()),
            or_dash(pick.target_met, |met| words::met(met).to_owned()),
            best(|best| format!("{:.4}", best.reward)),
            best(|best| millions(best.madds)),
            best(|best| millions(best.params)),
        ]
    };
    Table {
        title: "The best network for each target",
        columns: columns(
            &[],
            &[
                "target",
                "accuracy",
                "expected",
                "latency",
                "interval",
                "source",
                "target is",
                "reward",
                "multiply-adds",
                "parameters",
            ],
            &[],
        ),
        rows: picks.iter().map(row).collect(),
    }
}

fn phases(data: &ReportData) -> Table {
    let row = |phase: &Phase| {
        vec![phase.phase.clone(), phase.count.to_string(), or_dash(phase.seconds, duration), phase.why.clone()]
    };
    Table {
        title: "What happened to the candidates",
        columns: columns(&["phase"], &["count", "time"], &["why"]),
        rows: data.phases.iter().map(row).collect(),
    }
}

fn steps(data: &ReportData) -> Table {
    let stretch = data.steps.len().div_ceil(MOST_STEP_ROWS).max(1);
    let mut rows: Vec<Vec<String>> = data.steps.chunks(stretch).map(steps_row).collect();
    if data.steps.len() > 1 {
        let mut total = steps_row(&data.steps);
        total[0] = "all".to_owned();
        rows.push(total);
    }
    let numbers = [
        "sampled",
        "beyond limits",
        "known",
        "screened out",
        "trained",
        "failed",
        "timed",
        "off by",
        "drift",
        "entropy",
        "best reward",
    ];
    Table { title: "Candidates by step", columns: columns(&["step"], &numbers, &[]), rows }
}

/// Sums over a stretch of steps; the predictor's mean error; drift, entropy and reward at its end.
fn steps_row(steps: &[Step]) -> Vec<String> {
    let (first, last) = (steps.first().copied().unwrap_or_default(), steps.last().copied().unwrap_or_default());
    let sum = |count: fn(&Step) -> usize| steps.iter().map(count).sum::<usize>().to_string();
    let changed = steps.iter().any(|step| step.changed_devices > 0);
    let errors: Vec<f64> = steps.iter().filter_map(|step| step.prediction_mape).collect();
    let error = (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64);
    vec![
        if first.step == last.step { first.step.to_string() } else { format!("{} to {}", first.step, last.step) },
        sum(|step| step.sampled),
        sum(|step| step.beyond_limits.total()),
        sum(|step| step.duplicates),
        sum(|step| step.screened),
        sum(|step| step.trained),
        sum(|step| step.failed),
        sum(|step| step.timed),
        or_dash(error, |error| format!("{error:.1} %")),
        or_dash(last.drift, |drift| format!("{drift:.2}")) + if changed { ", changed" } else { "" },
        or_dash(last.entropy, |entropy| format!("{entropy:.2}")),
        or_dash(last.best_reward, |reward| format!("{reward:.4}")),
    ]
}

fn time(data: &ReportData) -> Table {
    let seconds = data.seconds;
    let share = |part: f64| if seconds.total > 0.0 { percent(part / seconds.total) } else { "–".to_owned() };
    let row = |name: &str, part: f64| vec![name.to_owned(), duration(part), share(part)];
    Table {
        title: "Time",
        columns: columns(&["spent on"], &["wall time", "share"], &[]),
        rows: vec![
            row("training", seconds.training),
            row("measuring", seconds.measuring),
            row("controller", seconds.controller),
            row("the rest", seconds.total - seconds.training - seconds.measuring - seconds.controller),
            row("all", seconds.total),
        ],
    }
}
