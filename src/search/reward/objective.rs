//! One reward for several devices.
//!
//! Each device i has its target T_i and a weight v_i, and ρ_i = (LAT_i/T_i)^v_i is its weighted ratio. With the factor
//! g(ρ) = ρ^w of the reward (w = α where ρ ≤ 1, else β; see [`super::target`]):
//!
//! | `combine` | soft, hard | absolute |
//! |---|---|---|
//! | `worst` | ACC · min g(ρ_i) | ACC + min β v_i \|LAT_i/T_i − 1\| |
//! | `product` | ACC · Π g(ρ_i) | ACC + Σ β v_i \|LAT_i/T_i − 1\| |
//!
//! Both are written as the reward of one *combined latency*: the latency with which the first device alone, at its
//! target, would earn the same. So everything that weighs a latency against a target weighs this one, and with one
//! device of weight 1 it is that device's latency.
//!
//! ```
//! use mnas::search::{Combine, DeviceTarget, Objective, RewardKind, TargetOptions};
//! let options =
//!     TargetOptions { latency_ms: 20.0, reward: RewardKind::Hard, alpha: None, beta: None, combine: Combine::Worst };
//! let devices = vec![DeviceTarget::new(20.0, 1.0), DeviceTarget::new(50.0, 1.0)];
//! let objective = Objective::new(options.check()?, devices, options.combine);
//! // 10 % above on the second device, well below on the first.
//! assert!((objective.combined_ms(&[15.0, 55.0]) - 22.0).abs() < 1e-9);
//! assert!((objective.reward(0.77, &[15.0, 55.0]).total.value - 0.70).abs() < 1e-9);
//! # Ok::<(), mnas::search::TargetError>(())
//! ```

use crate::statistics::Normal;
use serde::{Deserialize, Serialize};

use super::target::{Reward, RewardKind, Target};

/// How the devices' parts make one reward; the module's text has the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// The device that costs the most reward decides.
    #[default]
    Worst,
    /// Every device's factor counts.
    Product,
}

impl Combine {
    /// As the search file names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worst => "worst",
            Self::Product => "product",
        }
    }
}

/// What is wanted of one device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DeviceTarget {
    /// T in milliseconds.
    pub latency_ms: f64,
    /// How much its ratio counts; 1 is the usual.
    pub weight: f64,
}

impl DeviceTarget {
    /// A target with its weight, both above 0.
    pub fn new(latency_ms: f64, weight: f64) -> Self {
        Self { latency_ms, weight }
    }
}

/// A reward with the parts that the devices have in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CombinedReward {
    /// The whole, with the combined latency.
    pub total: Reward,
    /// What each device alone would make of the accuracy, its weight counted.
    pub devices: Vec<Reward>,
}

/// What rewards are computed with: the reward's form, and the targets of all devices.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Objective {
    target: Target,
    devices: Vec<DeviceTarget>,
    combine: Combine,
}

impl Objective {
    /// The form of the reward is `target`'s, and the first device's T becomes its T. At least one device.
    pub fn new(target: Target, devices: Vec<DeviceTarget>, combine: Combine) -> Self {
        let target = devices.first().map_or(target, |first| target.with_latency(first.latency_ms));
        Self { target, devices, combine }
    }

    /// What a combined latency is weighed with.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Every device's target, in the search file's order.
    pub fn devices(&self) -> &[DeviceTarget] {
        &self.devices
    }

    /// How the devices' parts make one reward.
    pub fn combine(&self) -> Combine {
        self.combine
    }

    /// Whether there is but one device, of weight 1: its latency is the combined one.
    pub fn is_plain(&self) -> bool {
        matches!(self.devices.as_slice(), [DeviceTarget { weight: 1.0, .. }])
    }

    /// The same with another T for the first device, and the others' in proportion.
    pub fn at(&self, latency_ms: f64) -> Self {
        let factor = latency_ms / self.target.latency_ms();
        let mut devices = self.devices.clone();
        devices.iter_mut().for_each(|device| device.latency_ms *= factor);
        if let Some(first) = devices.first_mut() {
            first.latency_ms = latency_ms;
        }
        Self::new(self.target, devices, self.combine)
    }

    /// The same targets with another form of the reward.
    pub fn with_form(&self, form: Target) -> Self {
        Self::new(form, self.devices.clone(), self.combine)
    }

    /// The reward of an accuracy with the latency on every device, all of its parts.
    pub fn reward(&self, accuracy: f64, latencies_ms: &[f64]) -> CombinedReward {
        let alone = |(device, latency_ms): (&DeviceTarget, &f64)| {
            let alone = Self::new(self.target, vec![*device], self.combine);
            alone.target.reward(accuracy, alone.combined_ms(&[*latency_ms]))
        };
        CombinedReward {
            total: self.target.reward(accuracy, self.combined_ms(latencies_ms)),
            devices: self.devices.iter().zip(latencies_ms).map(alone).collect(),
        }
    }

    /// The latency with which the first device alone, with weight 1, would earn the same.
    pub fn combined_ms(&self, latencies_ms: &[f64]) -> f64 {
        match latencies_ms {
            [latency_ms] if self.is_plain() => *latency_ms,
            _ => self.target.latency_ms() * self.combined_ratio(latencies_ms),
        }
    }

    /// The logarithm of the combined latency, given those of the devices' latencies.
    pub fn combined_ln(&self, ln_latencies: &[f64]) -> f64 {
        match ln_latencies {
            [only] if self.is_plain() => *only,
            _ => {
                let latencies: Vec<f64> = ln_latencies.iter().map(|ln_latency| ln_latency.exp()).collect();
                self.combined_ms(&latencies).ln()
            }
        }
    }

    /// Posterior of the logarithm of the combined latency, given those of the devices' latencies: its mean is
    /// the combined latency of the means, its variance the sum over the devices of (½ · difference between one deviation
    /// more and one less there)². For a product of soft factors that is exact.
    pub fn combined_posterior(&self, posteriors: &[Normal]) -> Normal {
        if let [only] = posteriors
            && self.is_plain()
        {
            return *only;
        }
        let means: Vec<f64> = posteriors.iter().map(|posterior| posterior.mean).collect();
        let half_difference = |device: usize| {
            let shifted = |by: f64| {
                let mut shifted = means.clone();
                shifted[device] += by;
                self.combined_ln(&shifted)
            };
            let deviation = posteriors[device].deviation;
            (shifted(deviation) - shifted(-deviation)) / 2.0
        };
        let variance: f64 = (0..posteriors.len()).map(|device| half_difference(device).powi(2)).sum();
        Normal { mean: self.combined_ln(&means), deviation: variance.sqrt() }
    }

    /// The probability that every device keeps to its target, given the posteriors of the logarithms of the latencies.
    pub fn chance_to_keep(&self, posteriors: &[Normal]) -> f64 {
        let kept = |(posterior, device): (&Normal, &DeviceTarget)| posterior.chance_below(device.latency_ms.ln());
        posteriors.iter().zip(&self.devices).map(kept).product()
    }

    /// The largest of the devices' LAT/T.
    pub fn worst_ratio(&self, latencies_ms: &[f64]) -> f64 {
        self.ratios(latencies_ms).map(|(ratio, _)| ratio).fold(0.0, f64::max)
    }

    /// Every device's LAT/T and weight.
    fn ratios(&self, latencies_ms: &[f64]) -> impl Iterator<Item = (f64, f64)> {
        let pairs = self.devices.iter().zip(latencies_ms);
        pairs.map(|(device, latency_ms)| (latency_ms / device.latency_ms, device.weight))
    }

    fn combined_ratio(&self, latencies_ms: &[f64]) -> f64 {
        match (self.target.kind(), self.combine) {
            (RewardKind::Absolute, combine) => self.absolute_ratio(latencies_ms, combine),
            (RewardKind::Soft | RewardKind::Hard, combine) => {
                let logarithms: Vec<f64> =
                    self.ratios(latencies_ms).map(|(ratio, weight)| weight * ratio.ln()).collect();
                let most = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                match combine {
                    // g never rises, so the largest ratio has the least factor.
                    Combine::Worst => most.exp(),
                    Combine::Product => self.inverse(&logarithms, most).exp(),
                }
            }
        }
    }

    /// The ln ρ whose ln g(ρ) is the sum of those of `logarithms`, of which `most` is the largest.
    fn inverse(&self, logarithms: &[f64], most: f64) -> f64 {
        let (alpha, beta) = self.target.weights();
        let sum: f64 = logarithms.iter().map(|ln_ratio| ln_ratio * if *ln_ratio <= 0.0 { alpha } else { beta }).sum();
        match sum {
            sum if sum < 0.0 => sum / beta,
            sum if sum > 0.0 => sum / alpha,
            // All lie where g is flat: any ratio there earns the same.
            _ if alpha == 0.0 || beta == 0.0 => most,
            _ => 0.0,
        }
    }

    /// 1 and what the distances from 1 cost together, above 1 if any device is and below otherwise.
    fn absolute_ratio(&self, latencies_ms: &[f64], combine: Combine) -> f64 {
        let costs = self.ratios(latencies_ms).map(|(ratio, weight)| (weight * (ratio - 1.0).abs(), ratio > 1.0));
        let (cost, above) = match combine {
            Combine::Worst => costs.fold((0.0, false), |worst, one| if one.0 > worst.0 { one } else { worst }),
            Combine::Product => costs.fold((0.0, false), |sum, one| (sum.0 + one.0, sum.1 || one.1)),
        };
        if above || cost >= 1.0 { 1.0 + cost } else { 1.0 - cost }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::search::settings::TargetOptions;

    fn form(reward: RewardKind, alpha: Option<f64>, beta: Option<f64>) -> Target {
        TargetOptions { latency_ms: 1.0, reward, alpha, beta, combine: Combine::Worst }.check().unwrap()
    }

    fn forms() -> impl Strategy<Value = Target> {
        prop_oneof![
            Just(form(RewardKind::Soft, None, None)),
            Just(form(RewardKind::Hard, None, None)),
            Just(form(RewardKind::Soft, Some(-0.2), Some(-0.6))),
            Just(form(RewardKind::Soft, Some(-0.2), Some(0.0))),
            Just(form(RewardKind::Absolute, None, None)),
        ]
    }

    /// Targets with weights, and latencies.
    fn devices(weights: std::ops::Range<f64>) -> impl Strategy<Value = Vec<(DeviceTarget, f64)>> {
        let one = (1.0..100.0_f64, weights, 0.2..4.0_f64);
        let device = |(target, weight, ratio): (f64, f64, f64)| (DeviceTarget::new(target, weight), target * ratio);
        prop::collection::vec(one.prop_map(device), 1..5)
    }

    /// What one device costs: the factor, or what is added.
    fn term(form: &Target, device: &DeviceTarget, latency_ms: f64) -> f64 {
        let (alpha, beta) = form.weights();
        let ratio = latency_ms / device.latency_ms;
        match form.kind() {
            RewardKind::Absolute => beta * device.weight * (ratio - 1.0).abs(),
            _ => ratio.powf(device.weight * if ratio <= 1.0 { alpha } else { beta }),
        }
    }

    proptest! {
        #[test]
        fn the_reward_is_what_the_formulas_say(
            form in forms(), devices in devices(0.3..2.0), accuracy in 0.1..0.9_f64, product in any::<bool>(),
        ) {
            let (targets, latencies): (Vec<DeviceTarget>, Vec<f64>) = devices.into_iter().unzip();
            let combine = if product { Combine::Product } else { Combine::Worst };
            let found = Objective::new(form, targets.clone(), combine).reward(accuracy, &latencies);
            let terms = targets.iter().zip(&latencies).map(|(target, latency_ms)| term(&form, target, *latency_ms));
            let absolute = form.kind() == RewardKind::Absolute;
            let together = match combine {
                Combine::Worst => terms.clone().fold(f64::INFINITY, f64::min),
                Combine::Product if absolute => terms.clone().sum(),
                Combine::Product => terms.clone().product(),
            };
            let of = |term: f64| if absolute { accuracy + term } else { accuracy * term };
            prop_assert!((found.total.value - of(together)).abs() < 1e-9, "{found:?}");
            for (part, term) in found.devices.iter().zip(terms) {
                prop_assert!((part.value - of(term)).abs() < 1e-9, "{found:?}");
            }
        }

        #[test]
        fn one_device_is_the_plain_reward_to_the_last_bit(form in forms(), latency_ms in 0.1..99.0_f64, t in 1.0..50.0_f64) {
            let objective = Objective::new(form, vec![DeviceTarget::new(t, 1.0)], Combine::Product);
            prop_assert_eq!(objective.combined_ms(&[latency_ms]), latency_ms);
            prop_assert_eq!(objective.reward(0.7, &[latency_ms]).total, form.at(t).unwrap().reward(0.7, latency_ms));
        }

        #[test]
        fn the_order_of_the_devices_does_not_matter_and_another_device_never_helps_the_worst(
            form in forms(), devices in devices(0.5..1.5),
        ) {
            for combine in [Combine::Worst, Combine::Product] {
                let reward = |devices: &[(DeviceTarget, f64)]| {
                    let (targets, latencies): (Vec<DeviceTarget>, Vec<f64>) = devices.iter().copied().unzip();
                    Objective::new(form, targets, combine).reward(0.7, &latencies).total.value
                };
                let mut backwards = devices.clone();
                backwards.reverse();
                prop_assert!((reward(&devices) - reward(&backwards)).abs() < 1e-9);
                if combine == Combine::Worst && devices.len() > 1 {
                    prop_assert!(reward(&devices) <= reward(&devices[1..]) + 1e-12);
                }
            }
        }

        #[test]
        fn slower_on_one_device_is_never_faster_altogether(form in forms(), devices in devices(0.5..1.5), slower in 1.0..3.0_f64) {
            prop_assume!(form.kind() != RewardKind::Absolute);
            let (targets, mut latencies): (Vec<DeviceTarget>, Vec<f64>) = devices.into_iter().unzip();
            for combine in [Combine::Worst, Combine::Product] {
                let objective = Objective::new(form, targets.clone(), combine);
                let before = objective.reward(0.7, &latencies).total.value;
                latencies[0] *= slower;
                prop_assert!(objective.reward(0.7, &latencies).total.value <= before + 1e-12);
            }
        }
    }
}
