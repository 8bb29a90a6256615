//! A device that becomes another one half-way, to see whether and when a search notices.
//!
//! From some load on, networks take exp(BY · (share of blocks with gates − share
//! of blocks with kernels beyond 3)) times as long.

use std::str::FromStr;

use mnas::device::{Description, Device, DeviceError, Model, Timing};
use mnas::search::internals::Watch;
use mnas::space::Block;
use mnas::store::{Ledger, Measurement, Purpose};

use super::Problem;
use super::oracle::OracleDevice;
use super::run::LOADS;

/// When and how a device changes.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    after: usize,
    by: f64,
}

impl FromStr for Change {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let (after, by) = text.split_once(':').ok_or(format!("expected AFTER:BY, found '{text}'"))?;
        Ok(Self { after: after.parse()?, by: by.parse()? })
    }
}

/// The oracle as a device that changes.
pub struct ChangingDevice {
    device: OracleDevice,
    change: Change,
    loads: usize,
}

impl ChangingDevice {
    /// From the oracle as it is before the change.
    pub fn new(device: OracleDevice, change: Change) -> Self {
        Self { device, change, loads: 0 }
    }
}

impl Device for ChangingDevice {
    fn description(&self) -> Description {
        self.device.description()
    }

    fn reads_files(&self) -> bool {
        false
    }

    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        let mut timing = self.device.time(model)?;
        if let Some(architecture) = &model.architecture {
            let share = |of: fn(&Block) -> bool| {
                architecture.blocks.iter().filter(|block| of(block)).count() as f64 / architecture.blocks.len() as f64
            };
            let other = share(|block| block.squeeze_ratio > 0.0) - share(|block| block.kernel > 3);
            let by = if self.loads >= self.change.after { self.change.by } else { 0.0 };
            timing.wall_ms.iter_mut().for_each(|ms| *ms *= (by * other).exp());
        }
        self.loads += 1;
        Ok(timing)
    }
}

/// What a run's watch made of a change.
#[derive(Debug, Clone, Copy)]
pub struct Noticed {
    /// Sessions of the loop behind the change.
    pub sessions: usize,
    /// How many of these the alarm took; 0 for one that was raised before the change, none for none.
    pub after: Option<usize>,
}

impl Noticed {
    /// Reads a finished run's ledger.
    pub fn read(ledger: &Ledger, change: Change) -> Result<Self, Problem> {
        let timings = ledger.measurements()?;
        let (mut watch, mut loads, mut found) = (Watch::new(1), 0, Self { sessions: 0, after: None });
        for step in timings.chunk_by(|a, b| a.step == b.step) {
            let in_loop = |timing: &Measurement| timing.purpose != Purpose::WarmUp;
            found.sessions += usize::from(loads >= change.after && step.iter().any(in_loop));
            loads += LOADS * step.len();
            if !watch.observe(step).is_empty() {
                found.after = Some(found.sessions);
            }
        }
        Ok(found)
    }

    /// In words, over the runs of one kind.
    pub fn summary(runs: &[Self]) -> String {
        let mut after: Vec<usize> = runs.iter().filter_map(|run| run.after).collect();
        after.sort_unstable();
        let most = after.last().map_or(String::new(), |most| {
            format!(" after {} to {most} sessions (median {})", after[0], after[after.len() / 2])
        });
        let (seen, sessions) = (after.len(), runs.iter().map(|run| run.sessions).sum::<usize>());
        let short = runs.iter().filter(|run| run.after.is_none() && run.sessions < 3).count();
        format!(
            "noticed in {seen} of {} runs{most}; {sessions} sessions behind the change, fewer than 3 in {short} of the others",
            runs.len()
        )
    }
}
