//! The report for a terminal. Architecture lines are too long for its tables: only the best one is printed.

use super::data::ReportData;
use super::format::{duration, ms, percent};
use super::tables::{self, Align, Table};

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
    let best = match &data.best {
        None => "no candidate has been evaluated yet".to_owned(),
        Some(best) => format!(
            "best: accuracy {}, {} {} (target {}), reward {:.4}\n  {}",
            percent(best.accuracy),
            ms(best.latency_ms),
            if best.measured { "measured" } else { "predicted" },
            ms(data.target.latency_ms),
            best.reward,
            best.architecture,
        ),
    };
    let predictor = data.predictor.mape.map_or_else(String::new, |mape| {
        format!("predictor: {mape:.1} % mean error on {} candidates timed later\n", data.predictor.pairs.len())
    });
    format!(
        "{best}\n{} evaluations, {} measurements in {}; {} with the {} reward, seed {}, on {}\n{predictor}\
         the loop's own overhead, controller included: {:.2} % of the wall time\n",
        data.evaluations,
        data.measurements,
        duration(data.seconds.total),
        data.algorithm,
        data.target.reward,
        data.seed,
        data.device.model,
        data.overhead_percent,
    )
}

/// One table: its title, then aligned columns.
pub fn table(table: &Table) -> String {
    let width = |column: usize| {
        let cells = table.rows.iter().map(|row| row[column].chars().count());
        cells.chain([table.columns[column].0.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let columns = cells.iter().zip(&table.columns).zip(&widths);
        let aligned = columns.map(|((cell, (_, align)), &width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        aligned.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rows = table.rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    let rules: Vec<String> = widths.iter().map(|&width| "─".repeat(width)).collect();
    let rule = line(rules.iter().map(String::as_str).collect());
    format!(
        "{}\n{}{rule}{}",
        table.title,
        line(table.columns.iter().map(|column| column.0).collect()),
        rows.collect::<String>()
    )
}
