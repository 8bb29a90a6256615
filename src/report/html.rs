//! The report as one HTML page that needs nothing else: style and plots stand in it, and no script.

use super::data::{Candidate, DeviceLatency, DeviceSummary, ReportData, TargetMet};
use super::format::{duration, millions, ms, or_dash, percent};
use super::svg::{self, PlotError};
use super::tables::{self, Align, Column, Table};
use super::words;

const STYLE: &str = include_str!("style.css");

/// The whole page.
///
/// # Errors
/// [`PlotError`], which nothing in the data should cause.
pub fn render(data: &ReportData) -> Result<String, PlotError> {
    let plots: String = svg::all(data)?.iter().map(|plot| section(plot.title, &plot.svg)).collect();
    let mut tables = tables::all(data).into_iter();
    // The last table, of the time, is small and fills the grid.
    let time = tables.next_back();
    let plots = format!("<div class=\"plots\">\n{plots}{}</div>\n", time.iter().map(table).collect::<String>());
    // The final timing answers what was asked, so it stands before the plots.
    let first = if data.final_rows.is_empty() { None } else { tables.next() };
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{headline}{figures}{final_table}{plots}{tables}{origin}\
         </body>\n</html>\n",
        title = escape(&format!("Search for {} on {}", ms(data.pick.target.latency_ms), words::place(data))),
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

/// Which network, how fast, how sure.
fn headline(data: &ReportData) -> String {
    let place = format!("{} on {}", ms(data.pick.target.latency_ms), words::place(data));
    let Some(best) = &data.pick.best else {
        return format!(
            "<header>\n<p class=\"quiet\">A network for {}</p>\n<h1>No candidate has been evaluated yet.</h1>\n</header>\n",
            escape(&place)
        );
    };
    let lines =
        [Some(words::costs(best)), words::runner_up(&data.pick), Some(format!("The search: {}.", words::ended(data)))];
    let lines: String = lines.into_iter().flatten().map(|line| quiet(&line)).collect();
    format!(
        "<header>\n<p class=\"quiet\">The best network found for {place}</p>\n\
         <h1>{latency} <small>{source}</small> with {accuracy} accuracy</h1>\n{changes}{verdict}{gauge}\
         <code>{architecture}</code>\n{lines}</header>\n",
        place = escape(&place),
        latency = ms(best.latency_ms),
        source = words::source(best),
        accuracy = percent(best.accuracy),
        changes = changes(data),
        verdict = verdict(data, best),
        gauge = gauges(data, best),
        architecture = escape(&best.architecture),
    )
}

/// Said before anything that rests on the latencies.
fn changes(data: &ReportData) -> String {
    let change = |line: String| format!("<p class=\"warning\">{}</p>\n", escape(&line));
    words::changes(data).into_iter().map(change).collect()
}

fn verdict(data: &ReportData, best: &Candidate) -> String {
    let Some(met) = data.pick.target_met else { return String::new() };
    let class = match met {
        TargetMet::Yes => "yes",
        TargetMet::Unsure => "unsure",
        TargetMet::No => "no",
    };
    let several = !best.devices.is_empty();
    let target = match (several, met) {
        (false, met) => format!("target of {} {}", ms(data.pick.target.latency_ms), words::met(met)),
        (true, TargetMet::Yes) => "all targets kept".to_owned(),
        (true, TargetMet::Unsure) => "a target within its interval".to_owned(),
        (true, TargetMet::No) => "a target not kept".to_owned(),
    };
    let interval = match (several, best.measured) {
        (true, _) => "interval of the combined latency",
        (false, true) => "95 % interval of the measurement",
        (false, false) => "interval of the prediction",
    };
    let missed = words::missed(&data.pick).map_or_else(String::new, |line| format!("<p>{}.</p>\n", escape(&line)));
    format!("<p><span class=\"badge {class}\">{target}</span> {interval}: {} ms</p>\n{missed}", words::interval(best))
}

/// The latency against the target, on each device.
fn gauges(data: &ReportData, best: &Candidate) -> String {
    if best.devices.is_empty() {
        return svg::gauge([best.low_ms, best.latency_ms, best.high_ms], data.pick.target.latency_ms);
    }
    let gauge = |(line, device): (String, &DeviceLatency)| {
        quiet(&line) + &svg::gauge([device.low_ms, device.latency_ms, device.high_ms], device.target_ms)
    };
    words::devices(data, best).into_iter().zip(&best.devices).map(gauge).collect()
}

fn figures(data: &ReportData) -> String {
    let best = data.pick.best.as_ref();
    let of_reference = best.and_then(|best| {
        let row = data.final_rows.iter().find(|row| row.architecture == best.architecture)?;
        row.ratio_to_mobilenet_v2
    });
    let figures = [
        (or_dash(best, |best| percent(best.expected_accuracy)), "accuracy expected"),
        (or_dash(best, |best| format!("{:.4}", best.reward)), "reward"),
        (or_dash(of_reference, |ratio| format!("{ratio:.2} ×")), "MobileNetV2's latency"),
        (or_dash(best, |best| millions(best.madds)), "multiply-adds"),
        (or_dash(best, |best| millions(best.params)), "parameters"),
        (data.evaluations.to_string(), "networks trained"),
        (data.measurements.to_string(), "timed in the loop"),
        (duration(data.seconds.total), "total time"),
    ];
    let figure = |(value, name): &(String, &str)| format!("<div><b>{}</b><span>{name}</span></div>\n", escape(value));
    format!("<div class=\"figures\">\n{}</div>\n", figures.iter().map(figure).collect::<String>())
}

fn quiet(line: &str) -> String {
    format!("<p class=\"quiet\">{}</p>\n", escape(line))
}

fn section(title: &str, content: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", escape(title))
}

fn table(table: &Table) -> String {
    let row = |kind: &str, cells: Vec<&str>| {
        let cell = |(cell, (name, align)): (&&str, &Column)| match align {
            Align::Left if *name == "architecture" => format!("<{kind} class=\"words line\">{}</{kind}>", escape(cell)),
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
            "{} reward (alpha {}, beta {}) with target {}, algorithm {}",
            data.pick.target.reward,
            data.pick.target.alpha,
            data.pick.target.beta,
            ms(data.pick.target.latency_ms),
            data.algorithm
        ),
        format!("accuracies: {}", data.accuracy_source),
    ];
    let device = |device: &DeviceSummary| {
        format!("device {}: {}, {}, {} threads", device.id, device.model, device.runtime, device.threads)
    };
    lines.extend(data.devices.iter().map(device));
    lines.extend(words::predictor(data));
    if !data.candidates.is_empty() {
        lines.push(words::hypervolume(data));
    }
    lines.push(words::overhead(data));
    lines.push(format!("seed {}, mnas {}", data.seed, data.version));
    let lines: String = lines.iter().map(|line| quiet(line)).collect();
    section("How this came about", &lines)
}
