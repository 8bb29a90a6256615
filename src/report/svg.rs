//! The report's plots, as SVG documents.

use std::ops::Range;

use plotters::chart::SeriesLabelPosition;
use plotters::prelude::*;
use plotters::series::DashedLineSeries;

use super::data::{Candidate, ReportData};

/// Pixels of every plot.
const SIZE: (u32, u32) = (560, 360);
const BLUE: RGBColor = RGBColor(0x1f, 0x5f, 0xa8);
const ORANGE: RGBColor = RGBColor(0xd9, 0x74, 0x1e);
const GREY: RGBColor = RGBColor(0x9a, 0xa3, 0xad);
const INK: RGBColor = RGBColor(0x33, 0x3a, 0x42);

/// A plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plot '{title}' could not be drawn: {problem}")]
pub struct PlotError {
    /// Which.
    pub title: &'static str,
    /// What the drawing library said.
    pub problem: String,
}

/// One plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// What it shows.
    pub title: &'static str,
    /// A complete SVG document.
    pub svg: String,
}

/// How a series is drawn.
#[derive(Clone, Copy)]
enum Mark {
    Line,
    Dashes,
    Dots,
    Rings,
    /// A wide ring around something else.
    Halo,
}

struct PlotSeries {
    name: &'static str,
    mark: Mark,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

struct Figure {
    title: &'static str,
    axes: [&'static str; 2],
    /// The vertical range where it is not the data's.
    vertical: Option<Range<f64>>,
    legend: SeriesLabelPosition,
    series: Vec<PlotSeries>,
}

/// Every plot for which there is data, in reading order.
///
/// # Errors
/// [`PlotError`], which nothing in the data should cause.
pub fn all(data: &ReportData) -> Result<Vec<Plot>, PlotError> {
    let figures = [front(data), rewards(data), hypervolume(data), exploration(data), predictions(data)];
    figures.into_iter().flatten().map(|figure| Ok(Plot { title: figure.title, svg: draw(&figure)? })).collect()
}

/// Values with the numbers of their evaluations, from 1.
fn counted(values: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    values.enumerate().map(|(index, value)| (index as f64 + 1.0, value)).collect()
}

fn rewards(data: &ReportData) -> Option<Figure> {
    let each = counted(data.candidates.iter().map(|candidate| candidate.reward));
    let best = steps(&counted(data.best_reward_by_evaluation.iter().copied()));
    (!best.is_empty()).then(|| Figure {
        title: "Reward by evaluation",
        axes: ["evaluation", "reward"],
        vertical: None,
        legend: SeriesLabelPosition::LowerRight,
        series: vec![series("a candidate", Mark::Dots, GREY, each), series("best so far", Mark::Line, BLUE, best)],
    })
}

fn hypervolume(data: &ReportData) -> Option<Figure> {
    let reference_ms = data.hypervolume.reference_ms;
    let shares = data.hypervolume.by_evaluation.iter().map(|value| 100.0 * value / reference_ms);
    let course = steps(&counted(shares));
    (course.len() > 1).then(|| Figure {
        title: "Hypervolume of the Pareto front by evaluation",
        axes: ["evaluation", "% of the plane up to twice the target"],
        vertical: None,
        legend: SeriesLabelPosition::LowerRight,
        series: vec![series("dominated by the front", Mark::Line, BLUE, course)],
    })
}

fn front(data: &ReportData) -> Option<Figure> {
    let several = data.pick.target.combine.is_some();
    let place = |candidate: &Candidate| {
        (if several { candidate.latency_ratio } else { candidate.latency_ms }, 100.0 * candidate.accuracy)
    };
    let target = if several { 1.0 } else { data.pick.target.latency_ms };
    let of = |measured: bool| -> Vec<(f64, f64)> {
        data.candidates.iter().filter(|candidate| candidate.measured == measured).map(place).collect()
    };
    let accuracies = || data.candidates.iter().map(|candidate| 100.0 * candidate.accuracy);
    let (least, most) = (accuracies().fold(f64::INFINITY, f64::min), accuracies().fold(f64::NEG_INFINITY, f64::max));
    let target = vec![(target, least), (target, most)];
    (!data.candidates.is_empty()).then(|| Figure {
        title: "Accuracy and latency",
        axes: [if several { "latency over target, worst device" } else { "latency in ms" }, "accuracy in %"],
        vertical: None,
        legend: SeriesLabelPosition::LowerRight,
        series: vec![
            series("latency predicted", Mark::Rings, GREY, of(false)),
            series("latency measured", Mark::Dots, BLUE, of(true)),
            series("Pareto front", Mark::Line, BLUE, steps(&data.pareto.iter().map(place).collect::<Vec<_>>())),
            series("target", Mark::Dashes, ORANGE, target),
            series("best", Mark::Halo, ORANGE, data.pick.best.iter().map(place).collect()),
        ],
    })
}

fn predictions(data: &ReportData) -> Option<Figure> {
    let pairs: Vec<(f64, f64)> =
        data.predictor.pairs.iter().map(|pair| (pair.measured_ms, pair.predicted_ms)).collect();
    let most = pairs.iter().map(|pair| pair.0.max(pair.1)).fold(0.0, f64::max);
    let least = pairs.iter().map(|pair| pair.0.min(pair.1)).fold(most, f64::min);
    let slope = |factor: f64| vec![(least, least * factor), (most, most * factor)];
    (!pairs.is_empty()).then(|| Figure {
        title: "Predicted and measured latency",
        axes: ["measured in ms", "predicted in ms"],
        vertical: None,
        legend: SeriesLabelPosition::LowerRight,
        series: vec![
            series("equal", Mark::Line, GREY, slope(1.0)),
            series("10 % above and below", Mark::Dashes, GREY, slope(1.1)),
            series("", Mark::Dashes, GREY, slope(0.9)),
            series("a candidate", Mark::Dots, BLUE, pairs),
        ],
    })
}

fn exploration(data: &ReportData) -> Option<Figure> {
    let entropy = data.steps.iter().filter_map(|step| Some((step.step as f64, 100.0 * step.entropy?))).collect();
    let new = data.steps.iter().map(|step| (step.step as f64, 100.0 * step.new_share())).collect();
    (data.steps.len() > 1).then(|| Figure {
        title: "Exploration by step",
        axes: ["step", "%"],
        vertical: Some(0.0..105.0),
        legend: SeriesLabelPosition::LowerLeft,
        series: vec![
            series("entropy, of a uniform policy's", Mark::Line, BLUE, entropy),
            series("new among the sampled", Mark::Line, ORANGE, new),
        ],
    })
}

/// A latency with its interval on a scale with the target, to be read at a glance; no document of its own.
pub(super) fn gauge([low_ms, value_ms, high_ms]: [f64; 3], target_ms: f64) -> String {
    let most = 1.25 * target_ms.max(high_ms);
    let x = |latency_ms: f64| 10.0 + 680.0 * (latency_ms / most).clamp(0.0, 1.0);
    let (low, high, value, target) = (x(low_ms), x(high_ms), x(value_ms), x(target_ms));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 58\" role=\"img\" aria-label=\"latency and target\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#333a42\">\n\
         <line x1=\"10\" y1=\"30\" x2=\"690\" y2=\"30\" stroke=\"#c9cfd6\" stroke-width=\"2\"/>\n\
         <rect x=\"{low:.1}\" y=\"23\" width=\"{width:.1}\" height=\"14\" rx=\"3\" fill=\"#1f5fa8\" fill-opacity=\"0.35\"/>\n\
         <circle cx=\"{value:.1}\" cy=\"30\" r=\"5\" fill=\"#1f5fa8\"/>\n\
         <line x1=\"{target:.1}\" y1=\"17\" x2=\"{target:.1}\" y2=\"43\" stroke=\"#d9741e\" stroke-width=\"3\"/>\n\
         <text x=\"{target:.1}\" y=\"13\" text-anchor=\"middle\" fill=\"#b45a10\">target {target_ms:.2} ms</text>\n\
         <text x=\"{value:.1}\" y=\"54\" text-anchor=\"middle\">{value_ms:.2} ms</text>\n\
         <text x=\"10\" y=\"54\">0</text>\n</svg>\n",
        width = (high - low).max(3.0),
    )
}

fn series(name: &'static str, mark: Mark, colour: RGBColor, points: Vec<(f64, f64)>) -> PlotSeries {
    let points = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    PlotSeries { name, mark, colour, points }
}

/// A number on an axis, with the decimals it needs.
pub fn tick(value: &f64) -> String {
    // Adding 0 makes no zero negative.
    format!("{}", (1e6 * value).round() / 1e6 + 0.0)
}

/// A staircase: each value holds until the next point.
fn steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let corner = |pair: &[(f64, f64)]| [pair[0], (pair[1].0, pair[0].1)];
    points.windows(2).flat_map(corner).chain(points.last().copied()).collect()
}

/// The range of values with a margin; never empty.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let (least, most) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
    let margin = (0.06 * (most - least)).max(1e-3 * most.abs()).max(1e-9);
    if least <= most { least - margin..most + margin } else { 0.0..1.0 }
}

fn draw(figure: &Figure) -> Result<String, PlotError> {
    let mut svg = String::new();
    let backend = SVGBackend::with_string(&mut svg, SIZE);
    draw_on(backend, figure).map_err(|error| PlotError { title: figure.title, problem: error.to_string() })?;
    Ok(svg)
}

fn draw_on<'a>(
    backend: SVGBackend<'a>,
    figure: &Figure,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let points = || figure.series.iter().flat_map(|series| series.points.iter());
    let horizontal = range(points().map(|point| point.0));
    let vertical = figure.vertical.clone().unwrap_or_else(|| range(points().map(|point| point.1)));
    let mut chart = ChartBuilder::on(&area)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(62)
        .build_cartesian_2d(horizontal, vertical)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY.mix(0.25))
        .axis_style(GREY)
        .label_style(("sans-serif", 14, &INK))
        .x_desc(figure.axes[0])
        .y_desc(figure.axes[1])
        .x_labels(8)
        .y_labels(7)
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .draw()?;
    for series in figure.series.iter().filter(|series| !series.points.is_empty()) {
        let (colour, mark, points) = (series.colour, series.mark, series.points.iter().copied());
        let stroke = colour.stroke_width(2);
        let drawn = match mark {
            Mark::Line => chart.draw_series(LineSeries::new(points, stroke))?,
            Mark::Dashes => chart.draw_series(DashedLineSeries::new(points, 6, 4, stroke))?,
            Mark::Dots | Mark::Rings => chart.draw_series(points.map(|at| Circle::new(at, 3, dot(mark, colour))))?,
            Mark::Halo => chart.draw_series(points.map(|at| Circle::new(at, 7, stroke)))?,
        };
        let (left, right) = ([(0, 0), (7, 0)], [(11, 0), (18, 0)]);
        match mark {
            _ if series.name.is_empty() => drawn,
            Mark::Line => {
                drawn.label(series.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], stroke))
            }
            Mark::Dashes => drawn.label(series.name).legend(move |at| {
                EmptyElement::at(at) + PathElement::new(left, stroke) + PathElement::new(right, stroke)
            }),
            Mark::Dots | Mark::Rings => {
                drawn.label(series.name).legend(move |(x, y)| Circle::new((x + 9, y), 3, dot(mark, colour)))
            }
            Mark::Halo => drawn.label(series.name).legend(move |(x, y)| Circle::new((x + 9, y), 6, stroke)),
        };
    }
    chart
        .configure_series_labels()
        .position(figure.legend.clone())
        .background_style(WHITE.mix(0.85))
        .border_style(GREY.mix(0.5))
        .label_font(("sans-serif", 14, &INK))
        .draw()?;
    area.present()
}

fn dot(mark: Mark, colour: RGBColor) -> ShapeStyle {
    if matches!(mark, Mark::Rings) { colour.stroke_width(1) } else { colour.mix(0.8).filled() }
}
