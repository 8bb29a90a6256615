//! Which network a search returns: the best tried ones timed again, in interleaved rounds with the references everybody
//! knows, until the one that all evidence speaks for is among them.
//!
//! The posterior of a network unites the models, its timing in the loop and its final timing
//! ([`crate::search::model::device_latencies`]), so that neither the noise of a training nor that of a timing decides.
//! A final session may show that a finalist is slower than expected, and another network, which was not timed, is the
//! best: then there is another session with the next best ones. With a hard reward there is one, too, as long as no
//! finalist is likely to keep the target and others are.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use super::control::Control;
use super::progress::Progress;
use crate::device::session::{Load, Plan};
use crate::device::{Device, DeviceError};
use crate::network::Network;
use crate::search::error::SearchError;
use crate::search::model::{DeviceLatencies, Latencies};
use crate::search::propose::guide::{Guide, Standing};
use crate::search::reward::RewardKind;
use crate::search::seeds::generator;
use crate::search::settings::Settings;
use crate::search::timing::session::Timing;
use crate::space::{Architecture, reference};
use crate::statistics::{Interval, Normal};

/// The networks a result is compared with; the first is the one ratios refer to.
pub const REFERENCES: [&str; 2] = ["mobilenet-v2", "mnasnet-a1"];
/// Final sessions, at most.
const MOST_SESSIONS: u64 = 5;
/// A network with at least this chance is likely to keep the target.
const LIKELY: f64 = 0.5;

/// A network of a final session.
#[derive(Debug, Clone)]
pub struct FinalNetwork {
    /// As a reference is called; `None` of a candidate.
    pub reference: Option<&'static str>,
    /// What was timed.
    pub architecture: Architecture,
    /// Its expansion.
    pub network: Network,
    /// Device by device.
    pub timings: Vec<FinalObservation>,
}

/// What a final session said of a network on one device.
#[derive(Debug, Clone)]
pub struct FinalObservation {
    /// ln(latency in ms), corrected for the session's drift.
    pub ln_ms: Normal,
    /// How much slower the device was than when it was calibrated.
    pub drift: f64,
    /// Latency over MobileNetV2's, from the same rounds.
    pub ratio_to_mobilenet_v2: Option<Interval>,
    /// Every load's samples, as JSON.
    pub samples: String,
}

/// Times the best tried networks, and lets `latencies` learn from that, until the best one is timed; gives all that were
/// timed, the references last. The best one then leads [`Guide::standings`]. `unusable` are the lines of networks that a
/// device cannot run, as far as that is known.
///
/// # Errors
/// A device that fails, or a stop request.
pub fn time_finalists(
    settings: &Settings,
    guide: &Guide<'_>,
    latencies: &mut Latencies,
    devices: &mut [Box<dyn Device>],
    unusable: HashSet<String>,
    control: &Control,
) -> Result<Vec<FinalNetwork>, SearchError> {
    let mut finals = Finals { settings, control, timed: Vec::new(), unusable };
    let references = references(settings)?;
    let mut sessions = 0;
    while sessions < MOST_SESSIONS {
        control.check()?;
        let standings = guide.standings(latencies);
        let next = finals.next(&standings);
        if next.is_empty() {
            break;
        }
        match finals.session(&next, &references, latencies, devices, sessions) {
            // A network the device cannot run makes room for the next best.
            Err(SearchError::Device(DeviceError::Model { model, problem, .. }))
                if finals.unusable.insert(model.clone()) =>
            {
                tracing::warn!("the device cannot time this network, which is left out: {problem}: {model}");
            }
            other => {
                other?;
                sessions += 1;
            }
        }
    }
    finals.timed.sort_by_key(|network| network.reference.is_some());
    Ok(finals.timed)
}

/// The references at the space's input and classes.
fn references(settings: &Settings) -> Result<Vec<FinalNetwork>, SearchError> {
    let at_space = |name: &'static str| {
        let reference = reference::reference(name).map_err(|error| SearchError::Ledger(error.to_string()))?;
        let architecture = reference.at_input(settings.space.input_size).with_classes(settings.space.classes);
        let network = Network::expand(&architecture)?;
        Ok(FinalNetwork { reference: Some(name), architecture, network, timings: Vec::new() })
    };
    REFERENCES.into_iter().map(at_space).collect()
}

/// What the final sessions have timed so far.
struct Finals<'a> {
    settings: &'a Settings,
    control: &'a Control,
    timed: Vec<FinalNetwork>,
    /// Lines of networks that a device cannot run.
    unusable: HashSet<String>,
}

impl Finals<'_> {
    fn is_timed(&self, standing: &Standing) -> bool {
        self.timed.iter().any(|network| network.architecture.to_string() == standing.architecture)
    }

    /// The networks of the next session; none once the best one is timed.
    fn next<'s>(&self, standings: &'s [Standing]) -> Vec<&'s Standing> {
        let usable: Vec<&Standing> =
            standings.iter().filter(|standing| !self.unusable.contains(&standing.architecture)).collect();
        let open = || usable.iter().copied().filter(|standing| !self.is_timed(standing));
        let likely = |standing: &&Standing| standing.chance_to_keep >= LIKELY;
        let finalists = self.settings.search.finalists;
        if usable.first().is_some_and(|best| !self.is_timed(best)) {
            return open().take(finalists).collect();
        }
        let hard = self.settings.target.kind() == RewardKind::Hard;
        if hard && !usable.iter().copied().filter(|standing| self.is_timed(standing)).any(|one| likely(&one)) {
            return open().filter(likely).take(finalists).collect();
        }
        Vec::new()
    }

    fn session(
        &mut self,
        next: &[&Standing],
        references: &[FinalNetwork],
        latencies: &mut Latencies,
        devices: &mut [Box<dyn Device>],
        number: u64,
    ) -> Result<(), SearchError> {
        let mut networks = Vec::new();
        for standing in next {
            let architecture = crate::space::parse(&standing.architecture);
            let architecture = architecture.map_err(|error| SearchError::Ledger(error.to_string()))?;
            let network = Network::expand(&architecture)?;
            networks.push(FinalNetwork { reference: None, architecture, network, timings: Vec::new() });
        }
        networks.extend(references.iter().filter(|one| !self.is_unusable(one)).cloned());
        self.control.progress.line(&format!(
            "final timing of the best {}, beside {}, in {} interleaved rounds",
            next.len(),
            REFERENCES.join(" and "),
            self.settings.search.final_loads,
        ));
        for (place, device) in devices.iter_mut().enumerate() {
            let observed = self.on_device(&networks, &latencies.devices()[place], place, &mut **device, number)?;
            networks.iter_mut().zip(observed).for_each(|(network, observed)| network.timings.push(observed));
        }
        for network in networks {
            if network.reference.is_none() {
                let digest = network.network.digest();
                for (place, observed) in network.timings.iter().enumerate() {
                    latencies.learn_final(place, &digest, observed.ln_ms);
                }
            } else if self.timed.iter().any(|timed| timed.reference == network.reference) {
                continue;
            }
            self.timed.push(network);
        }
        Ok(())
    }

    fn is_unusable(&self, network: &FinalNetwork) -> bool {
        self.unusable.contains(&network.architecture.to_string())
    }

    /// One session on one device.
    fn on_device(
        &self,
        networks: &[FinalNetwork],
        latencies: &DeviceLatencies,
        place: usize,
        device: &mut dyn Device,
        number: u64,
    ) -> Result<Vec<FinalObservation>, SearchError> {
        let candidates = networks.iter().filter(|network| network.reference.is_none());
        let known: Vec<(&Network, f64)> =
            candidates.map(|network| (&network.network, latencies.prior(&network.network).mean.exp())).collect();
        let anchors = latencies.anchors().without(|line| self.unusable.contains(line)).like(&known);
        let seed = rand::Rng::r#gen(&mut generator(self.settings.seed, number, "finale"));
        let plan = Plan { rounds: self.settings.search.final_loads, seed };
        let loads = plan.rounds * (networks.len() + anchors.architectures().count());
        let progress = Progress::new("final loads", loads as u64, 0, self.control.progress.visible());
        let observe = &mut |_: &Load| -> ControlFlow<()> {
            progress.evaluated();
            self.control.flow()
        };
        // It decides: however busy the loop found the device, it is worth a whole wait.
        let wait = Duration::from_secs_f64(self.settings.devices[place].wait_seconds);
        let timing = Timing { wait, ..latencies.timing(self.settings, place) };
        let lines = networks.iter().map(|network| &network.architecture);
        let check = || self.control.check();
        let attempt = timing.least_disturbed(device, lines, &anchors, &plan, &check, observe)?;
        progress.finish();
        let estimates = attempt.session.estimates(latencies.noise());
        let baseline = networks.iter().position(|network| network.reference == Some(REFERENCES[0]));
        let observation = |(index, network): (usize, &FinalNetwork)| {
            let ln_ms = estimates.ln_latency(index);
            let ln_ms = ln_ms.ok_or_else(|| SearchError::NoTimes(network.architecture.to_string()))?;
            Ok(FinalObservation {
                ln_ms: attempt.slowdown.drift_corrected(ln_ms),
                drift: attempt.slowdown.ln.mean.exp(),
                ratio_to_mobilenet_v2: baseline.and_then(|baseline| estimates.ratio(index, baseline)),
                samples: attempt.session.samples_json(index),
            })
        };
        networks.iter().enumerate().map(observation).collect()
    }
}
