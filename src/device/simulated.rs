//! A device that computes its latencies instead of measuring them: a stand-in for tests and for trying out a search.
//!
//! It is no model of any real device. It has the traits that make real ones hard to predict from multiply-adds: work
//! in whole tiles, depthwise convolutions and squeeze-and-excitation that cost more than their counts, a fixed cost
//! per layer, memory traffic, and noise. The latency is a pure function of the seed and of what the network computes,
//! so that a resumed run sees the numbers of one never stopped.

use rand::Rng;

use super::{Clock, Description, Device, DeviceError, Model, Timing};
use crate::network::{Layer, LayerKind, Network};

/// Name of this device.
pub const ID: &str = "simulated";
/// Multiply-adds per millisecond of a full tile.
const POINTWISE_RATE: f64 = 8e6;
/// The same for depthwise convolutions, which reuse less.
const DEPTHWISE_RATE: f64 = 1.6e6;
/// Bytes moved per millisecond.
const BYTE_RATE: f64 = 12e6;
/// Each layer's fixed cost, ms.
const LAYER_MS: f64 = 0.004;
/// What a gate costs beside its arithmetic, ms: it must wait for the whole feature map, and read it again.
const GATE_MS: f64 = 0.03;
/// Side of a tile in output channels and in pixels.
const TILE: (usize, usize) = (16, 6);
/// Runs per load.
const RUNS: usize = 5;

/// A deterministic stand-in for a device.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedDevice {
    /// Draws the noise.
    pub seed: u64,
    /// Standard deviation of a run's latency, relative; 0 for none.
    pub noise: f64,
}

impl SimulatedDevice {
    /// A device with 2 % of noise.
    pub fn new(seed: u64) -> Self {
        Self { seed, noise: 0.02 }
    }

    /// The latency of a network without noise, ms.
    pub fn latency_ms(network: &Network) -> f64 {
        network.layers.iter().map(|layer| layer_ms(network, layer)).sum()
    }

    /// A generator that depends on the seed and on what the network computes, and on nothing that happened before.
    fn random(&self, network: &Network) -> crate::Random {
        let hash = blake3::hash(format!("{} {}", self.seed, network.digest()).as_bytes());
        let mut seed = [0; 8];
        seed.copy_from_slice(&hash.as_bytes()[..8]);
        crate::seeded(u64::from_le_bytes(seed))
    }
}

fn layer_ms(network: &Network, layer: &Layer) -> f64 {
    let input = network.input_of(layer);
    let compute = match layer.kind {
        LayerKind::Conv { kernel, .. } => {
            let (channels, pixels) = tiles(layer.output.channels, layer.output.pixels());
            (channels * pixels * kernel * kernel * input.channels) as f64 / POINTWISE_RATE
        }
        LayerKind::DepthwiseConv { .. } => network.cost(layer).madds as f64 / DEPTHWISE_RATE,
        LayerKind::Dense => network.cost(layer).madds as f64 / POINTWISE_RATE,
        LayerKind::Scale => GATE_MS,
        LayerKind::GlobalPool | LayerKind::MaxPool { .. } | LayerKind::Add => 0.0,
    };
    let bytes = 4 * (input.elements() + layer.output.elements());
    LAYER_MS + compute + bytes as f64 / BYTE_RATE
}

/// Output channels and pixels rounded up to whole tiles.
fn tiles(channels: usize, pixels: usize) -> (usize, usize) {
    (channels.next_multiple_of(TILE.0), pixels.next_multiple_of(TILE.1))
}

impl Device for SimulatedDevice {
    fn description(&self) -> Description {
        Description {
            id: ID.into(),
            kind: "simulated".into(),
            model: format!("stand-in with seed {}", self.seed),
            runtime: "none: latencies are computed".into(),
            threads: 1,
            clock: Clock::Wall,
        }
    }

    fn reads_files(&self) -> bool {
        false
    }

    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        let Some(network) = &model.network else {
            let problem = "the simulated device needs the network, not just a .tflite file".into();
            return Err(DeviceError::Model { device: "simulated".into(), model: model.name.clone(), problem });
        };
        let (latency, mut random) = (Self::latency_ms(network), self.random(network));
        let run = |_| latency * (self.noise * standard_normal(&mut random)).exp();
        Ok(Timing { wall_ms: (0..RUNS).map(run).collect(), cpu_ms: Vec::new() })
    }
}

/// The sum of twelve uniform values less six: near enough to a standard normal, and never far out.
fn standard_normal(random: &mut crate::Random) -> f64 {
    (0..12).map(|_| random.gen_range(0.0..1.0)).sum::<f64>() - 6.0
}
