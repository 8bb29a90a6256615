//! The latencies behind a calibration's log of loads.
//!
//! The loads of a batch are one session: latencies and the device's pace at every load are found together
//! ([`crate::device::levels`]), so that a device which slows down for a while spoils no latency. Where networks were
//! measured in batches, some of the first batch are timed again in each (part `anchor`): the median of their latencies
//! now over then is the pace of that whole batch against the first, and is taken out, too.
//!
//! Measured on logs of three hosts by half the loads of each network against the other half (root mean square difference
//! over √2): on an Intel Xeon 2.4 % like this, 2.7 % by the fastest run of the fastest load; on an AMD EPYC 1.6 and 1.8 %
//! from three loads, 0.9 and 1.3 % from six.

use std::collections::HashMap;

use crate::device::levels::{self, Levels};
use crate::device::noise::{DeviceNoise, Noise, NoisePrior};
use crate::statistics::{Normal, median};

/// The part of networks that were timed again to link a batch with the first.
pub(in crate::latency) const ANCHOR: &str = "anchor";

/// One load, in the order of a log.
#[derive(Debug, Clone, Copy)]
pub struct TimedLoad<'a> {
    /// The network's line.
    pub architecture: &'a str,
    /// What it was measured for: a network measured twice for different purposes counts as two.
    pub part: &'a str,
    /// The batch, from 0.
    pub batch: usize,
    /// Every run in ms, or one latency.
    pub runs_ms: &'a [f64],
}

/// A network of a log, for one purpose.
#[derive(Debug, Clone, Copy)]
pub struct LoggedNetwork<'a> {
    /// The network's line.
    pub architecture: &'a str,
    /// What it was measured for.
    pub part: &'a str,
    /// Index of its first load.
    pub first: usize,
    /// ln(latency in ms) on the undisturbed device.
    pub ln_ms: Normal,
}

/// What a log tells.
#[derive(Debug, Clone)]
pub struct Logged<'a> {
    /// Every network and purpose but `anchor`, in the order of their first loads.
    pub networks: Vec<LoggedNetwork<'a>>,
    /// Logarithm of the device's pace at every load: above 0 where it was slow.
    pub paces: Vec<f64>,
    /// The device's noise, as the first batch shows it.
    pub noise: DeviceNoise,
}

/// Latencies, paces and noise behind a log's loads.
///
/// ```
/// use mnas::latency::data::pace::{TimedLoad, logged};
/// let runs = [[1.0], [2.0], [2.02], [1.01], [1.0], [1.99]];
/// let names = ["a", "b", "b", "a", "a", "b"];
/// let loads: Vec<_> = names.iter().zip(&runs)
///     .map(|(architecture, runs_ms)| TimedLoad { architecture, part: "fit", batch: 0, runs_ms })
///     .collect();
/// let networks = logged(&loads).networks;
/// assert_eq!((networks.len(), networks[1].architecture, networks[1].first), (2, "b", 1));
/// assert!((networks[1].ln_ms.mean.exp() - 2.0).abs() < 0.02);
/// ```
pub fn logged<'a>(loads: &[TimedLoad<'a>]) -> Logged<'a> {
    let runs = run_noise(loads);
    let mut logged = Logged { networks: Vec::new(), paces: Vec::new(), noise: DeviceNoise::default() };
    let mut first: HashMap<&str, f64> = HashMap::new();
    let mut before = 0;
    for batch in loads.chunk_by(|a, b| a.batch == b.batch) {
        let (networks, levels) = within(batch, &runs);
        let ratio = |(network, ln_ms): (&LoggedNetwork<'a>, Normal)| {
            (network.part == ANCHOR).then(|| Some(ln_ms.mean - first.get(network.architecture)?)).flatten()
        };
        let known = || networks.iter().zip(&levels.latencies).filter_map(|(network, ln_ms)| Some((network, (*ln_ms)?)));
        let ratios: Vec<f64> = known().filter_map(ratio).collect();
        let whole = if ratios.is_empty() { 0.0 } else { median(&ratios) };
        for (network, ln_ms) in known() {
            let ln_ms = Normal { mean: ln_ms.mean - whole, ..ln_ms };
            if network.part != ANCHOR {
                first.entry(network.architecture).or_insert(ln_ms.mean);
                logged.networks.push(LoggedNetwork { first: before + network.first, ln_ms, ..*network });
            }
        }
        if before == 0 {
            logged.noise = DeviceNoise { runs, loads: levels.noise };
        }
        logged.paces.extend(levels.paces.iter().map(|pace| pace + whole));
        before += batch.len();
    }
    logged
}

/// The noise of the runs within a load.
fn run_noise(loads: &[TimedLoad<'_>]) -> Noise {
    let runs: Vec<Vec<f64>> = crate::spread(loads.len(), 200)
        .into_iter()
        .map(|index| loads[index].runs_ms.iter().map(|ms| ms.ln()).collect())
        .collect();
    Noise::learn(runs.iter().map(Vec::as_slice), NoisePrior::RUNS)
}

/// One batch: its networks, their latencies still to be filled in, and what its loads tell.
fn within<'a>(batch: &[TimedLoad<'a>], runs: &Noise) -> (Vec<LoggedNetwork<'a>>, Levels) {
    let mut indices: HashMap<(&str, &str), usize> = HashMap::new();
    let mut networks = Vec::new();
    let mut timed = Vec::with_capacity(batch.len());
    for (first, load) in batch.iter().enumerate() {
        let model = *indices.entry((load.architecture, load.part)).or_insert(networks.len());
        if model == networks.len() {
            let ln_ms = Normal { mean: 0.0, deviation: 0.0 };
            networks.push(LoggedNetwork { architecture: load.architecture, part: load.part, first, ln_ms });
        }
        timed.push(levels::TimedLoad { model, ln_ms: runs.load(load.runs_ms).unwrap_or(f64::NAN) });
    }
    let levels = Levels::of(&timed, networks.len(), NoisePrior::LOADS);
    (networks, levels)
}
