//! What each form of the reward makes of accuracy and latency: `cargo run --release --example reward_table`.

use std::error::Error;

use mnas::search::{RewardKind, Target};

/// Prints the rewards of three networks for a target of 75 ms.
pub fn main() -> Result<(), Box<dyn Error>> {
    println!("{:>8} {:>8} {:>8} {:>8} {:>8}", "accuracy", "latency", "soft", "hard", "absolute");
    for (accuracy, latency_ms) in [(0.740, 60.0), (0.752, 75.0), (0.761, 90.0)] {
        print!("{accuracy:>8.3} {latency_ms:>5.0} ms");
        for kind in [RewardKind::Soft, RewardKind::Hard, RewardKind::Absolute] {
            let reward = Target::new(75.0, kind, None, None)?.reward(accuracy, latency_ms);
            print!(" {:>8.4}", reward.value);
        }
        println!();
    }
    Ok(())
}
