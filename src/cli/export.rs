//! `mnas export`: a network as a .tflite file.

use std::path::PathBuf;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::output::Output;
use super::{Ending, Error, input};
use crate::network::Weights;
use crate::train::data::labels;

/// Arguments of `mnas export`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Architecture line or reference network.
    #[arg(value_name = "ARCH")]
    architecture: String,
    /// The file to write.
    #[arg(short, long, value_name = "M.tflite")]
    output: PathBuf,
    /// Weights to use, as `--save-weights` or a training writes them; without them random ones, good for timing only.
    /// Where labels.txt lies beside them, the names of the classes are written beside the .tflite, as M.labels.txt.
    #[arg(long, value_name = "W.safetensors", conflicts_with = "seed")]
    weights: Option<PathBuf>,
    /// Seed of random weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also write the weights that were used.
    #[arg(long, value_name = "W.safetensors")]
    save_weights: Option<PathBuf>,
}

/// Writes the model and says what it is.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let named = input::architecture(&arguments.architecture)?;
    let weights = match &arguments.weights {
        Some(path) => Weights::load(path)?,
        None => Weights::random(&named.network, &mut crate::seeded(arguments.seed)),
    };
    let bytes = crate::tflite::write(&named.network, &weights)?;
    let classes = match &arguments.weights {
        Some(path) => labels::of(path, named.network.classes())?,
        None => None,
    };
    crate::files::write_atomically(&arguments.output, &bytes)?;
    let labels_file = arguments.output.with_extension("labels.txt");
    if let Some(classes) = &classes {
        labels::write(&labels_file, classes)?;
    }
    if let Some(path) = &arguments.save_weights {
        weights.save(path)?;
    }
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let value = json!({
        "path": arguments.output, "bytes": bytes.len(), "sha256": sha256,
        "architecture": named.architecture.to_string(),
        "weights": arguments.weights.as_ref().map_or_else(|| json!({ "seed": arguments.seed }), |path| json!({ "file": path })),
        "classes": classes, "labels": classes.as_ref().map(|_| &labels_file),
    });
    let kind = if arguments.weights.is_some() { "given weights" } else { "random weights: for timing, not for use" };
    let named_by = classes.as_ref().map_or_else(String::new, |_| format!("; its classes: {}", labels_file.display()));
    out.print(&value, || {
        format!("{}: {} bytes, sha256 {sha256} ({kind}){named_by}", arguments.output.display(), bytes.len())
    })?;
    Ok(Ending::Done)
}
