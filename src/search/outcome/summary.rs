//! What a run found, out of its ledger: the data of `mnas report`.

use super::known::{KnownNetworks, best_so_far, front, hypervolume, pick};
use super::phases::Story;
use crate::latency::metrics;
use crate::report::data::{
    BudgetSummary, DeviceChange, DeviceSummary, Pick, PredictedMeasured, PredictorCheck, ReportData,
};
use crate::search::error::RunError;
use crate::search::reward::Objective;
use crate::search::settings::stored::{DEVICES, ENDED, FINALE_SECONDS, FINALE_TRAINING_SECONDS, settings};
use crate::search::settings::{DeviceOptions, Settings};
use crate::search::timing::watch::{Changed, Watch};
use crate::store::{FinalRow, FinalTiming, Ledger, Measurement, Purpose, Seconds, Step, StoreError};

/// A run as its ledger has it, finished or not.
pub struct Summary<'a> {
    ledger: &'a Ledger,
    settings: Settings,
    steps: Vec<Step>,
    finals: Vec<FinalRow>,
    measurements: Vec<Measurement>,
    networks: KnownNetworks,
}

/// The report of a run, finished or not.
///
/// # Errors
/// An unreadable ledger or search file.
pub fn summarise(ledger: &Ledger) -> Result<ReportData, RunError> {
    Summary::read(ledger)?.report()
}

impl<'a> Summary<'a> {
    /// Reads everything a report needs.
    ///
    /// # Errors
    /// An unreadable ledger or search file.
    pub fn read(ledger: &'a Ledger) -> Result<Self, RunError> {
        let settings = settings(ledger)?;
        let (measurements, finals) = (ledger.measurements()?, ledger.finals()?);
        let networks = KnownNetworks::read(ledger, &settings);
        let networks = networks.map_err(|error| RunError::Unreadable(error.into()))?;
        Ok(Self { ledger, steps: ledger.steps()?, settings, finals, measurements, networks })
    }

    /// What the run was asked for.
    pub fn objective(&self) -> &Objective {
        &self.settings.objective
    }

    /// The report for the run's own target, with the winner of its final session once there was one.
    ///
    /// # Errors
    /// A database error.
    pub fn report(&self) -> Result<ReportData, RunError> {
        let winner = self.finals.iter().find(|row| row.reward.is_some());
        self.with_choice(&self.settings.objective, winner.map(|row| row.architecture.as_str()))
    }

    /// The report as if the run had been asked for another target: the same networks, chosen from anew.
    ///
    /// # Errors
    /// A database error.
    pub fn report_for(&self, objective: &Objective) -> Result<ReportData, RunError> {
        self.with_choice(objective, None)
    }

    /// Only the choice for another target.
    pub fn pick(&self, objective: &Objective) -> Pick {
        self.networks.pick(objective)
    }

    fn with_choice(&self, objective: &Objective, chosen: Option<&str>) -> Result<ReportData, RunError> {
        let (ledger, settings) = (self.ledger, &self.settings);
        let candidates = self.networks.candidates(objective);
        let pick = pick(&candidates, chosen, objective);
        let best_rewards = best_so_far(&candidates, pick.best.as_ref());
        let (seconds, devices) = (self.seconds()?, self.devices()?);
        let story = Story {
            settings,
            ledger,
            steps: &self.steps,
            measurements: &self.measurements,
            finals: &self.finals,
            seconds,
        };
        Ok(ReportData {
            pareto: front(&candidates, objective),
            hypervolume: hypervolume(&candidates, objective),
            evaluations: candidates.len(),
            measurements: self.measurements.iter().filter(|m| m.purpose == Purpose::Search).count(),
            steps: self.steps_with(objective, &best_rewards),
            best_reward_by_evaluation: best_rewards,
            seconds,
            overhead_percent: overhead_percent(&seconds),
            limits: settings.limits,
            device: devices.first().cloned().unwrap_or_default(),
            predictor: self.predictor(&devices),
            devices,
            accuracy_source: ledger.setting("accuracy")?.unwrap_or_default(),
            algorithm: settings.search.algorithm.name().to_owned(),
            seed: settings.seed,
            version: ledger.setting("version")?.unwrap_or_default(),
            budget: budget(settings),
            ended: ledger.setting(ENDED)?.filter(|reason| !reason.is_empty()),
            phases: story.phases()?,
            final_rows: self.final_rows(objective),
            candidates,
            pick,
        })
    }

    /// The steps, with the best rewards of the report's curve; mean rewards only for the target that was learnt from.
    fn steps_with(&self, objective: &Objective, best_rewards: &[f64]) -> Vec<Step> {
        let own = *objective == self.settings.objective;
        let with_best = |step: &Step| {
            let last = self.networks.evaluated_by(step.step).checked_sub(1);
            let best_reward = last.and_then(|last| best_rewards.get(last)).copied();
            Step { best_reward, mean_reward: step.mean_reward.filter(|_| own), ..*step }
        };
        self.steps.iter().map(with_best).collect()
    }

    /// The final table with its rewards for this target.
    fn final_rows(&self, objective: &Objective) -> Vec<FinalRow> {
        let mut rows = self.finals.clone();
        for row in &mut rows {
            if !row.devices.is_empty() {
                let of = |of: fn(&FinalTiming) -> f64| {
                    objective.combined_ms(&row.devices.iter().map(of).collect::<Vec<_>>())
                };
                (row.latency_ms, row.low_ms, row.high_ms) = (of(|t| t.latency_ms), of(|t| t.low_ms), of(|t| t.high_ms));
            }
            row.reward =
                row.expected_accuracy.map(|accuracy| objective.target().reward(accuracy, row.latency_ms).value);
        }
        rows
    }

    /// The predictions made before the loop's timings, and what became of them.
    fn predictor(&self, devices: &[DeviceSummary]) -> PredictorCheck {
        let pair = |m: &Measurement| {
            m.predicted_ms.map(|p| PredictedMeasured { predicted_ms: p[0], measured_ms: m.latency_ms })
        };
        let timed = self.measurements.iter().filter(|m| m.purpose == Purpose::Search);
        let pairs: Vec<PredictedMeasured> = timed.filter_map(pair).collect();
        let (predicted, measured): (Vec<f64>, Vec<f64>) =
            pairs.iter().map(|pair| (pair.predicted_ms, pair.measured_ms)).unzip();
        let mape = (!pairs.is_empty()).then(|| metrics::mape(&predicted, &measured));
        let watch = Watch::read(self.settings.devices.len(), &self.measurements, self.steps.len() as u64);
        let change = |changed: Changed| {
            let DeviceSummary { id: device, model, .. } = devices.get(changed.device).cloned().unwrap_or_default();
            let (Changed { step, evidence, alarm, .. }, finding) = (changed, changed.finding());
            let evidence = evidence.name().to_owned();
            DeviceChange { device, model, step, evidence, outside: alarm.outside, finding }
        };
        PredictorCheck { pairs, mape, changes: watch.changes().map(change).collect() }
    }

    /// Wall time of the steps, of the measurements before the first, and of what came after the last.
    fn seconds(&self) -> Result<Seconds, StoreError> {
        let first = self.measurements.iter().filter(|m| m.purpose == Purpose::WarmUp);
        let stored = |name| {
            let text = self.ledger.setting(name)?;
            Ok::<f64, StoreError>(text.and_then(|text| text.parse().ok()).unwrap_or(0.0))
        };
        let measuring = first.map(|m| m.seconds).sum::<f64>() + stored(FINALE_SECONDS)?;
        let training = stored(FINALE_TRAINING_SECONDS)?;
        let mut sum = Seconds { training, measuring, controller: 0.0, total: training + measuring };
        for step in &self.steps {
            sum += step.seconds;
        }
        Ok(sum)
    }

    /// What the devices said they are, or at least what they were called.
    fn devices(&self) -> Result<Vec<DeviceSummary>, StoreError> {
        let stored = self.ledger.setting(DEVICES)?.and_then(|text| serde_json::from_str(&text).ok());
        let named = |device: &DeviceOptions| DeviceSummary { id: device.id.clone(), ..DeviceSummary::default() };
        Ok(stored.unwrap_or_else(|| self.settings.devices.iter().map(named).collect()))
    }
}

/// Share of the wall time that was neither training nor timing: sampling, learning, predicting, storing.
fn overhead_percent(seconds: &Seconds) -> f64 {
    if seconds.total <= 0.0 {
        return 0.0;
    }
    100.0 * (seconds.total - seconds.training - seconds.measuring) / seconds.total
}

fn budget(settings: &Settings) -> BudgetSummary {
    BudgetSummary {
        evaluations: settings.evaluations,
        measurements: Some(settings.measurements).filter(|measurements| *measurements < u64::MAX),
        hours: settings.time.map(|time| time.as_secs_f64() / 3600.0),
    }
}
