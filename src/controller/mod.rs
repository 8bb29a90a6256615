//! The controller that proposes architectures: an LSTM policy over token sequences, taught by PPO (feature `torch`).
//!
//! MnasNet (section 4.2) takes NASNet's controller and replaces its update by proximal policy optimisation (Schulman
//! et al. 2017). The parameters, Adam's moments and the rewards' average are plain vectors owned here; torch computes
//! only probabilities and gradients. So the state is saved exactly, and a controller loaded from it continues bit for
//! bit. That holds for one number of torch threads: call `tch::set_num_threads(1)` first, which is also the fastest
//! for networks of this size. All random choices come from the caller's generator, none from torch's global one.
//!
//! ```
//! use mnas::controller::{Controller, Experience, PpoSettings};
//! let mut random = mnas::seeded(1);
//! let mut controller = Controller::new(&[2, 3, 3], PpoSettings::default().check()?, &mut random)?;
//! for _ in 0..3 {
//!     let batch: Vec<Experience> = controller
//!         .sample(16, &mut random)
//!         .into_iter()
//!         .map(|sampled| {
//!             let reward = sampled.tokens.iter().sum::<usize>() as f64;
//!             Experience { tokens: sampled.tokens, log_probabilities: sampled.log_probabilities, reward }
//!         })
//!         .collect();
//!     let statistics = controller.update(&batch)?;
//!     assert!(statistics.entropy > 0.9);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adam;
mod advantage;
mod policy;
mod ppo;
mod settings;
mod state;

pub use advantage::{RewardAverage, generalised_advantages};
pub use ppo::{Experience, UpdateStatistics};
pub use settings::{Baseline, PpoSettings, PpoSettingsError, ValidPpoSettings};

use rand::Rng;
use tch::Tensor;

use adam::Adam;
use policy::Policy;

/// A sequence the policy drew.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// One choice per token.
    pub tokens: Vec<usize>,
    /// log probability with which each was chosen: what [`Experience`] wants back.
    pub log_probabilities: Vec<f32>,
    /// Entropy of the softmaxes along the way as a fraction of a uniform policy's: 1 undecided, 0 decided.
    pub entropy: f64,
}

/// Policy, optimiser and reward average; see the module's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Controller {
    policy: Policy,
    settings: ValidPpoSettings,
    parameters: Vec<f32>,
    adam: Adam,
    rewards: RewardAverage,
}

/// What a controller refuses.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A policy over nothing.
    #[error(
        "the space leaves the controller nothing to choose: token sizes must be one or more numbers above 0, found {0:?}"
    )]
    Sizes(Vec<usize>),
    /// A sequence of another space.
    #[error("sequence {index}: {problem}")]
    Sequence {
        /// Counted from 0.
        index: usize,
        /// What was expected and what came.
        problem: String,
    },
    /// An update of nothing.
    #[error("an update needs at least one experience")]
    Empty,
    /// The gradient or a parameter is not finite any more; the controller is as it was before the update.
    #[error("the update diverged (gradient norm {0}); try a smaller learning_rate or gradient_norm")]
    Diverged(f64),
    /// Bytes that are no saved state of such a controller.
    #[error("this is no saved controller of this space and these settings: {0}")]
    State(String),
    /// The file cannot be read or written.
    #[error("controller state: {0}")]
    File(#[from] std::io::Error),
}

impl Controller {
    /// A fresh controller for tokens of these sizes ([`crate::space::Space::token_sizes`]).
    ///
    /// # Errors
    /// [`ControllerError::Sizes`] if there is no token, or one without a choice.
    pub fn new(sizes: &[usize], settings: ValidPpoSettings, random: &mut impl Rng) -> Result<Self, ControllerError> {
        if sizes.is_empty() || sizes.contains(&0) {
            return Err(ControllerError::Sizes(sizes.to_vec()));
        }
        let policy = Policy::new(sizes, &settings);
        let range = settings.initial_range as f32;
        let parameters: Vec<f32> = (0..policy.parameters()).map(|_| random.gen_range(-range..=range)).collect();
        let adam = Adam::new(parameters.len());
        Ok(Self { policy, settings, parameters, adam, rewards: RewardAverage::default() })
    }

    /// Draws `count` sequences at once. The generator is asked once per token, tokens in order, sequences within.
    pub fn sample(&self, count: usize, random: &mut impl Rng) -> Vec<Sampled> {
        self.unroll(count, |logs| draw(logs, random.r#gen()))
    }

    /// The sequence of the likeliest choice at every token, given the tokens before it.
    pub fn most_likely(&self) -> Vec<usize> {
        let greatest = |logs: &[f32]| (0..logs.len()).max_by(|&a, &b| logs[a].total_cmp(&logs[b])).unwrap_or(0);
        self.unroll(1, greatest).pop().map(|sampled| sampled.tokens).unwrap_or_default()
    }

    /// log probability of every token of given sequences under the present policy: what sequences proposed by anyone
    /// else need to become [`Experience`]s.
    ///
    /// # Errors
    /// [`ControllerError::Sequence`] for a sequence of another length or a token out of range.
    pub fn log_probabilities(&self, sequences: &[&[usize]]) -> Result<Vec<Vec<f32>>, ControllerError> {
        self.check_sequences(sequences)?;
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let _no_gradient = tch::no_grad_guard();
        let scores = self.policy.score(&Tensor::from_slice(&self.parameters), sequences);
        let flat = ppo::to_vec(&scores.log_probabilities.transpose(0, 1));
        Ok(flat.chunks(self.policy.sizes().len()).map(<[f32]>::to_vec).collect())
    }

    /// Mean and variance of the rewards learnt from so far, exponentially weighted.
    pub fn reward_average(&self) -> RewardAverage {
        self.rewards
    }

    /// Entropy of a uniform policy over one sequence, in nats: the logarithm of the space's size.
    fn uniform_entropy_nats(&self) -> f64 {
        self.policy.sizes().iter().map(|&size| (size as f64).ln()).sum()
    }

    /// A sum of entropies over one sequence as a fraction of the uniform policy's.
    fn relative_entropy(&self, nats: f64) -> f64 {
        let uniform = self.uniform_entropy_nats();
        if uniform > 0.0 { nats / uniform } else { 0.0 }
    }

    fn unroll(&self, count: usize, mut choose: impl FnMut(&[f32]) -> usize) -> Vec<Sampled> {
        if count == 0 {
            return Vec::new();
        }
        let length = self.policy.sizes().len();
        let empty = || Sampled {
            tokens: Vec::with_capacity(length),
            log_probabilities: Vec::with_capacity(length),
            entropy: 0.0,
        };
        let mut drawn: Vec<Sampled> = (0..count).map(|_| empty()).collect();
        self.policy.unroll(&Tensor::from_slice(&self.parameters), count, |sequence, logs| {
            let token = choose(logs);
            let sampled = &mut drawn[sequence];
            sampled.tokens.push(token);
            sampled.log_probabilities.push(logs[token]);
            sampled.entropy -= logs.iter().map(|&log| f64::from(log.exp() * log)).sum::<f64>();
            token
        });
        for sampled in &mut drawn {
            sampled.entropy = self.relative_entropy(sampled.entropy);
        }
        drawn
    }

    fn check_sequences(&self, sequences: &[&[usize]]) -> Result<(), ControllerError> {
        let sizes = self.policy.sizes();
        for (index, sequence) in sequences.iter().enumerate() {
            let refuse = |problem| Err(ControllerError::Sequence { index, problem });
            if sequence.len() != sizes.len() {
                return refuse(format!("the space takes {} tokens, found {}", sizes.len(), sequence.len()));
            }
            if let Some(at) = (0..sizes.len()).find(|&at| sequence[at] >= sizes[at]) {
                return refuse(format!("token {} must be below {}, found {}", at + 1, sizes[at], sequence[at]));
            }
        }
        Ok(())
    }
}

/// The choice at which the running sum of probabilities passes `uniform`, a number from 0 to below 1.
fn draw(logs: &[f32], uniform: f64) -> usize {
    let mut sum = 0.0;
    let passed = logs.iter().position(|&log| {
        sum += f64::from(log).exp();
        sum > uniform
    });
    // Rounding can leave the sum just below 1.
    passed.unwrap_or(logs.len() - 1)
}
