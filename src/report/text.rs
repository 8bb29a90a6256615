//! The report for a terminal. Architecture lines are too long for its tables: only the best one is printed.

use super::data::{Pick, ReportData};
use super::format::{duration, ms};
use super::tables::{self, Align, Table};
use super::{columns, words};

/// The whole report as lines of text.
pub fn render(data: &ReportData) -> String {
    let tables: Vec<Table> = tables::all(data).into_iter().map(without_architectures).collect();
    let sections = std::iter::once(headline(data)).chain(tables.iter().map(table));
    sections.collect::<Vec<_>>().join("\n")
}

fn without_architectures(mut table: Table) -> Table {
    if let Some(column) = table.columns.iter().position(|column| column.0 == "architecture") {
        table.columns.remove(column);
        for row in &mut table.rows {
            row.remove(column);
        }
    }
    table
}

fn headline(data: &ReportData) -> String {
    let mut lines = best(data);
    lines.push(format!(
        "{} evaluations, {} measurements in {}; {} with the {} reward, seed {}, on {}",
        data.evaluations,
        data.measurements,
        duration(data.seconds.total),
        data.algorithm,
        data.pick.target.reward,
        data.seed,
        words::place(data),
    ));
    lines.push(format!("the search: {}", words::ended(data)));
    if !data.candidates.is_empty() {
        lines.push(words::hypervolume(data));
    }
    lines.extend(words::predictor(data));
    lines.extend(words::changes(data).into_iter().map(|change| format!("WARNING: {change}")));
    lines.push(words::overhead(data));
    lines.join("\n") + "\n"
}

/// The lines about the pick.
fn best(data: &ReportData) -> Vec<String> {
    let Some(best) = &data.pick.best else { return vec!["no candidate has been evaluated yet".to_owned()] };
    let mut lines = vec![format!("best: {}", words::best(&data.pick, best)), format!("  {}", best.architecture)];
    lines.extend(words::missed(&data.pick).map(|line| format!("  {line}")));
    lines.extend(words::devices(data, best).into_iter().map(|line| format!("  {line}")));
    lines.push(format!("  {}", words::costs(best)));
    lines.extend(words::runner_up(&data.pick));
    lines
}

/// What a run gives for each of several targets: a table, and the architectures below it.
pub fn picks(picks: &[Pick]) -> String {
    let lines = picks
        .iter()
        .filter_map(|pick| Some(format!("{}: {}\n", ms(pick.target.latency_ms), pick.best.as_ref()?.architecture)));
    let missed = picks.iter().filter_map(words::missed).map(|line| format!("{line}\n"));
    format!("{}\n{}", table(&tables::picks(picks)), lines.chain(missed).collect::<String>())
}

/// One table: its title, then aligned columns, no wider than the screen.
pub fn table(table: &Table) -> String {
    let alignments: Vec<Align> = table.columns.iter().map(|column| column.1).collect();
    let heads = table.columns.iter().map(|column| column.0.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(table.rows.iter().cloned()).collect();
    let widths = columns::widths(alignments.len(), &rows, columns::room());
    let rule = widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("  ");
    let mut lines: Vec<String> = rows.iter().map(|row| columns::line(&alignments, &widths, row)).collect();
    lines.insert(1, rule);
    format!("{}\n{}\n", table.title, lines.join("\n"))
}
