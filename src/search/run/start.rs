//! Starting and resuming a run: from a search file or a run directory to an open [`Search`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::control::Control;
use super::progress::Progress;
use super::{Ended, Search};
use crate::device::Device;
use crate::report::DeviceSummary;
use crate::search::error::{RunError, SearchError};
use crate::search::model::calibration::read_calibrations;
use crate::search::outcome::summary::summarise;
use crate::search::settings::stored::{BudgetChange, DEVICES, ENDED, SEARCH_FILE, SPACE_FILE, STOPPED, settings_with};
use crate::search::settings::{DeviceOptions, SearchFile, Settings};
use crate::store::{Beginning, Ledger, StoreError};
use crate::train::Accuracy;

/// From outside: who may interrupt, and whether bars are shown.
#[derive(Debug, Clone, Default)]
pub struct RunContext {
    /// Set when the process should end.
    pub interrupted: Arc<AtomicBool>,
    /// Whether stderr takes progress bars.
    pub bars: bool,
}

/// How a run that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The search is over; the report holds its result.
    Finished(Ended),
    /// Stopped on request; the state is saved.
    Stopped,
}

/// Starts the search that `file` describes in the new run directory `folder`.
///
/// Everything is checked, and data, device and predictor are opened, before the directory is made.
///
/// # Errors
/// [`RunError`]; an existing run in `folder` is never touched.
pub fn start(file: &Path, folder: &Path, context: &RunContext) -> Result<Outcome, RunError> {
    let text = crate::text::read(file)?;
    let base = fs_err::canonicalize(file)?.parent().map(Path::to_owned).unwrap_or_default();
    let name = file.display().to_string();
    let search = SearchFile::parse(&text, &name)?;
    let space_file = search.space.file.clone();
    let settings = search.check(&base, &name)?;
    let parts = Opened::open(&settings, folder)?;
    let calibrations = read_calibrations(&settings).map_err(|error| RunError::Calibration(error.into()))?;
    let mut beginning = Beginning {
        files: vec![(SEARCH_FILE, text.into_bytes())],
        artefacts: calibrations,
        settings: vec![("folder", base.display().to_string()), ("version", env!("CARGO_PKG_VERSION").to_owned())],
    };
    if let Some(space) = space_file {
        beginning.files.push((SPACE_FILE, fs_err::read(base.join(space))?));
    }
    let ledger = Ledger::create(folder, beginning)?;
    go(settings, ledger, parts, context)
}

/// Goes on with the run in `folder`, with its own copy of the search file and the budgets that `change` replaces.
///
/// # Errors
/// [`RunError`]; the run stays as it was.
pub fn resume(folder: &Path, change: BudgetChange, context: &RunContext) -> Result<Outcome, RunError> {
    let ledger = Ledger::resume(folder)?;
    change.check(ledger.evaluations_before(u64::MAX >> 1)?)?;
    let change = BudgetChange::stored(&ledger)?.then(change);
    let settings = settings_with(&ledger, change)?;
    let parts = Opened::open(&settings, folder)?;
    change.store(&ledger)?;
    ledger.clear_stop()?;
    go(settings, ledger, parts, context)
}

/// Where a device's models lie while they are timed.
fn scratch(folder: &Path, place: usize) -> PathBuf {
    folder.join(if place == 0 { "scratch".to_owned() } else { format!("scratch-{}", place + 1) })
}

/// The trainer and the devices of a run.
struct Opened {
    accuracy: Box<dyn Accuracy>,
    devices: Vec<Box<dyn Device>>,
}

impl Opened {
    fn open(settings: &Settings, folder: &Path) -> Result<Self, RunError> {
        let accuracy = settings.accuracy.open()?;
        let open = |(place, options): (usize, &DeviceOptions)| {
            crate::device::open(&options.choice(settings.seed.wrapping_add(place as u64), scratch(folder, place)))
        };
        let devices = settings.devices.iter().enumerate().map(open).collect::<Result<_, _>>()?;
        Ok(Self { accuracy, devices })
    }
}

fn go(settings: Settings, mut ledger: Ledger, mut parts: Opened, context: &RunContext) -> Result<Outcome, RunError> {
    let folder = ledger.folder().to_owned();
    let failed = |error: SearchError| RunError::Search { error: error.into(), folder: folder.clone() };
    describe(&ledger, &parts)?;
    // A run that was killed may have left files of some models.
    for place in 0..settings.devices.len() {
        let _ = std::fs::remove_dir_all(scratch(&folder, place));
    }
    ledger.set(ENDED, "")?;
    let done = ledger.evaluations_before(u64::MAX >> 1)?;
    let control = Control {
        interrupted: context.interrupted.clone(),
        stop_file: folder.join("stop"),
        deadline: Control::deadline(settings.time, Search::spent(&ledger).map_err(failed)?),
        progress: Progress::new("evaluations", settings.evaluations, done, context.bars),
    };
    let mut search =
        Search { settings: &settings, ledger: &mut ledger, accuracy: &*parts.accuracy, devices: &mut parts.devices };
    match search.run(&control) {
        Ok(ended) => {
            ledger.set(ENDED, ended.name())?;
            let page = crate::report::html::render(&summarise(&ledger)?)?;
            crate::files::write_atomically(&folder.join("report.html"), page.as_bytes())?;
            Ok(Outcome::Finished(ended))
        }
        Err(SearchError::Stopped) => {
            ledger.set(ENDED, STOPPED)?;
            Ok(Outcome::Stopped)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Notes in the ledger what times and what trains.
fn describe(ledger: &Ledger, parts: &Opened) -> Result<(), StoreError> {
    let summary = |device: &dyn Device| {
        let found = device.description();
        DeviceSummary { id: found.id, model: found.model, runtime: found.runtime, threads: found.threads }
    };
    let devices: Vec<DeviceSummary> = parts.devices.iter().map(|device| summary(&**device)).collect();
    ledger.set(DEVICES, &serde_json::to_string(&devices).expect("summaries are plain data"))?;
    ledger.set("accuracy", &parts.accuracy.describe())
}
