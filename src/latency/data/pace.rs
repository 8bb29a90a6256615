//! How fast the device was while each load was timed.
//!
//! Clocks and heat make a device slower or faster for minutes at a time, other work for a second or ten. Interleaved
//! rounds spread both over all networks. Every load says something about its moment: how much slower it was than the
//! fastest loads of its network. The *pace* of a moment is the lowest tenth of these ratios over 31 neighbouring loads,
//! nearly all of other networks; latencies are divided by it. Levels of networks, the lowest tenth of their loads, and
//! paces are found in turn. Lowest tenths, because what other work disturbs says nothing about the pace: where half of all
//! loads are disturbed for a second or ten, a running median follows the disturbances and spoils the undisturbed loads.
//!
//! Where networks were measured in batches, some of the first batch are timed again in each (part `anchor`): the median
//! of their levels now over then is the pace of that whole batch against the first.
//!
//! Measured on six calibrations of a shared two-core host, by the error of predictors fitted to 100 networks (60 in the
//! last) on other networks, without a pace, with running medians over 31 loads, and like this: 3.4, 2.8, 3.1, 4.1, 2.6,
//! 3.4 %; 5.4, 3.3, 4.2, 3.5, 2.1, 5.5 %; 3.7, 2.6, 3.1, 3.1, 2.1, 3.3 %. (The fourth ran on two threads, the last on the
//! interpreter's own kernels; medians were taken with the lower quartile of a network's loads, the others with the
//! fastest.) Windows of 21 and 61 loads did as well.

use std::collections::HashMap;

use crate::device::statistics::{median, quantile};

/// Loads behind one pace, itself included.
const WINDOW: usize = 31;
/// What counts of the loads of a network, and of those around a moment: the undisturbed ones.
const UNDISTURBED: f64 = 0.1;
/// Alternations between the networks' levels and the paces.
const ROUNDS: usize = 4;
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
    /// What it took.
    pub latency_ms: f64,
}

/// The pace of every load: above 1 where the device was slow. 1 where nothing can be told, as when every network was
/// loaded once.
///
/// ```
/// use mnas::latency::data::pace::{TimedLoad, paces};
/// // Two networks, of which every round is slower than the one before.
/// let round = |slow: f64| [("a", 1.0 * slow), ("b", 2.0 * slow)];
/// let loads = [1.0, 1.1, 1.2].map(round).concat();
/// let loads: Vec<_> = loads.iter()
///     .map(|(architecture, latency_ms)| TimedLoad { architecture, part: "fit", batch: 0, latency_ms: *latency_ms })
///     .collect();
/// assert_eq!(paces(&loads).len(), 6);
/// ```
pub fn paces(loads: &[TimedLoad]) -> Vec<f64> {
    let mut paces = Vec::with_capacity(loads.len());
    let mut first: HashMap<&str, f64> = HashMap::new();
    for batch in loads.chunk_by(|a, b| a.batch == b.batch) {
        let within = Within::of(batch);
        let ratios = batch.iter().zip(&within.networks).filter(|(load, _)| load.part == ANCHOR);
        let ratios: Vec<f64> = ratios
            .filter_map(|(load, &network)| Some(within.levels[network] - first.get(load.architecture)?))
            .collect();
        let whole = if ratios.is_empty() { 0.0 } else { median(&ratios) };
        for (load, network) in batch.iter().zip(&within.networks) {
            first.entry(load.architecture).or_insert(within.levels[*network] - whole);
        }
        paces.extend(within.paces.iter().map(|pace| (pace + whole).exp()));
    }
    paces
}

/// One batch in logarithms.
struct Within {
    /// Every load's network.
    networks: Vec<usize>,
    /// By network.
    levels: Vec<f64>,
    /// By load.
    paces: Vec<f64>,
}

impl Within {
    fn of(batch: &[TimedLoad]) -> Self {
        let mut indices: HashMap<(&str, &str), usize> = HashMap::new();
        let mut loads_of: Vec<Vec<usize>> = Vec::new();
        let mut networks = Vec::with_capacity(batch.len());
        for (at, load) in batch.iter().enumerate() {
            let network = *indices.entry((load.architecture, load.part)).or_insert(loads_of.len());
            if network == loads_of.len() {
                loads_of.push(Vec::new());
            }
            loads_of[network].push(at);
            networks.push(network);
        }
        let logs: Vec<f64> = batch.iter().map(|load| load.latency_ms.ln()).collect();
        let mut found = Self { networks, levels: Vec::new(), paces: vec![0.0; batch.len()] };
        for _ in 0..ROUNDS {
            found.level(&loads_of, &logs);
            let residuals: Vec<f64> =
                logs.iter().zip(&found.networks).map(|(log, &network)| log - found.levels[network]).collect();
            found.paces = running(&residuals);
        }
        found.level(&loads_of, &logs);
        found
    }

    fn level(&mut self, loads_of: &[Vec<usize>], logs: &[f64]) {
        let freed = |&at: &usize| logs[at] - self.paces[at];
        let level = |loads: &Vec<usize>| quantile(&loads.iter().map(freed).collect::<Vec<_>>(), UNDISTURBED);
        self.levels = loads_of.iter().map(level).collect();
    }
}

/// The running low quantile, less what it is in the middle of the log: paces are around 1.
fn running(residuals: &[f64]) -> Vec<f64> {
    let around = |at: usize| &residuals[at.saturating_sub(WINDOW / 2)..(at + WINDOW / 2 + 1).min(residuals.len())];
    let paces: Vec<f64> = (0..residuals.len()).map(|at| quantile(around(at), UNDISTURBED)).collect();
    let typical = median(&paces);
    paces.into_iter().map(|pace| pace - typical).collect()
}
