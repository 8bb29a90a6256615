//! A calibration as one page of HTML with its plots inside: nothing is loaded from anywhere.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::html::escape;
use super::svg::{PlotError, tick};

const BLUE: RGBColor = RGBColor(0x1f, 0x5f, 0xa8);
const ORANGE: RGBColor = RGBColor(0xd0, 0x7a, 0x1c);
const GREY: RGBColor = RGBColor(0x88, 0x8f, 0x99);
const BAND: RGBColor = RGBColor(0xe9, 0xee, 0xf5);
const FONT: &str = "sans-serif";
/// Width and height of a plot.
const SIZE: (u32, u32) = (560, 440);
/// Bins of the histogram of errors: from -30 % to 30 % by 2 points; what lies beyond counts into the outermost.
const BINS: (f64, f64, usize) = (-30.0, 30.0, 30);

const STYLE: &str = "
:root { font: 16px/1.5 system-ui, sans-serif; color: #1d2733; background: #f6f7f9; }
main { max-width: 1180px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
p { margin: .3rem 0; max-width: 75ch; } .quiet { color: #5d6875; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.tile { background: #fff; border: 1px solid #dde2e8; border-radius: 8px; padding: .7rem 1rem; }
.tile b { display: block; font-size: 1.5rem; font-weight: 600; } .tile span { color: #5d6875; font-size: .85rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1rem; } figure { margin: 0; background: #fff; border: 1px solid #dde2e8;
border-radius: 8px; padding: .6rem; } figcaption { color: #5d6875; font-size: .85rem; max-width: 540px; padding: 0 .4rem; }
table { border-collapse: collapse; background: #fff; border: 1px solid #dde2e8; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #eceff3; font-size: .9rem; }
th:first-child, td:first-child { text-align: left; } td.text { text-align: left; }
td { white-space: nowrap; } td:first-child, td.text { white-space: normal; } svg { width: 100%; height: auto; }
code { font-size: .8rem; overflow-wrap: anywhere; }
";

/// What the page shows: a predictor, judged on networks that its fit has not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationPage {
    /// Device, runtime and source, on one line.
    pub subject: String,
    /// Networks in the fit.
    pub networks: usize,
    /// Networks held out.
    pub held_out: usize,
    /// Whether nothing was held out, and the errors are those of cross-validation.
    pub cross_validated: bool,
    /// Nominal level of the intervals in percent.
    pub level: f64,
    /// Median distance from a prediction to its interval's upper end, in percent.
    pub half_width: f64,
    /// Percent of held-out networks inside their interval.
    pub coverage: f64,
    /// The noise floor in percent, where it is known.
    pub noise: Option<f64>,
    /// The predictor's errors.
    pub predictor: Errors,
    /// Those of milliseconds proportional to multiply-adds.
    pub by_madds: Errors,
    /// Those of a regression on multiply-adds, parameters and layers.
    pub by_counts: Errors,
    /// The predictor's parts, from the simplest, with their cross-validated mean errors in percent.
    pub parts: Vec<(String, f64)>,
    /// Networks in a fit, and its mean error in percent on the held-out ones.
    pub curve: Vec<(usize, f64)>,
    /// Every held-out network.
    pub networks_judged: Vec<PredictedNetwork>,
    /// What was measured and how: names and values.
    pub provenance: Vec<(String, String)>,
    /// Where and when the measurements were made, one entry per session.
    pub environments: Vec<serde_json::Value>,
}

/// Errors over the held-out networks: percent, and rank correlations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Mean absolute relative error in percent.
    pub mape: f64,
    /// Percent of networks within 5 %.
    pub within_5: f64,
    /// Percent of networks within 10 %.
    pub within_10: f64,
    /// Kendall's tau-b.
    pub kendall: f64,
    /// Spearman's rank correlation.
    pub spearman: f64,
}

/// One held-out network; latencies in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedNetwork {
    /// The network.
    pub architecture: String,
    /// What was measured.
    pub measured_ms: f64,
    /// What was predicted.
    pub predicted_ms: f64,
    /// Low end of the interval.
    pub low_ms: f64,
    /// High end.
    pub high_ms: f64,
    /// What multiply-adds alone predict.
    pub by_madds_ms: f64,
}

impl PredictedNetwork {
    /// Relative error of the prediction.
    fn error(&self) -> f64 {
        self.predicted_ms / self.measured_ms - 1.0
    }

    /// Whether the measured latency lies in the interval.
    fn covered(&self) -> bool {
        (self.low_ms..=self.high_ms).contains(&self.measured_ms)
    }
}

/// The page.
///
/// # Errors
/// [`PlotError`] if plotters refuses.
pub fn html(page: &CalibrationPage) -> Result<String, PlotError> {
    let plot = |title, drawn: Drawn| drawn.map_err(|error| PlotError { title, problem: error.to_string() });
    let scatter = plot("predicted and measured", scatter(&page.networks_judged))?;
    let errors = plot("relative errors", histogram(&page.networks_judged))?;
    let curve = plot("learning curve", learning_curve(&page.curve, page.noise))?;
    let CalibrationPage { networks, held_out, level, .. } = page;
    let judged = match page.cross_validated {
        true => "cross-validated: each network is predicted by models that have not seen it".to_owned(),
        false => format!("judged on {held_out} others that the fit has not seen"),
    };
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Latency predictor</title><style>{STYLE}</style></head><body><main>\n\
         <h1>Latency predictor</h1><p class=\"quiet\">{subject}</p>\n\
         <p>Fitted to {networks} networks, {judged}.</p>\n{tiles}\n\
         <div class=\"plots\"><figure>{scatter}<figcaption>Every held-out network, with the interval that should hold \
         the measurement in {level:.0} % of cases; the band is ±10 %.</figcaption></figure>\n\
         <figure>{errors}<figcaption>Relative errors of the predictor and of milliseconds proportional to \
         multiply-adds; the outermost bars hold everything beyond.</figcaption></figure>\n\
         <figure>{curve}<figcaption>The mean error had fewer networks been measured{floor}.</figcaption></figure></div>\n\
         <h2>Compared with linear regressions on counts</h2>{comparison}\n<h2>What each part of the predictor adds</h2>{parts}\n\
         <h2>Largest errors</h2>{worst}\n<h2>Provenance</h2>{provenance}\n{environments}</main></body></html>\n",
        subject = escape(&page.subject),
        tiles = tiles(page),
        floor = page.noise.map_or("", |_| "; below the orange line, the noise floor, no predictor can come"),
        comparison = comparison(page),
        parts = parts(&page.parts),
        worst = worst(&page.networks_judged),
        provenance = provenance(&page.provenance),
        environments = environments(&page.environments),
    ))
}

fn tiles(page: &CalibrationPage) -> String {
    let CalibrationPage { predictor: metrics, noise, coverage, level, half_width, .. } = page;
    let noise = noise.map_or("not known".to_owned(), |noise| format!("{noise:.1} %"));
    let tiles = [
        (format!("{:.1} %", metrics.mape), "mean error (MAPE)".to_owned()),
        (noise, "noise floor: a perfect predictor's".to_owned()),
        (format!("{:.0} %", metrics.within_5), "within ±5 %".to_owned()),
        (format!("{:.0} %", metrics.within_10), "within ±10 %".to_owned()),
        (format!("{:.2}", metrics.kendall), "Kendall's tau".to_owned()),
        (format!("{coverage:.0} %"), format!("inside the {level:.0} % interval (+{half_width:.0} %)")),
    ];
    let tile =
        |(value, label): &(String, String)| format!("<div class=\"tile\"><b>{value}</b><span>{label}</span></div>");
    format!("<div class=\"tiles\">{}</div>", tiles.iter().map(tile).collect::<String>())
}

fn comparison(page: &CalibrationPage) -> String {
    let row = |name: &str, m: &Errors| {
        let cells = [m.mape, m.within_5, m.within_10].map(|value| format!("<td>{value:.1} %</td>")).concat();
        format!("<tr><td>{name}</td>{cells}<td>{:.3}</td><td>{:.3}</td></tr>", m.kendall, m.spearman)
    };
    format!(
        "<table><tr><th></th><th>MAPE</th><th>within 5 %</th><th>within 10 %</th><th>Kendall</th><th>Spearman</th></tr>\
         {}{}{}</table>",
        row("predictor", &page.predictor),
        row("multiply-adds alone", &page.by_madds),
        row("multiply-adds, parameters and layers", &page.by_counts)
    )
}

fn parts(parts: &[(String, f64)]) -> String {
    let row = |(name, mape): &(String, f64)| format!("<tr><td>{name}</td><td>{mape:.2} %</td></tr>");
    format!(
        "<table><tr><th></th><th>cross-validated MAPE</th></tr>{}</table>",
        parts.iter().map(row).collect::<String>()
    )
}

fn worst(pairs: &[PredictedNetwork]) -> String {
    let mut sorted: Vec<&PredictedNetwork> = pairs.iter().collect();
    sorted.sort_by(|a, b| b.error().abs().total_cmp(&a.error().abs()));
    let row = |pair: &&PredictedNetwork| {
        format!(
            "<tr><td><code>{}</code></td><td>{:.2}</td><td>{:.2}</td><td>{:+.1} %</td></tr>",
            escape(&pair.architecture),
            pair.measured_ms,
            pair.predicted_ms,
            100.0 * pair.error()
        )
    };
    format!(
        "<table><tr><th>network</th><th>measured ms</th><th>predicted ms</th><th>error</th></tr>{}</table>",
        sorted.iter().take(8).map(row).collect::<String>()
    )
}

fn provenance(rows: &[(String, String)]) -> String {
    let row =
        |(name, value): &(String, String)| format!("<tr><td>{name}</td><td class=\"text\">{}</td></tr>", escape(value));
    format!("<table>{}</table>", rows.iter().map(row).collect::<String>())
}

/// Every session's environment, field by field.
fn environments(environments: &[serde_json::Value]) -> String {
    let session = |(index, environment): (usize, &serde_json::Value)| {
        let mut rows = Vec::new();
        flatten("", environment, &mut rows);
        let row = |(name, value): &(String, String)| {
            format!("<tr><td>{}</td><td class=\"text\">{}</td></tr>", escape(name), escape(value))
        };
        let rows: String = rows.iter().map(row).collect();
        format!("<h2>Environment of session {}</h2><table>{rows}</table>\n", index + 1)
    };
    environments.iter().enumerate().map(session).collect()
}

fn flatten(name: &str, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&name, value, rows);
            }
        }
        serde_json::Value::Null => {}
        serde_json::Value::String(text) => rows.push((name.to_owned(), text.clone())),
        other => rows.push((name.to_owned(), other.to_string())),
    }
}

type Drawn = Result<String, Box<dyn std::error::Error>>;

fn drawing(draw: impl FnOnce(&DrawingArea<SVGBackend, Shift>) -> Result<(), Box<dyn std::error::Error>>) -> Drawn {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(svg)
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// An empty chart with room for its axes.
fn chart<'a, 'b>(
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
    horizontal: Range<f64>,
    vertical: Range<f64>,
) -> Result<Chart<'a, 'b>, Box<dyn std::error::Error>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(12).x_label_area_size(46).y_label_area_size(58);
    Ok(builder.build_cartesian_2d(horizontal, vertical)?)
}

/// Draws the axes of these names, horizontal and vertical.
fn axes(chart: &mut Chart<'_, '_>, names: [&str; 2]) -> Result<(), Box<dyn std::error::Error>> {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY.mix(0.25))
        .axis_style(GREY)
        .x_desc(names[0])
        .y_desc(names[1])
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .axis_desc_style((FONT, 15))
        .label_style((FONT, 13))
        .draw()?;
    Ok(())
}

/// Predicted over measured milliseconds.
fn scatter(pairs: &[PredictedNetwork]) -> Drawn {
    let values = || pairs.iter().flat_map(|pair| [pair.measured_ms, pair.low_ms, pair.high_ms]);
    let least = values().fold(f64::INFINITY, f64::min) * 0.95;
    let most = values().fold(0.0, f64::max) * 1.03;
    drawing(|area| {
        let mut chart = chart(area, least..most, least..most)?;
        // Corners beyond the axes would be clamped to them and bend the band.
        let upper = [(most, most), (most / 1.1, most), (least, 1.1 * least)];
        let band = [vec![(least, least), (least / 0.9, least), (most, 0.9 * most)], upper.to_vec()].concat();
        chart.draw_series([Polygon::new(band, BAND.filled())])?;
        axes(&mut chart, ["measured, ms", "predicted, ms"])?;
        chart.draw_series([PathElement::new(vec![(least, least), (most, most)], GREY)])?;
        chart.draw_series(pairs.iter().map(|pair| {
            let interval = vec![(pair.measured_ms, pair.low_ms), (pair.measured_ms, pair.high_ms)];
            PathElement::new(interval, BLUE.mix(0.28).stroke_width(1))
        }))?;
        chart.draw_series(pairs.iter().map(|pair| {
            let colour = if pair.covered() { BLUE } else { ORANGE };
            Circle::new((pair.measured_ms, pair.predicted_ms), 3, colour.filled())
        }))?;
        Ok(())
    })
}

/// How often which relative error occurs, for the predictor and for multiply-adds.
fn histogram(pairs: &[PredictedNetwork]) -> Drawn {
    let count = |error: fn(&PredictedNetwork) -> f64| {
        let mut bins = vec![0.0; BINS.2];
        for pair in pairs {
            let place = (100.0 * error(pair) - BINS.0) / (BINS.1 - BINS.0) * BINS.2 as f64;
            bins[(place.max(0.0) as usize).min(BINS.2 - 1)] += 1.0;
        }
        bins
    };
    let predictor = count(PredictedNetwork::error);
    let by_madds = count(|pair| pair.by_madds_ms / pair.measured_ms - 1.0);
    let most = predictor.iter().chain(&by_madds).copied().fold(1.0, f64::max) * 1.08;
    let width = (BINS.1 - BINS.0) / BINS.2 as f64;
    drawing(|area| {
        let mut chart = chart(area, BINS.0..BINS.1, 0.0..most)?;
        axes(&mut chart, ["predicted / measured − 1, %", "networks"])?;
        for (name, bins, colour) in
            [("multiply-adds", by_madds, ORANGE.mix(0.45)), ("predictor", predictor, BLUE.mix(0.75))]
        {
            let bar = |(bin, height): (usize, &f64)| {
                let left = BINS.0 + bin as f64 * width;
                Rectangle::new([(left + 0.08 * width, 0.0), (left + 0.92 * width, *height)], colour.filled())
            };
            let drawn = chart.draw_series(bins.iter().enumerate().filter(|(_, height)| **height > 0.0).map(bar))?;
            drawn.label(name).legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        }
        chart.configure_series_labels().label_font((FONT, 14)).border_style(TRANSPARENT).draw()?;
        Ok(())
    })
}

/// Error over the number of networks, with the noise floor.
fn learning_curve(curve: &[(usize, f64)], noise: Option<f64>) -> Drawn {
    let most = curve.iter().map(|(_, mape)| *mape).chain(noise).fold(1.0, f64::max) * 1.1;
    let all = curve.iter().map(|(networks, _)| *networks).max().unwrap_or(100) as f64 * 1.05;
    drawing(|area| {
        let mut chart = chart(area, 0.0..all, 0.0..most)?;
        axes(&mut chart, ["networks measured to fit", "mean error, %"])?;
        if let Some(noise) = noise {
            chart.draw_series([PathElement::new(vec![(0.0, noise), (all, noise)], ORANGE)])?;
        }
        let points = || curve.iter().map(|(networks, mape)| (*networks as f64, *mape));
        chart.draw_series([PathElement::new(points().collect::<Vec<_>>(), BLUE.stroke_width(2))])?;
        chart.draw_series(points().map(|point| Circle::new(point, 4, BLUE.filled())))?;
        Ok(())
    })
}
