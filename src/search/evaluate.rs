//! Obtaining accuracies: a few workers side by side, each result stored before its worker takes the next.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::SearchError;
use super::candidate::Candidate;
use super::control::Control;
use crate::store::{Evaluation, Ledger};
use crate::train::{Accuracy, AccuracyError, Request};

/// What is to be evaluated: a new network and the number it gets.
pub struct Task<'a> {
    /// The network.
    pub candidate: &'a Candidate,
    /// Number of the evaluation within the run.
    pub id: u64,
    /// Seed of its training.
    pub seed: u64,
}

/// Evaluates all tasks; the ledger holds none of their networks yet.
///
/// # Errors
/// The first fatal error or a stop request; whatever finished is stored.
pub fn evaluate(
    tasks: &[Task<'_>],
    step: u64,
    accuracy: &dyn Accuracy,
    ledger: &mut Ledger,
    control: &Control,
) -> Result<(), SearchError> {
    let shared = Shared { next: AtomicUsize::new(0), ledger: Mutex::new(ledger), failure: Mutex::new(None) };
    let workers = accuracy.workers().clamp(1, tasks.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| shared.work(tasks, step, accuracy, control));
        }
    });
    match lock(&shared.failure).take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Shared<'a> {
    next: AtomicUsize,
    ledger: Mutex<&'a mut Ledger>,
    failure: Mutex<Option<SearchError>>,
}

impl Shared<'_> {
    fn work(&self, tasks: &[Task<'_>], step: u64, accuracy: &dyn Accuracy, control: &Control) {
        while let Some(task) = tasks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let done = control.check().and_then(|()| self.one(task, step, accuracy));
            match done {
                Ok(()) => control.progress.evaluated(),
                Err(error) => {
                    lock(&self.failure).get_or_insert(error);
                    // The others stop after what they are at.
                    self.next.store(tasks.len(), Ordering::Relaxed);
                }
            }
        }
    }

    fn one(&self, task: &Task<'_>, step: u64, accuracy: &dyn Accuracy) -> Result<(), SearchError> {
        let candidate = task.candidate;
        let request = Request { id: task.id, architecture: candidate.architecture.clone(), seed: task.seed };
        let start = Instant::now();
        let outcome = match accuracy.evaluate(&request) {
            Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
            Ok(value) => Err(format!("the accuracy must be a fraction from 0 to 1, found {value}")),
            Err(AccuracyError::Candidate { problem, .. }) => Err(problem),
            Err(fatal) => return Err(fatal.into()),
        };
        if let Err(problem) = &outcome {
            tracing::warn!("evaluation {} failed and is left out: {problem}", task.id);
        }
        let evaluation = Evaluation {
            id: task.id,
            digest: candidate.digest.clone(),
            architecture: candidate.architecture.to_string(),
            step,
            outcome,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok(lock(&self.ledger).add_evaluation(&evaluation)?)
    }
}

/// A worker that panicked has already ended the run; its half-done work holds nothing that could be inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
