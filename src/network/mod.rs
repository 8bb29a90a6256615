//! The one expansion of an [`Architecture`](crate::space::Architecture) into layers with shapes.
//!
//! Everything else reads the [`Network`]: costs, the .tflite writer, the torch model and the latency features, so that
//! the trained, the timed and the predicted model cannot drift apart.
//!
//! ```
//! use mnas::{network::Network, space};
//! let network = Network::expand(&space::parse("mnasnet-a1")?)?;
//! assert_eq!(format!("{:.2}M", network.madds() as f64 / 1e6), "311.58M");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cost;
mod expand;
mod layer;
mod limits;
pub mod weights;

pub use cost::LayerCost;
pub use expand::ExpandError;
pub use layer::{Activation, Inputs, Layer, LayerKind, LayerName, Shape, TensorId};
pub use limits::{LimitError, Limits, Resource};
pub(crate) use weights::Role;
pub use weights::{Weights, WeightsError};

/// A network as a list of layers in execution order.
///
/// Tensor 0 is the image; layer `i` writes tensor `i + 1` (see [`TensorId`]). The last layer's output is the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Shape of the image that enters: height, width, 3.
    pub input: Shape,
    /// Layers in execution order; every layer's inputs stand before it.
    pub layers: Vec<Layer>,
}

impl Network {
    /// Shape of a tensor: the image's, or the output of the layer that writes it.
    ///
    /// # Panics
    /// If the network has no such tensor.
    pub fn shape(&self, tensor: TensorId) -> Shape {
        match tensor.layer() {
            None => self.input,
            Some(layer) => self.layers[layer].output,
        }
    }

    /// Shape of the first input of a layer.
    pub fn input_of(&self, layer: &Layer) -> Shape {
        self.shape(layer.inputs[0])
    }

    /// Length of the logits.
    pub fn classes(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.output.channels)
    }

    /// A digest of what the network computes: two architectures with equal digests are the same network, for example
    /// where a skip choice has no layer to act on. Names do not enter.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{:?}", self.input).as_bytes());
        for layer in &self.layers {
            hasher.update(format!("{:?} {:?} {:?};", layer.kind, &*layer.inputs, layer.output).as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}
