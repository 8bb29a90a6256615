//! Timings from the user's own program (see [`crate::external`] for what it is asked and what it answers).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Clock, Description, Device, DeviceError, Model, Timing};
use crate::external::{Answer, ExternalError, Failure, Failures, Program, Request};

/// [`Description::kind`] of these devices.
pub const KIND: &str = "command";

/// Numbers the requests of all devices of this process, so that their files never meet.
static NEXT_REQUEST: AtomicU64 = AtomicU64::new(1);

/// The device is a program that times the .tflite file whose path it is given. A network that it cannot time costs that
/// network alone; where too many fail in a row ([`Failures`]), it is the device.
pub struct CommandDevice {
    program: Program,
    command: String,
    scratch: PathBuf,
    failures: Failures,
}

impl CommandDevice {
    /// Starts `command`; models are put into the folder `scratch` while they are timed.
    ///
    /// # Errors
    /// [`ExternalError`] if the command is empty or does not start.
    pub fn start(command: &[String], scratch: &Path) -> Result<Self, ExternalError> {
        let program = Program::start(command)?;
        Ok(Self { program, command: command.join(" "), scratch: scratch.to_owned(), failures: Failures::default() })
    }

    /// The same with a time within which every request must be answered; none: as long as it takes.
    #[must_use]
    pub fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Self { program: self.program.with_timeout(timeout), ..self }
    }

    fn ask(&mut self, model: &Model, id: u64, path: &Path) -> Result<Timing, DeviceError> {
        let (reason, answered) = match self.program.ask(&Request::new(id, model.architecture.as_ref(), Some(path))) {
            Ok(Answer::Latency(wall_ms)) => {
                self.failures.success();
                return Ok(Timing { wall_ms, cpu_ms: Vec::new() });
            }
            Ok(Answer::Error(reason)) => (reason, true),
            Ok(Answer::Accuracy(_)) => ("a device must answer with latency_ms, found accuracy".to_owned(), false),
            Err(error) if error.is_final() => return Err(DeviceError::Library(error.to_string())),
            Err(error) => (error.reason(), false),
        };
        match self.failures.add(Failure { network: model.name.clone(), reason: reason.clone(), answered }) {
            Some(problem) => Err(DeviceError::Library(format!("device '{}': {problem}", self.command))),
            None => Err(failed(model, reason)),
        }
    }
}

impl Device for CommandDevice {
    fn description(&self) -> Description {
        Description {
            id: "command".to_owned(),
            kind: KIND.to_owned(),
            model: self.command.clone(),
            runtime: "external program".to_owned(),
            // The program alone knows.
            threads: 0,
            clock: Clock::Wall,
        }
    }

    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        let id = NEXT_REQUEST.fetch_add(1, Ordering::Relaxed);
        let path = std::path::absolute(self.scratch.join(format!("model-{}-{id}.tflite", std::process::id())))
            .map_err(|error| failed(model, format!("the scratch folder has no absolute path: {error}")))?;
        // Nobody reads it after a crash: it need not reach the disk.
        fs_err::create_dir_all(&self.scratch).map_err(|error| failed(model, error.to_string()))?;
        fs_err::write(&path, &model.bytes).map_err(|error| failed(model, error.to_string()))?;
        let timing = self.ask(model, id, &path);
        if let Err(error) = fs_err::remove_file(&path) {
            tracing::warn!("{error}");
        }
        timing
    }
}

fn failed(model: &Model, problem: String) -> DeviceError {
    DeviceError::Model { device: "command".to_owned(), model: model.name.clone(), problem }
}
