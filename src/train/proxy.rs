//! Proxy training: each candidate is trained briefly on small images, and its accuracy there stands for what long
//! training of the deployed network would give.
//!
//! The proxy's image size is its own: the deployed input size of a candidate is not touched by it, nor is its number of
//! classes, which the proxy takes from the data. Each training runs in one thread; `workers` of them run side by side.
//! The same request gives the same accuracy to the last bit in the same build, whatever runs beside it.
//!
//! | option | default | purpose | range |
//! |---|---|---|---|
//! | `data` | `images` | the image folder, see [`super::data`] | |
//! | `size` | 32 | side that images are resized to | 8–1024 |
//! | `runs` | 1 | trainings of one candidate, of which the best counts: a short one now and then stays on a plateau | 1–16 |
//! | `workers` | 0 | candidates trained at the same time, each in one thread; 0: one per processor | 0–1024 |
//! | `skip_limit` | 0.01 | largest part of the images that may fail to decode | 0–1 |
//! | `epochs`, `batch`, `learning_rate`, … | | the recipe, see [`super::fit`] | |
//!
//! # Does it rank networks?
//!
//! Measured over 16 random networks of the preset `demo` with the drawn images' defaults (32 pixels, 6000 training and
//! 2000 validation images), 2 epochs, all other options at their defaults. "Long" is the mean of two seeds of five
//! times as many epochs. A single run sometimes stays on a plateau: 5 of 64 ended below 0.5 where other runs of the same
//! networks reached 0.57–0.73. `runs = 2` mends most of that at twice the cost.
//!
//! | | one run | best of two |
//! |---|---|---|
//! | accuracies, first and second seed | 0.421–0.784, 0.567–0.790 | 0.635–0.790, 0.434–0.780 |
//! | two seeds: Pearson, Kendall's tau | 0.40, 0.54 | 0.61, 0.82 |
//! | tau with long training, first and second seed | 0.57, 0.68 | 0.68, 0.60 |
//! | processor seconds, mean and largest | 6.7, 10.1 | twice that |
//!
//! Beside them: multiply-adds against long training, tau 0.48; the two long seeds against each other, tau 0.62; long
//! accuracies 0.795–0.882. Over all six pairs of four seeds the Pearson of single runs is 0.40–0.65. Seconds are of one
//! thread while every core of the machine was busy. The settings were chosen on some of the same networks, and the
//! tau of 16 unrelated pairs has a standard deviation of 0.19 already.
//!
//! `cargo bench --bench proxy_study` repeats the first column in about half an hour on one core, with
//! `-- --proxy 'epochs = 2' --proxy 'runs = 2'` the second.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::data::{DataError, Dataset, LoadOptions};
use super::fit::{Recipe, TrainingError, accuracy, fit};
use super::model::TorchModel;
use super::{Accuracy, AccuracyError, Request};
use crate::network::{Network, Weights};

/// Options of proxy training, as a search file's `[accuracy]` states them; the module's text has the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyOptions {
    /// The image folder.
    pub data: PathBuf,
    /// Side that images are resized to.
    pub size: usize,
    /// Trainings of one candidate, of which the best counts.
    pub runs: u64,
    /// Candidates trained at the same time, each in one thread; 0: one per processor.
    pub workers: usize,
    /// Largest part of the images that may fail to decode.
    pub skip_limit: f64,
    /// How each candidate is trained.
    #[serde(flatten)]
    pub recipe: Recipe,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            data: PathBuf::from("images"),
            size: 32,
            runs: 1,
            workers: 0,
            skip_limit: 0.01,
            recipe: Recipe::default(),
        }
    }
}

/// Checked options with the images in memory.
#[derive(Debug)]
pub struct Proxy {
    options: ProxyOptions,
    data: Arc<Dataset>,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// An option outside its range.
    #[error("[accuracy]: {0}")]
    Option(String),
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl ProxyOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// [`ProxyError::Option`] names the first option outside its range.
    pub fn check(&self) -> Result<(), ProxyError> {
        let problem = if !(8..=1024).contains(&self.size) {
            Some(format!("size must be from 8 to 1024, found {}", self.size))
        } else if !(1..=16).contains(&self.runs) {
            Some(format!("runs must be from 1 to 16, found {}", self.runs))
        } else if self.workers > 1024 {
            Some(format!("workers must be from 0 to 1024, found {}", self.workers))
        } else if !(0.0..=1.0).contains(&self.skip_limit) {
            Some(format!("skip_limit must be from 0 to 1, found {}", self.skip_limit))
        } else {
            self.recipe.problem()
        };
        problem.map_or(Ok(()), |problem| Err(ProxyError::Option(problem)))
    }
}

impl Proxy {
    /// Checks the options and reads the image folder.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub fn load(options: ProxyOptions) -> Result<Self, ProxyError> {
        options.check()?;
        let data = Dataset::load(&options.data, &LoadOptions { size: options.size, skip_limit: options.skip_limit })?;
        Ok(Self { options, data: Arc::new(data) })
    }

    /// A proxy over images that are in memory already: neither the folder nor the size in `options` matters.
    ///
    /// # Errors
    /// [`ProxyError::Option`].
    pub fn over(options: ProxyOptions, data: Arc<Dataset>) -> Result<Self, ProxyError> {
        options.check()?;
        Ok(Self { options: ProxyOptions { size: data.size, ..options }, data })
    }

    /// The images.
    pub fn data(&self) -> &Arc<Dataset> {
        &self.data
    }

    /// The best of the runs, with its accuracy. A run that fails counts only if all do.
    fn best_run(&self, request: &Request) -> Result<(f64, TorchModel), AccuracyError> {
        let candidate = |problem: String| AccuracyError::Candidate { id: request.id, problem };
        let architecture = request.architecture.clone().at_input(self.data.size).with_classes(self.data.classes.len());
        let network = Network::expand(&architecture).map_err(|error| candidate(error.to_string()))?;
        let seed = request.seed.wrapping_mul(self.options.runs);
        let runs = (0..self.options.runs).map(|run| self.train(&network, seed.wrapping_add(run)));
        let best = runs.reduce(better).ok_or_else(|| candidate("no run was asked for".to_owned()))?;
        best.map_err(|error| match error {
            TrainingError::Diverged { .. } | TrainingError::Torch(_) => candidate(error.to_string()),
            TrainingError::TooFew { .. } => AccuracyError::Fatal(error.to_string()),
        })
    }

    fn train(&self, network: &Network, seed: u64) -> Result<(f64, TorchModel), TrainingError> {
        tch::set_num_threads(1);
        let mut random = crate::seeded(seed);
        let model = TorchModel::new(network, &mut random);
        fit(&model, &self.data.train, &self.options.recipe, &mut random)?;
        Ok((accuracy(&model, &self.data.validation), model))
    }
}

impl Accuracy for Proxy {
    fn describe(&self) -> String {
        let (options, data) = (&self.options, &self.data);
        format!(
            "proxy training, best of {}: {} epochs of {} images at {}x{}, batch {}, AdamW at {}; accuracy on {} images of {} classes",
            options.runs,
            options.recipe.epochs,
            data.train.len(),
            options.size,
            options.size,
            options.recipe.batch,
            options.recipe.learning_rate,
            data.validation.len(),
            data.classes.len(),
        )
    }

    fn workers(&self) -> usize {
        match self.options.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }

    fn evaluate(&self, request: &Request) -> Result<f64, AccuracyError> {
        Ok(self.best_run(request)?.0)
    }

    /// Trains once more, to the same weights. They serve the deployed network at its own input size, as long as it
    /// has the data's classes.
    fn weights(&self, request: &Request) -> Result<Option<Weights>, AccuracyError> {
        if request.architecture.classes != self.data.classes.len() {
            return Ok(None);
        }
        Ok(Some(self.best_run(request)?.1.to_weights()))
    }
}

type ProxyTraining = Result<(f64, TorchModel), TrainingError>;

/// The run of higher accuracy; an error only where both are.
fn better(first: ProxyTraining, second: ProxyTraining) -> ProxyTraining {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok(if second.0 > first.0 { second } else { first }),
        (Ok(run), Err(_)) | (Err(_), Ok(run)) => Ok(run),
        (Err(error), Err(_)) => Err(error),
    }
}
