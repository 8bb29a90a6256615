//! The controller alone, taught by a formula: `cargo run --release --example ppo_on_a_formula`.

use std::error::Error;

use mnas::controller::{Controller, Experience, PpoSettings};

/// Rewards sequences by how many of their tokens are 0 and prints how the policy gives up doubt for reward.
pub fn main() -> Result<(), Box<dyn Error>> {
    // The one number of threads with which a saved controller continues bit for bit.
    tch::set_num_threads(1);
    let mut random = mnas::seeded(1);
    let settings = PpoSettings { learning_rate: 2e-3, entropy_weight: 0.01, ..PpoSettings::default() };
    let mut controller = Controller::new(&[3, 4, 2, 5, 3, 4], settings.check()?, &mut random)?;
    for update in 1..=40 {
        let mut batch = Vec::new();
        for sampled in controller.sample(16, &mut random) {
            let zeros = sampled.tokens.iter().filter(|token| **token == 0).count();
            let reward = zeros as f64 / sampled.tokens.len() as f64;
            batch.push(Experience { tokens: sampled.tokens, log_probabilities: sampled.log_probabilities, reward });
        }
        let entropy = controller.update(&batch)?.entropy;
        if update % 10 == 0 {
            let mean = batch.iter().map(|experience| experience.reward).sum::<f64>() / batch.len() as f64;
            println!("update {update}: mean reward {mean:.2}, entropy {entropy:.2} of a uniform policy's");
        }
    }
    println!("likeliest: {:?}", controller.most_likely());
    Ok(())
}
