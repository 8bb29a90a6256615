//! The torch model of a [`Network`]: the very layers that are counted, written as .tflite and timed.
//!
//! - Padding is TensorFlow's SAME: with kernel k, stride s and input side n the total is
//!   max((ceil(n / s) − 1)·s + k − n, 0), its smaller half at the top and left. Where the halves differ (stride 2 on an
//!   even side) the input is padded first, by 0 before a convolution and by −∞ before a maximum.
//! - Batch norm has [`BATCH_NORM_EPSILON`]; its weight starts at 1.
//! - Convolutions start normal with variance 2 / (k²·out / groups) and the dense layer uniform within ±1/√out, as in
//!   MnasNet's official code (tensorflow/tpu `models/official/mnasnet`), from the caller's generator: torch's own is
//!   global and shared by all threads.
//! - Images, activations and convolution weights lie in memory channels last, 2.3 times as fast on a processor. The
//!   bindings have no memory format, so strides are given ([`channels_last`]).
//!
//! ```
//! use mnas::{network::Network, space, train::model::{Mode, TorchModel}};
//! use tch::{Kind, Tensor};
//! let network = Network::expand(&space::parse("input=32 stem=8 r1_k3_s22_e3_i8_o16 head=0 classes=10")?)?;
//! let model = TorchModel::new(&network, &mut mnas::seeded(1));
//! let images = Tensor::zeros([2, 3, 32, 32], (Kind::Float, model.device()));
//! assert_eq!(model.forward(&images, Mode::Evaluate).size(), [2, 10]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn};
use rand::Rng;
use tch::{Device, Kind, Tensor};

use crate::Random;
use crate::network::weights::{BATCH_NORM_EPSILON, normal};
use crate::network::{Activation, Layer, LayerKind, Network, Shape, Weights, WeightsError};

/// Part of a batch's statistics that enters the running ones at each training step, unless set otherwise.
const STATISTICS_RATE: f64 = 0.1;

/// How batch norm behaves in a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By the batch's own statistics, which also enter the running ones.
    Train,
    /// By the running statistics, unchanged.
    Evaluate,
}

/// A network with weights in torch. Not shared between threads, but may move from one to another.
#[derive(Debug)]
pub struct TorchModel {
    network: Network,
    parameters: Vec<Option<Parameters>>,
    device: Device,
    statistics_rate: f64,
}

/// The tensors of one layer.
#[derive(Debug)]
struct Parameters {
    weight: Tensor,
    /// The bias, or batch norm's.
    bias: Tensor,
    norm: Option<Norm>,
}

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl TorchModel {
    /// A model with initial weights drawn from `random`.
    pub fn new(network: &Network, random: &mut Random) -> Self {
        Self::build(network, &initial_weights(network, random), Device::Cpu)
    }

    /// A model with given weights.
    ///
    /// # Errors
    /// The first array that is missing, misshapen or not finite.
    pub fn from_weights(network: &Network, weights: &Weights) -> Result<Self, WeightsError> {
        weights.check(network)?;
        Ok(Self::build(network, weights, Device::Cpu))
    }

    /// The same model with its weights on another device.
    pub fn on(self, device: Device) -> Self {
        Self { statistics_rate: self.statistics_rate, ..Self::build(&self.network, &self.to_weights(), device) }
    }

    /// A second model with the same values.
    pub fn copy(&self) -> Self {
        Self { statistics_rate: self.statistics_rate, ..Self::build(&self.network, &self.to_weights(), self.device) }
    }

    /// Moves every value, running statistics included, by `share` of the way to `other`'s: a moving average.
    ///
    /// # Panics
    /// If `other` is a model of another network.
    pub fn approach(&mut self, other: &Self, share: f64) {
        tch::no_grad(|| {
            for ((_, own), (_, aim)) in self.named().zip(other.named()) {
                // A shallow clone shares its values.
                let _ = own.shallow_clone().lerp_(aim, share);
            }
        });
    }

    /// Sets how much of a batch's statistics enters the running ones: 1 − the momentum as MnasNet's paper states it.
    pub fn with_statistics_rate(mut self, rate: f64) -> Self {
        self.statistics_rate = rate;
        self
    }

    /// `weights` has been checked or comes from [`initial_weights`], so that every name is there.
    fn build(network: &Network, weights: &Weights, device: Device) -> Self {
        let tensor = |layer: &Layer, name: &str, trained: bool| {
            let tensor = to_tensor(&weights.0[&format!("{}.{name}", layer.name)], device);
            tensor.set_requires_grad(trained)
        };
        let parameters = network.layers.iter().map(|layer| match layer.kind {
            LayerKind::Conv { .. } | LayerKind::DepthwiseConv { .. } | LayerKind::Dense => {
                let weight = tensor(layer, "weight", true);
                Some(if layer.kind.has_batch_norm() {
                    let norm = Norm {
                        weight: tensor(layer, "bn.weight", true),
                        mean: tensor(layer, "bn.running_mean", false),
                        variance: tensor(layer, "bn.running_var", false),
                    };
                    Parameters { weight, bias: tensor(layer, "bn.bias", true), norm: Some(norm) }
                } else {
                    Parameters { weight, bias: tensor(layer, "bias", true), norm: None }
                })
            }
            LayerKind::GlobalPool | LayerKind::MaxPool { .. } | LayerKind::Add | LayerKind::Scale => None,
        });
        Self { network: network.clone(), parameters: parameters.collect(), device, statistics_rate: STATISTICS_RATE }
    }

    /// The network this is a model of.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where the weights lie and images are expected.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The weights as plain arrays, batch norm's running statistics included.
    pub fn to_weights(&self) -> Weights {
        let arrays = self.named().map(|(name, tensor)| (name, to_array(tensor)));
        Weights(arrays.collect::<BTreeMap<_, _>>())
    }

    /// Every array with its name in [`Weights`].
    fn named(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.network.layers.iter().zip(&self.parameters).flat_map(|(layer, parameters)| {
            let parts = parameters.iter().flat_map(|parameters| match &parameters.norm {
                Some(norm) => vec![
                    ("weight", &parameters.weight),
                    ("bn.weight", &norm.weight),
                    ("bn.bias", &parameters.bias),
                    ("bn.running_mean", &norm.mean),
                    ("bn.running_var", &norm.variance),
                ],
                None => vec![("weight", &parameters.weight), ("bias", &parameters.bias)],
            });
            parts.map(|(part, tensor)| (format!("{}.{part}", layer.name), tensor))
        })
    }

    /// What an optimizer trains: first the weights of convolutions and dense layers, which weight decay concerns, then
    /// biases and batch norm's, which it does not.
    pub fn trained(&self) -> (Vec<&Tensor>, Vec<&Tensor>) {
        let layers = || self.parameters.iter().flatten();
        let vectors =
            layers().flat_map(|layer| layer.norm.as_ref().map(|norm| &norm.weight).into_iter().chain([&layer.bias]));
        (layers().map(|layer| &layer.weight).collect(), vectors.collect())
    }

    /// The logits, `[n, classes]`, of images `[n, 3, height, width]` on the model's device, in any memory layout.
    ///
    /// # Panics
    /// If the images have another shape than the network's input.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Tensor {
        let features = self.features(images, mode);
        self.classify(&features)
    }

    /// What the last (dense) layer reads, `[n, channels]`: where dropout acts in training.
    ///
    /// # Panics
    /// As [`TorchModel::forward`].
    pub fn features(&self, images: &Tensor, mode: Mode) -> Tensor {
        let Shape { height, width, channels } = self.network.input;
        let expected = [channels, height, width].map(|side| side as i64);
        assert_eq!(images.size()[1..], expected, "the network takes images of this shape");
        let mut values = vec![channels_last(images)];
        for (layer, parameters) in self.network.layers.iter().zip(&self.parameters) {
            if layer.kind == LayerKind::Dense {
                break;
            }
            values.push(self.layer(layer, parameters.as_ref(), &values, mode));
        }
        values.swap_remove(values.len() - 1).flatten(1, -1)
    }

    /// The logits of [`TorchModel::features`]' result.
    pub fn classify(&self, features: &Tensor) -> Tensor {
        match self.parameters.last() {
            Some(Some(dense)) => features.linear(&dense.weight, Some(&dense.bias)),
            _ => features.shallow_clone(),
        }
    }

    fn layer(&self, layer: &Layer, parameters: Option<&Parameters>, values: &[Tensor], mode: Mode) -> Tensor {
        let input = &values[layer.inputs[0].0];
        let output = match (layer.kind, parameters) {
            (LayerKind::Conv { kernel, stride, .. }, Some(parameters)) => {
                self.convolution(input, parameters, kernel, stride, 1, mode)
            }
            (LayerKind::DepthwiseConv { kernel, stride, .. }, Some(parameters)) => {
                self.convolution(input, parameters, kernel, stride, layer.output.channels as i64, mode)
            }
            (LayerKind::MaxPool { kernel, stride }, _) => max_pool(input, kernel, stride),
            (LayerKind::Add, _) => input + &values[layer.inputs[1].0],
            (LayerKind::Scale, _) => input * &values[layer.inputs[1].0],
            _ => input.mean_dim([2i64, 3].as_slice(), true, Kind::Float),
        };
        match layer.kind.activation() {
            Activation::None => output,
            Activation::Relu => output.relu(),
            Activation::Relu6 => output.clamp(0.0, 6.0),
            Activation::Sigmoid => output.sigmoid(),
        }
    }

    fn convolution(
        &self,
        input: &Tensor,
        parameters: &Parameters,
        kernel: usize,
        stride: usize,
        groups: i64,
        mode: Mode,
    ) -> Tensor {
        let (input, padding) = padded(input, kernel, stride, 0.0);
        let bias = parameters.norm.is_none().then_some(&parameters.bias);
        let output = input.conv2d(&parameters.weight, bias, [stride as i64; 2], padding, [1, 1], groups);
        match &parameters.norm {
            Some(norm) => output.batch_norm(
                Some(&norm.weight),
                Some(&parameters.bias),
                Some(&norm.mean),
                Some(&norm.variance),
                mode == Mode::Train,
                self.statistics_rate,
                f64::from(BATCH_NORM_EPSILON),
                false,
            ),
            None => output,
        }
    }
}

fn max_pool(input: &Tensor, kernel: usize, stride: usize) -> Tensor {
    let (input, padding) = padded(input, kernel, stride, f64::NEG_INFINITY);
    input.max_pool2d([kernel as i64; 2], [stride as i64; 2], padding, [1, 1], false)
}

/// The input of a SAME-padded window and the padding left to the operation: equal halves are left to it, unequal
/// ones are put around the input here.
fn padded(input: &Tensor, kernel: usize, stride: usize, value: f64) -> (Tensor, [i64; 2]) {
    let size = input.size();
    let (top, bottom) = same_padding(size[2], kernel as i64, stride as i64);
    let (left, right) = same_padding(size[3], kernel as i64, stride as i64);
    if top == bottom && left == right {
        (input.shallow_clone(), [top, left])
    } else {
        (input.pad([left, right, top, bottom], "constant", value), [0, 0])
    }
}

/// SAME padding before and after along one side of length `side`.
fn same_padding(side: i64, kernel: i64, stride: i64) -> (i64, i64) {
    let outputs = (side + stride - 1) / stride;
    let total = ((outputs - 1) * stride + kernel - side).max(0);
    (total / 2, total - total / 2)
}

/// `[n, c, h, w]` with the channels of a pixel side by side in memory; the values and the shape are the same.
///
/// Strides are set outright: for `[c, 1, k, k]` torch takes both layouts for contiguous and would copy nothing.
pub fn channels_last(tensor: &Tensor) -> Tensor {
    let size = tensor.size();
    let [_, channels, height, width] = size[..] else { return tensor.shallow_clone() };
    let strides = [height * width * channels, 1, width * channels, channels];
    if tensor.stride() == strides {
        return tensor.shallow_clone();
    }
    let mut moved = Tensor::empty_strided(&size, strides, (tensor.kind(), tensor.device()));
    moved.copy_(tensor);
    moved
}

fn to_tensor(array: &ArrayD<f32>, device: Device) -> Tensor {
    let shape: Vec<i64> = array.shape().iter().map(|&side| side as i64).collect();
    let values: Vec<f32> = array.iter().copied().collect();
    channels_last(&Tensor::from_slice(&values).reshape(shape).to_device(device))
}

fn to_array(tensor: &Tensor) -> ArrayD<f32> {
    let shape: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
    let plain = tensor.detach().to_device(Device::Cpu).contiguous();
    let mut values = vec![0f32; plain.numel()];
    plain.copy_data(&mut values, plain.numel());
    ArrayD::from_shape_vec(IxDyn(&shape), values).expect("as many values as the shape says")
}

/// See the module's text; biases and means 0, batch norm's weights and variances 1.
fn initial_weights(network: &Network, random: &mut Random) -> Weights {
    let mut draw = |(name, shape): (String, Vec<usize>)| {
        let last = name.rsplit_once('.').map_or("", |(_, last)| last);
        let array = match (last, shape.len()) {
            ("weight", 4) => {
                // A depthwise weight is [c, 1, k, k] in c groups: fan out k².
                let fan_out = shape[2] * shape[3] * if shape[1] == 1 { 1 } else { shape[0] };
                let deviation = (2.0 / fan_out as f32).sqrt();
                ArrayD::from_shape_simple_fn(IxDyn(&shape), || deviation * normal(random))
            }
            ("weight", 2) => {
                let bound = 1.0 / (shape[0] as f32).sqrt();
                ArrayD::from_shape_simple_fn(IxDyn(&shape), || random.gen_range(-bound..=bound))
            }
            ("weight" | "running_var", _) => ArrayD::ones(IxDyn(&shape)),
            _ => ArrayD::zeros(IxDyn(&shape)),
        };
        (name, array)
    };
    Weights(network.weight_shapes().into_iter().map(&mut draw).collect())
}
