//! The acquisition function: the posterior of a network's accuracy and latency, its expected reward and its expected
//! improvement.
//!
//! Accuracy A and ln(latency) are independent normal variables. At a given latency every reward is affine in the
//! accuracy, R = r₀ + r₁ A, so its expectation and its expected improvement over a best reward b (Jones, Schonlau and
//! Welch 1998, equation 15) are closed forms there:
//!
//! EI = (μ − b) Φ(u) + σ φ(u), u = (μ − b) / σ, μ = r₀ + r₁ mean(A), σ = r₁ deviation(A).
//!
//! Over the latency they are averaged by Gauss-Hermite quadrature, which is what makes a limit count in proportion to
//! the chance of missing it.

use crate::search::reward::Target;
use crate::statistics::Normal;

/// Nodes and weights of the quadrature for a standard normal variable (Abramowitz and Stegun, table 25.10, n = 5).
const NODES: [(f64, f64); 5] = [
    (-2.856_970_013_872_806, 0.011_257_411_327_720_69),
    (-1.355_626_179_974_266, 0.222_075_922_005_612_7),
    (0.0, 0.533_333_333_333_333_3),
    (1.355_626_179_974_266, 0.222_075_922_005_612_7),
    (2.856_970_013_872_806, 0.011_257_411_327_720_69),
];

/// The posterior of one network: two independent normal variables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Of its accuracy, a fraction.
    pub accuracy: Normal,
    /// Of the natural logarithm of its latency in milliseconds.
    pub ln_latency: Normal,
}

impl Posterior {
    /// The expected reward.
    pub fn expected_reward(&self, target: &Target) -> f64 {
        self.average(|latency_ms| target.reward(self.accuracy.mean, latency_ms).value)
    }

    /// The reward at the lower confidence bound of the latency: so many deviations below the posterior mean of its
    /// logarithm.
    pub fn optimistic_reward(&self, target: &Target, deviations: f64) -> f64 {
        let latency_ms = (self.ln_latency.mean - deviations * self.ln_latency.deviation).exp();
        target.reward(self.accuracy.mean, latency_ms).value
    }

    /// The expected improvement of the reward on `best`: E\[max(reward − best, 0)\].
    pub fn expected_improvement(&self, target: &Target, best: f64) -> f64 {
        self.average(|latency_ms| {
            let none = target.reward(0.0, latency_ms).value;
            let slope = target.reward(1.0, latency_ms).value - none;
            let (mean, deviation) = (none + slope * self.accuracy.mean, slope * self.accuracy.deviation);
            Normal { mean: mean - best, deviation }.expected_excess()
        })
    }

    fn average(&self, value: impl Fn(f64) -> f64) -> f64 {
        let at = |node: f64| value((self.ln_latency.mean + node * self.ln_latency.deviation).exp());
        NODES.iter().map(|(node, weight)| weight * at(*node)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::reward::RewardKind;
    use crate::search::settings::TargetOptions;
    use proptest::prelude::*;

    fn target(reward: RewardKind) -> Target {
        TargetOptions { latency_ms: 10.0, reward, alpha: None, beta: None, combine: Default::default() }
            .check()
            .unwrap()
    }

    fn posterior(accuracy: f64, deviation: f64, latency_ms: f64, relative: f64) -> Posterior {
        Posterior {
            accuracy: Normal { mean: accuracy, deviation },
            ln_latency: Normal { mean: latency_ms.ln(), deviation: relative },
        }
    }

    proptest! {
        #[test]
        fn what_is_certain_has_the_reward_itself(accuracy in 0.1..0.9_f64, latency in 1.0..50.0_f64, best in 0.0..1.0_f64) {
            for kind in [RewardKind::Soft, RewardKind::Hard, RewardKind::Absolute] {
                let (target, known) = (target(kind), posterior(accuracy, 0.0, latency, 0.0));
                let reward = target.reward(accuracy, latency).value;
                prop_assert!((known.expected_reward(&target) - reward).abs() < 1e-12);
                prop_assert!((known.expected_improvement(&target, best) - (reward - best).max(0.0)).abs() < 1e-9);
            }
        }

        #[test]
        fn a_less_certain_accuracy_has_more_expected_improvement(
            accuracy in 0.1..0.9_f64, latency in 1.0..50.0_f64, best in 0.0..1.0_f64, deviation in 0.001..0.05_f64,
        ) {
            let target = target(RewardKind::Soft);
            let narrow = posterior(accuracy, deviation, latency, 0.05).expected_improvement(&target, best);
            let wide = posterior(accuracy, 1.5 * deviation, latency, 0.05).expected_improvement(&target, best);
            prop_assert!(wide >= narrow - 1e-7 && narrow >= 0.0);
        }
    }

    #[test]
    fn under_a_hard_limit_an_uncertain_latency_near_it_costs_and_one_far_below_does_not() {
        let target = target(RewardKind::Hard);
        let near = |deviation| posterior(0.7, 0.0, 9.9, deviation).expected_reward(&target);
        assert!(near(0.2) < 0.97 * near(0.0));
        assert!((posterior(0.7, 0.0, 4.0, 0.2).expected_reward(&target) - 0.7).abs() < 1e-9);
    }
}
