//! Layers, their kinds and the shapes between them.

use serde::Serialize;

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

/// One layer of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Unique and stable, e.g. `block3.1.expand`; weights are named after it.
    pub name: String,
    /// What it computes.
    #[serde(flatten)]
    pub kind: LayerKind,
    /// Tensors it reads: one, or two for [`LayerKind::Add`] and [`LayerKind::Scale`].
    pub inputs: Vec<TensorId>,
    /// Shape it writes.
    pub output: Shape,
}
