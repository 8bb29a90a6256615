//! The search: sample, screen, train, time, reward, learn.
//!
//! One step:
//! ```text
//! proposer ──sampled_per_step──► screen (predicted latency) ──trained_per_step──► accuracy
//!    ▲                                                                              │
//!    │                        the most hopeful one for eight trainings ◄────────────┤
//!    │                              │ true latency, into the predictor too          │
//!    └──────── rewards ◄────────────┴──────────── predicted latency ◄───────────────┘
//! ```
//! Timings in the loop are made beside networks of known latency, which tell how much slower the device is than when it
//! was calibrated ([`anchors`]). Whether it is still that device is watched ([`watch`]).
//!
//! Everything random in a step comes from a generator made of the run's seed and the step's number, and everything a
//! step starts from lies in the ledger, so that a run resumed after `kill -9` decides as one never stopped.

pub mod accuracy;
pub mod anchors;
pub mod belief;
pub mod candidate;
pub mod control;
pub mod device_latencies;
pub mod devices;
mod evaluate;
mod finale;
pub mod guide;
pub mod known;
pub mod latencies;
pub mod objective;
pub mod options;
pub mod pareto;
mod phases;
pub mod pool;
pub mod progress;
pub mod proposer;
pub mod reward;
pub mod run;
pub mod screen;
mod step;
pub mod summary;
pub mod surrogate;
mod timing;
pub mod watch;

use std::time::{Duration, Instant};

pub use control::Control;
pub use objective::{Combine, CombinedReward, DeviceTarget, Objective};
pub use options::{SearchFile, SearchFileError, Settings};
pub use pareto::{Front, Point};
pub use reward::{Reward, RewardKind, Target, TargetError, TargetOptions};

use crate::device::Device;
use crate::store::{Ledger, Purpose, Step};
use crate::train::Accuracy;
use guide::Guide;
use latencies::Latencies;
use step::Carried;
use watch::Watch;

/// Why a search ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Stopped on request; everything finished is stored.
    #[error("stopped; everything finished is stored")]
    Stopped,
    /// The ledger.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The space or tokens.
    #[error(transparent)]
    Space(#[from] crate::space::SpaceError),
    /// A network that cannot be deployed.
    #[error(transparent)]
    Expand(#[from] crate::network::ExpandError),
    /// Accuracies cannot be obtained.
    #[error("accuracy: {0}")]
    Accuracy(#[from] crate::train::AccuracyError),
    /// The device.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
    /// The .tflite writer.
    #[error(transparent)]
    Tflite(#[from] crate::tflite::TfliteError),
    /// The predictor cannot be fitted.
    #[error(transparent)]
    Fit(#[from] crate::latency::FitError),
    /// A calibration's predictor, planning the first measurements, or writing a model to time.
    #[error(transparent)]
    Calibration(#[from] crate::latency::CalibrationError),
    /// The calibration's measurements.
    #[error(transparent)]
    Data(#[from] crate::latency::DataError),
    /// The proposer.
    #[error(transparent)]
    Proposer(#[from] proposer::ProposerError),
    /// A file of the run.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The ledger holds what this program did not write.
    #[error("the run's ledger is damaged: {0}")]
    Ledger(String),
    /// The device is not the calibrated one.
    #[error(
        "networks of the calibration take {drift:.2} times what they took then: this is another device or setting than \
         the calibrated one; calibrate it, or leave [device] predictor out"
    )]
    OtherDevice {
        /// Now over then.
        drift: f64,
    },
    /// A device that answers without times.
    #[error("the device gave no times for '{0}'")]
    NoTimes(String),
    /// The budget was spent before the first evaluation.
    #[error(
        "no network was evaluated: the time budget was spent before, or nothing new could be sampled; give it more \
         [budget] hours, or a larger space"
    )]
    NothingDone,
    /// Nothing could be evaluated.
    #[error("no candidate could be evaluated: all {failed} failed; the last said: {last}")]
    NothingWorked {
        /// How many were tried.
        failed: usize,
        /// The last one's problem.
        last: String,
    },
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The budget of evaluations is spent.
    Evaluations,
    /// The budget of hours is spent.
    Time,
    /// The proposer has nothing new to offer.
    Converged,
}

impl Ended {
    /// As the ledger and the report name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evaluations => "evaluations",
            Self::Time => "time",
            Self::Converged => "converged",
        }
    }
}

/// A search with everything it needs.
pub struct Search<'a> {
    /// The checked search file.
    pub settings: &'a Settings,
    /// The run's ledger.
    pub ledger: &'a mut Ledger,
    /// Obtains accuracies.
    pub accuracy: &'a dyn Accuracy,
    /// Time networks: one for each of the search file's devices, in its order.
    pub devices: &'a mut [Box<dyn Device>],
}

impl Search<'_> {
    /// Runs from wherever the ledger stands to the end of the budget, then re-times the best and writes the winner.
    ///
    /// # Errors
    /// [`SearchError`]; the ledger holds everything that finished, and the run can be resumed.
    pub fn run(&mut self, control: &Control) -> Result<Ended, SearchError> {
        self.warn_of_idle_workers();
        let latencies = Latencies::open(self, control)?;
        let steps = self.ledger.steps()?;
        let state = self.ledger.proposer()?;
        let settings = self.settings;
        let guide = Guide::read(self.ledger, settings, &latencies)?;
        let proposer = proposer::make(&settings.search, &settings.space, settings.seed, state.as_deref())?;
        let best_reward = steps.last().and_then(|step| step.best_reward);
        let watch = Watch::read(settings.devices.len(), &self.ledger.measurements()?, steps.len() as u64);
        let mut carried = Carried { proposer, latencies, guide, watch, best_reward };
        let ended = self.steps(steps, &mut carried, control)?;
        control.progress.finish();
        self.finale(&carried, control)?;
        Ok(ended)
    }

    fn warn_of_idle_workers(&self) {
        let (workers, trained) = (self.accuracy.workers(), self.settings.search.trained_per_step);
        if workers > trained {
            tracing::warn!(
                "{} of {workers} trainers stay idle: only {trained} networks are trained in one step; set [search] \
                 trained_per_step = {workers}",
                workers - trained,
            );
        }
    }

    fn steps(
        &mut self,
        mut done: Vec<Step>,
        carried: &mut Carried<'_>,
        control: &Control,
    ) -> Result<Ended, SearchError> {
        for number in done.len() as u64 + 1.. {
            if self.ledger.evaluations_before(number)? >= self.settings.evaluations {
                return Ok(Ended::Evaluations);
            }
            if self.settings.search.has_converged(&done) {
                return Ok(Ended::Converged);
            }
            if control.out_of_time() {
                return Ok(Ended::Time);
            }
            control.check()?;
            let step = self.step(number, carried, control)?;
            control.progress.line(&step.line());
            done.push(step);
        }
        unreachable!("steps are numbered without end")
    }

    /// Time that earlier processes of this run have spent on first measurements and closed steps.
    pub fn spent(ledger: &Ledger) -> Result<Duration, SearchError> {
        let steps: f64 = ledger.steps()?.iter().map(|step| step.seconds.total).sum();
        let before = ledger.measurements()?.into_iter().filter(|m| m.purpose == Purpose::WarmUp);
        Ok(Duration::from_secs_f64(steps + before.map(|m| m.seconds).sum::<f64>()))
    }
}

/// The generator of one purpose in one step: its stream depends on nothing else.
fn generator(seed: u64, step: u64, purpose: &str) -> crate::Random {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&step.to_le_bytes()).update(purpose.as_bytes());
    rand::SeedableRng::from_seed(*hasher.finalize().as_bytes())
}

/// Seed of a network's training: the same whenever and in whatever order it is trained.
fn training_seed(seed: u64, digest: &str) -> u64 {
    rand::Rng::r#gen(&mut generator(seed, 0, digest))
}

/// Runs `work` and adds its wall time to `seconds`.
fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *seconds += start.elapsed().as_secs_f64();
    result
}
