//! The model of accuracies, and the networks that it learnt from.
//!
//! Everything here follows from the evaluations and timings of closed steps.

use std::collections::{HashMap, HashSet};

use super::acquisition::Posterior;
use crate::network::Network;
use crate::search::error::SearchError;
use crate::search::model::{GaussianProcess, KernelPrior, Latencies, Layout, Prior};
use crate::search::settings::Settings;
use crate::statistics::Normal;
use crate::store::{Evaluation, Ledger};

/// Fewest accuracies the model is trusted with.
const LEAST_ACCURACIES: usize = 6;
/// Evaluated networks, the best by posterior means, whose variance is computed: many, since the best one may be
/// predicted to be a tenth slower than it is.
const LOOKED_AT: usize = 150;

/// A network whose accuracy was obtained.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub tokens: Vec<usize>,
    architecture: String,
    pub digest: String,
    /// What the latency predictors alone say.
    prior: Prior,
}

/// An evaluated network with its present posterior.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its tokens.
    pub tokens: Vec<usize>,
    /// The line that was evaluated.
    pub architecture: String,
    /// [`crate::network::Network::digest`].
    pub digest: String,
    /// Of its accuracy and latency: of the accuracy the mean alone.
    pub posterior: Posterior,
    /// The expected reward.
    pub reward: f64,
    /// What the latency predictors alone say.
    pub prior: Prior,
    /// The chance that its latency keeps the target, on every device.
    pub chance_to_keep: f64,
}

/// The models, and the networks they learnt from.
pub struct Guide<'a> {
    pub(super) settings: &'a Settings,
    pub(super) layout: Layout,
    pub(super) accuracy: GaussianProcess,
    pub(super) tried: Vec<Tried>,
    pub(super) failed: HashSet<String>,
}

impl<'a> Guide<'a> {
    /// A guide that knows nothing yet.
    pub fn new(settings: &'a Settings) -> Self {
        let layout = Layout::of(&settings.space);
        Self {
            settings,
            accuracy: GaussianProcess::new(layout.clone(), KernelPrior::ACCURACIES),
            layout,
            tried: Vec::new(),
            failed: HashSet::new(),
        }
    }

    /// A guide that knows what the closed steps of a run found.
    ///
    /// # Errors
    /// A ledger that cannot be read, or holds a line that is no network of the space.
    pub fn read(ledger: &Ledger, settings: &'a Settings, latencies: &Latencies) -> Result<Self, SearchError> {
        let closed = ledger.steps()?.len() as u64;
        let mut evaluations: Vec<Evaluation> =
            ledger.evaluations()?.into_iter().filter(|evaluation| evaluation.step <= closed).collect();
        evaluations.sort_by_key(|evaluation| (evaluation.step, evaluation.id));
        let mut guide = Self::new(settings);
        guide.learn(&evaluations, latencies)?;
        Ok(guide)
    }

    /// Learns from finished evaluations, in the order of their numbers.
    ///
    /// # Errors
    /// A line of the ledger that is no network of the space.
    pub fn learn(&mut self, evaluations: &[Evaluation], latencies: &Latencies) -> Result<(), SearchError> {
        let mut observed = Vec::new();
        for evaluation in evaluations {
            let Ok(accuracy) = evaluation.outcome else {
                self.failed.insert(evaluation.digest.clone());
                continue;
            };
            let line = &evaluation.architecture;
            let architecture = crate::space::parse(line).map_err(|error| SearchError::Ledger(error.to_string()))?;
            let tokens = self.settings.space.encode(&architecture).map_err(crate::space::SpaceError::from)?;
            let prior = latencies.prior(&Network::expand(&architecture)?);
            observed.push((tokens.clone(), accuracy));
            let (architecture, digest) = (line.clone(), evaluation.digest.clone());
            self.tried.push(Tried { tokens, architecture, digest, prior });
        }
        self.accuracy.extend(observed.iter().map(|(tokens, accuracy)| (tokens.as_slice(), *accuracy)));
        Ok(())
    }

    /// Posterior mean of each evaluated network's accuracy: the observed one without its noise, by digest.
    pub fn expected_accuracies(&self) -> HashMap<&str, f64> {
        let tried = self.tried.iter().enumerate();
        tried.map(|(index, tried)| (tried.digest.as_str(), self.accuracy.fitted(index))).collect()
    }

    /// Accuracies still missing before the model ranks.
    pub fn missing(&self) -> usize {
        LEAST_ACCURACIES.max(self.settings.search.warm_up_evaluations).saturating_sub(self.accuracy.len())
    }

    /// The few evaluated networks with the best expected rewards, best first.
    pub fn standings(&self, latencies: &Latencies) -> Vec<Standing> {
        let target = &self.settings.target;
        let by_posterior_means = |(index, tried): (usize, &Tried)| {
            let latency_ms = latencies.mean(&tried.digest, &tried.tokens, &tried.prior).exp();
            (index, target.reward(self.accuracy.fitted(index), latency_ms).value)
        };
        let mut first: Vec<(usize, f64)> = self.tried.iter().enumerate().map(by_posterior_means).collect();
        first.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        first.truncate(LOOKED_AT);
        let mut standings: Vec<Standing> =
            first.into_iter().map(|(index, _)| self.standing(index, latencies)).collect();
        standings.sort_by(|a, b| b.reward.total_cmp(&a.reward).then_with(|| a.digest.cmp(&b.digest)));
        standings
    }

    fn standing(&self, index: usize, latencies: &Latencies) -> Standing {
        let Tried { tokens, architecture, digest, prior } = self.tried[index].clone();
        let ln_latency = latencies.tried_posterior(&digest, &tokens, &prior);
        let accuracy = Normal { mean: self.accuracy.fitted(index), deviation: 0.0 };
        let posterior = Posterior { accuracy, ln_latency };
        let reward = posterior.expected_reward(&self.settings.target);
        let chance_to_keep = latencies.chance_to_keep(&digest, &tokens, &prior);
        Standing { tokens, architecture, digest, posterior, reward, prior, chance_to_keep }
    }
}
