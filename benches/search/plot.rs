//! The courses of all searches as one SVG.

use std::path::Path;

use mnas::report::svg::tick;
use plotters::prelude::*;

use super::{Line, Problem};

const SIZE: (u32, u32) = (900, 560);
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x5f, 0xa8),
    RGBColor(0xd9, 0x74, 0x1e),
    RGBColor(0x3a, 0x8f, 0x4d),
    RGBColor(0x9a, 0xa3, 0xad),
    RGBColor(0xa8, 0x3a, 0x6b),
    RGBColor(0x33, 0x3a, 0x42),
];

/// Draws mean rewards over evaluations, with bars of one standard deviation.
pub fn draw(path: &Path, budgets: &[u64], lines: &[Line]) -> Result<(), Problem> {
    let all: Vec<(f64, f64)> = lines.iter().flat_map(Line::statistics).collect();
    let low = all.iter().map(|(mean, deviation)| mean - deviation).fold(f64::INFINITY, f64::min);
    let high = all.iter().map(|(mean, deviation)| mean + deviation).fold(f64::NEG_INFINITY, f64::max);
    let (first, last) = (budgets[0] as f64, budgets[budgets.len() - 1] as f64);
    let marks = budgets.iter().map(|budget| *budget as f64).collect::<Vec<_>>();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart =
            ChartBuilder::on(&root).margin(16).x_label_area_size(40).y_label_area_size(60).build_cartesian_2d(
                (first * 0.95..last * 1.05).log_scale().with_key_points(marks),
                low - 0.001..high + 0.001,
            )?;
        chart
            .configure_mesh()
            .x_desc("evaluations")
            .y_desc("true reward of what is returned")
            .x_labels(budgets.len())
            .x_label_formatter(&tick)
            .y_label_formatter(&tick)
            .light_line_style(WHITE)
            .draw()?;
        for (index, line) in lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let points: Vec<(f64, (f64, f64))> =
                budgets.iter().map(|budget| *budget as f64).zip(line.statistics()).collect();
            let means = points.iter().map(|(budget, (mean, _))| (*budget, *mean));
            chart
                .draw_series(LineSeries::new(means, colour.stroke_width(2)))?
                .label(line.label.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            chart.draw_series(points.iter().map(|(budget, (mean, deviation))| {
                PathElement::new([(*budget, mean - deviation), (*budget, mean + deviation)], colour.stroke_width(1))
            }))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.9))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        root.present()?;
    }
    Ok(fs_err::write(path, svg)?)
}
