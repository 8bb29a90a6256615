//! From rewards to advantages: how much better than expected each token's consequences were.
//!
//! Rewards are first standardised by their exponential moving mean and variance, r' = (r − mean) / deviation, so that
//! neither learning rate nor value head depends on the reward's scale. With the moving-average baseline r' is every
//! token's advantage. With the value head v (Schulman et al. 2016, equation 16, with γ = 1 since the only reward
//! comes after the last token): δ_t = v_{t+1} − v_t, δ_last = r' − v_last, A_t = δ_t + λ A_{t+1}; the value's target is
//! A_t + v_t, and the advantages are standardised over the batch.

/// Keeps a division finite where all rewards are equal.
const LEAST_DEVIATION: f64 = 1e-8;

/// Exponential moving mean and variance of the rewards seen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RewardAverage {
    /// Moving mean.
    pub mean: f64,
    /// Moving mean of the squared distance from the mean.
    pub variance: f64,
    /// Rewards seen.
    pub count: u64,
}

impl RewardAverage {
    /// The rewards standardised by what was known before them; the first batch by its own mean and variance.
    pub fn standardise(&self, rewards: &[f64]) -> Vec<f64> {
        let known = if self.count == 0 { Self::of(rewards) } else { *self };
        let deviation = known.variance.sqrt().max(LEAST_DEVIATION);
        rewards.iter().map(|reward| (reward - known.mean) / deviation).collect()
    }

    /// The average with `rewards` taken in, one after the other; `weight` is that of the past.
    pub fn after(self, rewards: &[f64], weight: f64) -> Self {
        if self.count == 0 {
            return Self::of(rewards);
        }
        rewards.iter().fold(self, |past, reward| {
            let distance = reward - past.mean;
            Self {
                mean: weight * past.mean + (1.0 - weight) * reward,
                variance: weight * past.variance + (1.0 - weight) * distance * distance,
                count: past.count + 1,
            }
        })
    }

    fn of(rewards: &[f64]) -> Self {
        let (mean, variance) = mean_and_variance(rewards);
        Self { mean, variance, count: rewards.len() as u64 }
    }
}

/// Advantages and value targets of one sequence whose standardised reward comes after the last token.
///
/// ```
/// // With λ = 1 every token's advantage is the reward less the value there.
/// let (advantages, targets) = mnas::controller::generalised_advantages(1.0, &[0.25, 0.5], 1.0);
/// assert_eq!(advantages, [0.75, 0.5]);
/// assert_eq!(targets, [1.0, 1.0]);
/// ```
pub fn generalised_advantages(reward: f64, values: &[f64], lambda: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut next_value, mut next_advantage) = (reward, 0.0);
    let mut advantages = vec![0.0; values.len()];
    for (advantage, &value) in advantages.iter_mut().zip(values).rev() {
        *advantage = next_value - value + lambda * next_advantage;
        (next_value, next_advantage) = (value, *advantage);
    }
    let targets = advantages.iter().zip(values).map(|(advantage, value)| advantage + value).collect();
    (advantages, targets)
}

/// Shifts and scales to mean 0 and variance 1.
pub(super) fn standardise(values: &mut [f64]) {
    let (mean, variance) = mean_and_variance(values);
    let deviation = variance.sqrt().max(LEAST_DEVIATION);
    values.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
}

fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_recursion_equals_the_sum_it_abbreviates(
            reward in -3.0..3.0_f64, values in prop::collection::vec(-3.0..3.0_f64, 1..50), lambda in 0.0..=1.0_f64,
        ) {
            let (advantages, targets) = generalised_advantages(reward, &values, lambda);
            let next = |t: usize| values.get(t + 1).copied().unwrap_or(reward);
            for t in 0..values.len() {
                let sum: f64 =
                    (t..values.len()).map(|k| lambda.powi((k - t) as i32) * (next(k) - values[k])).sum();
                prop_assert!((advantages[t] - sum).abs() < 1e-9);
                prop_assert!((targets[t] - sum - values[t]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn equal_rewards_are_no_better_than_expected() {
        let average = RewardAverage::default();
        assert_eq!(average.standardise(&[0.7, 0.7]), [0.0, 0.0]);
        assert_eq!(average.after(&[0.7, 0.7], 0.95).standardise(&[0.7]), [0.0]);
    }

    #[test]
    fn the_average_follows_the_rewards_with_its_weight() {
        let average = RewardAverage::default().after(&[0.0, 2.0], 0.5).after(&[3.0], 0.5);
        assert_eq!(average, RewardAverage { mean: 2.0, variance: 2.5, count: 3 });
    }
}
