//! Obtaining accuracies: a few workers side by side, each result stored before its worker takes the next.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::search::candidate::Candidate;
use crate::search::error::SearchError;
use crate::search::run::Search;
use crate::search::run::control::Control;
use crate::search::seeds::training_seed;
use crate::store::{Evaluation, Ledger, Step};
use crate::train::{Accuracy, AccuracyError, Request};

/// What is to be evaluated: a new network and the number it gets.
struct Task<'a> {
    /// The network.
    candidate: &'a Candidate,
    /// Number of the evaluation within the run.
    id: u64,
    /// Seed of its training.
    seed: u64,
}

/// Evaluates all tasks; the ledger holds none of their networks yet.
///
/// # Errors
/// The first fatal error or a stop request; whatever finished is stored.
fn evaluate(
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

impl Search<'_> {
    /// Obtains the accuracies of the networks, as far as the ledger lacks them; gives all evaluations of the step.
    pub(super) fn train(
        &mut self,
        chosen: &[Candidate],
        control: &Control,
        step: &mut Step,
    ) -> Result<Vec<Evaluation>, SearchError> {
        self.evaluate(chosen, step.step, control)?;
        let evaluations = self.ledger.evaluations_of(step.step)?;
        step.trained = evaluations.iter().filter(|evaluation| evaluation.outcome.is_ok()).count();
        step.failed = evaluations.len() - step.trained;
        Ok(evaluations)
    }

    fn evaluate(&mut self, chosen: &[Candidate], number: u64, control: &Control) -> Result<(), SearchError> {
        // Those an interrupted attempt at this step evaluated keep their numbers, also if the budget, and with it the
        // choice, has changed since; the others take the free ones in order.
        let used: HashSet<u64> = self.ledger.evaluations_of(number)?.into_iter().map(|e| e.id).collect();
        let first = self.ledger.evaluations_before(number)? + 1;
        let mut free = (first..).filter(|id| !used.contains(id));
        let mut tasks = Vec::new();
        for candidate in chosen {
            if self.ledger.evaluation(&candidate.digest)?.is_none() {
                let id = free.next().unwrap_or(first);
                tasks.push(Task { candidate, id, seed: training_seed(self.settings.seed, &candidate.digest) });
            }
        }
        evaluate(&tasks, number, self.accuracy, self.ledger, control)
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
