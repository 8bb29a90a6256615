//! Several rows of one network: what they say together, and where they contradict each other.
//!
//! Rows that differ by no more than a factor of `CONTRADICTION` are repeats. The noise of all of them is learnt
//! together ([`Noise::learn`]), and each network's latency is located under it: a mean where the noise is symmetric, less
//! where rows were delayed. Rows that differ by more contradict each other, and that is said. Where more than half of
//! them agree within `AGREEMENT` of their median, the noise's share of stray timings deals with the others. Where not,
//! nothing tells which is right, and the network is left out.

use serde::Serialize;

use crate::device::noise::{DeviceNoise, Noise, NoisePrior, Observation};
use crate::statistics::median;

/// Largest over smallest latency of one network's rows from which they contradict each other.
const CONTRADICTION: f64 = 2.0;
/// Factor of their median within which rows agree.
const AGREEMENT: f64 = 1.25;
/// Networks with repeats from which a device's noise is known: with fewer, what was expected of it would be stated as
/// found.
const LEAST_REPEATED: usize = 10;

/// Rows of one network that say different things.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contradiction {
    /// The network.
    pub architecture: String,
    /// Where the rows stand, counted from 1, header included.
    pub lines: Vec<u64>,
    /// What they say.
    pub latencies_ms: Vec<f64>,
    /// Whether most of them agree, so that their latency counts; else the network is left out.
    pub settled: bool,
}

/// One network's rows.
pub(super) struct Group {
    pub lines: Vec<u64>,
    pub latencies_ms: Vec<f64>,
}

impl Group {
    fn contradicts(&self) -> bool {
        let most = self.latencies_ms.iter().copied().fold(0.0, f64::max);
        let least = self.latencies_ms.iter().copied().fold(f64::INFINITY, f64::min);
        most > CONTRADICTION * least
    }

    fn is_settled(&self) -> bool {
        let middle = median(&self.latencies_ms);
        let agrees = |ms: &&f64| **ms <= AGREEMENT * middle && middle <= AGREEMENT * **ms;
        2 * self.latencies_ms.iter().filter(agrees).count() > self.latencies_ms.len()
    }

    /// What the rows contradict each other in, if they do.
    pub fn contradiction(&self, architecture: &str) -> Option<Contradiction> {
        let Self { lines, latencies_ms } = self;
        self.contradicts().then(|| Contradiction {
            architecture: architecture.to_owned(),
            lines: lines.clone(),
            latencies_ms: latencies_ms.clone(),
            settled: self.is_settled(),
        })
    }
}

/// The latency of each group in milliseconds, and the noise where enough networks were repeated.
pub(super) fn located(groups: &[&Group]) -> (Vec<f64>, Option<DeviceNoise>) {
    let logs: Vec<Vec<f64>> =
        groups.iter().map(|group| group.latencies_ms.iter().map(|ms| ms.ln()).collect()).collect();
    let repeated = logs.iter().filter(|group| group.len() > 1).count();
    if repeated == 0 {
        return (groups.iter().map(|group| group.latencies_ms[0]).collect(), None);
    }
    let loads = Noise::learn(logs.iter().map(Vec::as_slice), NoisePrior::LOADS);
    let latency = |(group, logs): (&&Group, &Vec<f64>)| match logs.len() {
        // Through no logarithm: what is measured once is what was measured.
        1 => group.latencies_ms[0],
        _ => loads.locate(&logs.iter().copied().map(Observation::of).collect::<Vec<_>>()).mean.exp(),
    };
    let noise = (repeated >= LEAST_REPEATED).then(|| DeviceNoise { loads, ..DeviceNoise::default() });
    (groups.iter().zip(&logs).map(latency).collect(), noise)
}
