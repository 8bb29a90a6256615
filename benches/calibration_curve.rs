//! The error of a latency predictor as a function of the number of networks it was fitted to.
//!
//! `cargo bench --bench calibration_curve -- FOLDER [--draws N] [--warm-start FOLDER]` reads the `measurements.csv` of
//! a calibration, fits predictors to randomly drawn parts of its fit networks, judges each on the validation networks,
//! and prints means over the draws. With `--warm-start` every predictor starts from the one in that other folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mnas::latency::calibrate::measure;
use mnas::latency::calibrate::plan::Part;
use mnas::latency::{DataSet, FitSettings, Metrics, Predictor};
use rand::seq::SliceRandom;

const COUNTS: [usize; 7] = [15, 20, 30, 50, 60, 100, 200];
const LEVELS: [f64; 2] = [0.8, 0.9];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: cargo bench --bench calibration_curve -- FOLDER [--draws N] [--warm-start FOLDER]");
        return;
    };
    let (mut draws, mut warm) = (10, None);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().expect("every option has a value");
        match argument.as_str() {
            "--draws" => draws = value.parse().expect("a number of draws"),
            "--warm-start" => {
                warm = Some(Predictor::load(&Path::new(&value).join("predictor.json")).expect("a predictor"))
            }
            other => panic!("unknown option {other}"),
        }
    }
    let rows = measure::read(&folder.join("measurements.csv")).expect("a calibration's measurements");
    let fit = measure::data_of(&rows, &[Part::Fit]).expect("readable networks");
    let held_out = measure::data_of(&rows, &[Part::Validation]).expect("readable networks");
    let noise = measure::noise_floor(&rows).expect("readable networks");
    println!("{} networks to fit, {} to judge, noise floor {:.2} %", fit.len(), held_out.len(), noise.unwrap_or(0.0));
    println!("networks  MAPE %  within 5 %  within 10 %  Kendall  80 % held  90 % held  half width %  fit s");
    for count in COUNTS.into_iter().filter(|count| *count <= fit.len()) {
        print_row(count, if count == fit.len() { 1 } else { draws }, &fit, &held_out, warm.as_ref());
    }
}

fn print_row(count: usize, draws: u64, fit: &DataSet, held_out: &DataSet, warm: Option<&Predictor>) {
    let mut sums = [0.0; 8];
    for draw in 0..draws {
        let mut order: Vec<usize> = (0..fit.len()).collect();
        order.shuffle(&mut mnas::seeded(draw));
        let drawn = fit.select(&order[..count]);
        let start = Instant::now();
        let predictors = LEVELS.map(|level| {
            let settings = FitSettings { level, ..FitSettings::default() };
            match warm {
                Some(other) => Predictor::warm_started(&drawn, other, settings),
                None => Predictor::fit(&drawn, settings),
            }
            .expect("a fit")
        });
        let seconds = start.elapsed().as_secs_f64() / LEVELS.len() as f64;
        let predict = |predictor: &Predictor| {
            held_out.measurements().iter().map(|row| predictor.predict_features(&row.features)).collect::<Vec<_>>()
        };
        let [low, high] = predictors.each_ref().map(predict);
        let held = |predictions: &[mnas::latency::Prediction]| {
            let measured = held_out.latencies_ms();
            let inside = predictions.iter().zip(&measured).filter(|(p, ms)| (p.low_ms..=p.high_ms).contains(ms));
            100.0 * inside.count() as f64 / measured.len() as f64
        };
        let latencies: Vec<f64> = high.iter().map(|prediction| prediction.latency_ms).collect();
        let found = Metrics::of(&latencies, &held_out.latencies_ms());
        let width = high.iter().map(|p| 100.0 * (p.high_ms / p.latency_ms - 1.0)).sum::<f64>() / high.len() as f64;
        let row = [found.mape, found.within_5, found.within_10, found.kendall, held(&low), held(&high), width, seconds];
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value / draws as f64);
    }
    let [mape, within_5, within_10, kendall, low, high, width, seconds] = sums;
    println!(
        "{count:8}  {mape:6.2}  {within_5:10.1}  {within_10:11.1}  {kendall:7.3}  {low:9.1}  {high:9.1}  {width:12.1}  {seconds:5.2}"
    );
}
