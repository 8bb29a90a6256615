//! When going on is of no use.

use crate::search::settings::SearchOptions;
use crate::store::Step;

/// Expected improvement, as a fraction of the best reward, that no longer pays a training.
const NEGLIGIBLE: f64 = 1e-5;

/// Whether the steps so far say that going on is of no use: nothing new to train, or, if asked for, nothing that
/// has an expected improvement, for `patience` steps.
pub fn has_converged(options: &SearchOptions, steps: &[Step]) -> bool {
    let barren = |step: &&Step| step.trained + step.failed == 0;
    let last = || steps.iter().rev();
    last().take_while(barren).count() >= options.patience
        || options.stop_when_converged && last().take_while(|step| step.is_settled()).count() >= options.patience
}

impl Step {
    /// Whether the models expected no improvement worth mentioning from any network that was considered.
    pub fn is_settled(&self) -> bool {
        let least = NEGLIGIBLE * self.best_reward.unwrap_or(0.0).abs();
        self.expected_improvement.is_some_and(|improvement| improvement < least)
    }
}
