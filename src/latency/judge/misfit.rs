//! Why measurements do not fit a predictor: the device has drifted, it is another one, or its networks are of a kind that
//! the predictor has not seen.
//!
//! | found | said |
//! |---|---|
//! | work of a kind in no network that was fitted takes at least `SHARE` of half of the networks, or their multiply-adds lie beyond twice the range of those fitted | other networks |
//! | the file names a source that the predictor does not come from, or the median ratio is beyond `DRIFT` either way | another device |
//! | anything else that raises an alarm ([`super::drift`]) | drift |
//!
//! Only drift is answered by calibrating the same device again. The others are answered by a warm start: the old
//! calibration is a good first guess, and a few networks teach the rest.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::drift::{Alarm, Drift};
use super::validation::Pair;
use crate::latency::data::DataSet;
use crate::latency::data::features::{Feature, Features};
use crate::latency::predict::predictor::Predictor;
use crate::statistics::median;

/// Share of a network's predicted latency from which work that was never fitted matters.
const SHARE: f64 = 0.02;
/// Factor beyond which a device has not merely drifted.
const DRIFT: f64 = 1.3;
/// Factor by which networks may be smaller or larger than any that was fitted.
const SIZE: f64 = 2.0;
/// Results from which a median means something.
const LEAST_RESULTS: usize = 3;
/// Percent of the networks in their intervals below which a predictor does not fit, whatever its level.
const LEAST_COVERAGE: f64 = 50.0;

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Misfit {
    /// The device is no longer as it was.
    Drift {
        /// How.
        alarm: Alarm,
    },
    /// Another device, or other settings of it.
    OtherDevice {
        /// Median of measured over predicted latency.
        typical_ratio: f64,
        /// Sources that the predictor does not come from.
        sources: Vec<String>,
    },
    /// Networks unlike those that were fitted.
    OtherNetworks {
        /// Median of measured over predicted latency.
        typical_ratio: f64,
        /// Kinds of work that no fitted network has.
        unseen: Vec<String>,
        /// How many of the networks are unlike them.
        networks: usize,
    },
}

impl Misfit {
    /// Why the file's measurements do not fit, if they do not.
    pub fn of(predictor: &Predictor, data: &DataSet, pairs: &[Pair], coverage: f64) -> Option<Self> {
        let ratios: Vec<f64> = pairs.iter().map(|pair| pair.measured_ms / pair.predicted.latency_ms).collect();
        let typical_ratio = median(&ratios);
        let mut drift = Drift::new(predictor.level());
        pairs.iter().for_each(|pair| drift.observe(pair.predicted, pair.measured_ms));
        let alarm = drift.alarm();
        let far = !(1.0 / DRIFT..=DRIFT).contains(&typical_ratio);
        let known = pairs.len() >= LEAST_RESULTS;
        let (networks, unseen) = unlike(predictor, data);
        if 2 * networks >= data.len() && networks > 0 {
            // Worth saying whether or not the predictor was lucky.
            return Some(Self::OtherNetworks { typical_ratio, unseen, networks });
        }
        if alarm.is_none() && !(known && (far || coverage < LEAST_COVERAGE)) {
            return None;
        }
        match foreign_sources(predictor, data) {
            Some(sources) if far || !sources.is_empty() => Some(Self::OtherDevice { typical_ratio, sources }),
            _ => alarm.map(|alarm| Self::Drift { alarm }),
        }
    }

    /// The alarm, where it is drift.
    pub fn alarm(&self) -> Option<Alarm> {
        match self {
            Self::Drift { alarm } => Some(*alarm),
            _ => None,
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warm = "start a calibration of its own from this one: mnas calibrate --from CSV --warm-start DIR --out OTHER (or \
                    --device ID instead of --from)";
        match self {
            Self::Drift { alarm } => write!(formatter, "drift: {alarm}; if it is another phone or setting, {warm}"),
            Self::OtherDevice { typical_ratio, sources } => {
                let sources = match sources.as_slice() {
                    [] => String::new(),
                    sources => format!(", from {}", sources.join(", ")),
                };
                write!(
                    formatter,
                    "another device: latencies are {typical_ratio:.2} times what the predictor says{sources}; that is \
                     another phone, or other settings (cores, threads, precision), and no drift: {warm}"
                )
            }
            Self::OtherNetworks { typical_ratio, unseen, networks } => {
                let unseen = match unseen.as_slice() {
                    [] => String::new(),
                    unseen => format!(" (never measured: {})", unseen.join(", ")),
                };
                write!(
                    formatter,
                    "other networks: {networks} are of another family or size than those the predictor was fitted to{unseen}; \
                     their latencies are {typical_ratio:.2} times what it says, and that is no drift: {warm}"
                )
            }
        }
    }
}

/// The file's sources that the predictor does not come from; `None` where the file names the predictor's own device, which
/// then is no other one whatever its latencies.
fn foreign_sources(predictor: &Predictor, data: &DataSet) -> Option<Vec<String>> {
    let mut own: HashSet<&str> = predictor.scales().iter().map(|scale| scale.source.as_str()).collect();
    own.extend(predictor.provenance().device.as_ref().map(|device| device.id.as_str()));
    own.remove("");
    let sources = data.sources();
    let named = sources.iter().map(|source| source.source.as_str()).filter(|source| !source.is_empty());
    if named.clone().any(|source| own.contains(source)) {
        return None;
    }
    // A predictor that knows no source can tell none from others.
    Some(if own.is_empty() { Vec::new() } else { named.map(str::to_owned).collect() })
}

/// How many networks are unlike those that were fitted, and by what work.
fn unlike(predictor: &Predictor, data: &DataSet) -> (usize, Vec<String>) {
    let fitted = predictor.fitted_networks();
    let madds = || fitted.iter().map(Features::madds);
    let (least, most) = (madds().fold(f64::INFINITY, f64::min) / SIZE, madds().fold(0.0, f64::max) * SIZE);
    let known: HashSet<usize> = (0..Feature::ALL.len())
        .filter(|feature| fitted.iter().any(|features| features.totals()[*feature] > 0.0))
        .collect();
    let mut unseen: Vec<usize> = Vec::new();
    let mut networks = 0;
    for row in data.measurements() {
        let parts: Vec<f64> = Feature::ALL
            .iter()
            .zip(row.features.totals())
            .map(|(feature, amount)| feature.typical_ms() * amount)
            .collect();
        let whole: f64 = parts.iter().sum();
        let foreign: Vec<usize> =
            (0..parts.len()).filter(|feature| !known.contains(feature) && parts[*feature] > SHARE * whole).collect();
        networks += usize::from(!foreign.is_empty() || !(least..=most).contains(&row.features.madds()));
        unseen.extend(foreign);
    }
    unseen.sort_unstable();
    unseen.dedup();
    (networks, unseen.into_iter().map(|feature| Feature::ALL[feature].name().to_owned()).collect())
}
