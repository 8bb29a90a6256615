//! One step of the search: sample, choose, train, time, reward, learn.

mod accounting;
mod evaluate;
mod reward;
mod sample;
mod time;
mod watching;

use super::control::Control;
use super::{Carried, Search};
use crate::search::error::SearchError;
use crate::store::Step;
use accounting::Account;

impl Search<'_> {
    /// Samples, chooses, trains, times, rewards and learns; stores the step as closed.
    pub(super) fn step(
        &mut self,
        number: u64,
        carried: &mut Carried<'_>,
        control: &Control,
    ) -> Result<Step, SearchError> {
        let mut account = Account::open(number);

        let (fresh, known) = account.controller(|step| self.sample(carried, step))?;
        let chosen = account.controller(|step| self.choose(fresh, carried, step))?;

        control.progress.note(account.training_note(chosen.len()));
        let evaluations = account.training(|step| self.train(&chosen, control, step))?;
        carried.guide.learn(&evaluations, &carried.latencies)?;

        let standings = carried.guide.standings(&carried.latencies);
        let to_time = self.to_time(&chosen, &standings, &carried.latencies, number)?;
        control.progress.note(account.timing_note(to_time.len()));
        account.measuring(|step| self.time(&to_time, &mut carried.latencies, control, step))?;
        account.step.changed_devices = self.watch(number, carried, control)?;

        let judged = self.judged(known.iter().chain(&chosen))?;
        let experiences = self.experiences(&judged, &carried.latencies);
        let batch = self.batch(&judged, &experiences, &standings);
        account.controller(|step| self.learn(batch, carried, step))?;

        self.close(account, &experiences, carried)
    }
}
