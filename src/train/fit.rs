//! One short training: AdamW, learning rate rising linearly and then falling by a cosine, gradients clipped.
//!
//! | option | default | purpose | range |
//! |---|---|---|---|
//! | `epochs` | 5 | passes over the training images | 1–10,000 |
//! | `batch` | 32 | images per step; the last, smaller batch of an epoch is left out | 2–4096 |
//! | `learning_rate` | 0.01 | at its peak | above 0, to 1 |
//! | `warm_up` | 0.3 | part of the steps in which the rate rises | 0–0.9 |
//! | `weight_decay` | 0.05 | of convolutions and the dense layer, times the rate | 0–1 |
//! | `label_smoothing` | 0.0 | part of the target spread over all classes | 0–0.5 |
//! | `clip` | 5.0 | longest gradient | above 0 |
//! | `mirror` | false | flips half of the images left to right; wrong where a mirrored image is of another class | |
//!
//! The schedule and the optimizer's second moment (β₂ 0.99) are for trainings of a few hundred steps.

use serde::{Deserialize, Serialize};
use tch::{COptimizer, Tensor};

use super::data::{Split, augment};
use super::model::{Mode, TorchModel};
use crate::Random;

/// How a model is trained; the module's text has the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Part of the steps in which the rate rises.
    pub warm_up: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// Part of the target spread over all classes.
    pub label_smoothing: f64,
    /// Longest gradient.
    pub clip: f64,
    /// Whether half of the images are flipped left to right.
    pub mirror: bool,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 5,
            batch: 32,
            learning_rate: 0.01,
            warm_up: 0.3,
            weight_decay: 0.05,
            label_smoothing: 0.0,
            clip: 5.0,
            mirror: false,
        }
    }
}

/// Why a training ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The loss or the gradient is infinite or not a number.
    #[error("training diverged at step {step} of {steps}: {what} is not finite; a lower learning rate may help")]
    Diverged {
        /// Counted from 1.
        step: usize,
        /// Of the whole training.
        steps: usize,
        /// `the loss` or `the gradient`.
        what: &'static str,
    },
    /// Fewer images than one batch.
    #[error("{images} training images are fewer than one batch of {batch}")]
    TooFew {
        /// Images there are.
        images: usize,
        /// Images of a batch.
        batch: usize,
    },
    /// Torch's word.
    #[error("torch: {0}")]
    Torch(#[from] tch::TchError),
}

impl Recipe {
    /// The first option outside its range: its name, its range, and what was found.
    pub fn problem(&self) -> Option<String> {
        let outside = |name: &str, value: f64, least: f64, most: f64| {
            (!(least..=most).contains(&value)).then(|| format!("{name} must be from {least} to {most}, found {value}"))
        };
        outside("epochs", self.epochs as f64, 1.0, 10_000.0)
            .or_else(|| outside("batch", self.batch as f64, 2.0, 4096.0))
            .or_else(|| outside("learning_rate", self.learning_rate, 1e-9, 1.0))
            .or_else(|| outside("warm_up", self.warm_up, 0.0, 0.9))
            .or_else(|| outside("weight_decay", self.weight_decay, 0.0, 1.0))
            .or_else(|| outside("label_smoothing", self.label_smoothing, 0.0, 0.5))
            .or_else(|| outside("clip", self.clip, 1e-9, 1e9))
    }

    /// The learning rate of a step, counted from 0: linear to the peak, then a half cosine to 0.
    fn rate(&self, step: usize, steps: usize) -> f64 {
        let done = (step as f64 + 0.5) / steps as f64;
        let share = if done < self.warm_up {
            done / self.warm_up
        } else {
            0.5 + 0.5 * (std::f64::consts::PI * (done - self.warm_up) / (1.0 - self.warm_up)).cos()
        };
        self.learning_rate * share
    }
}

/// Trains `model` on the images of `split`, in an order drawn from `random`.
///
/// # Errors
/// [`TrainingError`]; the model is then good for nothing.
pub fn fit(model: &TorchModel, split: &Split, recipe: &Recipe, random: &mut Random) -> Result<(), TrainingError> {
    let steps_per_epoch = split.len() / recipe.batch;
    if steps_per_epoch == 0 {
        return Err(TrainingError::TooFew { images: split.len(), batch: recipe.batch });
    }
    let steps = recipe.epochs * steps_per_epoch;
    let (matrices, vectors) = model.trained();
    let mut optimizer = COptimizer::adamw(recipe.learning_rate, 0.9, 0.99, recipe.weight_decay, 1e-8, false)?;
    matrices.iter().try_for_each(|tensor| optimizer.add_parameters(tensor, 0))?;
    vectors.iter().try_for_each(|tensor| optimizer.add_parameters(tensor, 1))?;
    optimizer.set_weight_decay_group(1, 0.0)?;
    let trained: Vec<&Tensor> = matrices.into_iter().chain(vectors).collect();
    for epoch in 0..recipe.epochs {
        let order = split.shuffled(random);
        for (batch, images) in order.chunks_exact(recipe.batch).enumerate() {
            let step = epoch * steps_per_epoch + batch;
            optimizer.set_learning_rate(recipe.rate(step, steps))?;
            optimizer.zero_grad()?;
            let (images, labels) = split.batch(images, model.device());
            let images = if recipe.mirror { augment::mirror(&images, random) } else { images };
            loss(model, &images, &labels, recipe.label_smoothing).f_backward()?;
            if !clip(&trained, recipe.clip) {
                return Err(TrainingError::Diverged { step: step + 1, steps, what: "the gradient" });
            }
            optimizer.step()?;
        }
    }
    Ok(())
}

fn loss(model: &TorchModel, images: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    let logits = model.forward(images, Mode::Train);
    logits.cross_entropy_loss::<&Tensor>(labels, None, tch::Reduction::Mean, -100, smoothing)
}

/// Scales all gradients together to at most `longest`; false if their length is not finite.
fn clip(trained: &[&Tensor], longest: f64) -> bool {
    tch::no_grad(|| {
        let mut gradients: Vec<Tensor> = trained.iter().map(|tensor| tensor.grad()).collect();
        let lengths: Vec<Tensor> = gradients.iter().map(Tensor::norm).collect();
        let length = Tensor::stack(&lengths, 0).norm().double_value(&[]);
        if length.is_finite() && length > longest {
            gradients.iter_mut().for_each(|gradient| drop(gradient.g_mul_scalar_(longest / length)));
        }
        length.is_finite()
    })
}

/// The part of the images that `model` classifies rightly.
pub fn accuracy(model: &TorchModel, split: &Split) -> f64 {
    accuracy_within(model, split, 1)
}

/// The part of the images whose class is among the `likeliest` first that `model` names.
pub fn accuracy_within(model: &TorchModel, split: &Split, likeliest: usize) -> f64 {
    const BATCH: usize = 250;
    let all: Vec<usize> = (0..split.len()).collect();
    let likeliest = likeliest.min(model.network().classes()) as i64;
    let right = |images: &[usize]| {
        let (images, labels) = split.batch(images, model.device());
        let (_, named) = model.forward(&images, Mode::Evaluate).topk(likeliest, 1, true, true);
        named.eq_tensor(&labels.unsqueeze(1)).sum(tch::Kind::Int64).int64_value(&[])
    };
    let right: i64 = tch::no_grad(|| all.chunks(BATCH).map(right).sum());
    right as f64 / split.len().max(1) as f64
}
