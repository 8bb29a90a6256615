//! The end of a search: the best candidates timed again, in interleaved rounds with the references everybody knows,
//! and the winner written down.
//!
//! Inside the loop each latency came from its own few loads at its own moment. What the user gets is decided on timings
//! of one session, in which finalists and references alternate, so that a drift of the machine hits all alike; what is
//! left of it against the calibration is taken out by anchors (see [`crate::search::timing::anchors`]).

use std::collections::HashSet;
use std::time::Instant;

use super::control::Control;
use super::progress::Progress;
use super::{Carried, Search};
use crate::device::DeviceError;
use crate::device::session::{self, Load, Plan, Statistic};
use crate::latency::calibrate::measure::{model_for, timing_model};
use crate::network::Network;
use crate::search::error::SearchError;
use crate::search::model::{DeviceLatencies, Latencies};
use crate::search::propose::guide::Standing;
use crate::search::seeds::{generator, training_seed};
use crate::search::settings::stored::{FINALE_SECONDS, FINALE_TRAINING_SECONDS};
use crate::space::{Architecture, reference};
use crate::store::{FinalRow, FinalTiming};
use crate::train::Request;

/// The networks a result is compared with; the first is the one ratios refer to.
const REFERENCES: [&str; 2] = ["mobilenet-v2", "mnasnet-a1"];
/// Name, among the run's settings, of the number of steps the table was made after.
const AFTER_STEPS: &str = "finals_after_steps";

/// One network of the final session.
struct Contender {
    name: String,
    architecture: Architecture,
    network: Network,
    accuracy: Option<f64>,
    /// What the model of accuracies makes of it.
    expected_accuracy: Option<f64>,
}

impl Search<'_> {
    /// Times finalists and references, stores the table and writes `best.tflite`. Does nothing if that was done after
    /// the last step already.
    pub(super) fn finale(&mut self, carried: &Carried<'_>, control: &Control) -> Result<(), SearchError> {
        let steps = self.ledger.steps()?.len().to_string();
        if self.ledger.setting(AFTER_STEPS)?.as_ref() == Some(&steps) {
            return Ok(());
        }
        let mut unusable = HashSet::new();
        loop {
            control.check()?;
            match self.final_session(carried, &unusable, control) {
                // A network the device cannot run makes room for the next best.
                Err(SearchError::Device(DeviceError::Model { model, problem, .. }))
                    if unusable.insert(model.clone()) =>
                {
                    tracing::warn!("the device cannot time this network, which is left out: {problem}: {model}");
                }
                Ok(()) => return Ok(self.ledger.set(AFTER_STEPS, &steps)?),
                Err(error) => return Err(error),
            }
        }
    }

    fn final_session(
        &mut self,
        carried: &Carried<'_>,
        unusable: &HashSet<String>,
        control: &Control,
    ) -> Result<(), SearchError> {
        let latencies = &carried.latencies;
        let mut finalists = carried.guide.standings(latencies);
        finalists.retain(|standing| !unusable.contains(&standing.architecture));
        finalists.truncate(self.settings.search.finalists);
        if finalists.is_empty() {
            let evaluations = self.ledger.evaluations()?;
            if evaluations.is_empty() {
                return Err(SearchError::NothingDone);
            }
            let failed: Vec<_> = evaluations.into_iter().filter_map(|e| e.outcome.err()).collect();
            return Err(SearchError::NothingWorked {
                failed: failed.len(),
                last: failed.last().cloned().unwrap_or_default(),
            });
        }
        let mut contenders = self.contenders(&finalists)?;
        contenders.retain(|contender| !unusable.contains(&contender.architecture.to_string()));
        control.progress.line(&format!(
            "re-timing the best {} beside {} in {} interleaved rounds",
            finalists.len(),
            REFERENCES.join(" and "),
            self.settings.search.final_loads,
        ));
        let start = Instant::now();
        let rows = self.final_rows(&contenders, latencies, control)?;
        self.ledger.set(FINALE_SECONDS, &start.elapsed().as_secs_f64().to_string())?;
        let start = Instant::now();
        self.write_winner(&contenders, &rows)?;
        self.ledger.set(FINALE_TRAINING_SECONDS, &start.elapsed().as_secs_f64().to_string())?;
        Ok(self.ledger.set_finals(&rows)?)
    }

    fn contenders(&self, finalists: &[Standing]) -> Result<Vec<Contender>, SearchError> {
        let mut contenders = Vec::new();
        for (index, finalist) in finalists.iter().enumerate() {
            let architecture = parse(&finalist.architecture)?;
            let network = Network::expand(&architecture)?;
            let name = format!("candidate {}", index + 1);
            let accuracy = self.ledger.evaluation(&finalist.digest)?.and_then(|evaluation| evaluation.outcome.ok());
            let expected_accuracy = Some(finalist.belief.accuracy.mean);
            contenders.push(Contender { name, architecture, network, accuracy, expected_accuracy });
        }
        let space = &self.settings.space;
        for name in REFERENCES {
            let reference = reference::reference(name).map_err(|error| SearchError::Ledger(error.to_string()))?;
            let architecture = reference.at_input(space.input_size).with_classes(space.classes);
            let network = Network::expand(&architecture)?;
            let name = name.to_owned();
            contenders.push(Contender { name, architecture, network, accuracy: None, expected_accuracy: None });
        }
        Ok(contenders)
    }

    fn final_rows(
        &mut self,
        contenders: &[Contender],
        latencies: &Latencies,
        control: &Control,
    ) -> Result<Vec<FinalRow>, SearchError> {
        let mut timings = vec![Vec::new(); contenders.len()];
        for device in 0..self.devices.len() {
            let of_device = self.final_timings(contenders, device, &latencies.devices()[device], control)?;
            timings.iter_mut().zip(of_device).for_each(|(timings, timing)| timings.push(timing));
        }
        let rows = contenders.iter().zip(timings);
        let mut rows: Vec<FinalRow> = rows.map(|(contender, timings)| self.final_row(contender, timings)).collect();
        // The accuracy of one training is partly luck; whoever goes by it returns the luckiest.
        let worth = |row: &FinalRow| {
            let reward = |accuracy| self.settings.target.reward(accuracy, row.latency_ms).value;
            row.expected_accuracy.map_or(f64::MIN, reward)
        };
        rows.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        Ok(rows)
    }

    /// Every contender's timing on one device.
    fn final_timings(
        &mut self,
        contenders: &[Contender],
        device: usize,
        latencies: &DeviceLatencies,
        control: &Control,
    ) -> Result<Vec<FinalTiming>, SearchError> {
        let mut models = Vec::new();
        for contender in contenders {
            models.push(model_for(&*self.devices[device], &contender.architecture)?);
        }
        models.extend(latencies.anchors().models(&*self.devices[device])?.iter().cloned());
        let seed = rand::Rng::r#gen(&mut generator(self.settings.seed, 0, "finale"));
        let plan = Plan { rounds: self.settings.search.final_loads, seed };
        let progress = Progress::new("re-timing", (plan.rounds * models.len()) as u64, 0, control.progress.visible());
        let observe = &mut |_: &Load| {
            progress.evaluated();
            control.flow()
        };
        let session = session::measure(&mut *self.devices[device], &models, &plan, Vec::new(), observe)?;
        progress.finish();
        control.check()?;
        let drift = latencies.anchors().drift(&session, contenders.len())?;
        let baseline = contenders.iter().position(|contender| contender.name == REFERENCES[0]);
        let timing = |(index, contender): (usize, &Contender)| {
            let no_times = || SearchError::NoTimes(contender.name.clone());
            let latency = session.typical(index, Statistic::Fastest).ok_or_else(no_times)?;
            let ratio = baseline.and_then(|baseline| session.ratio(index, baseline, Statistic::Fastest));
            Ok(FinalTiming {
                latency_ms: latency.value / drift,
                low_ms: latency.low / drift,
                high_ms: latency.high / drift,
                drift,
                ratio_to_mobilenet_v2: ratio.map(|ratio| ratio.value),
                samples: session.samples_json(index),
            })
        };
        contenders.iter().enumerate().map(timing).collect()
    }

    fn final_row(&self, contender: &Contender, mut devices: Vec<FinalTiming>) -> FinalRow {
        let objective = &self.settings.objective;
        let combined = |of: fn(&FinalTiming) -> f64| objective.combined_ms(&devices.iter().map(of).collect::<Vec<_>>());
        let latency_ms = combined(|timing| timing.latency_ms);
        let (low_ms, high_ms) = (combined(|timing| timing.low_ms), combined(|timing| timing.high_ms));
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
            name: contender.name.clone(),
            digest: contender.network.digest(),
            architecture: contender.architecture.to_string(),
            latency_ms,
            low_ms,
            high_ms,
            drift,
            samples,
            devices,
            ratio_to_mobilenet_v2,
            accuracy: contender.accuracy,
            expected_accuracy: contender.expected_accuracy,
            reward: contender.accuracy.map(|a| self.settings.target.reward(a, latency_ms).value),
            madds: contender.network.madds(),
            params: contender.network.parameters(),
        }
    }

    /// Writes the network of the first row: the best by its latency of this session and the accuracy it is believed to
    /// have.
    fn write_winner(&self, contenders: &[Contender], rows: &[FinalRow]) -> Result<(), SearchError> {
        let Some(winner) = contenders.iter().find(|contender| contender.name == rows[0].name) else { return Ok(()) };
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

fn parse(line: &str) -> Result<Architecture, SearchError> {
    crate::space::parse(line).map_err(|error| SearchError::Ledger(error.to_string()))
}
