//! `mnas` finds a convolutional network for one particular phone.
//!
//! MnasNet (Tan et al., CVPR 2019) with one addition: a latency predictor, learnt from timings on that very device,
//! screens the candidates, so that only the promising ones are trained and only the best are timed, inside the
//! reinforcement-learning reward loop.
//!
//! ```text
//! space ──► network ──► tflite ──► device ──► latency ┐
//!               └─────► train ───────────► accuracy ──┴─► search (reward, controller) ──► report
//! ```

#[cfg(feature = "torch")]
pub mod controller;
pub mod device;
pub mod external;
pub mod files;
pub mod latency;
pub mod network;
pub mod report;
pub mod search;
pub mod space;
pub mod store;
pub mod tflite;
pub mod train;

use rand::SeedableRng;

/// The random generator behind every random choice: same seed, same run, on every machine.
pub type Random = rand_chacha::ChaCha8Rng;

/// A generator from a seed.
pub fn seeded(seed: u64) -> Random {
    Random::seed_from_u64(seed)
}
