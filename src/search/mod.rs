//! The search: what a candidate is worth, and which candidates are worth keeping.

pub mod pareto;
pub mod reward;

pub use pareto::{Front, Point};
pub use reward::{Reward, RewardKind, Target, TargetError, TargetOptions};
