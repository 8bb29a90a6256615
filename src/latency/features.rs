//! What a network's latency depends on, as named numbers read off its layers.
//!
//! Most of a network's time is proportional to simple sums over its layers, but multiply-adds alone hide what they
//! cost: a depthwise multiply-add is several times dearer than a pointwise one, a squeeze-and-excitation gate costs
//! far more than its count, and matrix kernels work in whole tiles, so that 17 output channels cost as much as 32.
//! Every operator kind therefore has its own sums, read by one function of its own (see [`Features::of`]).
//!
//! Tiles: XNNPACK's widest f32 matrix kernels compute 7 pixels by 16 output channels at once
//! (google/XNNPACK `src/f32-gemm`, `7x16` for AVX-512); 8 channels by 6 or 4 pixels are Arm's, whose remainders are a
//! subset of these. The fit sees plain multiply-adds beside the padded ones and weighs them itself.
//!
//! Sums over feature maps are also kept per *stage*, the number of times the side has been halved since the image
//! (112, 56, 28, 14, 7 pixels of 224 are stages 1 to 5), because caches make the same work dearer on large maps.
//!
//! ```
//! use mnas::{latency::{Feature, Features}, network::Network, space};
//! let network = Network::expand(&space::parse("mobilenet-v2")?)?;
//! let features = Features::of(&network);
//! assert_eq!(features.get(Feature::AddCount), 10.0);
//! assert!((features.get(Feature::Madds) - 300.77).abs() < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::network::{Layer, LayerKind, Network, Shape};

/// Stages told apart; deeper maps count into the last.
pub const STAGES: usize = 5;

macro_rules! features {
    ($($variant:ident $name:literal $meaning:literal;)*) => {
        /// One named feature; sums over layers unless said otherwise. Millions of multiply-adds or of values.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Feature { $(#[doc = $meaning] $variant,)* }

        impl Feature {
            /// Every feature, in the order of [`Features`]' values.
            pub const ALL: &'static [Feature] = &[$(Feature::$variant,)*];

            /// The name it has in files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

features! {
    Madds "madds" "Multiply-adds of all layers.";
    WeightValues "weight_values" "Weights read, once per network.";
    LayerCount "layers" "Layers of any kind.";
    FirstConv "first_conv" "Multiply-adds of the convolution on the image.";
    FirstConvOutput "first_conv_output" "Values the convolution on the image writes.";
    Pointwise "pointwise" "Multiply-adds of 1x1 convolutions on maps.";
    PointwiseTiles "pointwise_tiles" "The same in whole tiles of 16 output channels by 7 pixels.";
    PointwiseOutput "pointwise_output" "Values they write, in whole tiles: the part of their cost that few input channels do not amortise.";
    PointwiseInput "pointwise_input" "Values they read.";
    PointwiseCount "pointwise_count" "How many there are.";
    Conv3Tiles "conv3_tiles" "Multiply-adds of stride-1 convolutions with kernels up to 3, in whole tiles.";
    Conv3StridedTiles "conv3_strided_tiles" "Multiply-adds of strided convolutions with kernels up to 3, in whole tiles.";
    Conv5Tiles "conv5_tiles" "Multiply-adds of stride-1 convolutions with larger kernels, in whole tiles.";
    Conv5StridedTiles "conv5_strided_tiles" "Multiply-adds of strided convolutions with larger kernels, in whole tiles.";
    ConvWindow "conv_window" "Window positions of convolutions: output pixels times kernel area.";
    ConvOutput "conv_output" "Values they write, in whole tiles.";
    ConvCount "conv_count" "How many there are.";
    Depthwise3 "depthwise3" "Values written by stride-1 depthwise convolutions with kernels up to 3.";
    Depthwise3Strided "depthwise3_strided" "Values written by strided depthwise convolutions with kernels up to 3.";
    Depthwise5 "depthwise5" "Values written by stride-1 depthwise convolutions with kernel 5.";
    Depthwise5Strided "depthwise5_strided" "Values written by strided depthwise convolutions with kernel 5.";
    DepthwiseWide "depthwise_wide" "Multiply-adds of depthwise convolutions with kernels beyond 5.";
    DepthwiseInput "depthwise_input" "Values depthwise convolutions read.";
    DepthwiseCount "depthwise_count" "How many there are.";
    GateCount "gate_count" "Squeeze-and-excitation gates.";
    GateMadds "gate_madds" "Multiply-adds of their two 1x1 convolutions on vectors.";
    GatePooled "gate_pooled" "Values their global pooling reads.";
    GateScaled "gate_scaled" "Values their gate multiplies.";
    HeadPooled "head_pooled" "Values the pooling before the classifier reads.";
    MaxPool "max_pool" "Values that stride-1 max pooling writes.";
    MaxPoolStrided "max_pool_strided" "Values that strided max pooling writes.";
    MaxPoolCount "max_pool_count" "Max pooling layers.";
    Added "added" "Values written by additions.";
    AddCount "add_count" "Additions.";
    Dense "dense" "Multiply-adds of dense layers.";
    LargeMaps "large_maps" "Values read and written by layers that touch more than 64 Ki values (256 KiB).";
    HugeMaps "huge_maps" "Values read and written by layers that touch more than 256 Ki values (1 MiB).";
    PointwiseStage1 "pointwise_stage1" "1x1 tiles on stage 1 and above (112 pixels of 224).";
    PointwiseStage2 "pointwise_stage2" "1x1 tiles on stage 2.";
    PointwiseStage3 "pointwise_stage3" "1x1 tiles on stage 3.";
    PointwiseStage4 "pointwise_stage4" "1x1 tiles on stage 4.";
    PointwiseStage5 "pointwise_stage5" "1x1 tiles on stage 5 and below.";
    ConvStage1 "conv_stage1" "Convolution tiles on stage 1 and above.";
    ConvStage2 "conv_stage2" "Convolution tiles on stage 2.";
    ConvStage3 "conv_stage3" "Convolution tiles on stage 3.";
    ConvStage4 "conv_stage4" "Convolution tiles on stage 4.";
    ConvStage5 "conv_stage5" "Convolution tiles on stage 5 and below.";
    DepthwiseStage1 "depthwise_stage1" "Depthwise multiply-adds on stage 1 and above.";
    DepthwiseStage2 "depthwise_stage2" "Depthwise multiply-adds on stage 2.";
    DepthwiseStage3 "depthwise_stage3" "Depthwise multiply-adds on stage 3.";
    DepthwiseStage4 "depthwise_stage4" "Depthwise multiply-adds on stage 4.";
    DepthwiseStage5 "depthwise_stage5" "Depthwise multiply-adds on stage 5 and below.";
    GatedStage1 "gated_stage1" "Values gated on stage 1 and above.";
    GatedStage2 "gated_stage2" "Values gated on stage 2.";
    GatedStage3 "gated_stage3" "Values gated on stage 3.";
    GatedStage4 "gated_stage4" "Values gated on stage 4.";
    GatedStage5 "gated_stage5" "Values gated on stage 5 and below.";
    DepthStage1 "depth_stage1" "Depthwise or regular convolutions on stage 1 and above.";
    DepthStage2 "depth_stage2" "Depthwise or regular convolutions on stage 2.";
    DepthStage3 "depth_stage3" "Depthwise or regular convolutions on stage 3.";
    DepthStage4 "depth_stage4" "Depthwise or regular convolutions on stage 4.";
    DepthStage5 "depth_stage5" "Depthwise or regular convolutions on stage 5 and below.";
}

/// Number of features.
pub const COUNT: usize = Feature::ALL.len();

const MILLION: f64 = 1e-6;
/// Output channels and pixels of one tile.
const TILE: (usize, usize) = (16, 7);
/// Values (not bytes) a layer touches from which it counts as large and as huge.
const LARGE: usize = 64 * 1024;
const HUGE: usize = 256 * 1024;

/// The features of one network, in the order of [`Feature::ALL`].
#[derive(Debug, Clone, PartialEq)]
pub struct Features(pub [f64; COUNT]);

/// What the extractors see of a layer.
struct Seen<'a> {
    kind: LayerKind,
    input: Shape,
    output: Shape,
    network: &'a Network,
}

impl Features {
    /// Reads all features off a network: one pass over its layers.
    pub fn of(network: &Network) -> Self {
        let mut features = Self([0.0; COUNT]);
        for layer in &network.layers {
            features.layer(network, layer);
        }
        features.add(Feature::LayerCount, network.layers.len() as f64);
        features
    }

    /// One feature's value.
    pub fn get(&self, feature: Feature) -> f64 {
        self.0[feature as usize]
    }

    fn add(&mut self, feature: Feature, value: f64) {
        self.0[feature as usize] += value;
    }

    /// Adds to the entry of `first`'s run of five that belongs to a map of this size.
    fn add_at_stage(&mut self, first: Feature, seen: &Seen, value: f64) {
        self.0[first as usize + stage(seen.network.input, seen.output)] += value;
    }

    /// The registration table: one extractor per operator kind.
    fn layer(&mut self, network: &Network, layer: &Layer) {
        let seen = &Seen { kind: layer.kind, input: network.input_of(layer), output: layer.output, network };
        match layer.kind {
            LayerKind::Conv { .. } if layer.inputs[0].layer().is_none() => self.first_conv(seen),
            LayerKind::Conv { .. } if seen.output.pixels() == 1 && seen.input.pixels() == 1 => self.gate_conv(seen),
            LayerKind::Conv { kernel: 1, .. } => self.pointwise(seen),
            LayerKind::Conv { .. } => self.conv(seen),
            LayerKind::DepthwiseConv { .. } => self.depthwise(seen),
            LayerKind::GlobalPool => self.global_pool(network, layer, seen),
            LayerKind::MaxPool { .. } => self.max_pool(seen),
            LayerKind::Add => self.addition(seen),
            LayerKind::Scale => self.scale(seen),
            LayerKind::Dense => self.dense(seen),
        }
        self.traffic(seen);
    }

    fn weights(&mut self, weights: usize, uses: usize) -> f64 {
        let madds = (weights * uses) as f64 * MILLION;
        self.add(Feature::WeightValues, weights as f64 * MILLION);
        self.add(Feature::Madds, madds);
        madds
    }

    fn first_conv(&mut self, seen: &Seen) {
        let (kernel, _) = seen.kind.window();
        let madds = self.weights(kernel * kernel * seen.input.channels * seen.output.channels, seen.output.pixels());
        self.add(Feature::FirstConv, madds);
        self.add(Feature::FirstConvOutput, millions(seen.output.elements()));
    }

    fn gate_conv(&mut self, seen: &Seen) {
        let madds = self.weights(seen.input.channels * seen.output.channels, 1);
        self.add(Feature::GateMadds, madds);
    }

    fn pointwise(&mut self, seen: &Seen) {
        let madds = self.weights(seen.input.channels * seen.output.channels, seen.output.pixels());
        let written = tiled(seen.output);
        let tiles = millions(written * seen.input.channels);
        self.add(Feature::Pointwise, madds);
        self.add(Feature::PointwiseTiles, tiles);
        self.add_at_stage(Feature::PointwiseStage1, seen, tiles);
        self.add(Feature::PointwiseOutput, millions(written));
        self.add(Feature::PointwiseInput, millions(seen.input.elements()));
        self.add(Feature::PointwiseCount, 1.0);
    }

    fn conv(&mut self, seen: &Seen) {
        let (kernel, stride) = seen.kind.window();
        self.weights(kernel * kernel * seen.input.channels * seen.output.channels, seen.output.pixels());
        let written = tiled(seen.output);
        let tiles = millions(written * seen.input.channels * kernel * kernel);
        let by_window = match (kernel <= 3, stride) {
            (true, 1) => Feature::Conv3Tiles,
            (true, _) => Feature::Conv3StridedTiles,
            (false, 1) => Feature::Conv5Tiles,
            (false, _) => Feature::Conv5StridedTiles,
        };
        self.add(by_window, tiles);
        self.add_at_stage(Feature::ConvStage1, seen, tiles);
        self.add_at_stage(Feature::DepthStage1, seen, 1.0);
        self.add(Feature::ConvWindow, millions(seen.output.pixels() * kernel * kernel));
        self.add(Feature::ConvOutput, millions(written));
        self.add(Feature::ConvCount, 1.0);
    }

    fn depthwise(&mut self, seen: &Seen) {
        let (kernel, stride) = seen.kind.window();
        let madds = self.weights(kernel * kernel * seen.output.channels, seen.output.pixels());
        let written = millions(seen.output.elements());
        match (kernel, stride) {
            (..=3, 1) => self.add(Feature::Depthwise3, written),
            (..=3, _) => self.add(Feature::Depthwise3Strided, written),
            (..=5, 1) => self.add(Feature::Depthwise5, written),
            (..=5, _) => self.add(Feature::Depthwise5Strided, written),
            _ => self.add(Feature::DepthwiseWide, madds),
        }
        self.add_at_stage(Feature::DepthwiseStage1, seen, madds);
        self.add_at_stage(Feature::DepthStage1, seen, 1.0);
        self.add(Feature::DepthwiseInput, millions(seen.input.elements()));
        self.add(Feature::DepthwiseCount, 1.0);
    }

    /// The pooling before the classifier feeds a dense layer; every other one opens a gate.
    fn global_pool(&mut self, network: &Network, layer: &Layer, seen: &Seen) {
        let last = network.layers.len().saturating_sub(2);
        let before_classifier = network.layers.get(last).is_some_and(|pool| pool.name == layer.name);
        let feature = if before_classifier { Feature::HeadPooled } else { Feature::GatePooled };
        self.add(feature, millions(seen.input.elements()));
    }

    fn scale(&mut self, seen: &Seen) {
        let scaled = millions(seen.output.elements());
        self.add(Feature::GateScaled, scaled);
        self.add_at_stage(Feature::GatedStage1, seen, scaled);
        self.add(Feature::GateCount, 1.0);
    }

    fn max_pool(&mut self, seen: &Seen) {
        let strided = seen.kind.window().1 > 1;
        let feature = if strided { Feature::MaxPoolStrided } else { Feature::MaxPool };
        self.add(feature, millions(seen.output.elements()));
        self.add(Feature::MaxPoolCount, 1.0);
    }

    fn addition(&mut self, seen: &Seen) {
        self.add(Feature::Added, millions(seen.output.elements()));
        self.add(Feature::AddCount, 1.0);
    }

    fn dense(&mut self, seen: &Seen) {
        let madds = self.weights(seen.input.elements() * seen.output.channels, 1);
        self.add(Feature::Dense, madds);
    }

    /// Values that miss the nearer caches.
    fn traffic(&mut self, seen: &Seen) {
        let touched = seen.input.elements() + seen.output.elements();
        if touched > LARGE {
            self.add(Feature::LargeMaps, millions(touched));
        }
        if touched > HUGE {
            self.add(Feature::HugeMaps, millions(touched));
        }
    }
}

fn millions(values: usize) -> f64 {
    values as f64 * MILLION
}

/// Values of a map padded to whole tiles.
fn tiled(map: Shape) -> usize {
    map.channels.next_multiple_of(TILE.0) * map.pixels().next_multiple_of(TILE.1)
}

/// How often the side was halved since the image, counted from 0 for up to one halving.
fn stage(image: Shape, map: Shape) -> usize {
    let reduction = (image.height / map.height.max(1)).max(1);
    ((reduction.ilog2() as usize).max(1) - 1).min(STAGES - 1)
}
