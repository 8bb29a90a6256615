//! Accuracies from the user's own program (see [`crate::external`] for what it is asked and what it answers).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Accuracy, AccuracyError, Request};
use crate::external::{self, Answer, ExternalError, Failure, Failures, Program};

/// The trainer is a program, started once per worker. A network that it cannot train costs that network alone; where too
/// many fail in a row ([`Failures`]), it is the trainer.
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
    failures: Mutex<Failures>,
}

impl CommandAccuracy {
    /// Starts `command` `workers` times (at least once).
    ///
    /// # Errors
    /// [`ExternalError`] if the command is empty or does not start.
    pub fn start(command: &[String], workers: usize) -> Result<Self, ExternalError> {
        let workers = workers.max(1);
        let programs = (0..workers).map(|_| Program::start(command)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            command: command.join(" "),
            workers,
            idle: Mutex::new(programs),
            returned: Condvar::new(),
            failures: Mutex::default(),
        })
    }

    /// The same with a time within which every request must be answered; none: as long as it takes.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Option<Duration>) -> Self {
        let programs = self.take_programs().into_iter();
        self.idle = Mutex::new(programs.map(|program| program.with_timeout(timeout)).collect());
        self
    }

    fn take_programs(&mut self) -> Vec<Program> {
        std::mem::take(self.idle.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Drop for CommandAccuracy {
    /// Each program may take seconds to end: all do so at once.
    fn drop(&mut self) {
        let programs = self.take_programs();
        std::thread::scope(|scope| programs.into_iter().for_each(|program| drop(scope.spawn(move || drop(program)))));
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
        let (reason, answered) = match self.with_program(|program| program.ask(&question)) {
            Ok(Answer::Accuracy(accuracy)) => {
                self.failures().success();
                return Ok(accuracy);
            }
            Ok(Answer::Error(reason)) => (reason, true),
            Ok(Answer::Latency(_)) => ("a trainer must answer with accuracy, found latency_ms".to_owned(), false),
            Err(error) if error.is_final() => return Err(AccuracyError::Fatal(error.to_string())),
            Err(error) => (error.reason(), false),
        };
        let network = request.architecture.to_string();
        match self.failures().add(Failure { network, reason: reason.clone(), answered }) {
            Some(problem) => Err(AccuracyError::Fatal(format!("trainer '{}': {problem}", self.command))),
            None => Err(AccuracyError::Candidate { id: request.id, problem: reason }),
        }
    }
}
