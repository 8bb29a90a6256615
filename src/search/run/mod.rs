//! The loop: steps until the budget is spent or nothing new comes, then the final timing.

pub mod control;
mod convergence;
pub mod final_timing;
mod finale;
pub mod progress;
pub mod start;
mod step;
mod warm_up;

use std::time::Duration;

pub use control::Control;
pub use start::{Outcome, RunContext, resume, start};

use crate::device::Device;
use crate::search::error::SearchError;
use crate::search::model::Latencies;
use crate::search::propose::proposer::Proposer;
use crate::search::propose::{self, guide::Guide};
use crate::search::settings::Settings;
use crate::search::timing::watch::Watch;
use crate::store::{Ledger, Purpose, Step};
use crate::train::Accuracy;
use convergence::has_converged;

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The budget of evaluations is spent.
    Evaluations,
    /// The budget of hours is spent.
    Time,
    /// The proposer has nothing new to offer.
    Converged,
}

impl Ended {
    /// As the ledger and the report name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evaluations => "evaluations",
            Self::Time => "time",
            Self::Converged => "converged",
        }
    }
}

/// What a search carries from step to step; all of it follows from the ledger.
struct Carried<'s> {
    proposer: Box<dyn Proposer>,
    latencies: Latencies,
    guide: Guide<'s>,
    watch: Watch,
    best_reward: Option<f64>,
}

/// A search with everything it needs.
pub struct Search<'a> {
    /// The checked search file.
    pub settings: &'a Settings,
    /// The run's ledger.
    pub ledger: &'a mut Ledger,
    /// Obtains accuracies.
    pub accuracy: &'a dyn Accuracy,
    /// Time networks: one for each of the search file's devices, in its order.
    pub devices: &'a mut [Box<dyn Device>],
}

impl Search<'_> {
    /// Runs from wherever the ledger stands to the end of the budget, then re-times the best and writes the winner.
    ///
    /// # Errors
    /// [`SearchError`]; the ledger holds everything that finished, and the run can be resumed.
    pub fn run(&mut self, control: &Control) -> Result<Ended, SearchError> {
        self.warn_of_idle_workers();
        let latencies = self.first_latencies(control)?;
        let steps = self.ledger.steps()?;
        let state = self.ledger.proposer()?;
        let settings = self.settings;
        let guide = Guide::read(self.ledger, settings, &latencies)?;
        let proposer = propose::make(&settings.search, &settings.space, settings.seed, state.as_deref())?;
        let best_reward = steps.last().and_then(|step| step.best_reward);
        let watch = Watch::read(settings.devices.len(), &self.ledger.measurements()?, steps.len() as u64);
        let mut carried = Carried { proposer, latencies, guide, watch, best_reward };
        let ended = self.steps(steps, &mut carried, control)?;
        control.progress.finish();
        self.finale(&mut carried, control)?;
        Ok(ended)
    }

    fn warn_of_idle_workers(&self) {
        let (workers, trained) = (self.accuracy.workers(), self.settings.search.trained_per_step);
        if workers > trained {
            tracing::warn!(
                "{} of {workers} trainers stay idle: only {trained} networks are trained in one step; set [search] \
                 trained_per_step = {workers}",
                workers - trained,
            );
        }
    }

    fn steps(
        &mut self,
        mut done: Vec<Step>,
        carried: &mut Carried<'_>,
        control: &Control,
    ) -> Result<Ended, SearchError> {
        for number in done.len() as u64 + 1.. {
            if self.ledger.evaluations_before(number)? >= self.settings.evaluations {
                return Ok(Ended::Evaluations);
            }
            if has_converged(&self.settings.search, &done) {
                return Ok(Ended::Converged);
            }
            if control.out_of_time() {
                return Ok(Ended::Time);
            }
            control.check()?;
            let step = self.step(number, carried, control)?;
            control.progress.line(&step.line());
            done.push(step);
        }
        unreachable!("steps are numbered without end")
    }

    /// Time that earlier processes of this run have spent on first measurements and closed steps.
    pub fn spent(ledger: &Ledger) -> Result<Duration, SearchError> {
        let steps: f64 = ledger.steps()?.iter().map(|step| step.seconds.total).sum();
        let before = ledger.measurements()?.into_iter().filter(|m| m.purpose == Purpose::WarmUp);
        Ok(Duration::from_secs_f64(steps + before.map(|m| m.seconds).sum::<f64>()))
    }
}
