//! Layers to TensorFlow Lite's operators: the table of operators, then one function per kind of layer.

use flatbuffers::{UnionWIPOffset, WIPOffset};
use tract_tflite::tflite::{
    ActivationFunctionType, AddOptions, AddOptionsArgs, BuiltinOperator, BuiltinOptions, Conv2DOptions,
    Conv2DOptionsArgs, DepthwiseConv2DOptions, DepthwiseConv2DOptionsArgs, FullyConnectedOptions,
    FullyConnectedOptionsArgs, MulOptions, MulOptionsArgs, Padding, Pool2DOptions, Pool2DOptionsArgs, ReshapeOptions,
    ReshapeOptionsArgs,
};

use super::TfliteError;
use super::file::{FileBuilder, TensorIndex};
use super::fold::fold;
use crate::network::{Activation, Layer, LayerKind, Network, Shape, Weights};

/// An operator as this writer uses it: always its version 1, which is all that fp32 needs.
#[derive(Debug)]
pub(super) struct Registration {
    /// Its number in the schema.
    pub code: BuiltinOperator,
    /// The kind of its option table.
    pub options: BuiltinOptions,
    /// First TensorFlow Lite whose runtime has version 1 (TensorFlow's `runtime_version.cc`).
    pub since: RuntimeVersion,
}

/// A version of TensorFlow Lite, ordered as versions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct RuntimeVersion(u16, u16, u16);

impl std::fmt::Display for RuntimeVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

const fn registered(code: BuiltinOperator, options: BuiltinOptions, since: RuntimeVersion) -> Registration {
    Registration { code, options, since }
}

const V1_5: RuntimeVersion = RuntimeVersion(1, 5, 0);
const V1_14: RuntimeVersion = RuntimeVersion(1, 14, 0);

static CONV: Registration = registered(BuiltinOperator::CONV_2D, BuiltinOptions::Conv2DOptions, V1_5);
static DEPTHWISE: Registration =
    registered(BuiltinOperator::DEPTHWISE_CONV_2D, BuiltinOptions::DepthwiseConv2DOptions, V1_5);
static LOGISTIC: Registration = registered(BuiltinOperator::LOGISTIC, BuiltinOptions::NONE, V1_14);
static AVERAGE_POOL: Registration = registered(BuiltinOperator::AVERAGE_POOL_2D, BuiltinOptions::Pool2DOptions, V1_5);
static MAX_POOL: Registration = registered(BuiltinOperator::MAX_POOL_2D, BuiltinOptions::Pool2DOptions, V1_5);
static ADD: Registration = registered(BuiltinOperator::ADD, BuiltinOptions::AddOptions, V1_5);
static MUL: Registration = registered(BuiltinOperator::MUL, BuiltinOptions::MulOptions, V1_5);
static RESHAPE: Registration = registered(BuiltinOperator::RESHAPE, BuiltinOptions::ReshapeOptions, V1_5);
static DENSE: Registration = registered(BuiltinOperator::FULLY_CONNECTED, BuiltinOptions::FullyConnectedOptions, V1_5);

/// Writes one layer and returns the tensor it computes.
pub(super) fn write_layer(
    file: &mut FileBuilder,
    network: &Network,
    layer: &Layer,
    inputs: &[TensorIndex],
    weights: &Weights,
) -> Result<TensorIndex, TfliteError> {
    match layer.kind {
        LayerKind::Conv { .. } => conv(file, layer, inputs, weights),
        LayerKind::DepthwiseConv { .. } => depthwise(file, layer, inputs, weights),
        LayerKind::GlobalPool => Ok(global_pool(file, layer, inputs, network.input_of(layer))),
        LayerKind::MaxPool { .. } => Ok(max_pool(file, layer, inputs)),
        LayerKind::Add => Ok(add(file, layer, inputs)),
        LayerKind::Scale => Ok(scale(file, layer, inputs)),
        LayerKind::Dense => dense(file, layer, inputs, network.input_of(layer), weights),
    }
}

/// One image in the file's layout.
pub(super) fn feature_map(shape: Shape) -> [i32; 4] {
    [1, shape.height as i32, shape.width as i32, shape.channels as i32]
}

/// The weight and bias tensors of a layer, behind its input. Slashes, not dots, end the layer's name: tract names its
/// own nodes `LAYER.bias` and refuses a second one.
fn with_weights(
    file: &mut FileBuilder,
    layer: &Layer,
    input: TensorIndex,
    weights: &Weights,
) -> Result<[TensorIndex; 3], TfliteError> {
    let folded = fold(layer, weights)?;
    let weight = file.weights(&format!("{}/weight", layer.name), &folded.shape, &folded.weight);
    let bias = file.weights(&format!("{}/bias", layer.name), &[folded.bias.len() as i32], &folded.bias);
    Ok([input, weight, bias])
}

/// What an operator computes within itself; a sigmoid is not among it.
fn fused(activation: Activation) -> ActivationFunctionType {
    match activation {
        Activation::None | Activation::Sigmoid => ActivationFunctionType::NONE,
        Activation::Relu => ActivationFunctionType::RELU,
        Activation::Relu6 => ActivationFunctionType::RELU6,
    }
}

fn conv(
    file: &mut FileBuilder,
    layer: &Layer,
    inputs: &[TensorIndex],
    weights: &Weights,
) -> Result<TensorIndex, TfliteError> {
    let inputs = with_weights(file, layer, inputs[0], weights)?;
    let ((_, stride), activation) = (layer.kind.window(), layer.kind.activation());
    let options = Conv2DOptionsArgs {
        padding: Padding::SAME,
        stride_w: stride as i32,
        stride_h: stride as i32,
        fused_activation_function: fused(activation),
        ..Default::default()
    };
    let options = Conv2DOptions::create(file.builder(), &options).as_union_value();
    if activation != Activation::Sigmoid {
        return Ok(output(file, &CONV, layer, &inputs, Some(options)));
    }
    let before = file.activation(&format!("{}/linear", layer.name), &feature_map(layer.output));
    file.operator(&CONV, &inputs, before, Some(options));
    Ok(output(file, &LOGISTIC, layer, &[before], None))
}

fn depthwise(
    file: &mut FileBuilder,
    layer: &Layer,
    inputs: &[TensorIndex],
    weights: &Weights,
) -> Result<TensorIndex, TfliteError> {
    let inputs = with_weights(file, layer, inputs[0], weights)?;
    let (_, stride) = layer.kind.window();
    let options = DepthwiseConv2DOptionsArgs {
        padding: Padding::SAME,
        stride_w: stride as i32,
        stride_h: stride as i32,
        depth_multiplier: 1,
        fused_activation_function: fused(layer.kind.activation()),
        ..Default::default()
    };
    let options = DepthwiseConv2DOptions::create(file.builder(), &options).as_union_value();
    Ok(output(file, &DEPTHWISE, layer, &inputs, Some(options)))
}

/// AVERAGE_POOL_2D over the whole map rather than MEAN, whose f32 form tract 0.23 computes wrongly.
fn global_pool(file: &mut FileBuilder, layer: &Layer, inputs: &[TensorIndex], input: Shape) -> TensorIndex {
    let (height, width) = (input.height as i32, input.width as i32);
    let options = pool(file, Padding::VALID, (height, width), (height, width));
    output(file, &AVERAGE_POOL, layer, inputs, Some(options))
}

fn max_pool(file: &mut FileBuilder, layer: &Layer, inputs: &[TensorIndex]) -> TensorIndex {
    let (kernel, stride) = layer.kind.window();
    let (kernel, stride) = (kernel as i32, stride as i32);
    let options = pool(file, Padding::SAME, (kernel, kernel), (stride, stride));
    output(file, &MAX_POOL, layer, inputs, Some(options))
}

fn pool(
    file: &mut FileBuilder,
    padding: Padding,
    (filter_height, filter_width): (i32, i32),
    (stride_h, stride_w): (i32, i32),
) -> WIPOffset<UnionWIPOffset> {
    let fused_activation_function = ActivationFunctionType::NONE;
    let options =
        Pool2DOptionsArgs { padding, stride_w, stride_h, filter_width, filter_height, fused_activation_function };
    Pool2DOptions::create(file.builder(), &options).as_union_value()
}

fn add(file: &mut FileBuilder, layer: &Layer, inputs: &[TensorIndex]) -> TensorIndex {
    let options = AddOptions::create(file.builder(), &AddOptionsArgs::default()).as_union_value();
    output(file, &ADD, layer, inputs, Some(options))
}

/// MUL spreads the gate's single pixel over the feature map.
fn scale(file: &mut FileBuilder, layer: &Layer, inputs: &[TensorIndex]) -> TensorIndex {
    let options = MulOptions::create(file.builder(), &MulOptionsArgs::default()).as_union_value();
    output(file, &MUL, layer, inputs, Some(options))
}

/// FULLY_CONNECTED on a vector of one image, to which its input is reshaped.
fn dense(
    file: &mut FileBuilder,
    layer: &Layer,
    inputs: &[TensorIndex],
    input: Shape,
    weights: &Weights,
) -> Result<TensorIndex, TfliteError> {
    let shape = [1, input.elements() as i32];
    let vector = file.activation(&format!("{}/input", layer.name), &shape);
    let new_shape = file.integers(&format!("{}/input/shape", layer.name), &shape);
    let options = ReshapeOptionsArgs { new_shape: Some(file.builder().create_vector(&shape)) };
    let options = ReshapeOptions::create(file.builder(), &options).as_union_value();
    file.operator(&RESHAPE, &[inputs[0], new_shape], vector, Some(options));

    let inputs = with_weights(file, layer, vector, weights)?;
    let options = FullyConnectedOptions::create(file.builder(), &FullyConnectedOptionsArgs::default());
    let logits = file.activation(&layer.name.to_string(), &[1, layer.output.channels as i32]);
    file.operator(&DENSE, &inputs, logits, Some(options.as_union_value()));
    Ok(logits)
}

/// Appends the operator that computes the layer's output, a feature map.
fn output(
    file: &mut FileBuilder,
    registration: &'static Registration,
    layer: &Layer,
    inputs: &[TensorIndex],
    options: Option<WIPOffset<UnionWIPOffset>>,
) -> TensorIndex {
    let tensor = file.activation(&layer.name.to_string(), &feature_map(layer.output));
    file.operator(registration, inputs, tensor, options);
    tensor
}
