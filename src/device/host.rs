//! This machine as a device: LiteRT on its processor.
//!
//! A [`HostDevice`] runs models in its own process, on the calling thread if `threads` is 1. Both clocks of every run
//! are kept: on a loaded machine the wall time of MobileNetV2 grew from 13 to 189 ms while the thread's processor
//! time stayed at 9 to 10 ms. With more threads the processor time of one thread means nothing, so the wall clock
//! counts.

use std::time::Duration;

use mnas_runner::sampling::{Sample, Schedule, sample};
use rand::Rng;

use super::litert::{Kernels, Loaded, Runtime};
use super::pinning::{Pinned, Pinning};
use super::tract::TractModel;
use super::{Clock, Description, Device, DeviceError, Model, Timing};

/// Name of this device.
pub const ID: &str = "host";
/// Seed of the input that timed runs read; its values do not matter, but zeros could be treated apart.
const INPUT_SEED: u64 = 0;

/// How the host runs a model.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `id` | `host` | the name under which results are kept | |
/// | `threads` | 1 | threads of the runtime | 1 to 64 |
/// | `pinning` | none | cores the runtime may use | existing cores |
/// | `kernels` | XNNPACK | kernels behind the operators | |
/// | `warmup_runs` | 3 | untimed runs after each load | any |
/// | `runs` | 10 | timed runs at least | 1 or more |
/// | `minimum_ms` | 0 | timed runs go on for at least so long | 0 to 60,000 |
#[derive(Debug, Clone, PartialEq)]
pub struct HostSettings {
    /// The name under which results are kept: that of a profile, if one was used.
    pub id: String,
    /// Threads of the runtime.
    pub threads: usize,
    /// Cores the runtime may use.
    pub pinning: Pinning,
    /// Kernels behind the operators.
    pub kernels: Kernels,
    /// Untimed runs after each load.
    pub warmup_runs: usize,
    /// Timed runs at least.
    pub runs: usize,
    /// Timed runs go on until they took that many milliseconds in total.
    pub minimum_ms: f64,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            id: ID.into(),
            threads: 1,
            pinning: Pinning::None,
            kernels: Kernels::Xnnpack,
            warmup_runs: 3,
            runs: 10,
            minimum_ms: 0.0,
        }
    }
}

impl HostSettings {
    fn check(&self) -> Result<(), DeviceError> {
        let wrong = |what: &str, range: &str, found: String| {
            Err(DeviceError::Settings(format!("{what} must be {range}, found {found}")))
        };
        if !(1..=64).contains(&self.threads) {
            return wrong("threads", "from 1 to 64", self.threads.to_string());
        }
        if self.runs == 0 {
            return wrong("runs", "at least 1", self.runs.to_string());
        }
        if !(0.0..=60_000.0).contains(&self.minimum_ms) {
            return wrong("minimum_ms", "from 0 to 60000", self.minimum_ms.to_string());
        }
        self.pinning.check().map_err(DeviceError::Settings)
    }

    /// The clock that means something with so many threads.
    fn clock(&self) -> Clock {
        if self.threads == 1 { Clock::ThreadCpu } else { Clock::Wall }
    }
}

/// Times models on this machine.
pub struct HostDevice {
    settings: HostSettings,
    backend: Backend,
}

enum Backend {
    LiteRt(&'static Runtime),
    Tract,
}

impl HostDevice {
    /// The host with LiteRT.
    ///
    /// # Errors
    /// [`DeviceError::Library`] when LiteRT cannot be loaded, [`DeviceError::Settings`] for settings out of range.
    pub fn new(settings: HostSettings) -> Result<Self, DeviceError> {
        settings.check()?;
        Ok(Self { settings, backend: Backend::LiteRt(Runtime::shared()?) })
    }

    /// The host with LiteRT, or with tract where LiteRT cannot be loaded. Tract's times are about three times
    /// LiteRT's, so falling back is logged as a warning and stands in the description's kind.
    ///
    /// # Errors
    /// [`DeviceError::Settings`] for settings out of range, more than one thread of tract among them.
    pub fn with_fallback(settings: HostSettings) -> Result<Self, DeviceError> {
        settings.check()?;
        let backend = match Runtime::shared() {
            Ok(runtime) => Backend::LiteRt(runtime),
            Err(error) if settings.threads == 1 => {
                tracing::warn!(
                    "{error}. FALLING BACK TO TRACT: its latencies are NOT what LiteRT or a phone would give"
                );
                Backend::Tract
            }
            Err(error) => {
                return Err(DeviceError::Settings(format!("{error}. The fallback, tract, has one thread only")));
            }
        };
        Ok(Self { settings, backend })
    }

    /// The settings it runs with.
    pub fn settings(&self) -> &HostSettings {
        &self.settings
    }

    fn load<'model>(&self, model: &'model Model) -> Result<Session<'model>, String> {
        match self.backend {
            Backend::LiteRt(runtime) => {
                // LiteRT trusts a model's offsets; a broken file would take the whole process down.
                crate::tflite::read(&model.bytes).map_err(|error| error.to_string())?;
                let HostSettings { threads, kernels, .. } = self.settings;
                Ok(Session::LiteRt(runtime.load(&model.bytes, threads, kernels)?))
            }
            Backend::Tract => Ok(Session::Tract(Box::new(TractModel::load(&model.bytes)?))),
        }
    }

    fn time_runs(&self, model: &Model) -> Result<Timing, String> {
        let _pinned = Pinned::to(&self.settings.pinning)?;
        let mut session = self.load(model)?;
        let mut random = crate::seeded(INPUT_SEED);
        session.fill(|| random.gen_range(-1.0..1.0))?;
        let settings = &self.settings;
        let schedule = |runs, minimum_ms: f64| Schedule {
            least_runs: runs,
            least: Duration::from_secs_f64(minimum_ms / 1e3),
            most: Duration::MAX,
            pause: Duration::ZERO,
            steady: None,
        };
        sample(&schedule(settings.warmup_runs, 0.0), &mut || session.run())?;
        let samples = sample(&schedule(settings.runs, settings.minimum_ms), &mut || session.run())?;
        let milliseconds =
            |of: fn(&Sample) -> Duration| samples.iter().map(|run| of(run).as_secs_f64() * 1e3).collect();
        Ok(Timing {
            wall_ms: milliseconds(|run| run.wall),
            cpu_ms: match settings.clock() {
                Clock::ThreadCpu => milliseconds(|run| run.cpu),
                Clock::Wall => Vec::new(),
            },
        })
    }

    fn infer_once(&self, model: &Model, input: &[f32]) -> Result<Vec<f32>, String> {
        let mut session = self.load(model)?;
        session.set_input(input)?;
        session.run()?;
        session.output()
    }

    fn failed(&self, model: &Model, problem: String) -> DeviceError {
        DeviceError::Model { device: self.settings.id.clone(), model: model.name.clone(), problem }
    }
}

impl Device for HostDevice {
    fn description(&self) -> Description {
        let (kind, runtime) = match self.backend {
            Backend::LiteRt(runtime) => ("host", runtime.identity()),
            Backend::Tract => ("host (tract fallback)", super::tract::VERSION.into()),
        };
        let runtime = match self.settings.kernels {
            Kernels::Builtin if kind == "host" => format!("{runtime}, without XNNPACK"),
            _ => runtime,
        };
        Description {
            id: self.settings.id.clone(),
            kind: kind.into(),
            model: super::machine::processor(),
            runtime,
            threads: self.settings.threads,
            clock: self.settings.clock(),
        }
    }

    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        self.time_runs(model).map_err(|problem| self.failed(model, problem))
    }

    fn infer(&mut self, model: &Model, input: &[f32]) -> Result<Option<Vec<f32>>, DeviceError> {
        self.infer_once(model, input).map(Some).map_err(|problem| self.failed(model, problem))
    }
}

/// A loaded model of either runtime.
enum Session<'model> {
    LiteRt(Loaded<'model>),
    Tract(Box<TractModel>),
}

impl Session<'_> {
    fn fill(&mut self, next: impl FnMut() -> f32) -> Result<(), String> {
        match self {
            Self::LiteRt(session) => session.fill(next),
            Self::Tract(session) => session.fill(next),
        }
    }

    fn set_input(&mut self, values: &[f32]) -> Result<(), String> {
        match self {
            Self::LiteRt(session) => session.set_input(values),
            Self::Tract(session) => session.set_input(values),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        match self {
            Self::LiteRt(session) => session.run(),
            Self::Tract(session) => session.run(),
        }
    }

    fn output(&self) -> Result<Vec<f32>, String> {
        match self {
            Self::LiteRt(session) => session.output(),
            Self::Tract(session) => session.output(),
        }
    }
}
