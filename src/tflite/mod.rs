//! Writing a [`Network`] as a .tflite file (fp32), and reading such files for checks.
//!
//! The file is a flatbuffer of TensorFlow Lite's schema, version 3, identifier `TFL3`. The writer gives what a
//! converter would: batch norm folded into the convolution before it, activations fused, SAME padding, weights at
//! 16-byte boundaries. One layer of the network becomes one operator, with two exceptions: a sigmoid is an operator
//! of its own (LOGISTIC), and the dense layer reads a vector, so a RESHAPE stands before it.
//!
//! | tensor | layout |
//! |---|---|
//! | image, feature maps | `[1, height, width, channels]` |
//! | convolution | `[out, height, width, in]` |
//! | depthwise convolution | `[1, height, width, channels]` |
//! | dense layer | `[out, in]`, logits `[1, out]` |
//!
//! Source: `tensorflow/compiler/mlir/lite/schema/schema.fbs` of tensorflow/tensorflow; the Rust types are tract's.
//!
//! ```
//! use mnas::network::{Network, Weights};
//! let network = Network::expand(&mnas::space::parse("mnasnet-small/32")?)?;
//! let weights = Weights::random(&network, &mut mnas::seeded(1));
//! let file = mnas::tflite::write(&network, &weights)?;
//! let summary = mnas::tflite::read(&file)?;
//! assert_eq!(summary.inputs[0].shape, [1, 32, 32, 3]);
//! assert_eq!(summary.counts()["FULLY_CONNECTED"], 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file;
mod fold;
mod operators;
mod read;

pub use read::{FileSummary, TensorSummary, read};

use crate::network::{Network, Weights, WeightsError};

/// Why a .tflite file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TfliteError {
    /// The weights are not this network's.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Folding batch norm gave an infinity or a NaN.
    #[error(
        "layer '{layer}': with its batch norm folded in, a weight is not finite; its running_var must not be negative"
    )]
    NotFinite {
        /// The layer.
        layer: String,
    },
    /// The bytes are no complete .tflite file.
    #[error("not a usable .tflite file ({bytes} bytes): {problem}; is it cut short or of another format?")]
    Malformed {
        /// Length of what was given.
        bytes: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Writes `network` with `weights` as an fp32 .tflite file: image `[1, height, width, 3]` in, logits `[1, classes]` out.
///
/// The same network and weights give the same bytes.
///
/// # Errors
/// [`TfliteError::Weights`] when an array is missing, misshapen or not finite, [`TfliteError::NotFinite`] when folding
/// makes one so.
pub fn write(network: &Network, weights: &Weights) -> Result<Vec<u8>, TfliteError> {
    weights.check(network)?;
    let mut file = file::FileBuilder::new(4 * network.parameters());
    let mut tensors = vec![file.activation("image", &operators::feature_map(network.input))];
    for layer in &network.layers {
        let inputs: Vec<file::TensorIndex> = layer.inputs.iter().map(|input| tensors[input.0]).collect();
        tensors.push(operators::write_layer(&mut file, network, layer, &inputs, weights)?);
    }
    Ok(file.finish(tensors[0], tensors[network.layers.len()]))
}
