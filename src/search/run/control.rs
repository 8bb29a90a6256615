//! What reaches into a running search from outside: stop requests, the time budget and the progress display.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::progress::Progress;
use crate::search::error::SearchError;

/// Stop flags, time budget and progress of one process of a run.
pub struct Control {
    /// Set by a signal handler.
    pub interrupted: Arc<AtomicBool>,
    /// Exists once `mnas stop` asked.
    pub stop_file: PathBuf,
    /// When the time budget is spent.
    pub deadline: Option<Instant>,
    /// Bars on stderr.
    pub progress: Progress,
}

impl Control {
    /// Whether to go on with the next piece of work.
    ///
    /// # Errors
    /// [`SearchError::Stopped`]: what finished is stored, the run can be resumed.
    pub fn check(&self) -> Result<(), SearchError> {
        if self.interrupted.load(Ordering::Relaxed) || self.stop_file.exists() {
            Err(SearchError::Stopped)
        } else {
            Ok(())
        }
    }

    /// The same for whoever measures load by load.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.check().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Whether the time budget is spent.
    pub fn out_of_time(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The deadline of a budget of which `spent` is used already.
    pub fn deadline(budget: Option<Duration>, spent: Duration) -> Option<Instant> {
        budget.map(|budget| Instant::now() + budget.saturating_sub(spent))
    }
}
