//! A phone over adb as a device.
//!
//! A [`PhoneDevice`] owns its phone while it lives ([`lock`]), puts the runner and each model there by hash, runs on the
//! biggest cores, and believes an answer only if it is about the very model that was asked for ([`launch`]). One load:
//!
//! ```text
//! below the limits? ──no──► wait, look again ([`health`])
//!   │ yes
//! push model ► run ► reference network ──slower than 1.10 × its baseline, or clocks dropped──► wait, repeat
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
pub mod lock;
pub mod pace;
pub mod state;

use std::time::Duration;

use mnas_runner::report::Report;

use self::files::Runner;
use self::health::Patience;
use self::launch::{Answer, Launch, Remote};
use self::link::{FOLDER, Link};
use self::lock::Lock;
use self::pace::Pace;
use self::state::{Properties, State};
use super::incident::{Incident, IncidentKind};
use super::profile::Profile;
use super::{Clock, Description, Device, DeviceError, Model, Surroundings, Timing};
use crate::adb::{AdbError, Server};
use crate::network::{Network, Weights};

/// Kind of a phone in a description.
pub const KIND: &str = "phone";
/// Bytes of models that are left on the phone at most, for rounds that come back to them.
const KEPT_BYTES: usize = 256 << 20;
/// How often the phone may be lost during one load, before that is an error.
const LOSSES: usize = 6;
/// The reference network, and loads of it behind its baseline.
const REFERENCE: &str = "mobilenet-v1@0.25/192";
const BASELINE_LOADS: usize = 3;

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

    /// Waits until the phone is within its limits.
    fn wait_until_healthy(&mut self) -> Result<(), DeviceError> {
        let limits = self.launch.profile.limits.clone();
        let mut patience = Patience::of(Duration::from_secs(limits.max_wait_s));
        let mut first = None;
        loop {
            let complaints = health::complaints(&self.link.state()?, &limits);
            if complaints.is_empty() {
                if let Some(first) = first {
                    let waited = patience.waited().as_secs_f64();
                    self.note(IncidentKind::Waited, format!("waited {waited:.0} s: {first}"));
                }
                return Ok(());
            }
            let text = health::describe(&complaints);
            if !complaints.iter().all(|complaint| complaint.passes) || !patience.pause() {
                return Err(DeviceError::NotReady {
                    device: self.name(),
                    waited_s: patience.waited().as_secs(),
                    problem: text,
                });
            }
            first.get_or_insert(text);
        }
    }

    /// Puts a model on the phone, removing the oldest ones if there is no room.
    fn put(&mut self, model: &Model) -> Result<Remote, AdbError> {
        let sha256 = mnas_runner::sha256(&model.bytes);
        if let Some((remote, _)) = self.models.iter().find(|(remote, _)| remote.sha256 == sha256) {
            return Ok(remote.clone());
        }
        let kept = |models: &[(Remote, usize)]| models.iter().map(|(_, bytes)| bytes).sum::<usize>();
        while !self.models.is_empty() && kept(&self.models) + model.bytes.len() > KEPT_BYTES {
            self.link.remove(&[&self.models[0].0.path])?;
            self.models.remove(0);
        }
        let remote = Remote { path: format!("{FOLDER}/{}.tflite", &sha256[..32]), sha256 };
        match self.link.push(&model.bytes, &remote.path, 0o644) {
            Err(AdbError::NoSpace { .. }) if !self.models.is_empty() => {
                let paths: Vec<&str> = self.models.iter().map(|(remote, _)| remote.path.as_str()).collect();
                self.link.remove(&paths)?;
                self.models.clear();
                self.link.push(&model.bytes, &remote.path, 0o644)?;
            }
            other => other?,
        }
        self.models.push((remote.clone(), model.bytes.len()));
        Ok(remote)
    }

    /// One start of the runner.
    fn load(&mut self, model: &Model) -> Result<Answer, DeviceError> {
        let answer = self.start(&self.launch.clone(), model)?;
        self.last_report.clone_from(&answer.report);
        Ok(answer)
    }

    fn start(&mut self, launch: &Launch, model: &Model) -> Result<Answer, DeviceError> {
        let remote = self.put(model)?;
        let output = self.link.run(&launch.time(&remote), launch.limit())?;
        launch.answer(&remote, &output).map_err(|problem| self.failed(model, problem))
    }

    /// The fastest run of the reference network, if there is one.
    fn reference_ms(&mut self) -> Result<Option<f64>, DeviceError> {
        let Some(reference) = self.reference.take() else { return Ok(None) };
        let answer = self.start(&self.launch.of_reference(), &reference);
        self.reference = Some(reference);
        let timing = answer?.timing;
        Ok(timing.statistic_ms(self.clock(), super::session::Statistic::Fastest))
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

    /// One attempt at a load; `Err(Slow)` is to be repeated.
    fn attempt(&mut self, model: &Model) -> Result<Result<Timing, String>, DeviceError> {
        std::thread::sleep(Duration::from_millis(self.launch.profile.run.rest_ms));
        if !self.prepared {
            self.prepare()?;
        }
        self.wait_until_healthy()?;
        while self.reference.is_some() && !self.pace.has_baseline(BASELINE_LOADS) {
            if let Some(ms) = self.reference_ms()? {
                self.pace.learn(ms);
            }
        }
        let answer = self.load(model)?;
        if let Some(report) = &answer.report
            && let Err(slow) = self.pace.clocks(report)
        {
            return Ok(Err(slow));
        }
        let mut verdict = Ok(());
        // Once may be chance.
        for _ in 0..2 {
            verdict = match self.reference_ms()? {
                Some(ms) => self.pace.reference(ms),
                None => Ok(()),
            };
            if verdict.is_ok() {
                break;
            }
        }
        Ok(verdict.map(|()| answer.timing))
    }

    /// Attempts until one counts: slow ones until patience ends, lost ones a few times.
    fn time_patiently(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        let mut patience = Patience::of(Duration::from_secs(self.launch.profile.limits.max_wait_s));
        let mut lost = 0;
        while lost < LOSSES {
            match self.attempt(model) {
                Ok(Ok(timing)) => return Ok(timing),
                Ok(Err(slow)) => {
                    self.note(IncidentKind::Repeated, format!("a load of '{}' does not count: {slow}", model.name));
                    if !patience.pause() {
                        break;
                    }
                }
                Err(DeviceError::Adb(error)) if error.retryable() => {
                    lost += 1;
                    self.recover(&error)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(DeviceError::NotReady {
            device: self.name(),
            waited_s: patience.waited().as_secs(),
            problem: format!(
                "'{}' could not be timed; the last thing that happened: {}",
                model.name,
                self.incidents.last().map_or("nothing", |incident| &incident.message)
            ),
        })
    }

    /// Finds a lost phone again. That it gets lost once more on the way is not the end; that it stays away is.
    fn recover(&mut self, error: &AdbError) -> Result<(), DeviceError> {
        self.link.reconnect(Duration::from_secs(self.launch.profile.limits.max_away_s))?;
        self.note(IncidentKind::Reconnected, format!("found again after: {error}; the load under way is repeated"));
        match self.prepare() {
            Err(DeviceError::Adb(again)) if again.retryable() => Ok(()),
            other => other,
        }
    }

    fn infer_once(&mut self, model: &Model, input: &[f32]) -> Result<Option<Vec<f32>>, DeviceError> {
        if !self.prepared {
            self.prepare()?;
        }
        let remote = self.put(model)?;
        let (from, to) =
            (format!("{FOLDER}/input-{}", &remote.sha256[..16]), format!("{FOLDER}/output-{}", &remote.sha256[..16]));
        let Some(command) = self.launch.infer(&remote, &from, &to) else { return Ok(None) };
        let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.link.push(&bytes, &from, 0o644)?;
        let output = self.link.run(&command, self.launch.limit())?;
        let once = Launch { runs: 0, ..self.launch.clone() };
        once.answer(&remote, &output).map_err(|problem| self.failed(model, problem))?;
        let bytes = self.link.pull(&to)?;
        self.link.remove(&[&from, &to])?;
        if bytes.len() % 4 != 0 {
            return Err(self.failed(model, format!("its output has {} bytes, no whole number of f32", bytes.len())));
        }
        Ok(Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()))
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
        self.time_patiently(model)
    }

    fn infer(&mut self, model: &Model, input: &[f32]) -> Result<Option<Vec<f32>>, DeviceError> {
        for _ in 0..LOSSES {
            match self.infer_once(model, input) {
                Err(DeviceError::Adb(error)) if error.retryable() => self.recover(&error)?,
                other => return other,
            }
        }
        self.infer_once(model, input)
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
