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
//!
//! | module | what lives there |
//! |---|---|
//! | [`space`] | the factorized hierarchical search space as data, tokens ↔ architecture, block strings, reference networks |
//! | [`network`] | the one expansion into layers; parameters, multiply-adds, memory, weights |
//! | [`tflite`] | the .tflite writer, and a reader for checks |
//! | [`adb`] | the link to phones: the adb server's socket, commands, files |
//! | [`device`] | what can time a model, measurement sessions and their statistics |
//! | [`latency`] | features, measured data, regressors, intervals, calibration |
//! | [`train`] | data sets, the torch model of a network, proxy training, other sources of accuracy |
//! | [`controller`] | the LSTM policy and PPO (feature `torch`) |
//! | [`search`] | reward, screening, the loop, the Pareto front |
//! | [`store`] | the run directory and its SQLite ledger |
//! | [`report`] | tables, SVG and HTML |
//! | [`external`] | the user's own trainer or device as a program |
//! | `gaussian_process` | the linear algebra behind both Gaussian processes |
//! | [`documents`], [`files`] | reading TOML with one-line errors, writing files whole or not at all |
//! | [`cli`] | the command line |
//!
//! Each uses only those before it in the order `documents`, `files`, `gaussian_process` < `space` < `external`, `network`, `controller`,
//! `store` < `tflite`, `train`, `report`, `adb` < `device` < `latency` < `search` < `cli`.

pub mod adb;
pub mod cli;
#[cfg(feature = "torch")]
pub mod controller;
pub mod device;
pub mod documents;
pub mod external;
pub mod files;
mod gaussian_process;
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

/// The indices of `count` rows, or `most` of them evenly spread.
pub(crate) fn spread(count: usize, most: usize) -> Vec<usize> {
    let kept = count.min(most);
    (0..kept).map(|row| row * count / kept).collect()
}
