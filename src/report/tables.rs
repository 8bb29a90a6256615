//! The report's tables, as cells: text and page differ only in how they draw them.

use super::data::ReportData;
use super::format::{duration, millions, ms, or_dash, percent};
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
    [finalists(data), pareto(data), phases(data), time(data)]
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
            millions(row.madds),
            millions(row.params),
        ]
    };
    Table {
        title: "Final timing, in interleaved rounds",
        columns: columns(
            &["network"],
            &["latency", "interval", "of MobileNetV2", "accuracy", "multiply-adds", "parameters"],
            &[],
        ),
        rows: data.final_rows.iter().map(row).collect(),
    }
}

fn pareto(data: &ReportData) -> Table {
    let row = |candidate: &super::data::Candidate| {
        let source = if candidate.measured { "measured" } else { "predicted" };
        vec![
            ms(candidate.latency_ms),
            source.to_owned(),
            percent(candidate.accuracy),
            format!("{:.4}", candidate.reward),
            candidate.architecture.clone(),
        ]
    };
    Table {
        title: "Pareto front",
        columns: columns(&[], &["latency", "source", "accuracy", "reward"], &["architecture"]),
        rows: data.pareto.iter().map(row).collect(),
    }
}

fn phases(data: &ReportData) -> Table {
    let stretch = data.steps.len().div_ceil(MOST_STEP_ROWS).max(1);
    let mut rows: Vec<Vec<String>> = data.steps.chunks(stretch).map(phase_row).collect();
    if data.steps.len() > 1 {
        let mut total = phase_row(&data.steps);
        total[0] = "all".to_owned();
        rows.push(total);
    }
    Table {
        title: "Candidates by step",
        columns: columns(
            &["step"],
            &["sampled", "duplicates", "screened out", "trained", "timed", "drift", "entropy"],
            &[],
        ),
        rows,
    }
}

/// Sums over a stretch of steps, and drift and entropy at its end.
fn phase_row(steps: &[Step]) -> Vec<String> {
    let (first, last) = (steps.first().copied().unwrap_or_default(), steps.last().copied().unwrap_or_default());
    let sum = |count: fn(&Step) -> usize| steps.iter().map(count).sum::<usize>().to_string();
    vec![
        if first.step == last.step { first.step.to_string() } else { format!("{} to {}", first.step, last.step) },
        sum(|step| step.sampled),
        sum(|step| step.duplicates),
        sum(|step| step.screened),
        sum(|step| step.trained),
        sum(|step| step.timed),
        or_dash(last.drift, |drift| format!("{drift:.2}")),
        or_dash(last.entropy, |entropy| format!("{entropy:.2}")),
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
