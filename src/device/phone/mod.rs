//! A phone over adb as a device.
//!
//! A [`PhoneDevice`] owns its phone while it lives ([`lock`]), puts the runner and each model there by hash, runs on the
//! biggest cores, and believes an answer only if it is about the very model that was asked for ([`launch`]). One load
//! (`loads.rs`):
//!
//! ```text
//! below the limits? ──no──► wait, look again ([`health`])
//!   │ yes
//! push model ► run ► reference network ──slower than 1.10 × its baseline, or clocks dropped──► wait, repeat;
//!   │                                     up to 1.5 × for a minute on end: its speed from now on
//!   │ connection lost: find the phone again, repeat this load
//!   ▼
//! timing
//! ```
//!
//! A load is one answer of one start of the runner, read whole and checked, or nothing: what a broken connection left is
//! never used. Everything that happened on the way is an [`Incident`].
//!
//! The practices and where they were seen: cores by highest clock (XiaoMi/mobile-ai-bench), thermal status and a
//! reference beyond 1.10 × its baseline (androidx benchmark, ThrottleDetector.kt), temperature watch and rests
//! (facebook/FAI-PEP), fixed-performance mode (Android's documentation of benchmarking).

pub mod benchmark_model;
pub mod files;
pub mod health;
pub mod launch;
pub mod link;
mod loads;
pub mod lock;
pub mod pace;
pub mod state;
mod surroundings;

use mnas_runner::report::Report;

use self::files::Runner;
use self::launch::{Launch, Remote};
use self::link::Link;
use self::lock::Lock;
use self::pace::Pace;
use self::state::{Properties, State};
pub use self::surroundings::Surroundings;
use super::incident::{Incident, IncidentKind};
use super::profile::Profile;
use super::{Clock, Description, Device, DeviceError, Model, Timing};
use crate::adb::Server;
use crate::network::{Network, Weights};

/// Kind of a phone in a description.
pub const KIND: &str = "phone";
/// The reference network.
const REFERENCE: &str = "mobilenet-v1@0.25/192";

/// A phone.
pub struct PhoneDevice {
    link: Link,
    _lock: Lock,
    launch: Launch,
    properties: Properties,
    /// At the beginning.
    state: State,
    pace: Pace,
    reference: Option<Model>,
    fixed_performance: bool,
    /// Models that lie on the phone, the oldest first.
    models: Vec<(Remote, usize)>,
    incidents: Vec<Incident>,
    runtime: String,
    last_report: Option<Report>,
    /// Whether everything is on the phone that must be there before a load.
    prepared: bool,
}

impl PhoneDevice {
    /// Takes the phone, puts the runner there, and makes it ready to be measured.
    ///
    /// # Errors
    /// [`DeviceError::Adb`] for the link's, [`DeviceError::Settings`] if somebody else measures it, files are missing or
    /// the profile does not fit.
    pub fn open(server: Server, serial: &str, profile: &Profile, runs: usize) -> Result<Self, DeviceError> {
        let link = Link::open(server, serial)?;
        let lock = Lock::take(serial)?;
        let (properties, state) = (link.properties()?, link.state()?);
        let settings = |problem| DeviceError::Settings(format!("phone {serial}: {problem}"));
        let runner = Runner::find(&profile.run, &properties.abi)?;
        let launch =
            Launch::new(runner, &properties, state.biggest_cores(), profile.clone(), runs).map_err(settings)?;
        let reference = profile.run.reference.then(reference).transpose()?;
        let runtime = match &launch.runner {
            Runner::Ours { library, .. } => format!("LiteRT (libLiteRt.so sha256 {})", &library.sha256[..12]),
            Runner::Stock { .. } => "TensorFlow Lite in benchmark_model".into(),
        };
        let mut device = Self {
            link,
            _lock: lock,
            launch,
            properties,
            state,
            pace: Pace::new(profile.limits.max_slowdown),
            reference,
            fixed_performance: false,
            models: Vec::new(),
            incidents: Vec::new(),
            runtime,
            last_report: None,
            prepared: false,
        };
        device.prepare()?;
        Ok(device)
    }

    /// What the phone is.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Whether its fixed-performance mode is on.
    pub fn has_fixed_performance(&self) -> bool {
        self.fixed_performance
    }

    /// What our runner said of the last load.
    pub fn last_report(&self) -> Option<&Report> {
        self.last_report.as_ref()
    }

    /// The phone's cores that models run on; empty for all.
    pub fn cores(&self) -> &[usize] {
        &self.launch.cores
    }

    fn serial(&self) -> &str {
        self.link.serial()
    }

    /// The profile's name and the phone it means.
    fn name(&self) -> String {
        format!("{} ({})", self.launch.profile.id, self.serial())
    }

    fn note(&mut self, kind: IncidentKind, message: impl Into<String>) {
        let incident = Incident::now(kind, message);
        tracing::warn!("phone {}: {}", self.serial(), incident.message);
        self.incidents.push(incident);
    }

    /// Everything that must be so before the first load, and again after the phone was away: it may have restarted.
    fn prepare(&mut self) -> Result<(), DeviceError> {
        self.prepared = false;
        self.models.clear();
        self.link.tidy()?;
        for file in self.launch.runner.files() {
            self.link.push(&file.bytes, &file.path, 0o755)?;
        }
        if let Runner::Stock { path, program: None } = &self.launch.runner
            && !self.link.has(path)?
        {
            return Err(DeviceError::Settings(format!(
                "phone {}: {path} is not there: push Google's benchmark_model to it and make it executable, or put it \
                 where devices/README.md says",
                self.serial()
            )));
        }
        if !self.launch.is_pinned() {
            self.note(
                IncidentKind::Unavailable,
                "the phone has no taskset: benchmark_model runs on whatever cores it gets",
            );
        }
        if !self.fixed_performance && self.link.fixed_performance_left_on()? {
            self.link.release_performance()?;
            self.note(
                IncidentKind::TidiedUp,
                "switched off the fixed-performance mode that a session before this had left on",
            );
        }
        if self.launch.profile.run.fixed_performance {
            self.fixed_performance = self.link.fix_performance()?;
            if !self.fixed_performance {
                self.note(IncidentKind::Unavailable, "the phone has no fixed-performance mode");
            }
        }
        self.prepared = true;
        Ok(())
    }

    fn clock(&self) -> Clock {
        match (&self.launch.runner, self.launch.profile.run.threads) {
            (Runner::Ours { .. }, 1) => Clock::ThreadCpu,
            _ => Clock::Wall,
        }
    }

    fn failed(&self, model: &Model, problem: String) -> DeviceError {
        DeviceError::Model { device: self.name(), model: model.name.clone(), problem }
    }
}

impl Device for PhoneDevice {
    fn description(&self) -> Description {
        let Properties { manufacturer, model, .. } = &self.properties;
        Description {
            id: self.launch.profile.id.clone(),
            kind: KIND.into(),
            model: if model.starts_with(manufacturer.as_str()) {
                model.clone()
            } else {
                format!("{manufacturer} {model}")
            },
            runtime: self.runtime.clone(),
            threads: self.launch.profile.run.threads,
            clock: self.clock(),
        }
    }

    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        // LiteRT trusts a model's offsets; what a broken file does to a phone's runner is never about that phone.
        crate::tflite::read(&model.bytes).map_err(|error| self.failed(model, error.to_string()))?;
        self.time_with_retries(model)
    }

    fn infer(&mut self, model: &Model, input: &[f32]) -> Result<Option<Vec<f32>>, DeviceError> {
        self.infer_with_retries(model, input)
    }

    fn incidents(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.incidents)
    }

    fn surroundings(&mut self) -> Option<Surroundings> {
        let now = self.link.state().ok();
        Some(Surroundings {
            serial: self.serial().to_owned(),
            properties: self.properties.clone(),
            runner: self.launch.runner.name(),
            runner_sha256: self.launch.runner.sha256().map(str::to_owned),
            library_sha256: match &self.launch.runner {
                Runner::Ours { library, .. } => Some(library.sha256.clone()),
                Runner::Stock { .. } => None,
            },
            cores: self.launch.cores.clone(),
            fixed_performance: self.fixed_performance,
            before: self.state.clone(),
            now,
        })
    }
}

impl Drop for PhoneDevice {
    fn drop(&mut self) {
        let paths: Vec<&str> = self.models.iter().map(|(remote, _)| remote.path.as_str()).collect();
        let removed = if paths.is_empty() { Ok(()) } else { self.link.remove(&paths) };
        let released = if self.fixed_performance { self.link.release_performance() } else { Ok(()) };
        if let Err(error) = removed.and(released) {
            tracing::warn!("phone {} is left as it is, the next session tidies it up: {error}", self.serial());
        }
    }
}

/// A small network whose time tells how fast the phone is just now.
pub(super) fn reference() -> Result<Model, DeviceError> {
    let wrong =
        |error: &dyn std::fmt::Display| DeviceError::Settings(format!("reference network {REFERENCE}: {error}"));
    let architecture = crate::space::parse(REFERENCE).map_err(|error| wrong(&error))?;
    let network = Network::expand(&architecture).map_err(|error| wrong(&error))?;
    let weights = Weights::random(&network, &mut crate::seeded(0));
    let bytes = crate::tflite::write(&network, &weights).map_err(|error| wrong(&error))?;
    Ok(Model { name: REFERENCE.into(), architecture: Some(architecture), network: Some(network), bytes })
}
