//! One update by proximal policy optimisation (Schulman et al. 2017, equations 7 and 9).
//!
//! With r = π(token) / π_old(token) and advantage A, all means over tokens and sequences:
//! loss = −mean(min(r·A, clip(r, 1−ε, 1+ε)·A)) + c_v · ½ mean((v − target)²) − c_e · mean(entropy).
//! The whole batch is one minibatch; every epoch makes one Adam step.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::adam::clip_norm;
use super::advantage::{self, generalised_advantages};
use super::policy::Scores;
use super::{Baseline, Controller, ControllerError};

/// A sequence with the reward it earned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experience {
    /// One choice per token.
    pub tokens: Vec<usize>,
    /// log probability of each when it was chosen.
    pub log_probabilities: Vec<f32>,
    /// The reward of the whole sequence, on any scale.
    pub reward: f64,
}

/// What happened in one update; means over its epochs, each before its step.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct UpdateStatistics {
    /// −mean of the clipped objective.
    pub policy_loss: f64,
    /// Half the mean squared error of the value head, in standardised rewards; 0 with the moving average.
    pub value_loss: f64,
    /// Entropy along the batch's sequences as a fraction of a uniform policy's.
    pub entropy: f64,
    /// Share of tokens whose ratio left 1 ± clip.
    pub clip_fraction: f64,
    /// Estimated Kullback-Leibler divergence from the sampling policy, nats per token: mean((r − 1) − ln r).
    pub kl: f64,
    /// Norm of the gradient before it was clipped.
    pub gradient_norm: f64,
}

/// The batch as tensors, all `[T, B]`.
struct Batch<'a> {
    sequences: Vec<&'a [usize]>,
    old_log_probabilities: Tensor,
    advantages: Tensor,
    value_targets: Tensor,
}

impl Controller {
    /// Learns from a batch of experiences.
    ///
    /// # Errors
    /// A sequence or a reward that does not fit, an empty batch, or [`ControllerError::Diverged`]; in every case the
    /// controller is as it was before.
    pub fn update(&mut self, experiences: &[Experience]) -> Result<UpdateStatistics, ControllerError> {
        self.check_experiences(experiences)?;
        let batch = self.prepare(experiences);
        let mut updated = self.clone();
        let mut total = UpdateStatistics::default();
        for _ in 0..self.settings.epochs {
            total.add(&updated.epoch(&batch)?, self.settings.epochs);
        }
        let rewards: Vec<f64> = experiences.iter().map(|experience| experience.reward).collect();
        updated.rewards = self.rewards.after(&rewards, self.settings.average_weight);
        *self = updated;
        Ok(total)
    }

    fn check_experiences(&self, experiences: &[Experience]) -> Result<(), ControllerError> {
        if experiences.is_empty() {
            return Err(ControllerError::Empty);
        }
        let sequences: Vec<&[usize]> = experiences.iter().map(|experience| experience.tokens.as_slice()).collect();
        self.check_sequences(&sequences)?;
        for (index, Experience { tokens, log_probabilities, reward }) in experiences.iter().enumerate() {
            let refuse = |problem| Err(ControllerError::Sequence { index, problem });
            if log_probabilities.len() != tokens.len() {
                return refuse(format!("{} tokens have {} log probabilities", tokens.len(), log_probabilities.len()));
            }
            if let Some(wrong) = log_probabilities.iter().find(|log| !(log.is_finite() && **log <= 1e-4)) {
                return refuse(format!("a log probability must be finite and at most 0, found {wrong}"));
            }
            if !reward.is_finite() {
                return refuse(format!("the reward must be finite, found {reward}"));
            }
        }
        Ok(())
    }

    fn prepare<'a>(&self, experiences: &'a [Experience]) -> Batch<'a> {
        let sequences: Vec<&[usize]> = experiences.iter().map(|experience| experience.tokens.as_slice()).collect();
        let rewards: Vec<f64> = experiences.iter().map(|experience| experience.reward).collect();
        let (advantages, targets) = self.advantages(&sequences, &self.rewards.standardise(&rewards));
        let old: Vec<f32> = experiences.iter().flat_map(|experience| experience.log_probabilities.clone()).collect();
        let time_first = |flat: &[f32]| Tensor::from_slice(flat).view([sequences.len() as i64, -1]).transpose(0, 1);
        let narrow = |flat: &[f64]| time_first(&flat.iter().map(|&value| value as f32).collect::<Vec<f32>>());
        Batch {
            old_log_probabilities: time_first(&old),
            advantages: narrow(&advantages),
            value_targets: narrow(&targets),
            sequences,
        }
    }

    /// Advantages and value targets, sequence after sequence.
    fn advantages(&self, sequences: &[&[usize]], rewards: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let length = self.policy.sizes().len();
        if self.settings.baseline == Baseline::MovingAverage {
            let constant: Vec<f64> = rewards.iter().flat_map(|&reward| std::iter::repeat_n(reward, length)).collect();
            return (constant.clone(), constant);
        }
        let _no_gradient = tch::no_grad_guard();
        let scores = self.policy.score(&Tensor::from_slice(&self.parameters), sequences);
        let values: Vec<f64> = to_vec(&scores.values.transpose(0, 1)).into_iter().map(f64::from).collect();
        let (mut advantages, mut targets) = (Vec::new(), Vec::new());
        for (&reward, values) in rewards.iter().zip(values.chunks(length)) {
            let (advantage, target) = generalised_advantages(reward, values, self.settings.gae_lambda);
            advantages.extend(advantage);
            targets.extend(target);
        }
        advantage::standardise(&mut advantages);
        (advantages, targets)
    }

    /// One gradient step over the whole batch.
    fn epoch(&mut self, batch: &Batch) -> Result<UpdateStatistics, ControllerError> {
        let flat = Tensor::from_slice(&self.parameters).set_requires_grad(true);
        let scores = self.policy.score(&flat, &batch.sequences);
        let (loss, mut statistics) = self.loss(&scores, batch);
        let gradients = Tensor::run_backward(&[loss], &[&flat], false, false);
        let mut gradient = to_vec(&gradients[0]);
        statistics.gradient_norm = clip_norm(&mut gradient, self.settings.gradient_norm);
        if !statistics.gradient_norm.is_finite() {
            return Err(ControllerError::Diverged(statistics.gradient_norm));
        }
        self.adam.step(&mut self.parameters, &gradient, self.settings.learning_rate);
        Ok(statistics)
    }

    fn loss(&self, scores: &Scores, batch: &Batch) -> (Tensor, UpdateStatistics) {
        let clip = self.settings.clip;
        let log_ratio = &scores.log_probabilities - &batch.old_log_probabilities;
        let ratio = log_ratio.exp();
        let objective =
            (&ratio * &batch.advantages).minimum(&(ratio.clamp(1.0 - clip, 1.0 + clip) * &batch.advantages));
        let policy_loss = -objective.mean(Kind::Float);
        let value_weight = match self.settings.baseline {
            Baseline::Value => self.settings.value_weight,
            Baseline::MovingAverage => 0.0,
        };
        let value_loss = (&scores.values - &batch.value_targets).square().mean(Kind::Float) * 0.5;
        let entropy = scores.entropies.mean(Kind::Float);
        let sequence_nats = entropy.double_value(&[]) * self.policy.sizes().len() as f64;
        let loss = &policy_loss + &value_loss * value_weight - &entropy * self.settings.entropy_weight;

        let beyond = (&ratio - 1.0).abs().gt(clip).to_kind(Kind::Float);
        let statistics = UpdateStatistics {
            policy_loss: policy_loss.double_value(&[]),
            value_loss: if value_weight > 0.0 { value_loss.double_value(&[]) } else { 0.0 },
            entropy: self.relative_entropy(sequence_nats),
            clip_fraction: beyond.mean(Kind::Float).double_value(&[]),
            kl: (&ratio - 1.0 - &log_ratio).mean(Kind::Float).double_value(&[]),
            gradient_norm: 0.0,
        };
        (loss, statistics)
    }
}

impl UpdateStatistics {
    /// Adds one of `parts` equal parts of a mean.
    fn add(&mut self, part: &Self, parts: usize) {
        let share = 1.0 / parts as f64;
        self.policy_loss += share * part.policy_loss;
        self.value_loss += share * part.value_loss;
        self.entropy += share * part.entropy;
        self.clip_fraction += share * part.clip_fraction;
        self.kl += share * part.kl;
        self.gradient_norm += share * part.gradient_norm;
    }
}

/// All values of a tensor in row-major order of its shape.
pub(super) fn to_vec(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.contiguous().view(-1);
    let mut values = vec![0.0; flat.numel()];
    let length = values.len();
    flat.copy_data(&mut values, length);
    values
}
