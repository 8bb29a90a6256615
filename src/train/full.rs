//! Full training of one network, by MnasNet's recipe (Tan et al. 2019, section 5, and tensorflow/tpu
//! `models/official/mnasnet`).
//!
//! | option | default | purpose | range |
//! |---|---|---|---|
//! | `epochs` | 350 | passes over the training images | 1–10,000 |
//! | `batch` | 64 | images per step; the last, smaller batch of an epoch is left out | 2–4096 |
//! | `learning_rate` | 0.016 | per 256 images of a batch, after warm-up | above 0, to 1 |
//! | `warm_up` | 5.0 | epochs in which the rate rises linearly from 0 | 0–1000 |
//! | `decay` | 0.97 | what the rate is multiplied by every `decay_every` epochs, step by step | above 0, to 1 |
//! | `decay_every` | 2.4 | epochs | above 0 |
//! | `weight_decay` | 1e-5 | of convolutions and the dense layer, added to the gradient | 0–1 |
//! | `dropout` | 0.2 | before the dense layer | 0–0.9 |
//! | `label_smoothing` | 0.1 | part of the target spread over all classes | 0–0.5 |
//! | `average` | 0.9999 | weight of the past in the moving average of the weights, less in the first steps | 0–0.99999 |
//! | `least_area` | 0.08 | smallest part of an image that a random crop shows; 1: no crops | above 0, to 1 |
//! | `mirror` | true | flips half of the images left to right; wrong where a mirrored image is of another class | |
//! | `seed` | 1 | of initial weights, order, crops and dropout | |
//!
//! RMSProp has decay 0.9, momentum 0.9 and epsilon 1e-3 (added to the root; TensorFlow adds it below), batch norm
//! momentum 0.99. What comes out is the moving average of the weights, running statistics included.

use std::time::Instant;

use rand::Rng;
use serde::{Deserialize, Serialize};
use tch::{COptimizer, Device, Kind, Reduction, Tensor};

use super::data::{Dataset, augment};
use super::fit::{TrainingError, accuracy_within};
use super::model::{Mode, TorchModel};
use crate::Random;
use crate::network::{Network, Weights};

/// Options of full training; the module's text has the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FullOptions {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// Learning rate per 256 images of a batch.
    pub learning_rate: f64,
    /// Epochs in which the rate rises.
    pub warm_up: f64,
    /// Factor of the rate every `decay_every` epochs.
    pub decay: f64,
    /// Epochs between two decays.
    pub decay_every: f64,
    /// Added to the gradient, times the weight.
    pub weight_decay: f64,
    /// Part of the features set to 0 in training.
    pub dropout: f64,
    /// Part of the target spread over all classes.
    pub label_smoothing: f64,
    /// Weight of the past in the moving average of the weights.
    pub average: f64,
    /// Smallest part of an image that a random crop shows.
    pub least_area: f64,
    /// Whether half of the images are flipped left to right.
    pub mirror: bool,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for FullOptions {
    fn default() -> Self {
        Self {
            epochs: 350,
            batch: 64,
            learning_rate: 0.016,
            warm_up: 5.0,
            decay: 0.97,
            decay_every: 2.4,
            weight_decay: 1e-5,
            dropout: 0.2,
            label_smoothing: 0.1,
            average: 0.9999,
            least_area: 0.08,
            mirror: true,
            seed: 1,
        }
    }
}

/// Options within their ranges: what can be trained with.
#[derive(Debug, Clone, PartialEq)]
pub struct FullTraining(FullOptions);

/// Where a training stands after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrainingProgress {
    /// Epochs done.
    pub epochs: usize,
    /// Mean training loss of the last one.
    pub loss: f64,
    /// Part of the validation images classified rightly by the averaged weights.
    pub top1: f64,
    /// Part of them whose class is among the five likeliest.
    pub top5: f64,
    /// Training images per second of elapsed time so far, validation not counted.
    pub images_per_second: f64,
}

/// Why a full training ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum FullError {
    /// An option outside its range.
    #[error("train: {0}")]
    Option(String),
    /// The data set and the network do not belong together.
    #[error("train: the network takes {expected}, the data set has {found}")]
    Mismatch {
        /// Input side and classes of the network.
        expected: String,
        /// Side and classes of the images.
        found: String,
    },
    /// The training itself.
    #[error(transparent)]
    Fit(#[from] TrainingError),
    /// What the caller did after an epoch.
    #[error(transparent)]
    Save(#[from] std::io::Error),
}

impl FullOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// [`FullError::Option`] names the first option outside its range.
    pub fn check(self) -> Result<FullTraining, FullError> {
        for (name, value, least, most) in [
            ("epochs", self.epochs as f64, 1.0, 10_000.0),
            ("batch", self.batch as f64, 2.0, 4096.0),
            ("learning_rate", self.learning_rate, 1e-9, 1.0),
            ("warm_up", self.warm_up, 0.0, 1000.0),
            ("decay", self.decay, 1e-3, 1.0),
            ("decay_every", self.decay_every, 1e-3, 1e4),
            ("weight_decay", self.weight_decay, 0.0, 1.0),
            ("dropout", self.dropout, 0.0, 0.9),
            ("label_smoothing", self.label_smoothing, 0.0, 0.5),
            ("average", self.average, 0.0, 0.99999),
            ("least_area", self.least_area, 0.01, 1.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(FullError::Option(format!("{name} must be from {least} to {most}, found {value}")));
            }
        }
        Ok(FullTraining(self))
    }
}

impl FullTraining {
    /// Trains `network` on `device` with all of torch's threads; `after_epoch` sees the averaged weights each time and
    /// may save them.
    ///
    /// # Errors
    /// [`FullError`]; an error of `after_epoch` ends the training.
    pub fn train(
        &self,
        network: &Network,
        data: &Dataset,
        device: Device,
        mut after_epoch: impl FnMut(&TrainingProgress, &Weights) -> std::io::Result<()>,
    ) -> Result<(TrainingProgress, Weights), FullError> {
        check_match(network, data)?;
        let options = &self.0;
        let mut random = crate::seeded(options.seed);
        let mut run = TrainingRun::new(options, network, device, &mut random)?;
        let mut progress = TrainingProgress { epochs: 0, loss: f64::NAN, top1: 0.0, top5: 0.0, images_per_second: 0.0 };
        let mut seconds = 0.0;
        while progress.epochs < options.epochs {
            let start = Instant::now();
            progress.loss = run.epoch(data, &mut random)?;
            progress.epochs += 1;
            seconds += start.elapsed().as_secs_f64();
            progress.images_per_second = (run.step * options.batch) as f64 / seconds;
            progress.top1 = accuracy_within(&run.average, &data.validation, 1);
            progress.top5 = accuracy_within(&run.average, &data.validation, 5);
            after_epoch(&progress, &run.average.to_weights())?;
        }
        Ok((progress, run.average.to_weights()))
    }
}

fn check_match(network: &Network, data: &Dataset) -> Result<(), FullError> {
    let text = |size: usize, classes: usize| format!("images of {size}x{size} pixels in {classes} classes");
    let (expected, found) = ((network.input.height, network.classes()), (data.size, data.classes.len()));
    if expected == found {
        return Ok(());
    }
    Err(FullError::Mismatch { expected: text(expected.0, expected.1), found: text(found.0, found.1) })
}

/// A training under way.
struct TrainingRun<'a> {
    options: &'a FullOptions,
    model: TorchModel,
    average: TorchModel,
    optimizer: COptimizer,
    step: usize,
}

impl<'a> TrainingRun<'a> {
    fn new(
        options: &'a FullOptions,
        network: &Network,
        device: Device,
        random: &mut Random,
    ) -> Result<Self, TrainingError> {
        let model = TorchModel::new(network, random).with_statistics_rate(0.01).on(device);
        let average = model.copy();
        let mut optimizer = COptimizer::rms_prop(options.learning_rate, 0.9, 1e-3, options.weight_decay, 0.9, false)?;
        let (matrices, vectors) = model.trained();
        matrices.iter().try_for_each(|tensor| optimizer.add_parameters(tensor, 0))?;
        vectors.iter().try_for_each(|tensor| optimizer.add_parameters(tensor, 1))?;
        optimizer.set_weight_decay_group(1, 0.0)?;
        Ok(Self { options, model, average, optimizer, step: 0 })
    }

    /// One pass over the training images; the mean loss.
    fn epoch(&mut self, data: &Dataset, random: &mut Random) -> Result<f64, TrainingError> {
        let (images, batch) = (data.train.len(), self.options.batch);
        let steps = images / batch;
        if steps == 0 {
            return Err(TrainingError::TooFew { images, batch });
        }
        let order = data.train.shuffled(random);
        let mut total = 0.0;
        for images in order.chunks_exact(batch) {
            let (images, labels) = data.train.batch(images, self.model.device());
            let loss = self.learn(&images, &labels, steps, random)?;
            if !loss.is_finite() {
                let steps = steps * self.options.epochs;
                return Err(TrainingError::Diverged { step: self.step, steps, what: "the loss" });
            }
            total += loss;
        }
        Ok(total / steps as f64)
    }

    /// One step; the loss before it.
    fn learn(
        &mut self,
        images: &Tensor,
        labels: &Tensor,
        steps_per_epoch: usize,
        random: &mut Random,
    ) -> Result<f64, TrainingError> {
        self.optimizer.set_learning_rate(self.rate(self.step as f64 / steps_per_epoch as f64))?;
        self.optimizer.zero_grad()?;
        let features = self.model.features(&self.view(images, random), Mode::Train);
        let logits = self.model.classify(&self.dropout(&features, random));
        let smoothing = self.options.label_smoothing;
        let loss = logits.cross_entropy_loss::<&Tensor>(labels, None, Reduction::Mean, -100, smoothing);
        loss.f_backward()?;
        self.optimizer.step()?;
        self.step += 1;
        // As TensorFlow's moving average does, so that the initial weights are soon forgotten.
        let step = self.step as f64;
        self.average.approach(&self.model, 1.0 - self.options.average.min((1.0 + step) / (10.0 + step)));
        Ok(loss.double_value(&[]))
    }

    /// The learning rate after so many epochs.
    fn rate(&self, epochs: f64) -> f64 {
        let options = self.options;
        let peak = options.learning_rate * options.batch as f64 / 256.0;
        if epochs < options.warm_up {
            peak * epochs / options.warm_up
        } else {
            peak * options.decay.powf((epochs / options.decay_every).floor())
        }
    }

    fn view(&self, images: &Tensor, random: &mut Random) -> Tensor {
        let mut view = images.shallow_clone();
        if self.options.least_area < 1.0 {
            view = augment::crop(&view, self.options.least_area, random);
        }
        if self.options.mirror { augment::mirror(&view, random) } else { view }
    }

    /// By our own generator: torch's is global.
    fn dropout(&self, features: &Tensor, random: &mut Random) -> Tensor {
        let kept = 1.0 - self.options.dropout;
        let scale = (1.0 / kept) as f32;
        let mask: Vec<f32> = (0..features.numel()).map(|_| if random.gen_bool(kept) { scale } else { 0.0 }).collect();
        features * Tensor::from_slice(&mask).to_device(features.device()).to_kind(Kind::Float).view_as(features)
    }
}
