//! The end of a search: the final timing, its table, and the winner written down.

use std::time::Instant;

use super::control::Control;
use super::final_timing::{FinalNetwork, time_finalists};
use super::{Carried, Search};
use crate::latency::calibrate::measure::timing_model;
use crate::search::error::SearchError;
use crate::search::model::Latencies;
use crate::search::propose::guide::Standing;
use crate::search::seeds::training_seed;
use crate::search::settings::stored::{FINALE_SECONDS, FINALE_TRAINING_SECONDS};
use crate::search::timing::session::LEVEL;
use crate::statistics::Normal;
use crate::store::{FinalRow, FinalTiming};
use crate::train::Request;

/// Name, among the run's settings, of the number of steps the table was made after.
const AFTER_STEPS: &str = "finals_after_steps";

impl Search<'_> {
    /// Times finalists and references, stores the table and writes `best.tflite`. Does nothing if that was done after
    /// the last step already.
    pub(super) fn finale(&mut self, carried: &mut Carried<'_>, control: &Control) -> Result<(), SearchError> {
        let steps = self.ledger.steps()?.len().to_string();
        if self.ledger.setting(AFTER_STEPS)?.as_ref() == Some(&steps) {
            return Ok(());
        }
        let Carried { guide, latencies, .. } = carried;
        if guide.standings(latencies).is_empty() {
            return Err(self.nothing_worked()?);
        }
        let start = Instant::now();
        latencies.forget_finals();
        let unusable = self.ledger.failed_timings()?.into_iter().map(|failed| failed.architecture).collect();
        let timed = time_finalists(self.settings, guide, latencies, self.devices, unusable, control)?;
        self.ledger.set(FINALE_SECONDS, &start.elapsed().as_secs_f64().to_string())?;
        let standings = guide.standings(latencies);
        let rows = self.final_rows(&timed, &standings, latencies)?;
        let start = Instant::now();
        self.write_winner(&timed, &standings)?;
        self.ledger.set(FINALE_TRAINING_SECONDS, &start.elapsed().as_secs_f64().to_string())?;
        self.ledger.set_finals(&rows)?;
        Ok(self.ledger.set(AFTER_STEPS, &steps)?)
    }

    fn nothing_worked(&self) -> Result<SearchError, SearchError> {
        let evaluations = self.ledger.evaluations()?;
        if evaluations.is_empty() {
            return Ok(SearchError::NothingDone);
        }
        let failed: Vec<_> = evaluations.into_iter().filter_map(|e| e.outcome.err()).collect();
        Ok(SearchError::NothingWorked { failed: failed.len(), last: failed.last().cloned().unwrap_or_default() })
    }

    /// The table: candidates by their expected rewards, then references.
    fn final_rows(
        &self,
        timed: &[FinalNetwork],
        standings: &[Standing],
        latencies: &Latencies,
    ) -> Result<Vec<FinalRow>, SearchError> {
        let mut candidates = Vec::new();
        for standing in standings {
            let of = |network: &&FinalNetwork| network.architecture.to_string() == standing.architecture;
            if let Some(network) = timed.iter().filter(|network| network.reference.is_none()).find(of) {
                let name = format!("candidate {}", candidates.len() + 1);
                let posteriors = latencies.tried_posteriors(&standing.digest, &standing.tokens, &standing.prior);
                let row = self.final_row(name, network, posteriors, latencies);
                let evaluation = self.ledger.evaluation(&standing.digest)?;
                candidates.push(FinalRow {
                    accuracy: evaluation.and_then(|evaluation| evaluation.outcome.ok()),
                    expected_accuracy: Some(standing.posterior.accuracy.mean),
                    reward: Some(standing.reward),
                    ..row
                });
            }
        }
        let references = timed.iter().filter_map(|network| {
            let alone = network.timings.iter().map(|timing| timing.ln_ms).collect();
            Some(self.final_row(network.reference?.to_owned(), network, alone, latencies))
        });
        Ok(candidates.into_iter().chain(references).collect())
    }

    fn final_row(
        &self,
        name: String,
        network: &FinalNetwork,
        posteriors: Vec<Normal>,
        latencies: &Latencies,
    ) -> FinalRow {
        let objective = &self.settings.objective;
        let on_another_day = latencies.on_another_day(&posteriors);
        let interval = objective.combined_posterior(&on_another_day).exponential_interval(LEVEL);
        let timings = network.timings.iter().zip(&on_another_day).map(|(timing, posterior)| {
            let interval = posterior.exponential_interval(LEVEL);
            FinalTiming {
                latency_ms: interval.value,
                low_ms: interval.low,
                high_ms: interval.high,
                drift: timing.drift,
                ratio_to_mobilenet_v2: timing.ratio_to_mobilenet_v2.map(|ratio| ratio.value),
                samples: timing.samples.clone(),
            }
        });
        let mut devices: Vec<FinalTiming> = timings.collect();
        let from_one = |drift: &f64| drift.ln().abs();
        let drifts = devices.iter().map(|timing| timing.drift);
        let drift = drifts.max_by(|a, b| from_one(a).total_cmp(&from_one(b))).unwrap_or(1.0);
        let ratios = devices.iter().filter_map(|timing| timing.ratio_to_mobilenet_v2);
        let ratio_to_mobilenet_v2 = ratios.max_by(f64::total_cmp);
        let samples = match devices.as_mut_slice() {
            [only] => std::mem::take(&mut only.samples),
            _ => String::new(),
        };
        if objective.is_plain() {
            devices.clear();
        }
        FinalRow {
            name,
            digest: network.network.digest(),
            architecture: network.architecture.to_string(),
            latency_ms: interval.value,
            low_ms: interval.low,
            high_ms: interval.high,
            drift,
            ln_ms: network.timings.iter().map(|timing| timing.ln_ms).collect(),
            samples,
            devices,
            ratio_to_mobilenet_v2,
            accuracy: None,
            expected_accuracy: None,
            reward: None,
            madds: network.network.madds(),
            params: network.network.parameters(),
        }
    }

    /// Writes the best of the networks that were timed.
    fn write_winner(&self, timed: &[FinalNetwork], standings: &[Standing]) -> Result<(), SearchError> {
        let of = |standing: &Standing| {
            let mut candidates = timed.iter().filter(|network| network.reference.is_none());
            candidates.find(|network| network.architecture.to_string() == standing.architecture)
        };
        let Some(winner) = standings.iter().find_map(of) else { return Ok(()) };
        let seed = training_seed(self.settings.seed, &winner.network.digest());
        let request = Request { id: 0, architecture: winner.architecture.clone(), seed };
        let weights = self.accuracy.weights(&request)?;
        let bytes = match weights {
            Some(weights) => crate::tflite::write(&winner.network, &weights)?,
            None => timing_model(&winner.architecture)?.bytes,
        };
        Ok(crate::files::write_atomically(&self.ledger.folder().join("best.tflite"), &bytes)?)
    }
}
