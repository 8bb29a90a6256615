//! What a candidate is worth: the reward of its accuracy and latency, on one device or several, and the Pareto front of
//! both.

pub mod objective;
pub mod pareto;
pub mod target;

pub use objective::{Combine, CombinedReward, DeviceTarget, Objective};
pub use pareto::{Front, Point};
pub use target::{Reward, RewardKind, Target, TargetError};
