//! Accuracy and latency of any network of the Accel-NASBench space, from boosted trees: a stand-in for training and
//! for a phone that answers at once and is known exactly, so that a search can be judged by what it truly found.
//!
//! The file's format: per model a list of trees as arrays `f` (feature, −1 at a leaf), `t` (threshold, or the leaf's
//! value), `l` and `r` (children; left where the value is at most the threshold). A prediction is the base plus all
//! leaf values; the latency is its exponential. Features are the 28 decision values of an architecture.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mnas::device::{Clock, Description, Device, DeviceError, Model, Timing};
use mnas::space::{Architecture, Block};
use mnas::train::{Accuracy, AccuracyError, Request};
use rand::Rng;
use serde::Deserialize;

#[derive(Deserialize)]
struct Tree {
    f: Vec<i32>,
    t: Vec<f64>,
    l: Vec<i32>,
    r: Vec<i32>,
}

#[derive(Deserialize)]
struct Forest {
    base: f64,
    trees: Vec<Tree>,
}

#[derive(Deserialize)]
struct Decision {
    block: usize,
    name: String,
}

#[derive(Deserialize)]
struct Check {
    values: Vec<f64>,
    accuracy_percent: f64,
    latency_ms: f64,
}

/// The oracle's file.
#[derive(Deserialize)]
pub struct Oracle {
    decisions: Vec<Decision>,
    /// The latency target that published results refer to: about the median of the space.
    pub target_ms: f64,
    models: BTreeMap<String, Forest>,
    checks: Vec<Check>,
}

/// Standard deviations of one observation; zeros for exact ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Of an accuracy, a fraction.
    pub accuracy: f64,
    /// Of a latency, relative.
    pub latency: f64,
}

impl Tree {
    fn leaf(&self, values: &[f64]) -> f64 {
        let mut node = 0;
        while let Ok(feature) = usize::try_from(self.f[node]) {
            let children = if values[feature] <= self.t[node] { &self.l } else { &self.r };
            node = children[node] as usize;
        }
        self.t[node]
    }
}

impl Forest {
    fn predict(&self, values: &[f64]) -> f64 {
        self.base + self.trees.iter().map(|tree| tree.leaf(values)).sum::<f64>()
    }
}

impl Oracle {
    /// Reads the file and makes its checks.
    pub fn load(path: &Path) -> Result<Self, super::Problem> {
        let oracle: Self = serde_json::from_slice(&fs_err::read(path)?)?;
        for check in &oracle.checks {
            let (accuracy, latency_ms) = oracle.of_values(&check.values);
            let off = (100.0 * accuracy - check.accuracy_percent).abs().max((latency_ms - check.latency_ms).abs());
            if off > 1e-3 {
                return Err(format!("{}: a check of the file is off by {off}", path.display()).into());
            }
        }
        Ok(oracle)
    }

    fn of_values(&self, values: &[f64]) -> (f64, f64) {
        let predict = |name: &str| self.models[name].predict(values);
        (predict("accuracy_percent") / 100.0, predict("latency_ms").exp())
    }

    /// True accuracy, a fraction, and latency in milliseconds; `None` for a network of another space.
    pub fn exact(&self, architecture: &Architecture) -> Option<(f64, f64)> {
        let value = |decision: &Decision| {
            let block: &Block = architecture.blocks.get(decision.block)?;
            match decision.name.as_str() {
                "expansion" => Some(block.operator.expansion() as f64),
                "kernel" => Some(block.kernel as f64),
                "layers" => Some(block.layers as f64),
                "squeeze_excite" => Some(f64::from(u8::from(block.squeeze_ratio > 0.0))),
                _ => None,
            }
        };
        let values: Vec<f64> = self.decisions.iter().map(value).collect::<Option<_>>()?;
        let blocks = self.decisions.iter().map(|decision| decision.block + 1).max();
        (Some(architecture.blocks.len()) == blocks).then(|| self.of_values(&values))
    }
}

/// A standard normal number that depends on these and nothing else.
pub fn normal(seed: u64, purpose: &str, architecture: &Architecture) -> f64 {
    let hash = blake3::hash(format!("{seed} {purpose} {architecture}").as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    drawn(&mut mnas::seeded(u64::from_le_bytes(bytes)))
}

fn drawn(random: &mut mnas::Random) -> f64 {
    let (radius, angle): (f64, f64) = (random.gen_range(f64::MIN_POSITIVE..1.0), random.r#gen());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// The oracle as a trainer.
pub struct OracleAccuracy {
    /// What answers.
    pub oracle: Arc<Oracle>,
    /// How exactly.
    pub noise: Noise,
    /// Draws the noise.
    pub seed: u64,
}

impl Accuracy for OracleAccuracy {
    fn describe(&self) -> String {
        format!("Accel-NASBench trees with noise {}", self.noise.accuracy)
    }

    fn workers(&self) -> usize {
        1
    }

    fn evaluate(&self, request: &Request) -> Result<f64, AccuracyError> {
        let missing =
            || AccuracyError::Candidate { id: request.id, problem: "is not of the oracle's space".to_owned() };
        let (accuracy, _) = self.oracle.exact(&request.architecture).ok_or_else(missing)?;
        Ok(accuracy + self.noise.accuracy * normal(self.seed, "accuracy", &request.architecture))
    }
}

/// The oracle as a device: one run a load, every load with a noise of its own, as a device has it.
pub struct OracleDevice {
    oracle: Arc<Oracle>,
    noise: Noise,
    random: mnas::Random,
}

impl OracleDevice {
    /// What answers, how exactly, and the seed of the noise.
    pub fn new(oracle: Arc<Oracle>, noise: Noise, seed: u64) -> Self {
        Self { oracle, noise, random: mnas::seeded(seed) }
    }
}

impl Device for OracleDevice {
    fn description(&self) -> Description {
        Description {
            id: "oracle".into(),
            kind: "simulated".into(),
            model: "Accel-NASBench trees, VCK190".into(),
            runtime: "none: latencies are computed".into(),
            threads: 1,
            clock: Clock::Wall,
        }
    }

    fn reads_files(&self) -> bool {
        false
    }

    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        let known = model.architecture.as_ref().and_then(|architecture| self.oracle.exact(architecture));
        let Some((_, latency_ms)) = known else {
            let problem = "is not of the oracle's space".into();
            return Err(DeviceError::Model { device: "oracle".into(), model: model.name.clone(), problem });
        };
        let factor = (self.noise.latency * drawn(&mut self.random)).exp();
        Ok(Timing { wall_ms: vec![latency_ms * factor], cpu_ms: Vec::new() })
    }
}
