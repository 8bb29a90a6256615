//! What a network asks of a device: its layers' shapes, and the amounts of work behind them.
//!
//! A network's latency is the sum of its layers' latencies, and a layer's depends on what it computes and on its
//! shape. [`Features`] are therefore a network's list of [`LayerShape`]s; two layers of equal shape cost the same.
//! Each shape asks for some amounts of a few kinds of [`Work`] ([`LayerShape::work`] is the table), each at a *place*,
//! the logarithms of pixels and channels, since the same work is dearer on large maps and with few channels.
//!
//! Amounts are what a runtime really computes. Multiply-adds alone hide what they cost: a depthwise multiply-add is
//! several times dearer than a pointwise one, a squeeze-and-excitation gate costs far more than its count, and matrix
//! kernels work in whole tiles, so that 17 output channels cost as much as 32. XNNPACK's f32 matrix kernels compute up
//! to 7 pixels by 16 output channels at once (google/XNNPACK `src/f32-gemm`, `7x16` for AVX-512); Arm's tiles of 8
//! channels by 6 or 4 pixels have remainders that are a subset of these.
//!
//! ```
//! use mnas::{latency::{Feature, Features}, network::Network, space};
//! let network = Network::expand(&space::parse("mobilenet-v2")?)?;
//! let features = Features::of(&network);
//! assert_eq!(features.get(Feature::Layer), network.layers.len() as f64);
//! assert!((features.madds() - 300.77).abs() < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::network::{Layer, LayerKind, Network, Shape};

macro_rules! features {
    ($($variant:ident $name:literal $typical:literal $meaning:literal;)*) => {
        /// A kind of work. Amounts are in millions of multiply-adds or of values unless said otherwise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Feature { $(#[doc = $meaning] $variant,)* }

        impl Feature {
            /// Every kind, in order.
            pub const ALL: &'static [Feature] = &[$(Feature::$variant,)*];

            /// The name it has in files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What one unit costs relative to the other kinds, before anything is measured: rough milliseconds on a
            /// processor core of 50 billion multiply-adds per second. A fit finds the device's own.
            pub fn typical_ms(self) -> f64 {
                match self { $(Self::$variant => $typical,)* }
            }
        }
    };
}

features! {
    Network "network" 0.05 "The network itself: 1.";
    Layer "layer" 0.003 "A layer of any kind: 1.";
    Stem "stem" 0.03 "Multiply-adds of the convolution on the image, in whole tiles.";
    Pointwise "pointwise" 0.02 "Multiply-adds of 1x1 convolutions on maps, in whole tiles.";
    PointwiseWritten "pointwise_written" 0.3 "Values they write, in whole tiles: what few input channels do not amortise.";
    Conv3 "conv3" 0.02 "Multiply-adds of stride-1 convolutions with kernels up to 3, in whole tiles.";
    Conv3Strided "conv3_strided" 0.02 "The same of strided ones.";
    Conv5 "conv5" 0.02 "Multiply-adds of stride-1 convolutions with larger kernels, in whole tiles.";
    Conv5Strided "conv5_strided" 0.02 "The same of strided ones.";
    ConvWritten "conv_written" 0.3 "Values these convolutions write, in whole tiles.";
    ConvGathered "conv_gathered" 0.05 "Values they read, one per tap and output pixel: what few output channels do not amortise.";
    Depthwise3 "depthwise3" 0.3 "Values written by stride-1 depthwise convolutions with kernels up to 3, in whole channel tiles.";
    Depthwise3Strided "depthwise3_strided" 0.5 "The same of strided ones.";
    Depthwise5 "depthwise5" 0.8 "Values written by stride-1 depthwise convolutions with kernel 5, in whole channel tiles.";
    Depthwise5Strided "depthwise5_strided" 1.2 "The same of strided ones.";
    DepthwiseWide "depthwise_wide" 0.04 "Multiply-adds of depthwise convolutions with kernels beyond 5.";
    GatePooled "gate_pooled" 0.1 "Values that the pooling of squeeze-and-excitation gates reads.";
    GateMadds "gate_madds" 0.1 "Multiply-adds of their two 1x1 convolutions on vectors.";
    GateScaled "gate_scaled" 0.3 "Values that they multiply.";
    HeadPooled "head_pooled" 0.1 "Values that the pooling before the classifier reads.";
    MaxPool "max_pool" 0.5 "Values that stride-1 max pooling writes.";
    MaxPoolStrided "max_pool_strided" 0.8 "Values that strided max pooling writes.";
    Added "added" 0.2 "Values written by additions.";
    Dense "dense" 0.05 "Multiply-adds of dense layers.";
}

/// Number of kinds of work.
pub const COUNT: usize = Feature::ALL.len();

const MILLION: f64 = 1e-6;
/// Output channels and pixels of one tile.
const TILE: (u32, u32) = (16, 7);

/// How many shapes back a layer's equals are looked for: a block repeats at most nine layers.
const NEAR: usize = 10;

/// Where in the range of shapes some work is done: log₂ of pixels and of up to two numbers of channels.
pub type Coordinates = [f32; 3];

/// Some work of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Its kind.
    pub feature: Feature,
    /// How much of it.
    pub amount: f64,
    /// Where.
    pub place: Coordinates,
}

/// What a layer does, as far as its latency tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Operation {
    /// No layer: what a network costs beside its layers.
    Whole,
    Stem,
    Pointwise,
    Conv,
    Depthwise,
    Gate,
    GatePool,
    Scale,
    HeadPool,
    MaxPool,
    Add,
    Dense,
}

/// A layer's operation and size: what its latency depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerShape {
    operation: Operation,
    kernel: u32,
    stride: u32,
    read_pixels: u32,
    read_channels: u32,
    pixels: u32,
    channels: u32,
}

impl LayerShape {
    const WHOLE: Self = Self {
        operation: Operation::Whole,
        kernel: 1,
        stride: 1,
        read_pixels: 1,
        read_channels: 1,
        pixels: 1,
        channels: 1,
    };

    fn of(network: &Network, layer: &Layer, is_last_but_one: bool) -> Self {
        let (read, written): (Shape, Shape) = (network.input_of(layer), layer.output);
        let (kernel, stride) = layer.kind.window();
        let operation = match layer.kind {
            LayerKind::Conv { .. } if layer.inputs[0].layer().is_none() => Operation::Stem,
            LayerKind::Conv { .. } if read.pixels() == 1 && written.pixels() == 1 => Operation::Gate,
            LayerKind::Conv { kernel: 1, .. } => Operation::Pointwise,
            LayerKind::Conv { .. } => Operation::Conv,
            LayerKind::DepthwiseConv { .. } => Operation::Depthwise,
            // The pooling before the classifier feeds a dense layer; every other one opens a gate.
            LayerKind::GlobalPool if is_last_but_one => Operation::HeadPool,
            LayerKind::GlobalPool => Operation::GatePool,
            LayerKind::MaxPool { .. } => Operation::MaxPool,
            LayerKind::Add => Operation::Add,
            LayerKind::Scale => Operation::Scale,
            LayerKind::Dense => Operation::Dense,
        };
        Self {
            operation,
            kernel: kernel as u32,
            stride: stride as u32,
            read_pixels: read.pixels() as u32,
            read_channels: read.channels as u32,
            pixels: written.pixels() as u32,
            channels: written.channels as u32,
        }
    }

    /// The table: what each operation asks for.
    pub fn work(self) -> impl Iterator<Item = Work> {
        use Feature as F;
        let alone = |work: Work| [Some(work), None, None];
        let on_matrix = |feature, amount| Some(Work { feature, amount, place: self.matrix_place() });
        let (madds, written) = (self.tiled_madds(), self.tiled_values());
        let asked = match self.operation {
            Operation::Whole => alone(self.on_map(F::Network, 1.0)),
            Operation::Stem => alone(self.on_map(F::Stem, madds)),
            Operation::Pointwise => [on_matrix(F::Pointwise, madds), on_matrix(F::PointwiseWritten, written), None],
            Operation::Conv => [
                on_matrix(self.convolution(), madds),
                on_matrix(F::ConvWritten, written),
                on_matrix(F::ConvGathered, self.gathered()),
            ],
            Operation::Depthwise => alone(self.depthwise()),
            Operation::Gate => alone(self.on_channels(F::GateMadds)),
            Operation::GatePool => alone(self.on_read(F::GatePooled)),
            Operation::HeadPool => alone(self.on_read(F::HeadPooled)),
            Operation::Scale => alone(self.on_map(F::GateScaled, self.values())),
            Operation::MaxPool if self.is_strided() => alone(self.on_map(F::MaxPoolStrided, self.values())),
            Operation::MaxPool => alone(self.on_map(F::MaxPool, self.values())),
            Operation::Add => alone(self.on_map(F::Added, self.values())),
            Operation::Dense => alone(self.on_channels(F::Dense)),
        };
        let layer = Work { feature: F::Layer, amount: 1.0, place: [0.0; 3] };
        let layer = (self.operation != Operation::Whole).then_some(layer);
        asked.into_iter().flatten().chain(layer)
    }

    fn is_strided(self) -> bool {
        self.stride > 1
    }

    fn convolution(self) -> Feature {
        match (self.kernel <= 3, self.is_strided()) {
            (true, false) => Feature::Conv3,
            (true, true) => Feature::Conv3Strided,
            (false, false) => Feature::Conv5,
            (false, true) => Feature::Conv5Strided,
        }
    }

    fn matrix_place(self) -> Coordinates {
        [log2(self.pixels), log2(self.read_channels), log2(self.channels)]
    }

    /// Values read, one per tap and output pixel.
    fn gathered(self) -> f64 {
        millions(self.pixels) * f64::from(self.read_channels) * f64::from(self.kernel * self.kernel)
    }

    fn depthwise(self) -> Work {
        let amount = millions(self.pixels) * f64::from(self.channels.next_multiple_of(TILE.0));
        match (self.kernel, self.stride) {
            (..=3, 1) => self.on_map(Feature::Depthwise3, amount),
            (..=3, _) => self.on_map(Feature::Depthwise3Strided, amount),
            (..=5, 1) => self.on_map(Feature::Depthwise5, amount),
            (..=5, _) => self.on_map(Feature::Depthwise5Strided, amount),
            _ => self.on_map(Feature::DepthwiseWide, self.values() * f64::from(self.kernel * self.kernel)),
        }
    }

    fn on_map(self, feature: Feature, amount: f64) -> Work {
        Work { feature, amount, place: [log2(self.pixels), log2(self.channels), 0.0] }
    }

    fn on_read(self, feature: Feature) -> Work {
        let amount = millions(self.read_pixels) * f64::from(self.read_channels);
        Work { feature, amount, place: [log2(self.read_pixels), log2(self.read_channels), 0.0] }
    }

    fn on_channels(self, feature: Feature) -> Work {
        let amount = millions(self.read_pixels) * f64::from(self.read_channels) * f64::from(self.channels);
        Work { feature, amount, place: [log2(self.read_channels), log2(self.channels), 0.0] }
    }

    fn values(self) -> f64 {
        millions(self.pixels) * f64::from(self.channels)
    }

    /// Values written, padded to whole tiles.
    fn tiled_values(self) -> f64 {
        millions(self.pixels.next_multiple_of(TILE.1)) * f64::from(self.channels.next_multiple_of(TILE.0))
    }

    fn tiled_madds(self) -> f64 {
        self.tiled_values() * f64::from(self.read_channels) * f64::from(self.kernel * self.kernel)
    }
}

fn millions(values: u32) -> f64 {
    f64::from(values) * MILLION
}

fn log2(value: u32) -> f32 {
    (value.max(1) as f32).log2()
}

/// The shapes of one network's layers, repeated ones counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    shapes: Vec<(LayerShape, u32)>,
    madds: f64,
    parameters: f64,
}

impl Features {
    /// Reads them off a network.
    pub fn of(network: &Network) -> Self {
        let parameters = network.parameters() as f64 * MILLION;
        let mut features = Self { shapes: Vec::with_capacity(network.layers.len() + 1), madds: 0.0, parameters };
        features.shapes.push((LayerShape::WHOLE, 1));
        let last_but_one = network.layers.len().saturating_sub(2);
        for (index, layer) in network.layers.iter().enumerate() {
            features.add(LayerShape::of(network, layer, index == last_but_one));
            features.madds += madds(network, layer);
        }
        features
    }

    fn add(&mut self, shape: LayerShape) {
        match self.shapes.iter_mut().rev().take(NEAR).find(|(known, _)| *known == shape) {
            Some((_, count)) => *count += 1,
            None => self.shapes.push((shape, 1)),
        }
    }

    /// The shapes in the order of their first layers, with how often each occurs; the repeats of a block are counted
    /// together.
    pub fn shapes(&self) -> &[(LayerShape, u32)] {
        &self.shapes
    }

    /// Millions of multiply-adds of convolutions and dense layers, without padding.
    pub fn madds(&self) -> f64 {
        self.madds
    }

    /// Millions of parameters.
    pub fn parameters(&self) -> f64 {
        self.parameters
    }

    /// All amounts of one kind together.
    pub fn get(&self, feature: Feature) -> f64 {
        self.totals()[feature as usize]
    }

    /// All amounts, kind by kind, in the order of [`Feature::ALL`].
    pub fn totals(&self) -> [f64; COUNT] {
        let mut totals = [0.0; COUNT];
        for (shape, count) in &self.shapes {
            shape.work().for_each(|work| totals[work.feature as usize] += work.amount * f64::from(*count));
        }
        totals
    }
}

fn madds(network: &Network, layer: &Layer) -> f64 {
    let (kernel, _) = layer.kind.window();
    let (read, written) = (network.input_of(layer), layer.output);
    let count = match layer.kind {
        LayerKind::Conv { .. } => kernel * kernel * read.channels * written.elements(),
        LayerKind::DepthwiseConv { .. } => kernel * kernel * written.elements(),
        LayerKind::Dense => read.elements() * written.channels,
        _ => 0,
    };
    count as f64 * MILLION
}
