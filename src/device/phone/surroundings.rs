//! The phone behind a set of numbers, stored with them.

use serde::{Deserialize, Serialize};

use super::state::{Properties, State};

/// The phone behind a set of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Serial number.
    pub serial: String,
    /// Model, system on a chip, build fingerprint, …
    pub properties: Properties,
    /// The program that timed, with the start of its hash.
    pub runner: String,
    /// SHA-256 of that program, where this machine has its file.
    pub runner_sha256: Option<String>,
    /// SHA-256 of LiteRT's library there.
    pub library_sha256: Option<String>,
    /// Cores that models could use; empty for all.
    pub cores: Vec<usize>,
    /// Whether its fixed-performance mode was on.
    pub fixed_performance: bool,
    /// Clocks, temperatures and battery when the session began.
    pub before: State,
    /// The same now, where the phone still answers.
    pub now: Option<State>,
}
