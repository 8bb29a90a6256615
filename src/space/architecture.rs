//! One network of a space, as the seven or so blocks that describe it.

use serde::{Deserialize, Serialize};

/// The convolution operator that every layer of a block repeats (MnasNet, section 4.1).
///
/// A separable convolution is an inverted bottleneck without its expansion convolution, so expansion 1 is
/// always [`Operator::SeparableConv`] and [`Operator::InvertedBottleneck`] always expands: one network, one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// A regular convolution, batch norm and activation.
    Conv,
    /// Depthwise convolution with activation, then a linear 1x1 projection.
    SeparableConv,
    /// 1x1 expansion, depthwise convolution, linear 1x1 projection; the expansion is at least 2.
    InvertedBottleneck {
        /// Channels inside the bottleneck per channel of the layer's input.
        expansion: usize,
    },
}

impl Operator {
    /// The operator of a depthwise block with this expansion; 1 means no expansion convolution.
    pub fn with_expansion(expansion: usize) -> Self {
        match expansion {
            0 | 1 => Self::SeparableConv,
            expansion => Self::InvertedBottleneck { expansion },
        }
    }

    /// Channels inside the layer per input channel: 1 unless it is an inverted bottleneck.
    pub fn expansion(self) -> usize {
        match self {
            Self::InvertedBottleneck { expansion } => expansion,
            Self::Conv | Self::SeparableConv => 1,
        }
    }

    /// `conv`, `sepconv` or `mbconv`, as the request to an external program names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::SeparableConv => "sepconv",
            Self::InvertedBottleneck { .. } => "mbconv",
        }
    }
}

/// What is added to a layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Skip {
    /// Nothing.
    None,
    /// The layer's input, wherever its shape equals the output's (stride 1 and equal channels).
    Identity,
    /// The layer's input after 3x3 max pooling with the layer's stride, wherever the channels agree.
    /// (The paper names a pooling skip and does not define it; this is our reading.)
    Pool,
}

/// The activation after every convolution that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// max(0, x): MnasNet's.
    #[default]
    Relu,
    /// min(max(0, x), 6): MobileNetV2's and EfficientNet-Lite's.
    Relu6,
}

/// One block: a layer specification repeated `layers` times, of which only the first has the stride.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The repeated operator.
    pub operator: Operator,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Stride of the first repeat; the others have 1.
    pub stride: usize,
    /// Squeeze width of squeeze-and-excitation as a fraction of the layer's unexpanded input; 0 for none.
    pub squeeze_ratio: f64,
    /// The shortcut around each layer.
    pub skip: Skip,
    /// Output channels of every repeat.
    pub filters: usize,
    /// Number of repeats, at least 1.
    pub layers: usize,
    /// Whether the projection of a depthwise layer is activated too: MobileNetV1's layers, never MnasNet's.
    pub activate_projection: bool,
}

/// A whole network: input, stem, blocks, head and classes.
///
/// Its text form is one line of block strings ([`std::fmt::Display`] and [`std::str::FromStr`], see
/// [`crate::space::notation`]); [`crate::network::Network::expand`] turns it into layers.
///
/// ```
/// use mnas::space::Architecture;
/// let line = "input=64 stem=16 r1_k3_s11_e1_i16_o8_noskip r2_k5_s22_e3_i8_o24_se0.25 head=0 classes=10";
/// let architecture: Architecture = line.parse()?;
/// assert_eq!(architecture.blocks[1].layers, 2);
/// assert_eq!(architecture.to_string(), line);
/// # Ok::<(), mnas::space::NotationError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// Side of the square RGB input in pixels.
    pub input_size: usize,
    /// Output channels of the 3x3 stride-2 stem convolution.
    pub stem: usize,
    /// The searched blocks, in order.
    pub blocks: Vec<Block>,
    /// Output channels of the 1x1 convolution before pooling; 0 for no such convolution (MobileNetV1).
    pub head: usize,
    /// Outputs of the dense layer.
    pub classes: usize,
    /// The activation throughout.
    pub activation: Activation,
}

impl Activation {
    /// As the notation has it: `relu` or `relu6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
        }
    }
}

impl Default for Architecture {
    fn default() -> Self {
        Self::with_defaults()
    }
}

impl Architecture {
    /// The defaults of the line notation: `input=224 stem=32 head=1280 classes=1000 act=relu`, no block yet.
    pub fn with_defaults() -> Self {
        Self { input_size: 224, stem: 32, blocks: Vec::new(), head: 1280, classes: 1000, activation: Activation::Relu }
    }

    /// Input channels of each block: the stem's, then each block's output.
    pub fn block_inputs(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(self.stem).chain(self.blocks.iter().map(|block| block.filters))
    }

    /// The same network for another input size.
    pub fn at_input(mut self, input_size: usize) -> Self {
        self.input_size = input_size;
        self
    }

    /// The same network for another number of classes.
    pub fn with_classes(mut self, classes: usize) -> Self {
        self.classes = classes;
        self
    }
}
