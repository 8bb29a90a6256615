//! Starting and resuming a run: from a search file or a run directory to an open [`Search`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::control::Control;
use super::device_latencies::read_calibrations;
use super::devices::DeviceOptions;
use super::options::{BudgetOptions, OptionError, SearchFile, SearchFileError, Settings};
use super::progress::Progress;
use super::summary::summarise;
use super::{Ended, Search, SearchError};
use crate::device::Device;
use crate::report::DeviceSummary;
use crate::store::{Beginning, Ledger, StoreError};
use crate::train::{Accuracy, AccuracyError};

/// Why a run could not be started, resumed or finished.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The search file.
    #[error(transparent)]
    File(#[from] SearchFileError),
    /// The run directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the run.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The calibration it starts from.
    #[error(transparent)]
    Calibration(Box<SearchError>),
    /// The search itself; the run can be resumed.
    #[error("{error}\nEverything finished is stored; continue with `mnas resume {folder}`")]
    Search {
        /// What happened.
        error: Box<SearchError>,
        /// The run.
        folder: PathBuf,
    },
    /// What the run's ledger holds cannot be made a report of.
    #[error(transparent)]
    Unreadable(Box<SearchError>),
    /// The report's plots.
    #[error(transparent)]
    Plot(#[from] crate::report::svg::PlotError),
    /// The trainer cannot be set up.
    #[error("accuracy: {0}")]
    Accuracy(#[from] AccuracyError),
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
}

/// The run's own copy of the search file.
const SEARCH_FILE: &str = "search.toml";
/// The run's own copy of the space file, if the search file names one.
const SPACE_FILE: &str = "space.toml";

/// Name, among the run's settings, of why its last process ended; empty while it runs or after it was killed.
pub(super) const ENDED: &str = "ended";
/// The reason of a process that was asked to stop.
const STOPPED: &str = "stopped";

/// Name, among the run's settings, of what the devices are.
pub(super) const DEVICES: &str = "devices";

/// From outside: who may interrupt, and whether bars are shown.
#[derive(Debug, Clone)]
pub struct Surroundings {
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
pub fn start(file: &Path, folder: &Path, surroundings: &Surroundings) -> Result<Outcome, RunError> {
    let text = fs_err::read_to_string(file)?;
    let base = fs_err::canonicalize(file)?.parent().map(Path::to_owned).unwrap_or_default();
    let name = file.display().to_string();
    let search = SearchFile::parse(&text, &name)?;
    let space_file = search.space.file.clone();
    let settings = search.check(&base, &name)?;
    let parts = Parts::open(&settings, folder)?;
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
    go(settings, ledger, parts, surroundings)
}

/// Goes on with the run in `folder`, with its own copy of the search file and the budgets that `change` replaces.
///
/// # Errors
/// [`RunError`]; the run stays as it was.
pub fn resume(folder: &Path, change: BudgetChange, surroundings: &Surroundings) -> Result<Outcome, RunError> {
    let ledger = Ledger::resume(folder)?;
    change.check(ledger.evaluations_before(u64::MAX >> 1)?)?;
    let change = BudgetChange::stored(&ledger)?.then(change);
    let settings = settings_with(&ledger, change)?;
    let parts = Parts::open(&settings, folder)?;
    change.store(&ledger)?;
    ledger.clear_stop()?;
    go(settings, ledger, parts, surroundings)
}

/// The settings of a run, from its own copy of the search file and what was changed since.
///
/// # Errors
/// [`RunError::File`] if that copy was edited into something unusable.
pub fn settings(ledger: &Ledger) -> Result<Settings, RunError> {
    settings_with(ledger, BudgetChange::stored(ledger)?)
}

fn settings_with(ledger: &Ledger, change: BudgetChange) -> Result<Settings, RunError> {
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
    fn check(&self, done: u64) -> Result<(), SearchFileError> {
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
    fn then(self, later: Self) -> Self {
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

    fn stored(ledger: &Ledger) -> Result<Self, StoreError> {
        let text = |name| ledger.setting(name);
        Ok(Self {
            evaluations: text("evaluations")?.and_then(|text| text.parse().ok()),
            measurements: text("measurements")?.and_then(|text| text.parse().ok()),
            hours: text("hours")?.and_then(|text| text.parse().ok()),
        })
    }

    fn store(&self, ledger: &Ledger) -> Result<(), StoreError> {
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

/// The trainer and the devices of a run.
struct Parts {
    accuracy: Box<dyn Accuracy>,
    devices: Vec<Box<dyn Device>>,
}

impl Parts {
    fn open(settings: &Settings, folder: &Path) -> Result<Self, RunError> {
        let accuracy = settings.accuracy.open()?;
        let open = |(place, options): (usize, &DeviceOptions)| {
            let scratch = folder.join(if place == 0 { "scratch".to_owned() } else { format!("scratch-{}", place + 1) });
            crate::device::open(&options.choice(settings.seed.wrapping_add(place as u64), scratch))
        };
        let devices = settings.devices.iter().enumerate().map(open).collect::<Result<_, _>>()?;
        Ok(Self { accuracy, devices })
    }
}

fn go(
    settings: Settings,
    mut ledger: Ledger,
    mut parts: Parts,
    surroundings: &Surroundings,
) -> Result<Outcome, RunError> {
    let folder = ledger.folder().to_owned();
    let failed = |error: SearchError| RunError::Search { error: error.into(), folder: folder.clone() };
    describe(&ledger, &parts)?;
    ledger.set(ENDED, "")?;
    let done = ledger.evaluations_before(u64::MAX >> 1)?;
    let control = Control {
        interrupted: surroundings.interrupted.clone(),
        stop_file: folder.join("stop"),
        deadline: Control::deadline(settings.time, Search::spent(&ledger).map_err(failed)?),
        progress: Progress::new("evaluations", settings.evaluations, done, surroundings.bars),
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
fn describe(ledger: &Ledger, parts: &Parts) -> Result<(), StoreError> {
    let summary = |device: &dyn Device| {
        let found = device.description();
        DeviceSummary { id: found.id, model: found.model, runtime: found.runtime, threads: found.threads }
    };
    let devices: Vec<DeviceSummary> = parts.devices.iter().map(|device| summary(&**device)).collect();
    ledger.set(DEVICES, &serde_json::to_string(&devices).expect("summaries are plain data"))?;
    ledger.set("accuracy", &parts.accuracy.describe())
}
