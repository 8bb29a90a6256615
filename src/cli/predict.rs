//! `mnas predict`: latencies with intervals.

use std::path::PathBuf;

use serde_json::json;

use super::device_arguments::FileArguments;
use super::output::{Output, table};
use super::{Ending, Error, input};
use crate::latency::Predictor;
use crate::latency::calibrate::{self, CsvPrediction, CsvSettings, NamedPrediction};

/// Arguments of `mnas predict`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Architecture lines, reference networks, or - for lines from stdin.
    #[arg(value_name = "ARCH", required_unless_present = "from")]
    architectures: Vec<String>,
    /// A calibration folder.
    #[arg(long, value_name = "DIR", conflicts_with = "device")]
    predictor: Option<PathBuf>,
    /// A calibrated device: short for --predictor calibration/ID.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// A CSV of measurements to compare with: how wrong the predictor is there, and, where it does not fit, whether the
    /// device has drifted, is another one, or the networks are of another kind. Without a predictor, one is fitted to the
    /// file, and each of its networks is predicted by models that have not seen it.
    #[arg(long, value_name = "CSV")]
    from: Option<PathBuf>,
    #[command(flatten)]
    file: FileArguments,
    /// Seed of the folds of a predictor fitted here.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Predicts, and compares where there is something to compare with.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let named = match arguments.architectures.as_slice() {
        [] => Vec::new(),
        words => input::architectures(words)?,
    };
    let architectures: Vec<_> = named.into_iter().map(|named| named.architecture).collect();
    let predictor = predictor(arguments)?;
    match (&arguments.from, predictor) {
        (Some(csv), predictor) => {
            let settings = CsvSettings {
                latency_column: arguments.file.latency_column.clone(),
                unit: arguments.file.unit,
                seed: arguments.seed,
                ..CsvSettings::new(csv)
            };
            let compared = calibrate::predict_from_csv(&settings, predictor.as_ref(), &architectures)?;
            out.print(&compared, || comparison(&compared, &compared.predictions[..architectures.len()]))?;
        }
        (None, Some(predictor)) => {
            let predictions = calibrate::predict(&predictor, &architectures)?;
            let value = json!({
                "predictions": predictions, "level": 100.0 * predictor.level(), "provenance": predictor.provenance(),
            });
            out.print(&value, || predicted(&predictions))?;
        }
        (None, None) => {
            return Err(Error::new(
                "give a calibration with --predictor DIR or --device ID, or measurements with --from CSV",
            ));
        }
    }
    Ok(Ending::Done)
}

fn predictor(arguments: &Arguments) -> Result<Option<Predictor>, Error> {
    let of_device = arguments.device.as_deref().map(calibrate::folder_of);
    let Some(folder) = arguments.predictor.as_ref().or(of_device.as_ref()) else { return Ok(None) };
    let file = folder.join(calibrate::PREDICTOR);
    match &arguments.device {
        Some(id) if !file.exists() => Err(Error::new(format!(
            "'{id}' is not calibrated: there is no {}; run `mnas calibrate --device {id}` in this folder, or name another \
             calibration with --predictor DIR",
            file.display()
        ))),
        _ => Ok(Some(calibrate::load_predictor(folder)?)),
    }
}

fn predicted(predictions: &[NamedPrediction]) -> String {
    let row = |one: &NamedPrediction| {
        let p = &one.predicted;
        vec![format!("{:.2} ms", p.latency_ms), format!("{:.2}–{:.2}", p.low_ms, p.high_ms), one.architecture.clone()]
    };
    table(&["latency", "interval", "architecture"], &predictions.iter().map(row).collect::<Vec<_>>())
}

fn comparison(compared: &CsvPrediction, asked: &[NamedPrediction]) -> String {
    let c = compared;
    let asked = if asked.is_empty() { String::new() } else { predicted(asked) + "\n" };
    let misfit = c.advice.as_ref().map_or_else(String::new, |advice| format!("\n{advice}"));
    format!(
        "{asked}{} measured networks: mean error {:.1} %, within 5 % {:.0} %, within 10 % {:.0} %, tau {:.3}, intervals hold {:.0} %{misfit}",
        c.pairs.len(),
        c.mape,
        c.within_5,
        c.within_10,
        c.kendall,
        c.coverage,
    )
}
