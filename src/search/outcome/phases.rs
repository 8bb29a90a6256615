//! The way of the candidates through a run, in numbers with their reasons: the phases of its report.

use crate::report::data::Phase;
use crate::search::settings::{Settings, Timing};
use crate::store::{BeyondLimits, FinalRow, Ledger, Measurement, Purpose, Seconds, Step, StoreError};

/// Relative drift from which on correcting for it is worth mentioning.
const DRIFT_SHOWN: f64 = 0.005;

/// What the phases are told from.
pub(super) struct Story<'a> {
    pub settings: &'a Settings,
    pub ledger: &'a Ledger,
    pub steps: &'a [Step],
    pub measurements: &'a [Measurement],
    pub finals: &'a [FinalRow],
    pub seconds: Seconds,
}

impl Story<'_> {
    /// Every phase that happened, in order.
    ///
    /// # Errors
    /// A database error.
    pub fn phases(&self) -> Result<Vec<Phase>, StoreError> {
        let all = [
            self.measured_first(),
            self.sampled(),
            self.beyond_limits(),
            self.duplicates(),
            self.screened(),
            self.trained(),
            self.failed()?,
            self.timed(),
            self.not_timed()?,
            self.refitted(),
            self.drift_corrected(),
            self.repeated(),
            self.widened(),
            self.timed_at_the_end(),
        ];
        Ok(all.into_iter().filter(|phase| phase.count > 0).collect())
    }

    fn sum(&self, count: impl Fn(&Step) -> usize) -> usize {
        self.steps.iter().map(count).sum()
    }

    fn measured_first(&self) -> Phase {
        let first = self.measurements.iter().filter(|m| m.purpose == Purpose::WarmUp);
        let why = "no calibration was given, so a first predictor needed them".to_owned();
        Phase { seconds: Some(first.clone().map(|m| m.seconds).sum()), ..phase("measured first", first.count(), why) }
    }

    fn sampled(&self) -> Phase {
        let why = format!("drawn by {} in {} steps", self.settings.search.algorithm.name(), self.steps.len());
        let sampled = phase("sampled", self.sum(|step| step.sampled), why);
        Phase { seconds: Some(self.seconds.controller), ..sampled }
    }

    fn beyond_limits(&self) -> Phase {
        let mut beyond = BeyondLimits::default();
        self.steps.iter().for_each(|step| beyond += step.beyond_limits);
        let reasons = [
            (beyond.params, "too many parameters"),
            (beyond.madds, "too many multiply-adds"),
            (beyond.memory_mb, "too much memory"),
            (beyond.undeployable, "too large for any file"),
        ];
        let reasons = reasons.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}"));
        phase("beyond limits", beyond.total(), reasons.collect::<Vec<_>>().join(", "))
    }

    fn duplicates(&self) -> Phase {
        phase("known already", self.sum(|step| step.duplicates), "no network is trained twice".to_owned())
    }

    fn screened(&self) -> Phase {
        let (search, target_ms) = (&self.settings.search, self.settings.target.latency_ms());
        let why = match search.is_guided() {
            true => format!(
                "{} samples and mutations of the best, behind those of each step with the highest expected improvement",
                self.sum(|step| step.considered)
            ),
            false => format!(
                "predicted outside {:.2} to {:.2} ms, or behind the {} that a step trains",
                search.window.low * target_ms,
                search.window.high * target_ms,
                search.trained_per_step,
            ),
        };
        phase("screened out", self.sum(|step| step.screened), why)
    }

    fn trained(&self) -> Phase {
        let own = self.sum(|step| step.own);
        let why = match self.settings.search.is_guided() {
            true => {
                format!("{own} of them sampled, the others mutations of the best networks; their accuracy was obtained")
            }
            false => "their accuracy was obtained".to_owned(),
        };
        let trained = phase("trained", self.sum(|step| step.trained), why);
        Phase { seconds: Some(self.seconds.training), ..trained }
    }

    fn failed(&self) -> Result<Phase, StoreError> {
        let count = self.sum(|step| step.failed);
        let problems = if count > 0 { self.ledger.evaluations()? } else { Vec::new() };
        let last = problems.into_iter().filter_map(|evaluation| evaluation.outcome.err()).next_back();
        Ok(phase("failed", count, last.map_or_else(String::new, |last| format!("left out; the last said: {last}"))))
    }

    fn timed(&self) -> Phase {
        let why = match self.settings.search.timing {
            Timing::All => "every network that was trained".to_owned(),
            Timing::Promising => format!(
                "one for every eight trainings, the one with the best reward at the lower bound of its latency, up to {} a step; their rewards count true times",
                self.settings.search.timed_per_step
            ),
        };
        let measuring = self.steps.iter().map(|step| step.seconds.measuring).sum();
        Phase { seconds: Some(measuring), ..phase("timed", self.sum(|step| step.timed), why) }
    }

    fn not_timed(&self) -> Result<Phase, StoreError> {
        let failed = self.ledger.failed_timings()?;
        let why = failed.last().map_or_else(String::new, |last| {
            format!("a device could not time them, so they are predicted; it last said: {}", last.problem)
        });
        Ok(phase("not timed", failed.len(), why))
    }

    fn refitted(&self) -> Phase {
        let why = "the model of latencies, after every step with a timing".to_owned();
        phase("refitted", self.sum(|step| usize::from(step.timed > 0)), why)
    }

    fn drift_corrected(&self) -> Phase {
        let drifts: Vec<f64> = self.steps.iter().filter_map(|step| step.drift).collect();
        let corrected = drifts.iter().filter(|drift| (*drift - 1.0).abs() > DRIFT_SHOWN).count();
        let (least, most) =
            (drifts.iter().copied().fold(f64::INFINITY, f64::min), drifts.iter().copied().fold(0.0, f64::max));
        let why = format!(
            "latencies divided by the device's slow-down, {least:.2} to {most:.2} times its calibration's latencies"
        );
        phase("drift corrected", corrected, why)
    }

    fn repeated(&self) -> Phase {
        let repeated = self.steps.iter().map(|step| step.repeated as usize).sum();
        phase("sessions repeated", repeated, "the device was at another pace than usual".to_owned())
    }

    fn widened(&self) -> Phase {
        let why = "timings from disturbed sessions, taken with wide intervals: the models count them for little";
        phase("timings widened", self.sum(|step| step.widened), why.to_owned())
    }

    fn timed_at_the_end(&self) -> Phase {
        let finalists = self.finals.iter().filter(|row| row.accuracy.is_some()).count();
        let why = format!(
            "the best {finalists} and {} references, in {} interleaved rounds",
            self.finals.len() - finalists,
            self.settings.search.final_loads,
        );
        phase("timed at the end", self.finals.len(), why)
    }
}

fn phase(name: &str, count: usize, why: String) -> Phase {
    Phase { phase: name.to_owned(), count, why, seconds: None }
}
