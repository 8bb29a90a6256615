//! `mnas bench`: networks and .tflite files timed together.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::device_arguments::DeviceArguments;
use super::output::{Output, bars, interruption, table};
use super::{Ending, Error, input};
use crate::device::noise::DeviceNoise;
use crate::device::session::{self, Estimates, Load, Plan, Session};
use crate::device::verify::{Verification, verify};
use crate::device::{self, Device, Environment, Incident, Model};
use crate::network::Weights;
use crate::search::Progress;

/// A baseline's relative change over the session that is worth a note: androidx's measure of a throttled phone.
const NOTABLE_DRIFT: f64 = 0.1;

/// Arguments of `mnas bench`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Architecture lines, reference networks or .tflite files.
    #[arg(required = true, value_name = "ARCH|M.tflite")]
    models: Vec<String>,
    #[command(flatten)]
    device: DeviceArguments,
    /// The model that ratios refer to; timed too if it is none of the models.
    #[arg(long, value_name = "ARCH|M.tflite")]
    baseline: Option<String>,
    /// Rounds: fresh loads of every model, interleaved in random order.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Timed runs per load.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Seed of the rounds' orders and of random weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Verifies every model, times all of them and compares. Ends with [`Ending::LimitNotMet`] if a model computes
/// something else than it should.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let mut names = Vec::new();
    for word in &arguments.models {
        match word.as_str() {
            "-" => names.extend(input::stdin_lines()?.into_iter().map(|(_, line)| line)),
            _ => names.push(word.clone()),
        }
    }
    let baseline = arguments.baseline.as_ref().map(|name| position_or_push(&mut names, name));
    let models = names.iter().map(|name| model(name, arguments.seed)).collect::<Result<Vec<_>, Error>>()?;
    let mut device = device::open(&arguments.device.choice(arguments.runs as usize, arguments.seed))?;
    let verified = models.iter().map(|model| verify(&mut *device, model, None)).collect::<Result<Vec<_>, _>>()?;
    let plan = Plan { rounds: arguments.rounds as usize, seed: arguments.seed };
    let Some(session) = measure(&mut *device, &models, &plan)? else { return Ok(Ending::Interrupted) };
    let (environment, incidents) = (Environment::of(&mut *device), device.incidents());
    let findings = Findings { models, session, verified, baseline, environment, incidents };
    let value = findings.json()?;
    out.print(&value, || findings.text())?;
    let wrong = findings.verified.iter().any(|verification| matches!(verification, Verification::Wrong { .. }));
    Ok(if wrong { Ending::LimitNotMet } else { Ending::Done })
}

fn position_or_push(names: &mut Vec<String>, name: &String) -> usize {
    names.iter().position(|other| other == name).unwrap_or_else(|| {
        names.push(name.clone());
        names.len() - 1
    })
}

fn model(name: &str, seed: u64) -> Result<Model, Error> {
    if Path::new(name).extension().is_some_and(|extension| extension == "tflite") {
        let bytes = fs_err::read(name)?;
        crate::tflite::read(&bytes).map_err(|error| Error::new(format!("{name}: {error}")))?;
        return Ok(Model { name: name.to_owned(), architecture: None, network: None, bytes });
    }
    let named = input::architecture(name)?;
    let weights = Weights::random(&named.network, &mut crate::seeded(seed));
    let bytes = crate::tflite::write(&named.network, &weights)?;
    Ok(Model { name: named.name, architecture: Some(named.architecture), network: Some(named.network), bytes })
}

/// Times all models; `None` if it was interrupted. The device is left as it was found either way.
fn measure(device: &mut dyn Device, models: &[Model], plan: &Plan) -> Result<Option<Session>, Error> {
    let interrupted = interruption()?;
    let progress = Progress::new("timing", (plan.rounds * models.len()) as u64, 0, bars());
    let observe = &mut |load: &Load| {
        progress.note(models[load.turn.model].name.clone());
        progress.evaluated();
        if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let session = session::measure(device, models, plan, Vec::new(), observe)?;
    progress.finish();
    Ok((session.loads.len() == plan.rounds * models.len()).then_some(session))
}

/// What a benchmark found.
struct Findings {
    models: Vec<Model>,
    session: Session,
    verified: Vec<Verification>,
    /// Index of the baseline.
    baseline: Option<usize>,
    environment: Environment,
    incidents: Vec<Incident>,
}

impl Findings {
    fn json(&self) -> Result<Value, Error> {
        let estimates = self.session.estimates(DeviceNoise::default());
        let results =
            (0..self.models.len()).map(|index| self.result(index, &estimates)).collect::<Result<Vec<_>, _>>()?;
        let ratio = |(index, model): (usize, &Model)| {
            let ratio = estimates.ratio(index, self.baseline?)?;
            Some(json!({ "name": model.name, "ratio": ratio.value, "low": ratio.low, "high": ratio.high }))
        };
        Ok(json!({
            "results": results,
            "ratios": self.models.iter().enumerate().filter_map(ratio).collect::<Vec<_>>(),
            "baseline": self.baseline.map(|baseline| &self.models[baseline].name),
            "clock": self.session.clock,
            "environment": self.environment,
            "incidents": self.incidents,
            "verified": self.verified.iter().all(Verification::is_verified),
        }))
    }

    fn result(&self, index: usize, estimates: &Estimates<'_>) -> Result<Value, Error> {
        let (model, session) = (&self.models[index], &self.session);
        let latency = estimates.latency(index).ok_or_else(|| Error::new(format!("no times for '{}'", model.name)))?;
        let mut result = serde_json::to_value(latency)?;
        result["name"] = json!(model.name);
        result["architecture"] = json!(model.architecture.as_ref().map(ToString::to_string));
        result["fastest_ms"] = json!(session.samples_ms(index).into_iter().min_by(f64::total_cmp));
        result["samples_ms"] = json!(session.samples_ms(index));
        result["loads"] = json!(session.loads.iter().filter(|load| load.turn.model == index).collect::<Vec<_>>());
        result["outliers"] = json!(estimates.outliers(index));
        result["drift"] = json!(estimates.drift(index));
        result["verification"] = json!(self.verified[index]);
        Ok(result)
    }

    fn text(&self) -> String {
        let device = &self.environment.device;
        let estimates = self.session.estimates(DeviceNoise::default());
        let rows: Vec<Vec<String>> = (0..self.models.len()).filter_map(|index| self.row(index, &estimates)).collect();
        format!(
            "{} ({}), {}, {} thread(s), clock {:?}; medians over fresh loads with 95 % intervals\n\n{}{}",
            device.id,
            device.model,
            device.runtime,
            device.threads,
            self.session.clock,
            table(&["model", "median ms", "95 %", "p90 ms", "ratio", "verified"], &rows),
            self.notes(&estimates),
        )
    }

    fn row(&self, index: usize, estimates: &Estimates<'_>) -> Option<Vec<String>> {
        let latency = estimates.latency(index)?;
        let ratio = self.baseline.and_then(|baseline| estimates.ratio(index, baseline));
        Some(vec![
            self.models[index].name.clone(),
            format!("{:.3}", latency.median_ms),
            format!("{:.3}–{:.3}", latency.low_ms, latency.high_ms),
            format!("{:.3}", latency.p90_ms),
            ratio.map_or_else(String::new, |r| format!("{:.3} ({:.3}–{:.3})", r.value, r.low, r.high)),
            match &self.verified[index] {
                Verification::Verified { deviation } => format!("yes ({deviation:.0e})"),
                Verification::Wrong { deviation } => format!("NO: off by {deviation:.0e} of the range"),
                Verification::Unverified { reason } => format!("no: {reason}"),
            },
        ])
    }

    /// What a reader should know beside the numbers, a line each.
    fn notes(&self, estimates: &Estimates<'_>) -> String {
        let mut notes = Vec::new();
        for (index, model) in self.models.iter().enumerate() {
            let outliers = estimates.outliers(index).into_iter();
            notes.extend(
                outliers.map(|one| {
                    format!("round {} of {} stands out: {:.3} ms", one.round + 1, model.name, one.latency_ms)
                }),
            );
        }
        let drift = self.baseline.and_then(|baseline| estimates.drift(baseline));
        if let Some(drift) = drift.filter(|drift| (drift - 1.0).abs() > NOTABLE_DRIFT) {
            notes.push(format!(
                "the baseline took {drift:.2} × as long at the end as at the beginning: compare by ratios"
            ));
        }
        notes.extend(self.incidents.iter().map(|incident| incident.message.clone()));
        notes.iter().map(|note| format!("\n{note}")).collect()
    }
}
