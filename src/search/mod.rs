//! The search: sample, choose, train, time, reward, learn.
//!
//! One step (`run::step`), as it is unless the search file says otherwise:
//! ```text
//!   propose: the policy samples ──┐
//!   propose: mutations of the     ├─► expected improvement ──trained_per_step──► accuracy ──► model of accuracies
//!            best and of those ───┘      chooses                                    │
//!            that rank highest                ▲                                     ▼
//!                                             │      the likeliest best, one in eight trainings, is timed beside
//!                                    model of latencies ◄──────────── networks of known latency
//!                                             │                                     │
//!   propose: the policy learns ◄── rewards ◄──┴── latency: timed, else expected ◄───┘
//! ```
//! Without a model (`guided = false`) the candidates whose predicted latency lies in a window around the target are
//! trained, in the order they were drawn.
//!
//! | room | holds | imports only those above it |
//! |---|---|---|
//! | `error`, `candidate`, `seeds` | what can go wrong; a proposal and the network it is; the generators of a step and a training | |
//! | `reward` | the reward, the objective over several devices, the Pareto front | |
//! | `settings` | the search file, every option with its range, what a run keeps of them | |
//! | `timing` | a session in the loop, networks of known latency beside it, the watch over the devices | |
//! | `model` | the kernel and the Gaussian process over tokens, latencies on one device and on all | |
//! | `propose` | policy, evolution, random sampling, mutations, the acquisition function | |
//! | `outcome` | what is known of every network, the summary, the phases | |
//! | `run` | starting and resuming, the loop, one step, the final timing: the only `impl Search` | |
//!
//! Everything random in a step comes from a generator made of the run's seed and the step's number, and everything a
//! step starts from lies in the ledger, so that a run resumed after `kill -9` decides as one never stopped.

mod candidate;
mod error;
mod model;
mod outcome;
mod propose;
mod reward;
mod run;
mod seeds;
mod settings;
mod timing;

pub use candidate::{Candidate, Proposal};
pub use error::{OptionError, ProposerError, RunError, SearchError, SearchFileError};
pub use outcome::summary::{Summary, summarise};
pub use propose::proposer::{Learnt, Proposer};
pub use reward::{
    Combine, CombinedReward, DeviceTarget, Front, Objective, Point, Reward, RewardKind, Target, TargetError,
};
pub use run::progress::Progress;
pub use run::{Control, Ended, Outcome, RunContext, Search, resume, start};
pub use settings::stored::BudgetChange;
pub use settings::{
    AccuracyOptions, Algorithm, BudgetOptions, DeviceOptions, EvolutionOptions, GuideOptions, SearchFile,
    SearchOptions, Settings, SpaceOptions, TargetOptions, Timing, Window,
};

/// What the benchmarks of the search look into; no promise is made about it.
#[doc(hidden)]
pub mod internals {
    pub use super::model::Latencies;
    pub use super::propose::guide::Guide;
    pub use super::run::final_timing::{FinalNetwork, FinalObservation, time_finalists};
    pub use super::timing::watch::Watch;
}
