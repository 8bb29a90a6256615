//! How fast the device is now, compared with when it was calibrated.
//!
//! A machine that trains two networks side by side, heats up or shares its processor with strangers can time everything
//! a quarter slower than during the calibration an hour before. So every session in the loop times a few *anchors* along:
//! networks of the calibration, of known latency, in the same interleaved rounds as what they stand for. They are those
//! that resemble it most, by latency and by the shares that the kinds of work have in it, since other work on the machine
//! slows different networks differently. The session's [`Slowdown`] is the mean of their ln(latency now / latency then),
//! and every latency of the session is divided by it. What one factor cannot repair is in [`crate::device::levels`].

use crate::device::levels::SPREAD;
use crate::device::session::Estimates;
use crate::latency::{DataSet, Feature, Features, Prediction};
use crate::network::Network;
use crate::space::Architecture;
use crate::statistics::{Normal, deviations};

/// Anchors of a session.
pub(in crate::search) const ANCHORS: usize = 4;
/// Share of sessions whose anchors are to lie within what is expected of them.
pub(super) const LEVEL: f64 = 0.97;
/// Deviation of a timing's logarithm, at least: what lies closer matters to no search.
const LEAST_DEVIATION: f64 = 0.02;
/// Loads' worth of the expected spread of slow-downs, beside what the anchors of one session show.
const SPREAD_WEIGHT: f64 = 4.0;
/// No one device drifts further than this.
pub const MOST_DRIFT: f64 = 2.0;

/// A network of known latency.
#[derive(Debug, Clone, PartialEq)]
struct Anchor {
    architecture: Architecture,
    /// ln(latency in ms).
    known: f64,
    profile: Vec<f64>,
}

/// An anchor, and what its timing is expected to be.
pub(super) struct ExpectedAnchor<'a> {
    pub architecture: &'a Architecture,
    pub predicted: Option<Prediction>,
}

/// Networks of known latency; see the module's text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Anchors {
    known: Vec<Anchor>,
}

/// How much slower the device was in a session than when it was calibrated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slowdown {
    /// ln(now / then).
    pub ln: Normal,
    /// By how much the logarithms of the networks' own slow-downs spread around that, beside the noise of timings.
    pub spread: f64,
}

impl Anchors {
    /// Of measurements that were made in one go.
    pub fn of(data: &DataSet) -> Self {
        let anchor = |measurement: &crate::latency::Measurement| Anchor {
            architecture: measurement.architecture.clone(),
            known: measurement.latency_ms.ln(),
            profile: profile(&measurement.features),
        };
        let mut known: Vec<Anchor> = data.measurements().iter().map(anchor).collect();
        let line = |anchor: &Anchor| anchor.architecture.to_string();
        known.sort_by(|a, b| a.known.total_cmp(&b.known).then_with(|| line(a).cmp(&line(b))));
        known.dedup_by(|a, b| a.architecture == b.architecture);
        Self { known }
    }

    /// Those that resemble these networks most, for one session; `expected_ms` are their expected latencies.
    pub(in crate::search) fn like(&self, networks: &[(&Network, f64)]) -> Self {
        let wanted: Vec<(Vec<f64>, f64)> =
            networks.iter().map(|(network, ms)| (profile(&Features::of(network)), ms.ln())).collect();
        let distance = |anchor: &Anchor| -> f64 { wanted.iter().map(|wanted| dissimilarity(anchor, wanted)).sum() };
        let mut ranked: Vec<(f64, &Anchor)> = self.known.iter().map(|anchor| (distance(anchor), anchor)).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { known: ranked.into_iter().take(ANCHORS).map(|(_, anchor)| anchor.clone()).collect() }
    }

    /// Those that can be timed.
    pub(in crate::search) fn without(&self, unusable: impl Fn(&str) -> bool) -> Self {
        let usable = |anchor: &&Anchor| !unusable(&anchor.architecture.to_string());
        Self { known: self.known.iter().filter(usable).cloned().collect() }
    }

    /// The networks.
    pub fn architectures(&self) -> impl Iterator<Item = &Architecture> {
        self.known.iter().map(|anchor| &anchor.architecture)
    }

    /// The drift-corrected latency that is expected of each on the calibrated device, if the logarithm of a
    /// timing has this deviation; without one nothing.
    pub(super) fn expected(
        &self,
        deviation: Option<f64>,
        slowdown: &Slowdown,
    ) -> impl Iterator<Item = ExpectedAnchor<'_>> {
        // It differs from the mean of all, each by its timings then and now: two deviations, added in squares, and some.
        // What slow-downs spread beyond what other work explains is what tells another device.
        let spread = SPREAD * slowdown.ln.mean.abs();
        let half_width =
            deviation.map(|deviation| deviations(LEVEL) * (2.0 * deviation.max(LEAST_DEVIATION)).hypot(spread));
        self.known.iter().map(move |Anchor { architecture, known, .. }| {
            let predicted = half_width.map(|half_width| {
                let [latency_ms, low_ms, high_ms] = [*known, known - half_width, known + half_width].map(f64::exp);
                Prediction { latency_ms, low_ms, high_ms }
            });
            ExpectedAnchor { architecture, predicted }
        })
    }

    /// The slow-down of a session whose models from index `first` on are these anchors; none if none was timed.
    pub fn slowdown(&self, estimates: &Estimates<'_>, first: usize) -> Slowdown {
        let now = (first..).map_while(|index| estimates.ln_latency(index));
        let ratios: Vec<Normal> = now
            .zip(&self.known)
            .map(|(now, anchor)| Normal { mean: now.mean - anchor.known, deviation: now.deviation })
            .collect();
        if ratios.is_empty() {
            return Slowdown { ln: Normal { mean: 0.0, deviation: 0.0 }, spread: 0.0 };
        }
        let count = ratios.len() as f64;
        let mean = ratios.iter().map(|ratio| ratio.mean).sum::<f64>() / count;
        // Both the latency now and the known one are off by their timings.
        let noise = ratios.iter().map(|ratio| 2.0 * ratio.deviation.powi(2)).sum::<f64>() / count;
        let seen: f64 = ratios.iter().map(|ratio| (ratio.mean - mean).powi(2)).sum();
        let beyond_noise = (seen - (count - 1.0) * noise).max(0.0);
        let expected = (SPREAD * mean).powi(2);
        let spread = ((SPREAD_WEIGHT * expected + beyond_noise) / (SPREAD_WEIGHT + count - 1.0)).sqrt();
        let deviation = ((noise + spread.powi(2)) / count).sqrt();
        Slowdown { ln: Normal { mean, deviation }, spread }
    }
}

impl Slowdown {
    /// The latency's logarithm on the device as it was calibrated, given what it was in the session.
    pub fn drift_corrected(&self, ln_ms: Normal) -> Normal {
        let deviation = ln_ms.deviation.hypot(self.ln.deviation).hypot(self.spread);
        Normal { mean: ln_ms.mean - self.ln.mean, deviation }
    }
}

/// The share that each kind of work has in a network, by what it typically costs.
fn profile(features: &Features) -> Vec<f64> {
    let costs: Vec<f64> = Feature::ALL.iter().map(|kind| features.get(*kind) * kind.typical_ms()).collect();
    let total: f64 = costs.iter().sum();
    costs.into_iter().map(|cost| cost / total).collect()
}

/// How different a network is: the share of the work that is of another kind, and the logarithm of the ratio of latencies.
fn dissimilarity(anchor: &Anchor, (profile, ln_ms): &(Vec<f64>, f64)) -> f64 {
    let other: f64 = anchor.profile.iter().zip(profile).map(|(a, b)| (a - b).abs()).sum();
    other / 2.0 + (anchor.known - ln_ms).abs()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::device::noise::DeviceNoise;
    use crate::device::session::{Plan, Session, measure};
    use crate::device::simulated::SimulatedDevice;
    use crate::device::{Description, Device, DeviceError, Model, Timing};
    use crate::latency::calibrate::measure::model_for;
    use crate::space::Space;

    /// The simulated device, as much slower.
    struct Slower(SimulatedDevice, f64);

    impl Device for Slower {
        fn description(&self) -> Description {
            self.0.description()
        }

        fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
            let mut timing = self.0.time(model)?;
            timing.wall_ms.iter_mut().chain(&mut timing.cpu_ms).for_each(|ms| *ms *= self.1);
            Ok(timing)
        }
    }

    #[test]
    fn a_device_that_became_a_fifth_slower_is_found_to_be_so() {
        let space = Space::preset("demo").unwrap();
        let random = &mut crate::seeded(2);
        let mut data = DataSet::default();
        let time = |device: &mut dyn Device, models: &[Model]| {
            let plan = Plan { rounds: 3, seed: 1 };
            measure(device, models, &plan, Vec::new(), &mut |_| ControlFlow::Continue(())).unwrap()
        };
        let latency = |session: &Session| session.estimates(DeviceNoise::default()).ln_latency(0).unwrap().mean.exp();
        for _ in 0..12 {
            let architecture = space.decode(&space.sample(random)).unwrap();
            let device = &mut SimulatedDevice::new(1);
            let model = model_for(device, &architecture).unwrap();
            data.push(&architecture, latency(&time(device, &[model])), "").unwrap();
        }
        let anchors = Anchors::of(&data);
        let wanted = data.measurements()[5].clone();
        let network = Network::expand(&wanted.architecture).unwrap();
        let few = anchors.like(&[(&network, wanted.latency_ms)]);
        assert_eq!(few.known.len(), ANCHORS);
        assert_eq!(few.known[0].architecture, wanted.architecture, "a network resembles itself most");
        let slowdown = |factor| {
            let device = &mut Slower(SimulatedDevice::new(1), factor);
            let models: Vec<Model> =
                few.architectures().map(|architecture| model_for(device, architecture).unwrap()).collect();
            few.slowdown(&time(device, &models).estimates(DeviceNoise::default()), 0)
        };
        let (same, slower) = (slowdown(1.0), slowdown(1.2));
        assert!(same.ln.mean.abs() < 0.01 && same.spread < 0.01, "{same:?}");
        assert!((slower.ln.mean - 1.2_f64.ln()).abs() < 0.01, "{slower:?}");
        // What one factor repairs of a fifth is sure to some percent only.
        let drift_corrected = slower.drift_corrected(Normal { mean: 0.0, deviation: 0.01 });
        assert!((0.03..0.08).contains(&drift_corrected.deviation), "{drift_corrected:?}");
    }
}
