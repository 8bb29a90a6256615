//! A latency predictor from a CSV of somebody's timings: `cargo run --release --example predictor_from_csv [CSV]`.

use std::error::Error;
use std::path::PathBuf;

use mnas::latency::data::LATENCY_COLUMN;
use mnas::latency::{CsvSettings, DataSet, FitSettings, Predictor, predict_from_csv};
use mnas::network::Network;

/// Fits to the file, states the error on networks that each model had not seen, and predicts another network.
pub fn main() -> Result<(), Box<dyn Error>> {
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/calibration/pixel-1-published/measurements.csv");
    let csv = std::env::args().nth(1).filter(|argument| argument.ends_with(".csv"));
    let csv = PathBuf::from(csv.unwrap_or_else(|| published.to_owned()));

    let judged = predict_from_csv(&CsvSettings::new(&csv), None, &[])?;
    println!(
        "{} networks: {:.1} % mean error, {:.0} % inside their 90 % interval",
        judged.pairs.len(),
        judged.mape,
        judged.coverage
    );

    let predictor = Predictor::fit(&DataSet::read(&csv, LATENCY_COLUMN)?, FitSettings::default())?;
    let network = Network::expand(&mnas::space::parse("mnasnet-a1@0.75")?)?;
    let latency = predictor.predict(&network);
    println!("mnasnet-a1@0.75: {:.1} ms, {:.1} to {:.1}", latency.latency_ms, latency.low_ms, latency.high_ms);
    Ok(())
}
