//! What a candidate is worth: one number from its accuracy and its latency.
//!
//! MnasNet (section 3, equations 2 and 3): R = ACC · (LAT/T)^w with w = α where LAT ≤ T and w = β elsewhere. The
//! absolute reward of TuNAS (Bender et al. 2020): R = ACC + β · |LAT/T − 1|.
//!
//! | kind | α | β | meaning |
//! |---|---|---|---|
//! | `soft` | −0.07 | −0.07 | twice the latency is worth 5 % relative accuracy, on both sides of T |
//! | `hard` | 0 | −1 | below T only accuracy counts, above it the reward falls in proportion |
//! | `absolute` | – | −0.07 | away from T costs, on both sides; at T and ACC = 1 as steep as `soft` |
//!
//! −0.07 comes from ACC · (2·LAT/T)^w = 0.95 · ACC · (LAT/T)^w, so w = log₂ 0.95 = −0.074.
//!
//! ```
//! use mnas::search::{Combine, RewardKind, TargetOptions};
//! let options =
//!     TargetOptions { latency_ms: 75.0, reward: RewardKind::Hard, alpha: None, beta: None, combine: Combine::Worst };
//! let target = options.check()?;
//! assert_eq!(target.reward(0.75, 60.0).value, 0.75);
//! assert_eq!(target.reward(0.75, 150.0).value, 0.375);
//! # Ok::<(), mnas::search::TargetError>(())
//! ```

use serde::{Deserialize, Serialize};

/// The form of the reward; the module's text has the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardKind {
    /// A gentle slope on both sides of the target: one search covers a wide Pareto front.
    #[default]
    Soft,
    /// A limit: flat below the target, steep above.
    Hard,
    /// Additive, with its greatest value exactly at the target.
    Absolute,
}

impl RewardKind {
    /// As the search file names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
            Self::Absolute => "absolute",
        }
    }
}

impl std::str::FromStr for RewardKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Soft, Self::Hard, Self::Absolute];
        let found = known.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("the reward is soft, hard or absolute, found '{name}'"))
    }
}

/// A checked target: what rewards are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Target {
    latency_ms: f64,
    kind: RewardKind,
    alpha: f64,
    beta: f64,
}

/// A reward with all of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    /// R: what the controller learns from.
    pub value: f64,
    /// ACC, a fraction.
    pub accuracy: f64,
    /// LAT in milliseconds.
    pub latency_ms: f64,
    /// LAT / T.
    pub latency_ratio: f64,
    /// w, or β where the reward is absolute.
    pub weight: f64,
    /// (LAT/T)^w, which multiplies the accuracy; where the reward is absolute β · |LAT/T − 1|, which is added to it.
    pub latency_term: f64,
}

/// Why a target is refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// No latency can meet it.
    #[error("[target] latency_ms must be a number of milliseconds above 0, but is {0}")]
    Latency(f64),
    /// Slower networks would earn more.
    #[error("[target] {name} must be from -100 to 0, so that latency never earns reward, but is {found}")]
    Weight {
        /// `alpha` or `beta`.
        name: &'static str,
        /// What came.
        found: f64,
    },
    /// A number without a use.
    #[error("[target] alpha has no use with reward = \"absolute\", which takes beta only; remove it")]
    UselessAlpha,
}

impl Target {
    /// T in milliseconds, and the form of the reward with its α and β where they are not the kind's own.
    ///
    /// # Errors
    /// [`TargetError`]: the first number outside its range.
    pub fn new(latency_ms: f64, kind: RewardKind, alpha: Option<f64>, beta: Option<f64>) -> Result<Self, TargetError> {
        if !(latency_ms > 0.0 && latency_ms.is_finite()) {
            return Err(TargetError::Latency(latency_ms));
        }
        if kind == RewardKind::Absolute && alpha.is_some() {
            return Err(TargetError::UselessAlpha);
        }
        let usual = match kind {
            RewardKind::Soft | RewardKind::Absolute => (-0.07, -0.07),
            RewardKind::Hard => (0.0, -1.0),
        };
        let (alpha, beta) = (alpha.unwrap_or(usual.0), beta.unwrap_or(usual.1));
        for (name, found) in [("alpha", alpha), ("beta", beta)] {
            if !(-100.0..=0.0).contains(&found) {
                return Err(TargetError::Weight { name, found });
            }
        }
        Ok(Self { latency_ms, kind, alpha, beta })
    }

    /// T in milliseconds.
    pub fn latency_ms(&self) -> f64 {
        self.latency_ms
    }

    /// The form of the reward.
    pub fn kind(&self) -> RewardKind {
        self.kind
    }

    /// α and β.
    pub fn weights(&self) -> (f64, f64) {
        (self.alpha, self.beta)
    }

    /// The same reward with another T.
    ///
    /// # Errors
    /// [`TargetError::Latency`].
    pub fn at(self, latency_ms: f64) -> Result<Self, TargetError> {
        if !(latency_ms > 0.0 && latency_ms.is_finite()) {
            return Err(TargetError::Latency(latency_ms));
        }
        Ok(self.with_latency(latency_ms))
    }

    /// The same reward with a T that is known to be good.
    pub(super) fn with_latency(self, latency_ms: f64) -> Self {
        Self { latency_ms, ..self }
    }

    /// The reward of a candidate: `accuracy` a fraction, `latency_ms` finite and above 0.
    pub fn reward(&self, accuracy: f64, latency_ms: f64) -> Reward {
        let latency_ratio = latency_ms / self.latency_ms;
        let (weight, latency_term, value) = match self.kind {
            RewardKind::Absolute => {
                let added = self.beta * (latency_ratio - 1.0).abs();
                (self.beta, added, accuracy + added)
            }
            RewardKind::Soft | RewardKind::Hard => {
                let exponent = if latency_ratio <= 1.0 { self.alpha } else { self.beta };
                let factor = latency_ratio.powf(exponent);
                (exponent, factor, accuracy * factor)
            }
        };
        Reward { value, accuracy, latency_ms, latency_ratio, weight, latency_term }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::reward::Combine;
    use crate::search::settings::TargetOptions;
    use proptest::prelude::*;

    fn target(latency_ms: f64, reward: RewardKind) -> Target {
        TargetOptions { latency_ms, reward, alpha: None, beta: None, combine: Combine::Worst }.check().unwrap()
    }

    fn kinds() -> impl Strategy<Value = RewardKind> {
        prop_oneof![Just(RewardKind::Soft), Just(RewardKind::Hard), Just(RewardKind::Absolute)]
    }

    proptest! {
        #[test]
        fn more_accuracy_at_equal_latency_is_worth_more(
            kind in kinds(), latency in 0.1..1000.0_f64, accuracy in 0.0..0.99_f64, more in 1e-6..0.01_f64,
        ) {
            let target = target(75.0, kind);
            prop_assert!(target.reward(accuracy + more, latency).value > target.reward(accuracy, latency).value);
        }

        #[test]
        fn nothing_jumps_at_the_target(kind in kinds(), t in 0.5..500.0_f64, accuracy in 0.0..1.0_f64) {
            let target = target(t, kind);
            prop_assert_eq!(target.reward(accuracy, t).value, accuracy);
            for near in [t * (1.0 - 1e-9), t * (1.0 + 1e-9)] {
                prop_assert!((target.reward(accuracy, near).value - accuracy).abs() < 1e-8);
            }
        }

        #[test]
        fn a_slower_network_never_earns_more_than_a_faster_one_above_the_target(
            kind in kinds(), ratio in 1.0..20.0_f64, slower in 1.001..3.0_f64, accuracy in 0.01..1.0_f64,
        ) {
            let target = target(10.0, kind);
            let (fast, slow) = (target.reward(accuracy, 10.0 * ratio), target.reward(accuracy, 10.0 * ratio * slower));
            prop_assert!(slow.value < fast.value);
        }

        #[test]
        fn the_hard_reward_is_the_accuracy_below_the_target(latency in 0.01..=75.0_f64, accuracy in 0.0..1.0_f64) {
            prop_assert_eq!(target(75.0, RewardKind::Hard).reward(accuracy, latency).value, accuracy);
        }

        #[test]
        fn the_parts_make_the_whole(kind in kinds(), latency in 0.1..500.0_f64, accuracy in 0.0..1.0_f64) {
            let reward = target(75.0, kind).reward(accuracy, latency);
            let whole = match kind {
                RewardKind::Absolute => reward.accuracy + reward.weight * (reward.latency_ms / 75.0 - 1.0).abs(),
                _ => reward.accuracy * reward.latency_ratio.powf(reward.weight),
            };
            prop_assert!((reward.value - whole).abs() < 1e-12);
        }
    }

    #[test]
    fn twice_the_latency_costs_the_five_percent_of_the_paper() {
        let target = target(75.0, RewardKind::Soft);
        let kept = target.reward(0.75, 150.0).value / target.reward(0.75, 75.0).value;
        assert!((kept - 0.95).abs() < 0.005, "{kept}");
    }

    #[test]
    fn own_weights_replace_the_kinds_and_unusable_numbers_are_refused() {
        let read = |text: &str| toml::from_str::<TargetOptions>(text).unwrap().check();
        let small = read("latency_ms = 22\nbeta = -0.15").unwrap();
        assert_eq!(small.reward(0.5, 44.0).value, 0.5 * 2.0_f64.powf(-0.15));
        for (text, message) in [
            ("latency_ms = 0", "must be a number of milliseconds above 0, but is 0"),
            ("latency_ms = -3.0", "but is -3"),
            ("latency_ms = nan", "but is NaN"),
            ("latency_ms = inf", "but is inf"),
            ("latency_ms = 5\nalpha = 0.1", "alpha must be from -100 to 0"),
            ("latency_ms = 5\nbeta = nan", "beta must be"),
            ("latency_ms = 5\nreward = \"absolute\"\nalpha = -0.1", "alpha has no use"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        assert!(toml::from_str::<TargetOptions>("latency = 5").is_err());
    }
}
