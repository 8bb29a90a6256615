//! What a step did and where its time went, as its row of the ledger says it.

use std::time::Instant;

use crate::search::error::SearchError;
use crate::search::run::{Carried, Search};
use crate::store::{Experience, Seconds, Step};

/// The account of an open step.
pub(super) struct Account {
    /// Everything but its time.
    pub step: Step,
    seconds: Seconds,
    start: Instant,
}

impl Account {
    /// Of the step of that number, which begins now.
    pub fn open(number: u64) -> Self {
        let step = Step { step: number, ..Step::default() };
        Self { step, seconds: Seconds::default(), start: Instant::now() }
    }

    /// Does work of the proposer.
    pub fn controller<T>(&mut self, work: impl FnOnce(&mut Step) -> T) -> T {
        timed(&mut self.seconds.controller, || work(&mut self.step))
    }

    /// Obtains accuracies.
    pub fn training<T>(&mut self, work: impl FnOnce(&mut Step) -> T) -> T {
        timed(&mut self.seconds.training, || work(&mut self.step))
    }

    /// Times networks.
    pub fn measuring<T>(&mut self, work: impl FnOnce(&mut Step) -> T) -> T {
        timed(&mut self.seconds.measuring, || work(&mut self.step))
    }

    /// What is going on while so many networks are trained.
    pub fn training_note(&self, chosen: usize) -> String {
        format!("step {}: training {chosen} of {} sampled", self.step.step, self.step.sampled)
    }

    /// The same while so many are timed.
    pub fn timing_note(&self, networks: usize) -> String {
        format!("step {}: timing {networks} networks", self.step.step)
    }

    fn close(self) -> Step {
        Step { seconds: Seconds { total: self.start.elapsed().as_secs_f64(), ..self.seconds }, ..self.step }
    }
}

impl Search<'_> {
    /// Closes the step: everything that the next one starts from is in the ledger then.
    pub(super) fn close(
        &mut self,
        mut account: Account,
        experiences: &[Experience],
        carried: &mut Carried<'_>,
    ) -> Result<Step, SearchError> {
        let rewards = experiences.iter().map(|experience| experience.reward);
        carried.best_reward = rewards.chain(carried.best_reward).max_by(f64::total_cmp);
        account.step.best_reward = carried.best_reward;
        let state = carried.proposer.save()?;
        carried.latencies.close_step()?;
        let step = account.close();
        self.ledger.add_step(&step, experiences, &state)?;
        Ok(step)
    }
}

/// Runs `work` and adds its wall time to `seconds`.
fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *seconds += start.elapsed().as_secs_f64();
    result
}

impl Step {
    /// The step in one line.
    pub fn line(&self) -> String {
        let percent = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1} %"));
        let reward = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
        format!(
            "step {:>3}: sampled {}{}, known {}, considered {}, screened out {}, trained {} ({} sampled){}, timed {} (predictor off by {}, drift {}{}); reward mean {}, best {}",
            self.step,
            self.sampled,
            match self.beyond_limits.total() {
                0 => String::new(),
                beyond => format!(", beyond limits {beyond}"),
            },
            self.duplicates,
            self.considered,
            self.screened,
            self.trained,
            self.own,
            match self.failed {
                0 => String::new(),
                failed => format!(", failed {failed}"),
            },
            self.timed,
            percent(self.prediction_mape),
            self.drift.map_or("–".to_owned(), |drift| format!("{drift:.2}")),
            if self.changed_devices > 0 { ", NOT AS EXPECTED" } else { "" },
            reward(self.mean_reward),
            reward(self.best_reward),
        )
    }
}
