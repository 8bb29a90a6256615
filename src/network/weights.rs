//! A network's weights as plain arrays named by layer, so that the writer and the trainer know nothing of each other.
//!
//! | name | shape | of |
//! |---|---|---|
//! | `LAYER.weight` | `[out, in, k, k]`, depthwise `[c, 1, k, k]`, dense `[out, in]` | every convolution and dense layer |
//! | `LAYER.bias` | `[out]` | layers without batch norm |
//! | `LAYER.bn.weight`, `.bn.bias`, `.bn.running_mean`, `.bn.running_var` | `[out]` | layers with batch norm |

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use rand::Rng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::Network;
use super::layer::{Layer, LayerKind};

/// Batch norm's epsilon, MnasNet's value (its official code).
pub const BATCH_NORM_EPSILON: f32 = 1e-3;

/// Named f32 arrays; which names and shapes a network needs says [`Network::weight_shapes`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights(pub BTreeMap<String, ArrayD<f32>>);

/// Why weights do not serve a network.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The file is not safetensors, or is cut short.
    #[error("{path}: not a readable safetensors file: {message}")]
    Format {
        /// The file.
        path: String,
        /// The reader's message.
        message: String,
    },
    /// An array the network needs is not there.
    #[error("the weights lack '{name}' of shape {shape:?}; are they of another architecture?")]
    Missing {
        /// Name of the array.
        name: String,
        /// Shape the network needs.
        shape: Vec<usize>,
    },
    /// An array has another shape.
    #[error("weight '{name}' must have shape {expected:?}, found {found:?}; are the weights of another architecture?")]
    Shape {
        /// Name of the array.
        name: String,
        /// Shape the network needs.
        expected: Vec<usize>,
        /// Shape it has.
        found: Vec<usize>,
    },
    /// An array holds an infinity or a NaN.
    #[error("weight '{name}' holds a value that is not finite; did the training diverge?")]
    NotFinite {
        /// Name of the array.
        name: String,
    },
}

impl Network {
    /// Name and shape of every array the network needs, in layer order.
    pub fn weight_shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.layers.iter().flat_map(|layer| self.layer_weight_shapes(layer)).collect()
    }

    fn layer_weight_shapes(&self, layer: &Layer) -> Vec<(String, Vec<usize>)> {
        let (input, output) = (self.input_of(layer).channels, layer.output.channels);
        let weight = match layer.kind {
            LayerKind::Conv { kernel, .. } => vec![output, input, kernel, kernel],
            LayerKind::DepthwiseConv { kernel, .. } => vec![output, 1, kernel, kernel],
            LayerKind::Dense => vec![output, input],
            _ => return Vec::new(),
        };
        let vectors: &[&str] = if layer.kind.has_batch_norm() {
            &["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"]
        } else {
            &["bias"]
        };
        let weight = std::iter::once((format!("{}.weight", layer.name), weight));
        weight.chain(vectors.iter().map(|vector| (format!("{}.{vector}", layer.name), vec![output]))).collect()
    }
}

/// What an array of weights does.
pub(crate) enum Role {
    /// Of a convolution or a dense layer, with He's standard deviation sqrt(2 / fan in).
    Kernel { he: f32 },
    /// A batch norm's factors or variances, which are positive.
    Factor,
    /// What is added or subtracted.
    Offset,
}

impl Role {
    /// Of an array of [`Network::weight_shapes`].
    pub(crate) fn of(name: &str, shape: &[usize]) -> Self {
        match name.rsplit_once('.').map(|(_, last)| last) {
            Some("weight") if shape.len() > 1 => {
                Self::Kernel { he: (2.0 / shape[1..].iter().product::<usize>().max(1) as f32).sqrt() }
            }
            Some("weight" | "running_var") => Self::Factor,
            _ => Self::Offset,
        }
    }
}

impl Weights {
    /// Seeded random weights that keep activations in range: convolutions and dense layers normal with He's standard
    /// deviation sqrt(2 / fan in), batch norm near the identity, biases small.
    pub fn random(network: &Network, random: &mut impl Rng) -> Self {
        let draw = |(name, shape): (String, Vec<usize>)| {
            let dimensions = IxDyn(&shape);
            let array = match Role::of(&name, &shape) {
                Role::Kernel { he } => ArrayD::from_shape_simple_fn(dimensions, || he * normal(random)),
                Role::Factor => ArrayD::from_shape_simple_fn(dimensions, || random.gen_range(0.8..1.25)),
                Role::Offset => ArrayD::from_shape_simple_fn(dimensions, || 0.1 * normal(random)),
            };
            (name, array)
        };
        Self(network.weight_shapes().into_iter().map(draw).collect())
    }

    /// The array of that name.
    ///
    /// # Errors
    /// [`WeightsError::Missing`].
    pub fn get(&self, name: &str) -> Result<&ArrayD<f32>, WeightsError> {
        self.0.get(name).ok_or_else(|| WeightsError::Missing { name: name.to_owned(), shape: Vec::new() })
    }

    /// Checks that these are weights of `network`: every array there, of its shape, finite.
    ///
    /// # Errors
    /// The first array that is missing, misshapen or not finite.
    pub fn check(&self, network: &Network) -> Result<(), WeightsError> {
        for (name, shape) in network.weight_shapes() {
            let Some(array) = self.0.get(&name) else { return Err(WeightsError::Missing { name, shape }) };
            if array.shape() != shape {
                return Err(WeightsError::Shape { name, expected: shape, found: array.shape().to_vec() });
            }
            // Not `all`, which ends early and therefore looks at one value at a time.
            if !array.iter().fold(true, |finite, value| finite & value.is_finite()) {
                return Err(WeightsError::NotFinite { name });
            }
        }
        Ok(())
    }

    /// Reads a safetensors file of f32 arrays.
    ///
    /// # Errors
    /// File errors with the path; [`WeightsError::Format`] for anything but f32 safetensors.
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        let format = |message: String| WeightsError::Format { path: path.display().to_string(), message };
        let bytes = fs_err::read(path)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
        let mut arrays = BTreeMap::new();
        for (name, view) in tensors.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(format(format!("'{name}' must be F32, found {:?}", view.dtype())));
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let array = ArrayD::from_shape_vec(IxDyn(view.shape()), values)
                .map_err(|error| format(format!("'{name}': {error}")))?;
            arrays.insert(name, array);
        }
        Ok(Self(arrays))
    }

    /// Writes a safetensors file.
    ///
    /// # Errors
    /// File errors with the path.
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        let format = |error: safetensors::SafeTensorError| WeightsError::Format {
            path: path.display().to_string(),
            message: error.to_string(),
        };
        let bytes: Vec<(&String, Vec<usize>, Vec<u8>)> = self
            .0
            .iter()
            .map(|(name, array)| {
                (name, array.shape().to_vec(), array.iter().flat_map(|value| value.to_le_bytes()).collect())
            })
            .collect();
        let views = bytes
            .iter()
            .map(|(name, shape, data)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(format)?;
        let file = safetensors::serialize(views, None).map_err(format)?;
        Ok(crate::files::write_atomically(path, &file)?)
    }
}

/// A standard normal value by Box and Muller's transform.
pub(crate) fn normal(random: &mut impl Rng) -> f32 {
    let radius = (-2.0 * (1.0 - random.r#gen::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * random.r#gen::<f32>()).cos()
}
