//! Accuracies from the user's own program (see [`crate::external`] for what it is asked and what it answers).

use std::sync::{Condvar, Mutex, PoisonError};

use super::{Accuracy, AccuracyError, Request};
use crate::external::{self, Answer, ExternalError, Program};

/// The trainer is a program, started once per worker.
///
/// ```
/// use mnas::train::{Accuracy, Request, command::CommandAccuracy};
/// let script = r#"while read line; do echo '{"id":1,"accuracy":0.5}'; done"#;
/// let trainer = CommandAccuracy::start(&["sh", "-c", script].map(str::to_owned), 1)?;
/// let request = Request { id: 1, architecture: mnas::space::parse("mnasnet-a1")?, seed: 0 };
/// assert_eq!(trainer.evaluate(&request)?, 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CommandAccuracy {
    command: String,
    workers: usize,
    idle: Mutex<Vec<Program>>,
    returned: Condvar,
}

impl CommandAccuracy {
    /// Starts `command` `workers` times (at least once).
    ///
    /// # Errors
    /// [`ExternalError`] if the command is empty or does not start.
    pub fn start(command: &[String], workers: usize) -> Result<Self, ExternalError> {
        let workers = workers.max(1);
        let programs = (0..workers).map(|_| Program::start(command)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { command: command.join(" "), workers, idle: Mutex::new(programs), returned: Condvar::new() })
    }

    /// Lends an idle program to `work`; waits for one if all are busy.
    fn with_program<T>(&self, work: impl FnOnce(&mut Program) -> T) -> T {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut program = loop {
            match idle.pop() {
                Some(program) => break program,
                None => idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(idle);
        let result = work(&mut program);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(program);
        self.returned.notify_one();
        result
    }
}

impl Accuracy for CommandAccuracy {
    fn describe(&self) -> String {
        format!("program '{}', {} started", self.command, self.workers)
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn evaluate(&self, request: &Request) -> Result<f64, AccuracyError> {
        let question = external::Request::new(request.id, Some(&request.architecture), None);
        match self.with_program(|program| program.ask(&question)) {
            Ok(Answer::Accuracy(accuracy)) => Ok(accuracy),
            Ok(Answer::Error(problem)) => Err(AccuracyError::Candidate { id: request.id, problem }),
            Ok(Answer::Latency(_)) => Err(AccuracyError::Fatal(format!(
                "'{}' answered request {} with latency_ms; a trainer must answer with accuracy",
                self.command, request.id
            ))),
            Err(error) => Err(AccuracyError::Fatal(error.to_string())),
        }
    }
}
