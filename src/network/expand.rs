//! Architecture to layers: MnasNet's block rules (see [`crate::space::notation`] for their source).

use super::Network;
use super::layer::{Activation, Inputs, Layer, LayerKind, LayerName, Shape, TensorId};
use crate::space::{self, Architecture, Block, Operator, Skip};

/// Why an architecture has no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// The network would be absurdly large.
    #[error(
        "the network needs {found} {what}, more than the {limit} this program handles; reduce channels, layers or input size"
    )]
    TooLarge {
        /// `parameters` or `values in one tensor`.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// No block at all.
    #[error("an architecture needs at least one block")]
    Empty,
}

/// A flatbuffer holds at most 2 GiB, so half a billion 4-byte weights cannot be deployed.
const MOST_PARAMETERS: usize = 400_000_000;
/// Bound on one activation tensor: 1 GiB of f32.
const MOST_ELEMENTS: usize = 1 << 28;

impl Network {
    /// Expands an architecture.
    ///
    /// Stem: 3x3 stride-2 convolution. Each block as its operator says, squeeze-and-excitation inside, skip around.
    /// Then the head convolution (unless 0), global pooling and the dense layer.
    ///
    /// # Errors
    /// [`ExpandError`] when there is no block or the network could not be held in a .tflite file.
    pub fn expand(architecture: &Architecture) -> Result<Self, ExpandError> {
        if architecture.blocks.is_empty() {
            return Err(ExpandError::Empty);
        }
        let mut builder = Builder::new(architecture);
        let activation = builder.activation;
        let mut current = builder.conv(LayerName::Single("stem"), TensorId::IMAGE, 3, 2, architecture.stem, activation);
        for (index, block) in architecture.blocks.iter().enumerate() {
            for repeat in 0..block.layers {
                let stride = if repeat == 0 { block.stride } else { 1 };
                let place = BlockPlace { block: index + 1, repeat: repeat + 1 };
                current = builder.block_layer(place, block, stride, current);
            }
        }
        if architecture.head > 0 {
            current = builder.conv(LayerName::Single("head"), current, 1, 1, architecture.head, activation);
        }
        let pooled_shape = Shape::square(1, builder.channels(current));
        let pooled = builder.push(LayerName::Single("pool"), LayerKind::GlobalPool, current, pooled_shape);
        let logits = Shape::square(1, architecture.classes);
        builder.push(LayerName::Single("classifier"), LayerKind::Dense, pooled, logits);
        builder.finish()
    }
}

/// One repeat of one block, both counted from 1.
#[derive(Clone, Copy)]
struct BlockPlace {
    block: usize,
    repeat: usize,
}

impl BlockPlace {
    fn part(self, part: &'static str) -> LayerName {
        LayerName::InBlock { block: self.block, repeat: self.repeat, part }
    }
}

struct Builder {
    network: Network,
    activation: Activation,
}

impl Builder {
    fn new(architecture: &Architecture) -> Self {
        Self {
            network: Network { input: Shape::square(architecture.input_size, 3), layers: Vec::new() },
            activation: match architecture.activation {
                space::Activation::Relu => Activation::Relu,
                space::Activation::Relu6 => Activation::Relu6,
            },
        }
    }

    fn finish(self) -> Result<Network, ExpandError> {
        let network = self.network;
        let parameters = network.parameters();
        if parameters > MOST_PARAMETERS {
            return Err(ExpandError::TooLarge { what: "parameters", found: parameters, limit: MOST_PARAMETERS });
        }
        let largest = network.layers.iter().map(|layer| layer.output.elements()).max().unwrap_or(0);
        if largest > MOST_ELEMENTS {
            return Err(ExpandError::TooLarge { what: "values in one tensor", found: largest, limit: MOST_ELEMENTS });
        }
        Ok(network)
    }

    fn channels(&self, tensor: TensorId) -> usize {
        self.network.shape(tensor).channels
    }

    fn push(&mut self, name: LayerName, kind: LayerKind, inputs: impl Into<Inputs>, output: Shape) -> TensorId {
        self.network.layers.push(Layer { name, kind, inputs: inputs.into(), output });
        TensorId::of_layer(self.network.layers.len() - 1)
    }

    /// The shape behind a SAME-padded window.
    fn windowed(&self, input: TensorId, stride: usize, channels: usize) -> Shape {
        let Shape { height, width, .. } = self.network.shape(input);
        Shape { height: height.div_ceil(stride), width: width.div_ceil(stride), channels }
    }

    /// A convolution with batch norm.
    fn conv(
        &mut self,
        name: LayerName,
        input: TensorId,
        kernel: usize,
        stride: usize,
        filters: usize,
        activation: Activation,
    ) -> TensorId {
        let output = self.windowed(input, stride, filters);
        self.push(name, LayerKind::Conv { kernel, stride, batch_norm: true, activation }, input, output)
    }

    fn depthwise(&mut self, name: LayerName, input: TensorId, kernel: usize, stride: usize) -> TensorId {
        let output = self.windowed(input, stride, self.channels(input));
        let activation = self.activation;
        self.push(name, LayerKind::DepthwiseConv { kernel, stride, activation }, input, output)
    }

    /// One repeat of a block: the operator with its gate, then the skip.
    fn block_layer(&mut self, place: BlockPlace, block: &Block, stride: usize, input: TensorId) -> TensorId {
        let inner = match block.operator {
            Operator::Conv => self.regular(place, block, stride, input),
            Operator::SeparableConv | Operator::InvertedBottleneck { .. } => {
                self.bottleneck(place, block, stride, input)
            }
        };
        self.skip(place, block.skip, stride, input, inner)
    }

    fn regular(&mut self, place: BlockPlace, block: &Block, stride: usize, input: TensorId) -> TensorId {
        let inner = self.conv(place.part("conv"), input, block.kernel, stride, block.filters, self.activation);
        self.gate(place, block.squeeze_ratio, input, inner)
    }

    fn bottleneck(&mut self, place: BlockPlace, block: &Block, stride: usize, input: TensorId) -> TensorId {
        let expansion = block.operator.expansion();
        let expanded = if expansion > 1 {
            let width = self.channels(input) * expansion;
            self.conv(place.part("expand"), input, 1, 1, width, self.activation)
        } else {
            input
        };
        let filtered = self.depthwise(place.part("depthwise"), expanded, block.kernel, stride);
        let gated = self.gate(place, block.squeeze_ratio, input, filtered);
        let activation = if block.activate_projection { self.activation } else { Activation::None };
        self.conv(place.part("project"), gated, 1, 1, block.filters, activation)
    }

    /// Squeeze-and-excitation on `inner`; the squeeze width follows the layer's unexpanded input.
    fn gate(&mut self, place: BlockPlace, ratio: f64, input: TensorId, inner: TensorId) -> TensorId {
        if ratio <= 0.0 {
            return inner;
        }
        let squeezed = ((self.channels(input) as f64 * ratio) as usize).max(1);
        let (shape, biased) = (self.network.shape(inner), |activation| LayerKind::Conv {
            kernel: 1,
            stride: 1,
            batch_norm: false,
            activation,
        });
        let pooled = self.push(place.part("se.pool"), LayerKind::GlobalPool, inner, Shape::square(1, shape.channels));
        let activation = self.activation;
        let reduced = self.push(place.part("se.reduce"), biased(activation), pooled, Shape::square(1, squeezed));
        let gate =
            self.push(place.part("se.expand"), biased(Activation::Sigmoid), reduced, Shape::square(1, shape.channels));
        self.push(place.part("se.scale"), LayerKind::Scale, (inner, gate), shape)
    }

    fn skip(&mut self, place: BlockPlace, skip: Skip, stride: usize, input: TensorId, inner: TensorId) -> TensorId {
        let (before, after) = (self.network.shape(input), self.network.shape(inner));
        let shortcut = match skip {
            Skip::Identity if before == after => input,
            Skip::Pool if before.channels == after.channels => {
                self.push(place.part("skip"), LayerKind::MaxPool { kernel: 3, stride }, input, after)
            }
            _ => return inner,
        };
        self.push(place.part("add"), LayerKind::Add, (inner, shortcut), after)
    }
}
