//! Parameters, multiply-adds and memory.
//!
//! Multiply-adds count convolutions and dense layers only (squeeze-and-excitation's two included); parameters count
//! weights, biases and batch norm's two learnt values per channel. By this rule MnasNet-A1 has 311.58M and 3.887M
//! (published: 312M and 3.9M).

use super::Network;
use super::layer::{Layer, LayerKind};

/// Bytes of one f32.
const BYTES: usize = 4;

/// What one layer costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayerCost {
    /// Learnt values: weights, biases, batch norm's scale and offset.
    pub parameters: usize,
    /// Multiply-adds for one image.
    pub madds: usize,
}

impl Network {
    /// The cost of one of this network's layers.
    pub fn cost(&self, layer: &Layer) -> LayerCost {
        let (input, output) = (self.input_of(layer), layer.output);
        let (weights, uses) = match layer.kind {
            LayerKind::Conv { kernel, .. } => (kernel * kernel * input.channels * output.channels, output.pixels()),
            LayerKind::DepthwiseConv { kernel, .. } => (kernel * kernel * output.channels, output.pixels()),
            LayerKind::Dense => (input.elements() * output.channels, 1),
            _ => return LayerCost::default(),
        };
        let per_channel = if layer.kind.has_batch_norm() { 2 } else { 1 };
        LayerCost { parameters: weights + per_channel * output.channels, madds: weights * uses }
    }

    /// All learnt values.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| self.cost(layer).parameters).sum()
    }

    /// All multiply-adds for one image.
    pub fn madds(&self) -> usize {
        self.layers.iter().map(|layer| self.cost(layer).madds).sum()
    }

    /// Largest sum of fp32 activation bytes alive at once, layer after layer: a tensor lives from the layer that
    /// writes it to the last that reads it. A runtime needs at least this much beside the weights.
    pub fn peak_activation_bytes(&self) -> usize {
        let last_use = self.last_uses();
        let alive = |tensor: usize, layer: usize| tensor <= layer + 1 && last_use[tensor] >= layer;
        (0..self.layers.len())
            .map(|layer| {
                (0..last_use.len()).filter(|&tensor| alive(tensor, layer)).map(|tensor| self.bytes(tensor)).sum()
            })
            .max()
            .unwrap_or(0)
    }

    fn bytes(&self, tensor: usize) -> usize {
        self.shape(super::TensorId(tensor)).elements() * BYTES
    }

    /// For every tensor the last layer that reads it; the logits live on.
    fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![0; self.layers.len() + 1];
        for (index, layer) in self.layers.iter().enumerate() {
            for input in &layer.inputs {
                last[input.0] = index;
            }
        }
        last[self.layers.len()] = self.layers.len();
        last
    }
}
