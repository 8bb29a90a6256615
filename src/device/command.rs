//! Timings from the user's own program (see [`crate::external`] for what it is asked and what it answers).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Clock, Description, Device, DeviceError, Model, Timing};
use crate::external::{Answer, ExternalError, Failure, Failures, Program, Request};

/// [`Description::kind`] of these devices.
pub const KIND: &str = "command";

/// Numbers the requests and files of all devices of this process, so that they never meet.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Models whose files are kept: a session's, which are loaded in turns. Writing the file for every load took a third of
/// the time of a search whose device answers at once.
const KEPT: usize = 32;

/// The device is a program that times the .tflite file whose path it is given. A network that it cannot time costs that
/// network alone; where too many fail in a row ([`Failures`]), it is the device.
pub struct CommandDevice {
    program: Program,
    command: String,
    scratch: PathBuf,
    /// The last models, the latest last.
    files: VecDeque<ModelFile>,
    failures: Failures,
}

/// A model in the scratch folder; removed when it is dropped.
struct ModelFile {
    content: blake3::Hash,
    path: PathBuf,
}

impl ModelFile {
    /// Nobody reads it after a crash: it need not reach the disk.
    fn write(folder: &Path, bytes: &[u8], content: blake3::Hash) -> std::io::Result<Self> {
        fs_err::create_dir_all(folder)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::path::absolute(folder.join(format!("model-{}-{number}.tflite", std::process::id())))?;
        let file = Self { content, path };
        fs_err::write(&file.path, bytes)?;
        Ok(file)
    }
}

impl Drop for ModelFile {
    fn drop(&mut self) {
        if let Err(error) = fs_err::remove_file(&self.path) {
            tracing::warn!("{error}");
        }
    }
}

impl CommandDevice {
    /// Starts `command`; models are put into the folder `scratch` while they are timed.
    ///
    /// # Errors
    /// [`ExternalError`] if the command is empty or does not start.
    pub fn start(command: &[String], scratch: &Path) -> Result<Self, ExternalError> {
        let program = Program::start(command)?;
        Ok(Self {
            program,
            command: command.join(" "),
            scratch: scratch.to_owned(),
            files: VecDeque::new(),
            failures: Failures::default(),
        })
    }

    /// The same with a time within which every request must be answered; none: as long as it takes.
    #[must_use]
    pub fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Self { program: self.program.with_timeout(timeout), ..self }
    }

    /// The path of a model's file, which is written unless it is among the last ones.
    fn file(&mut self, model: &Model) -> std::io::Result<PathBuf> {
        let content = blake3::hash(&model.bytes);
        let known = self.files.iter().position(|file| file.content == content && file.path.exists());
        let file = match known.and_then(|index| self.files.remove(index)) {
            Some(file) => file,
            None => ModelFile::write(&self.scratch, &model.bytes, content)?,
        };
        let path = file.path.clone();
        self.files.push_back(file);
        if self.files.len() > KEPT {
            self.files.pop_front();
        }
        Ok(path)
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
        let path = self.file(model).map_err(|error| failed(model, error.to_string()))?;
        self.ask(model, NEXT.fetch_add(1, Ordering::Relaxed), &path)
    }
}

fn failed(model: &Model, problem: String) -> DeviceError {
    DeviceError::Model { device: "command".to_owned(), model: model.name.clone(), problem }
}
