//! Watching whether the devices are still those that the search knows.

use crate::device::{Description, command, simulated};
use crate::search::error::SearchError;
use crate::search::run::control::Control;
use crate::search::run::{Carried, Search};
use crate::search::timing::watch::{Changed, Evidence};

impl Search<'_> {
    /// Has the step's timings watched, and says aloud which devices no longer do what is expected; gives their number.
    pub(super) fn watch(&self, step: u64, carried: &mut Carried<'_>, control: &Control) -> Result<usize, SearchError> {
        let changes = carried.watch.observe(&self.ledger.measurements_of(step)?);
        changes.iter().for_each(|changed| control.progress.line(&self.warning(changed)));
        Ok(changes.len())
    }

    fn warning(&self, changed: &Changed) -> String {
        let Description { id, model, kind, .. } = self.devices[changed.device].description();
        // Of a program of the user's own nothing but its timings is known, and of a formula there is nothing to check.
        let doctor = match kind.as_str() {
            command::KIND | simulated::ID => String::new(),
            _ => format!(" (`mnas doctor --device {id}`)"),
        };
        let (verdict, advice) = match changed.evidence {
            Evidence::Anchors => (
                "is not the device any more that the search knows",
                format!(
                    "latencies from before and after do not compare: stop with `mnas stop {}`, find out what is \
                     different{doctor}, calibrate again, and search in a new run",
                    self.ledger.folder().display()
                ),
            ),
            Evidence::Predictions => (
                "no longer does what the search expects of it",
                format!(
                    "either it has changed: find out what is different{doctor}; or the search has reached networks \
                     unlike those its predictor was fitted to: its timings correct that, and a calibration of more \
                     networks would spare the next run the same"
                ),
            ),
        };
        let (finding, step) = (changed.finding(), changed.step);
        format!("WARNING: {id} ({model}) {verdict}: {finding}, as step {step} showed.\nWARNING: {advice}")
    }
}
