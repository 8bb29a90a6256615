//! Accuracies without training: known ones from a table, and a formula that stands in for training in tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{Accuracy, AccuracyError, Request};
use crate::network::Network;
use crate::network::weights::normal;

/// Known accuracies by architecture line, from a JSON file `{"input=224 …": 0.71, …}`.
///
/// Lines are compared as written by [`crate::space::Architecture`]'s `Display`.
#[derive(Debug, Clone, PartialEq)]
pub struct AccuracyTable {
    origin: String,
    accuracies: BTreeMap<String, f64>,
}

impl AccuracyTable {
    /// Reads the JSON file.
    ///
    /// # Errors
    /// [`AccuracyError::Fatal`]: the file cannot be read, is not such an object, holds a line that is no architecture
    /// or an accuracy outside 0 to 1.
    pub fn load(path: &Path) -> Result<Self, AccuracyError> {
        let origin = path.display().to_string();
        let refuse = |problem: String| AccuracyError::Fatal(format!("{origin}: {problem}"));
        let text = crate::text::read(path).map_err(|error| AccuracyError::Fatal(error.to_string()))?;
        let entries: BTreeMap<String, f64> = serde_json::from_str(&text)
            .map_err(|error| refuse(format!("expected a JSON object of accuracies by architecture line: {error}")))?;
        let mut accuracies = BTreeMap::new();
        for (line, accuracy) in entries {
            let architecture = crate::space::parse(&line).map_err(|error| refuse(format!("'{line}': {error}")))?;
            if !(0.0..=1.0).contains(&accuracy) {
                return Err(refuse(format!("'{line}': an accuracy must be from 0 to 1, found {accuracy}")));
            }
            accuracies.insert(architecture.to_string(), accuracy);
        }
        Ok(Self { origin, accuracies })
    }
}

impl Accuracy for AccuracyTable {
    fn describe(&self) -> String {
        format!("table {} of {} accuracies", self.origin, self.accuracies.len())
    }

    fn workers(&self) -> usize {
        1
    }

    fn evaluate(&self, request: &Request) -> Result<f64, AccuracyError> {
        let line = request.architecture.to_string();
        let missing = || AccuracyError::Candidate {
            id: request.id,
            problem: format!("{} has no accuracy for '{line}'", self.origin),
        };
        self.accuracies.get(&line).copied().ok_or_else(missing)
    }
}

/// A stand-in for training, made up for tests of the search; it says nothing about real networks.
///
/// accuracy = 0.95 − 0.45 · (M / 10)^(−1/4) + 0.02 · s + noise, within 0 to 1, where M is the multiply-adds in
/// millions, s the share of blocks with squeeze-and-excitation, and the noise normal with the given deviation, drawn
/// from the request's seed and the architecture alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StandIn {
    /// Standard deviation of the noise, a fraction.
    pub noise: f64,
    /// How long each evaluation pretends to work, so that tests can interrupt one.
    pub delay: Duration,
    /// Evaluations side by side.
    pub workers: usize,
}

impl StandIn {
    /// The formula without its noise.
    ///
    /// # Errors
    /// The architecture cannot be expanded.
    pub fn exact(request: &Request) -> Result<f64, AccuracyError> {
        let network = Network::expand(&request.architecture)
            .map_err(|error| AccuracyError::Candidate { id: request.id, problem: error.to_string() })?;
        let blocks = &request.architecture.blocks;
        let squeezed = blocks.iter().filter(|block| block.squeeze_ratio > 0.0).count() as f64;
        let tens_of_millions = network.madds() as f64 / 1e7;
        let bonus = 0.02 * squeezed / blocks.len().max(1) as f64;
        Ok((0.95 - 0.45 * tens_of_millions.powf(-0.25) + bonus).clamp(0.0, 1.0))
    }

    fn draw(&self, request: &Request) -> f64 {
        let digest = blake3::hash(format!("{} {}", request.seed, request.architecture).as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
        let mut random = crate::seeded(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        self.noise * f64::from(normal(&mut random))
    }
}

impl Accuracy for StandIn {
    fn describe(&self) -> String {
        format!("stand-in formula with noise {} (no training)", self.noise)
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn evaluate(&self, request: &Request) -> Result<f64, AccuracyError> {
        std::thread::sleep(self.delay);
        Ok((Self::exact(request)? + self.draw(request)).clamp(0.0, 1.0))
    }
}
