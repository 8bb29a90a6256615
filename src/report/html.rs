//! The report as one HTML page that needs nothing else: style and plots stand in it, and no script.

use super::data::ReportData;
use super::format::{duration, ms, or_dash, percent};
use super::svg::{self, PlotError};
use super::tables::{self, Align, Column, Table};

const STYLE: &str = "\
:root { color: #22282f; background: #f4f5f7; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 74rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0 0 .6rem; }
p { margin: .3rem 0; } .quiet { color: #5d6670; font-size: .9rem; }
code { font: .85rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
section { background: #fff; border: 1px solid #dfe3e8; border-radius: 8px; padding: 1rem 1.2rem; margin-top: 1rem; overflow-x: auto; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; margin-top: 1rem; }
.figures div { background: #fff; border: 1px solid #dfe3e8; border-radius: 8px; padding: .7rem 1rem; }
.figures b { display: block; font-size: 1.3rem; font-weight: 600; white-space: nowrap; } .figures span { color: #5d6670; font-size: .85rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); column-gap: 1rem; }
svg { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; color: #5d6670; border-bottom: 1px solid #c9cfd6; padding: .25rem .6rem; white-space: nowrap; }
td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #eef0f3; white-space: nowrap; }
th.words, td.words { text-align: left; white-space: normal; } td.words:last-child { font: .82rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
th:first-child, td:first-child { padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
";

/// The whole page.
///
/// # Errors
/// [`PlotError`], which nothing in the data should cause.
pub fn render(data: &ReportData) -> Result<String, PlotError> {
    let plots: String = svg::all(data)?.iter().map(|plot| section(plot.title, &plot.svg)).collect();
    let plots = format!("<div class=\"plots\">\n{plots}</div>\n");
    let mut tables = tables::all(data).into_iter();
    // The final timing answers what was asked, so it stands before the plots.
    let first = if data.final_rows.is_empty() { None } else { tables.next() };
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{headline}{figures}{final_table}{plots}{tables}{origin}\
         </body>\n</html>\n",
        title = escape(&format!("Search for {} on {}", ms(data.target.latency_ms), data.device.model)),
        headline = headline(data),
        figures = figures(data),
        final_table = first.iter().map(table).collect::<String>(),
        tables = tables.map(|rest| table(&rest)).collect::<String>(),
        origin = origin(data),
    ))
}

/// Text made safe to stand in an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

fn headline(data: &ReportData) -> String {
    let best = match &data.best {
        Some(best) => format!("<p><code>{}</code></p>\n", escape(&best.architecture)),
        None => "<p>No candidate has been evaluated yet.</p>\n".to_owned(),
    };
    format!(
        "<header>\n<h1>A network for {} on {}</h1>\n{best}</header>\n",
        escape(&ms(data.target.latency_ms)),
        escape(&data.device.model)
    )
}

fn figures(data: &ReportData) -> String {
    let best = data.best.as_ref();
    let source = if best.is_some_and(|best| best.measured) { "latency, measured" } else { "latency, predicted" };
    let figures = [
        (or_dash(best, |best| percent(best.accuracy)), "accuracy"),
        (or_dash(best, |best| ms(best.latency_ms)), source),
        (or_dash(best, |best| format!("{:.4}", best.reward)), "reward"),
        (data.evaluations.to_string(), "evaluations"),
        (data.measurements.to_string(), "measurements"),
        (duration(data.seconds.total), "total time"),
    ];
    let figure = |(value, name): &(String, &str)| format!("<div><b>{}</b><span>{name}</span></div>\n", escape(value));
    format!("<div class=\"figures\">\n{}</div>\n", figures.iter().map(figure).collect::<String>())
}

fn section(title: &str, content: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", escape(title))
}

fn table(table: &Table) -> String {
    let row = |kind: &str, cells: Vec<&str>| {
        let cell = |(cell, (_, align)): (&&str, &Column)| match align {
            Align::Left => format!("<{kind} class=\"words\">{}</{kind}>", escape(cell)),
            Align::Right => format!("<{kind}>{}</{kind}>", escape(cell)),
        };
        format!("<tr>{}</tr>\n", cells.iter().zip(&table.columns).map(cell).collect::<String>())
    };
    let head = row("th", table.columns.iter().map(|column| column.0).collect());
    let rows: String = table.rows.iter().map(|cells| row("td", cells.iter().map(String::as_str).collect())).collect();
    section(table.title, &format!("<table>\n<thead>{head}</thead>\n<tbody>\n{rows}</tbody>\n</table>\n"))
}

fn origin(data: &ReportData) -> String {
    let mut lines = vec![
        format!(
            "{} reward with target {}, algorithm {}",
            data.target.reward,
            ms(data.target.latency_ms),
            data.algorithm
        ),
        format!("accuracies: {}", data.accuracy_source),
        format!(
            "device {}: {}, {}, {} threads",
            data.device.id, data.device.model, data.device.runtime, data.device.threads
        ),
    ];
    if let Some(mape) = data.predictor.mape {
        let pairs = data.predictor.pairs.len();
        lines.push(format!("predictor: {mape:.1} % mean absolute error on {pairs} candidates timed later"));
    }
    lines
        .push(format!("the loop's own overhead, controller included: {:.2} % of the wall time", data.overhead_percent));
    lines.push(format!("seed {}, mnas {}", data.seed, data.version));
    let lines: String = lines.iter().map(|line| format!("<p class=\"quiet\">{}</p>\n", escape(line))).collect();
    section("How this came about", &lines)
}
