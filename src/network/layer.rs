//! Layers, their names, kinds and the shapes between them.

use std::fmt;

use serde::{Serialize, Serializer};

/// Height, width and channels of a tensor of one image; a vector has height and width 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl Shape {
    /// A square feature map.
    pub fn square(side: usize, channels: usize) -> Self {
        Self { height: side, width: side, channels }
    }

    /// Values in the tensor.
    pub fn elements(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Pixels: height times width.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// A tensor of a [`Network`](super::Network): 0 is the image, `i + 1` the output of layer `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct TensorId(pub usize);

impl TensorId {
    /// The image.
    pub const IMAGE: Self = Self(0);

    /// The tensor that layer `index` writes.
    pub fn of_layer(index: usize) -> Self {
        Self(index + 1)
    }

    /// Index of the layer that writes this tensor, `None` for the image.
    pub fn layer(self) -> Option<usize> {
        self.0.checked_sub(1)
    }
}

/// What follows a convolution or an addition within the same layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing.
    None,
    /// max(0, x).
    Relu,
    /// min(max(0, x), 6).
    Relu6,
    /// 1 / (1 + exp(-x)): the gate of squeeze-and-excitation.
    Sigmoid,
}

/// What a layer computes. All paddings are TensorFlow's SAME: output side = ceil(input side / stride), and where the
/// total padding is odd the extra row or column lies at the bottom or right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LayerKind {
    /// Convolution over all channels; weight `[out, in, kernel, kernel]`.
    Conv {
        /// Side of the kernel.
        kernel: usize,
        /// Stride in both directions.
        stride: usize,
        /// Batch norm behind it (no bias then); otherwise a bias.
        batch_norm: bool,
        /// After the batch norm or bias.
        activation: Activation,
    },
    /// One filter per channel, always with batch norm; weight `[channels, 1, kernel, kernel]`.
    DepthwiseConv {
        /// Side of the kernel.
        kernel: usize,
        /// Stride in both directions.
        stride: usize,
        /// After the batch norm.
        activation: Activation,
    },
    /// Mean over height and width.
    GlobalPool,
    /// Maximum over a window; padding never wins.
    MaxPool {
        /// Side of the window.
        kernel: usize,
        /// Stride in both directions.
        stride: usize,
    },
    /// Sum of two tensors of one shape.
    Add,
    /// First input times the second, a vector of the same channels spread over all pixels.
    Scale,
    /// Fully connected, with bias; weight `[out, in]`.
    Dense,
}

impl LayerKind {
    /// A short name for tables: `conv`, `depthwise`, `global pool`, `max pool`, `add`, `scale`, `dense`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv { .. } => "conv",
            Self::DepthwiseConv { .. } => "depthwise",
            Self::GlobalPool => "global pool",
            Self::MaxPool { .. } => "max pool",
            Self::Add => "add",
            Self::Scale => "scale",
            Self::Dense => "dense",
        }
    }

    /// Kernel side and stride; 1 and 1 for kinds without a window.
    pub fn window(self) -> (usize, usize) {
        match self {
            Self::Conv { kernel, stride, .. }
            | Self::DepthwiseConv { kernel, stride, .. }
            | Self::MaxPool { kernel, stride } => (kernel, stride),
            Self::GlobalPool | Self::Add | Self::Scale | Self::Dense => (1, 1),
        }
    }

    /// The activation, [`Activation::None`] for kinds without one.
    pub fn activation(self) -> Activation {
        match self {
            Self::Conv { activation, .. } | Self::DepthwiseConv { activation, .. } => activation,
            _ => Activation::None,
        }
    }

    /// Whether the layer is followed by batch norm.
    pub fn has_batch_norm(self) -> bool {
        matches!(self, Self::Conv { batch_norm: true, .. } | Self::DepthwiseConv { .. })
    }
}

/// Name of a layer: unique within a network and stable, e.g. `stem` or `block3.1.se.expand`; weights are named after it.
///
/// It is kept as its parts and put together only where it is shown, so that an expansion, of which a search makes
/// millions, formats and allocates no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LayerName {
    /// A layer before or behind the blocks: `stem`, `head`, `pool`, `classifier`.
    Single(&'static str),
    /// A layer of a block, shown as `blockBLOCK.REPEAT.PART`.
    InBlock {
        /// The block, counted from 1.
        block: usize,
        /// The repeat within the block, counted from 1.
        repeat: usize,
        /// What it is there: `expand`, `depthwise`, `se.reduce`, …
        part: &'static str,
    },
}

impl fmt::Display for LayerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(name) => formatter.pad(name),
            Self::InBlock { block, repeat, part } => formatter.pad(&format!("block{block}.{repeat}.{part}")),
        }
    }
}

impl Serialize for LayerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The tensors a layer reads, as a slice of one or two: `layer.inputs[0]`, `for input in layer.inputs.iter()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Inputs {
    /// Every other kind.
    One([TensorId; 1]),
    /// [`LayerKind::Add`] and [`LayerKind::Scale`].
    Two([TensorId; 2]),
}

impl From<TensorId> for Inputs {
    fn from(input: TensorId) -> Self {
        Self::One([input])
    }
}

impl From<(TensorId, TensorId)> for Inputs {
    fn from((first, second): (TensorId, TensorId)) -> Self {
        Self::Two([first, second])
    }
}

impl std::ops::Deref for Inputs {
    type Target = [TensorId];

    fn deref(&self) -> &[TensorId] {
        match self {
            Self::One(tensors) => tensors,
            Self::Two(tensors) => tensors,
        }
    }
}

impl<'a> IntoIterator for &'a Inputs {
    type Item = &'a TensorId;
    type IntoIter = std::slice::Iter<'a, TensorId>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One layer of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Unique and stable.
    pub name: LayerName,
    /// What it computes.
    #[serde(flatten)]
    pub kind: LayerKind,
    /// Tensors it reads: one, or two for [`LayerKind::Add`] and [`LayerKind::Scale`].
    pub inputs: Inputs,
    /// Shape it writes.
    pub output: Shape,
}
