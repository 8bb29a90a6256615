//! What a run keeps of its settings: its own copies of the files, the budgets that `mnas resume` replaced, and the names
//! of what it notes in its ledger.

use std::path::PathBuf;

use super::file::{BudgetOptions, SearchFile, Settings};
use crate::search::error::{OptionError, RunError, SearchFileError};
use crate::store::{Ledger, StoreError};

/// The run's own copy of the search file.
pub(in crate::search) const SEARCH_FILE: &str = "search.toml";
/// The run's own copy of the space file, if the search file names one.
pub(in crate::search) const SPACE_FILE: &str = "space.toml";

/// Name, among the run's settings, of why its last process ended; empty while it runs or after it was killed.
pub(in crate::search) const ENDED: &str = "ended";
/// The reason of a process that was asked to stop.
pub(in crate::search) const STOPPED: &str = "stopped";

/// Name, among the run's settings, of what the devices are.
pub(in crate::search) const DEVICES: &str = "devices";

/// Name, among the run's settings, of the wall time of the last final session.
pub(in crate::search) const FINALE_SECONDS: &str = "finale_seconds";

/// The same for training the winner once more.
pub(in crate::search) const FINALE_TRAINING_SECONDS: &str = "finale_training_seconds";

/// The settings of a run, from its own copy of the search file and what was changed since.
///
/// # Errors
/// [`RunError::File`] if that copy was edited into something unusable.
pub fn settings(ledger: &Ledger) -> Result<Settings, RunError> {
    settings_with(ledger, BudgetChange::stored(ledger)?)
}

pub(in crate::search) fn settings_with(ledger: &Ledger, change: BudgetChange) -> Result<Settings, RunError> {
    let path = ledger.folder().join(SEARCH_FILE);
    let name = path.display().to_string();
    let base = PathBuf::from(ledger.setting("folder")?.unwrap_or_default());
    let mut search = SearchFile::parse(&fs_err::read_to_string(&path)?, &name)?;
    if search.space.file.is_some() {
        // The run's own copy: the other may have changed since.
        search.space.file = Some(fs_err::canonicalize(ledger.folder().join(SPACE_FILE))?);
    }
    change.apply(&mut search.budget);
    Ok(search.check(&base, &name)?)
}

/// Budgets that replace those of a run's search file; each counts from the beginning of the run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BudgetChange {
    /// Networks whose accuracy is obtained.
    pub evaluations: Option<u64>,
    /// Networks timed inside the loop.
    pub measurements: Option<u64>,
    /// Wall-clock hours.
    pub hours: Option<f64>,
}

impl BudgetChange {
    /// Checks the ranges, and that no fewer evaluations are asked for than are done.
    pub(in crate::search) fn check(&self, done: u64) -> Result<(), SearchFileError> {
        let mut budget = BudgetOptions { evaluations: 1, measurements: None, hours: None };
        self.apply(&mut budget);
        let enough = match self.evaluations {
            Some(wanted) if wanted < done => {
                let problem = format!(
                    "counts from the beginning of the run, of which {done} are done: {done} ends it now, {} trains \
                     {wanted} more; found {wanted}",
                    done + wanted
                );
                Err(OptionError::new("budget.evaluations", problem))
            }
            _ => Ok(()),
        };
        budget.check().and(enough).map_err(|error| SearchFileError::Option { file: "mnas resume".to_owned(), error })
    }

    /// These, and those of `later` in their place.
    pub(in crate::search) fn then(self, later: Self) -> Self {
        Self {
            evaluations: later.evaluations.or(self.evaluations),
            measurements: later.measurements.or(self.measurements),
            hours: later.hours.or(self.hours),
        }
    }

    fn apply(&self, budget: &mut BudgetOptions) {
        budget.evaluations = self.evaluations.unwrap_or(budget.evaluations);
        budget.measurements = self.measurements.or(budget.measurements);
        budget.hours = self.hours.or(budget.hours);
    }

    pub(in crate::search) fn stored(ledger: &Ledger) -> Result<Self, StoreError> {
        let text = |name| ledger.setting(name);
        Ok(Self {
            evaluations: text("evaluations")?.and_then(|text| text.parse().ok()),
            measurements: text("measurements")?.and_then(|text| text.parse().ok()),
            hours: text("hours")?.and_then(|text| text.parse().ok()),
        })
    }

    pub(in crate::search) fn store(&self, ledger: &Ledger) -> Result<(), StoreError> {
        let texts = [
            ("evaluations", self.evaluations.map(|value| value.to_string())),
            ("measurements", self.measurements.map(|value| value.to_string())),
            ("hours", self.hours.map(|value| value.to_string())),
        ];
        for (name, text) in texts {
            text.map_or(Ok(()), |text| ledger.set(name, &text))?;
        }
        Ok(())
    }
}
