//! Batch norm folded into the layer before it, and weights in the file's order of axes.
//!
//! y = γ · (w∗x − μ) / √(σ² + ε) + β = (s·w)∗x + (β − s·μ) with s = γ / √(σ² + ε), one s per output channel.

use ndarray::{ArrayD, Axis, IxDyn};

use super::TfliteError;
use crate::network::weights::BATCH_NORM_EPSILON;
use crate::network::{Layer, LayerKind, Weights};

/// One layer's weights as the file stores them.
pub(super) struct Folded {
    /// Shape of `weight`.
    pub shape: Vec<i32>,
    /// Row-major values.
    pub weight: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<f32>,
}

/// The folded weights of a convolution, depthwise convolution or dense layer.
pub(super) fn fold(layer: &Layer, weights: &Weights) -> Result<Folded, TfliteError> {
    let array = |suffix: &str| weights.get(&format!("{}.{suffix}", layer.name));
    let weight = array("weight")?;
    let (scale, bias) = if layer.kind.has_batch_norm() {
        let (gamma, beta) = (array("bn.weight")?, array("bn.bias")?);
        let (mean, variance) = (array("bn.running_mean")?, array("bn.running_var")?);
        let scale = gamma / variance.mapv(|variance| (variance + BATCH_NORM_EPSILON).sqrt());
        let bias = beta - mean * &scale;
        (row_major(&scale), row_major(&bias))
    } else {
        let bias = row_major(array("bias")?);
        (vec![1.0; bias.len()], bias)
    };
    let (shape, weight) = in_file_order(layer.kind, scaled(weight, &scale));
    // No early exit, so that the compiler can look at many values at once.
    let finite = |values: &[f32]| values.iter().fold(true, |finite, value| finite & value.is_finite());
    if !(finite(&weight) && finite(&bias)) {
        return Err(TfliteError::NotFinite { layer: layer.name.to_string() });
    }
    Ok(Folded { shape, weight, bias })
}

/// Each filter (along the first axis) times its scale.
fn scaled(weight: &ArrayD<f32>, scale: &[f32]) -> ArrayD<f32> {
    let mut weight = weight.to_owned();
    for (mut filter, &scale) in weight.axis_iter_mut(Axis(0)).zip(scale) {
        filter.map_inplace(|value| *value *= scale);
    }
    weight
}

/// `[out, in, k, k]` to `[out, k, k, in]`, depthwise `[c, 1, k, k]` to `[1, k, k, c]`; dense weights stay.
fn in_file_order(kind: LayerKind, weight: ArrayD<f32>) -> (Vec<i32>, Vec<f32>) {
    let ordered = match kind {
        LayerKind::Conv { .. } => weight.permuted_axes(IxDyn(&[0, 2, 3, 1])),
        LayerKind::DepthwiseConv { .. } => weight.permuted_axes(IxDyn(&[1, 2, 3, 0])),
        _ => weight,
    };
    let shape = ordered.shape().iter().map(|&side| side as i32).collect();
    let values = if ordered.is_standard_layout() { ordered.into_raw_vec_and_offset().0 } else { row_major(&ordered) };
    (shape, values)
}

fn row_major(array: &ArrayD<f32>) -> Vec<f32> {
    array.iter().copied().collect()
}
