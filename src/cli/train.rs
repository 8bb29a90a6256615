//! `mnas train`: full training of one network.

use std::path::PathBuf;

use serde_json::json;

use super::output::Output;
use super::{Ending, Error, input};
use crate::network::Network;
use crate::train::data::{Dataset, LoadOptions, labels};
use crate::train::full::FullOptions;

/// Arguments of `mnas train`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Architecture line or reference network; its classes become those of the data set.
    #[arg(value_name = "ARCH")]
    architecture: String,
    /// The image folder: DIR/{train,val}/CLASS/*.png|jpg|webp|bmp|gif.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where weights.safetensors and model.tflite go, after every epoch, and labels.txt, the names of their classes.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Passes over the training images.
    #[arg(long, default_value_t = FullOptions::default().epochs)]
    epochs: usize,
    /// Images per step.
    #[arg(long, default_value_t = FullOptions::default().batch)]
    batch: usize,
    /// Learning rate per 256 images of a batch.
    #[arg(long, default_value_t = FullOptions::default().learning_rate)]
    learning_rate: f64,
    /// Keep images as they are where a mirrored one is of another class.
    #[arg(long)]
    no_mirror: bool,
    /// Seed of everything random.
    #[arg(long, default_value_t = FullOptions::default().seed)]
    seed: u64,
}

/// Trains, saving after every epoch.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let options = FullOptions {
        epochs: arguments.epochs,
        batch: arguments.batch,
        learning_rate: arguments.learning_rate,
        mirror: !arguments.no_mirror,
        seed: arguments.seed,
        ..FullOptions::default()
    };
    let training = options.check()?;
    let named = input::architecture(&arguments.architecture)?;
    let size = named.architecture.input_size;
    let data = Dataset::load(&arguments.data, &LoadOptions { size, ..LoadOptions::default() })?;
    let architecture = named.architecture.with_classes(data.classes.len());
    let network = Network::expand(&architecture)?;
    let (weights_file, model_file) = (arguments.out.join("weights.safetensors"), arguments.out.join("model.tflite"));
    let labels_file = labels::beside(&weights_file);
    labels::write(&labels_file, &data.classes)?;
    let (last, _) = training.train(&network, &data, tch::Device::cuda_if_available(), |progress, weights| {
        eprintln!(
            "epoch {}: loss {:.3}, top-1 {:.2} %, top-5 {:.2} %, {:.0} images/s",
            progress.epochs,
            progress.loss,
            100.0 * progress.top1,
            100.0 * progress.top5,
            progress.images_per_second,
        );
        weights.save(&weights_file).map_err(std::io::Error::other)?;
        let model = crate::tflite::write(&network, weights).map_err(std::io::Error::other)?;
        crate::files::write_atomically(&model_file, &model)
    })?;
    let value = json!({
        "top1": last.top1, "top5": last.top5, "epochs": last.epochs, "images_per_second": last.images_per_second,
        "architecture": architecture.to_string(), "weights": weights_file, "tflite": model_file,
        "classes": data.classes, "labels": labels_file, "images": { "train": data.train.len(), "val": data.validation.len() },
        "left_out": data.left_out, "without_validation": data.without_validation,
    });
    out.print(&value, || {
        let notes: String = data.notes().iter().map(|note| format!("\n{note}")).collect();
        format!(
            "top-1 {:.2} %, top-5 {:.2} % after {} epochs; {} and {}, the classes in {}{notes}",
            100.0 * last.top1,
            100.0 * last.top5,
            last.epochs,
            weights_file.display(),
            model_file.display(),
            labels_file.display(),
        )
    })?;
    Ok(Ending::Done)
}
