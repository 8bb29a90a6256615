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
    let mut weight = array("weight")?.clone();
    let bias = if layer.kind.has_batch_norm() {
        let (gamma, beta) = (array("bn.weight")?, array("bn.bias")?);
        let (mean, variance) = (array("bn.running_mean")?, array("bn.running_var")?);
        let scale = gamma / &variance.mapv(|variance| (variance + BATCH_NORM_EPSILON).sqrt());
        for (mut filter, &scale) in weight.axis_iter_mut(Axis(0)).zip(&scale) {
            filter *= scale;
        }
        beta - &(mean * &scale)
    } else {
        array("bias")?.clone()
    };
    if weight.iter().chain(&bias).any(|value| !value.is_finite()) {
        return Err(TfliteError::NotFinite { layer: layer.name.to_string() });
    }
    let (shape, weight) = in_file_order(layer.kind, weight);
    Ok(Folded { shape, weight, bias: row_major(bias) })
}

/// `[out, in, k, k]` to `[out, k, k, in]`, depthwise `[c, 1, k, k]` to `[1, k, k, c]`; dense weights stay.
fn in_file_order(kind: LayerKind, weight: ArrayD<f32>) -> (Vec<i32>, Vec<f32>) {
    let ordered = match kind {
        LayerKind::Conv { .. } => weight.permuted_axes(IxDyn(&[0, 2, 3, 1])),
        LayerKind::DepthwiseConv { .. } => weight.permuted_axes(IxDyn(&[1, 2, 3, 0])),
        _ => weight,
    };
    (ordered.shape().iter().map(|&side| side as i32).collect(), row_major(ordered))
}

fn row_major(array: ArrayD<f32>) -> Vec<f32> {
    if array.is_standard_layout() { array.into_raw_vec_and_offset().0 } else { array.iter().copied().collect() }
}
