//! Where accuracies come from: proxy training in torch, the user's own program, or a table.
//!
//! | module | holds |
//! |---|---|
//! | [`data`] | image folders in memory |
//! | [`draw`] | the built-in data set of drawn images |
//! | `model` | the torch model of a network |
//! | `fit` | one short training, and accuracy |
//! | `proxy` | the accuracy of a candidate by short training |
//! | `full` | full training by MnasNet's recipe |
//!
//! All but the first two need the feature `torch`.

pub mod command;
pub mod data;
pub mod draw;
#[cfg(feature = "torch")]
pub mod fit;
#[cfg(feature = "torch")]
pub mod full;
#[cfg(feature = "torch")]
pub mod model;
#[cfg(feature = "torch")]
pub mod proxy;
pub mod table;

use crate::network::Weights;
use crate::space::Architecture;

/// One candidate whose accuracy is wanted.
#[derive(Debug, Clone)]
pub struct Request {
    /// Number of the evaluation within its run.
    pub id: u64,
    /// The deployed network; a proxy may train it at another input size.
    pub architecture: Architecture,
    /// Seed of everything random in this evaluation.
    pub seed: u64,
}

/// Obtains accuracies. Several requests may be answered at once from several threads.
pub trait Accuracy: Send + Sync {
    /// What this is, for provenance: one line.
    fn describe(&self) -> String;

    /// Requests worth answering at the same time on this machine.
    fn workers(&self) -> usize;

    /// The accuracy of a candidate, a fraction from 0 to 1. The same request gives the same answer.
    ///
    /// # Errors
    /// [`AccuracyError`]; other requests are not touched by it.
    fn evaluate(&self, request: &Request) -> Result<f64, AccuracyError>;

    /// The weights behind the accuracy of `request`, for the deployed network; `None` from those that keep none.
    ///
    /// # Errors
    /// As [`Accuracy::evaluate`].
    fn weights(&self, _request: &Request) -> Result<Option<Weights>, AccuracyError> {
        Ok(None)
    }
}

/// Why an accuracy did not come.
#[derive(Debug, thiserror::Error)]
pub enum AccuracyError {
    /// This candidate could not be trained (it diverged, or the program said so); the search goes on without it.
    #[error("candidate {id}: {problem}")]
    Candidate {
        /// The request's id.
        id: u64,
        /// What went wrong.
        problem: String,
    },
    /// No candidate can be trained: data missing, program gone.
    #[error("{0}")]
    Fatal(String),
}
