//! One session of timings: networks whose latencies the search wants, in interleaved rounds.
//!
//! Within the loop the anchors ([`super::anchors`]) are timed beside them. Every latency is freed of the drift they show,
//! the anchors' own, too, which are kept to be watched ([`super::watch`]).

use std::ops::ControlFlow;
use std::time::Instant;

use super::anchors::Anchors;
use super::asked::Asked;
use crate::device::session::{self, Plan, Session, Statistic};
use crate::device::statistics::Interval;
use crate::device::{Device, DeviceError};
use crate::latency::calibrate::measure::model_for;
use crate::search::error::SearchError;
use crate::search::seeds::training_seed;
use crate::search::settings::Settings;
use crate::store::Measurement;

/// What a session told.
#[derive(Debug, Default)]
pub(in crate::search) struct Timed {
    /// Of the networks that were wanted, those the device can time.
    pub networks: Vec<Measurement>,
    pub anchors: Vec<Measurement>,
}

/// A session to be: before the first step alone, within the loop beside the anchors.
#[derive(Clone, Copy)]
pub(in crate::search) struct Timing<'a> {
    pub settings: &'a Settings,
    /// The device's place among the search file's, from 0.
    pub place: usize,
    /// Networks of known latency, with the deviation of a timing's logarithm, where that is known.
    pub anchors: Option<(&'a Anchors, Option<f64>)>,
    pub step: u64,
}

impl Timing<'_> {
    /// Times them all.
    ///
    /// # Errors
    /// A device that fails, is not the calibrated one, or gives no times.
    pub fn measure(&self, device: &mut dyn Device, mut asked: Vec<Asked<'_>>) -> Result<Timed, SearchError> {
        if asked.is_empty() {
            return Ok(Timed::default());
        }
        let start = Instant::now();
        let mut models = Vec::new();
        for one in &asked {
            models.push(model_for(device, one.architecture)?);
        }
        if let Some((anchors, _)) = self.anchors {
            models.extend(anchors.models(device)?.iter().cloned());
        }
        let plan = Plan {
            rounds: self.settings.devices[self.place].loads,
            seed: training_seed(self.settings.seed, &asked[0].digest),
        };
        // Whoever asks the search to stop waits for the session to end: half of one would be of no use.
        match session::measure(device, &models, &plan, Vec::new(), &mut |_| ControlFlow::Continue(())) {
            Ok(session) => self.timed(&session, &asked, start.elapsed().as_secs_f64()),
            // A network the device cannot run costs itself alone; whoever asked for it goes on with a prediction.
            Err(DeviceError::Model { model, problem, .. }) if asked.iter().any(|one| one.is(&model)) => {
                tracing::warn!("the device cannot time this network, which is left out: {problem}: {model}");
                asked.retain(|one| !one.is(&model));
                self.measure(device, asked)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn timed(&self, session: &Session, asked: &[Asked<'_>], seconds: f64) -> Result<Timed, SearchError> {
        let seconds = seconds / asked.len() as f64;
        let drift = self.anchors.map(|(anchors, _)| anchors.drift(session, asked.len())).transpose()?;
        let mut timed = Timed::default();
        for (index, one) in asked.iter().enumerate() {
            let latency = session.typical(index, Statistic::Fastest);
            let latency = latency.ok_or_else(|| SearchError::NoTimes(one.architecture.to_string()))?;
            let timings = session.samples_json(index);
            timed.networks.push(Measurement { timings, seconds, ..self.row(one, latency, drift) });
        }
        let anchors = self.anchors.map(|(anchors, deviation)| anchors.asked(deviation)).transpose()?;
        for (index, one) in (asked.len()..).zip(anchors.iter().flatten()) {
            let Some(latency) = session.typical(index, Statistic::Fastest) else { continue };
            let timings = session.samples_json(index);
            timed.anchors.push(Measurement { timings, ..self.row(one, latency, drift) });
        }
        Ok(timed)
    }

    fn row(&self, asked: &Asked<'_>, latency: Interval, drift: Option<f64>) -> Measurement {
        let slower = drift.unwrap_or(1.0);
        Measurement {
            device: self.place,
            digest: asked.digest.clone(),
            architecture: asked.architecture.to_string(),
            purpose: asked.purpose,
            step: self.step,
            latency_ms: latency.value / slower,
            interval_ms: [latency.low / slower, latency.high / slower],
            drift,
            predicted_ms: asked.predicted.map(|p| [p.latency_ms, p.low_ms, p.high_ms]),
            timings: String::new(),
            // Of an anchor: it is part of what the others took.
            seconds: 0.0,
        }
    }
}
