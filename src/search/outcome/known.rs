//! What a run knows of the networks it evaluated, whatever target it was asked for: accuracy, latency, costs.
//!
//! The accuracy of one training is partly noise, and the best of many observed ones mostly is. So networks are chosen
//! by the accuracy that the model of all accuracies ([`crate::search::propose::guide`]) expects of them.
//! A network's latency is what everything known of it says together: the predictor and all timings of the run, its own
//! timing in the loop and that of a final session, each by its error. Its interval holds what another session, on another
//! day, will find. Rewards for any target follow from that without another training or timing: they are expectations over
//! the posterior of the latency, so that a network whose latency is only predicted does not win by a hair.

use crate::network::{Network, Resource};
use crate::report::data::{Candidate, DeviceLatency, Hypervolume, Pick, TargetMet, TargetSummary};
use crate::search::error::SearchError;
use crate::search::model::{DeviceLatencies, Latencies};
use crate::search::propose::acquisition::Posterior;
use crate::search::propose::guide::Guide;
use crate::search::reward::{DeviceTarget, Front, Objective, Point, Reward};
use crate::search::settings::Settings;
use crate::search::timing::session::LEVEL;
use crate::statistics::{Interval, Normal};
use crate::store::{Evaluation, Ledger};

/// The hypervolume's reference latency as a multiple of the target; its reference accuracy is 0.
const REFERENCE_RATIO: f64 = 2.0;
/// A network with at least this chance counts as one that keeps the target.
const LIKELY: f64 = 0.5;

/// A network's latency on one device.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Latency {
    /// Posterior of ln(latency in ms).
    ln_ms: Normal,
    /// The same of what a session on another day will find.
    on_another_day: Normal,
    measured: bool,
}

impl Latency {
    fn interval(&self) -> Interval {
        self.on_another_day.exponential_interval(LEVEL)
    }
}

/// One evaluated network.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    step: u64,
    architecture: String,
    accuracy: f64,
    expected_accuracy: f64,
    /// Device by device.
    latencies: Vec<Latency>,
    params: usize,
    madds: usize,
    memory_mb: f64,
}

/// Every network whose accuracy a closed step of the run obtained, in order of evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownNetworks {
    networks: Vec<Known>,
}

impl KnownNetworks {
    /// Reads a run's ledger.
    ///
    /// # Errors
    /// An unreadable ledger, or measurements that no predictor can be fitted to.
    pub fn read(ledger: &Ledger, settings: &Settings) -> Result<Self, SearchError> {
        let closed = ledger.steps()?.len() as u64;
        // The latencies of an open step are not known yet.
        let evaluations = ledger.evaluations()?.into_iter().filter(|evaluation| evaluation.step <= closed);
        let evaluations: Vec<Evaluation> = evaluations.filter(|evaluation| evaluation.outcome.is_ok()).collect();
        if evaluations.is_empty() {
            return Ok(Self { networks: Vec::new() });
        }
        let latencies = Latencies::read(ledger, settings)?;
        let guide = Guide::read(ledger, settings, &latencies)?;
        let expected = guide.expected_accuracies();
        let mut networks = Vec::new();
        for Evaluation { step, architecture, digest, outcome, .. } in evaluations {
            let Ok(accuracy) = outcome else { continue };
            let line = crate::space::parse(&architecture).map_err(|error| SearchError::Ledger(error.to_string()))?;
            let network = Network::expand(&line)?;
            let tokens = settings.space.encode(&line).map_err(crate::space::SpaceError::from)?;
            networks.push(Known {
                step,
                architecture,
                accuracy,
                expected_accuracy: expected.get(digest.as_str()).copied().unwrap_or(accuracy),
                latencies: of_devices(&latencies, &digest, &tokens, &network),
                params: network.parameters(),
                madds: network.madds(),
                memory_mb: Resource::MemoryMb.of(&network),
            });
        }
        Ok(Self { networks })
    }

    /// The networks with their rewards, in order of evaluation.
    pub fn candidates(&self, objective: &Objective) -> Vec<Candidate> {
        self.networks.iter().map(|known| known.candidate(objective)).collect()
    }

    /// How many of the networks were evaluated by the end of this step.
    pub fn evaluated_by(&self, step: u64) -> usize {
        self.networks.partition_point(|known| known.step <= step)
    }

    /// What the run gives for an objective: the network with the best expected reward.
    pub fn pick(&self, objective: &Objective) -> Pick {
        pick(&self.candidates(objective), None, objective)
    }
}

impl Known {
    fn candidate(&self, objective: &Objective) -> Candidate {
        let all = |of: fn(&Interval) -> f64| -> Vec<f64> { self.latencies.iter().map(|l| of(&l.interval())).collect() };
        let (values, lows, highs) = (all(|i| i.value), all(|i| i.low), all(|i| i.high));
        let reward = objective.reward(self.accuracy, &values);
        // As a function of one latency a reward has no valley: its least value over an interval is at an end.
        let expected = self.expected_accuracy;
        let (at_low, at_high) = (objective.reward(expected, &lows), objective.reward(expected, &highs));
        let worse = |place: usize| {
            if at_low.devices[place].value < at_high.devices[place].value { lows[place] } else { highs[place] }
        };
        let worst: Vec<f64> = (0..values.len()).map(worse).collect();
        Candidate {
            architecture: self.architecture.clone(),
            accuracy: self.accuracy,
            expected_accuracy: expected,
            latency_ms: reward.total.latency_ms,
            low_ms: at_low.total.latency_ms,
            high_ms: at_high.total.latency_ms,
            latency_ratio: objective.worst_ratio(&values),
            measured: self.latencies.iter().all(|latency| latency.measured),
            reward: self.expected_reward(objective),
            target_chance: self.chance_to_keep(objective),
            reward_low: objective.reward(expected, &worst).total.value,
            params: self.params,
            madds: self.madds,
            memory_mb: self.memory_mb,
            devices: if objective.devices().len() > 1 { self.devices(objective, &reward.devices) } else { Vec::new() },
        }
    }

    fn expected_reward(&self, objective: &Objective) -> f64 {
        let posteriors: Vec<Normal> = self.latencies.iter().map(|latency| latency.ln_ms).collect();
        let accuracy = Normal { mean: self.expected_accuracy, deviation: 0.0 };
        Posterior { accuracy, ln_latency: objective.combined_posterior(&posteriors) }
            .expected_reward(objective.target())
    }

    fn chance_to_keep(&self, objective: &Objective) -> f64 {
        let posteriors: Vec<Normal> = self.latencies.iter().map(|latency| latency.on_another_day).collect();
        objective.chance_to_keep(&posteriors)
    }

    fn devices(&self, objective: &Objective, alone: &[Reward]) -> Vec<DeviceLatency> {
        let parts = self.latencies.iter().zip(objective.devices()).zip(alone);
        let part = |((latency, wanted), alone): ((&Latency, &DeviceTarget), &Reward)| {
            let interval = latency.interval();
            DeviceLatency {
                latency_ms: interval.value,
                low_ms: interval.low,
                high_ms: interval.high,
                measured: latency.measured,
                target_ms: wanted.latency_ms,
                target_met: TargetMet::of(interval.low, interval.high, wanted.latency_ms),
                reward: alone.value,
            }
        };
        parts.map(part).collect()
    }
}

/// A tried network's latency on every device.
fn of_devices(latencies: &Latencies, digest: &str, tokens: &[usize], network: &Network) -> Vec<Latency> {
    let posteriors = latencies.tried_posteriors(digest, tokens, &latencies.prior(network));
    let other = latencies.on_another_day(&posteriors);
    let devices = latencies.devices().iter().zip(posteriors).zip(other);
    let latency = |((device, ln_ms), on_another_day): ((&DeviceLatencies, Normal), Normal)| Latency {
        ln_ms,
        on_another_day,
        measured: device.measured(digest).is_some() || device.is_final(digest),
    };
    devices.map(latency).collect()
}

/// The best candidate, which is `chosen` where something has chosen one already, and the next best.
pub(super) fn pick(candidates: &[Candidate], chosen: Option<&str>, objective: &Objective) -> Pick {
    let by_reward = |a: &&Candidate, b: &&Candidate| a.reward.total_cmp(&b.reward);
    let best = chosen.and_then(|chosen| candidates.iter().find(|candidate| candidate.architecture == chosen));
    let best = best.or_else(|| candidates.iter().max_by(by_reward));
    let next = |best: &Candidate| {
        let others = candidates.iter().filter(|candidate| *candidate != best && candidate.reward <= best.reward);
        others.max_by(by_reward).cloned()
    };
    Pick {
        best: best.cloned(),
        target_met: best.map(|best| met(best, objective)),
        within_target: candidates.iter().filter(|candidate| candidate.target_chance >= LIKELY).count(),
        runner_up: best.and_then(next),
        target: summary(objective),
    }
}

/// Whether a candidate keeps to the target, on the device where that is least sure.
fn met(best: &Candidate, objective: &Objective) -> TargetMet {
    let of_devices = best.devices.iter().map(|device| device.target_met);
    of_devices.max().unwrap_or_else(|| TargetMet::of(best.low_ms, best.high_ms, objective.target().latency_ms()))
}

/// The target as reports name it.
fn summary(objective: &Objective) -> TargetSummary {
    let target = objective.target();
    let (alpha, beta) = target.weights();
    let several = objective.devices().len() > 1;
    TargetSummary {
        latency_ms: target.latency_ms(),
        reward: target.kind().name().to_owned(),
        alpha,
        beta,
        combine: several.then(|| objective.combine().name().to_owned()),
    }
}

/// The candidates that no other beats in both accuracy and latency; with several devices, in the largest of their
/// latencies over their targets.
pub(super) fn front(candidates: &[Candidate], objective: &Objective) -> Vec<Candidate> {
    let target_ms = objective.target().latency_ms();
    let front: Front<&Candidate> = candidates.iter().map(|candidate| point(candidate, target_ms)).collect();
    front.points().iter().map(|point| point.candidate.clone()).collect()
}

fn point(candidate: &Candidate, target_ms: f64) -> Point<&Candidate> {
    let latency_ms = match candidate.devices.is_empty() {
        true => candidate.latency_ms,
        false => target_ms * candidate.latency_ratio,
    };
    Point { accuracy: candidate.accuracy, latency_ms, candidate }
}

/// How much of the plane up to accuracy 0 and twice the target the candidates dominate, and how that grew.
pub(super) fn hypervolume(candidates: &[Candidate], objective: &Objective) -> Hypervolume {
    let target_ms = objective.target().latency_ms();
    let (reference_accuracy, reference_ms) = (0.0, REFERENCE_RATIO * target_ms);
    let mut front = Front::default();
    let grow = |candidate| {
        front.insert(point(candidate, target_ms));
        front.hypervolume(reference_accuracy, reference_ms)
    };
    let by_evaluation: Vec<f64> = candidates.iter().map(grow).collect();
    let value = by_evaluation.last().copied().unwrap_or(0.0);
    let share = value / ((1.0 - reference_accuracy) * reference_ms);
    Hypervolume { value, share, reference_accuracy, reference_ms, by_evaluation }
}

/// The best reward after each evaluation, none above that of the final choice.
pub(super) fn best_so_far(candidates: &[Candidate], choice: Option<&Candidate>) -> Vec<f64> {
    let most = choice.map_or(f64::INFINITY, |choice| choice.reward);
    let rise = |best: &mut f64, candidate: &Candidate| {
        *best = best.max(candidate.reward);
        Some(best.min(most))
    };
    candidates.iter().scan(f64::NEG_INFINITY, rise).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::search::{Combine, RewardKind, TargetOptions};

    fn known() -> impl Strategy<Value = Vec<Known>> {
        let one = (0.3..0.9_f64, 1.0..100.0_f64, 0.0..0.3_f64, any::<bool>());
        prop::collection::vec(one, 1..40).prop_map(|all| {
            let known = |(index, (accuracy, value, width, measured)): (usize, (f64, f64, f64, bool))| Known {
                step: 1,
                architecture: index.to_string(),
                accuracy,
                expected_accuracy: accuracy - 0.01,
                latencies: [1.0, 1.3]
                    .iter()
                    .map(|slower: &f64| {
                        let ln_ms = Normal { mean: (slower * value).ln(), deviation: width / 3.0 };
                        let on_another_day = Normal { deviation: width / 2.0, ..ln_ms };
                        Latency { ln_ms, on_another_day, measured }
                    })
                    .collect(),
                params: 1,
                madds: 1,
                memory_mb: 1.0,
            };
            all.into_iter().enumerate().map(known).collect()
        })
    }

    fn objective(target_ms: f64, reward: RewardKind) -> Objective {
        let options = TargetOptions { latency_ms: target_ms, reward, alpha: None, beta: None, combine: Combine::Worst };
        let devices = vec![DeviceTarget::new(target_ms, 1.0), DeviceTarget::new(1.5 * target_ms, 1.0)];
        Objective::new(options.check().unwrap(), devices, options.combine)
    }

    fn kinds() -> impl Strategy<Value = RewardKind> {
        prop_oneof![Just(RewardKind::Soft), Just(RewardKind::Hard), Just(RewardKind::Absolute)]
    }

    proptest! {
        #[test]
        fn the_pick_has_the_best_expected_reward_and_says_whether_it_keeps_the_target(
            networks in known(), kind in kinds(), target_ms in 1.0..120.0_f64,
        ) {
            let objective = objective(target_ms, kind);
            let networks = KnownNetworks { networks };
            let Pick { best: Some(best), target_met, runner_up, .. } = networks.pick(&objective) else {
                panic!("there are networks");
            };
            for candidate in networks.candidates(&objective) {
                prop_assert!(candidate.reward <= best.reward);
                // The reward anywhere within the intervals is no less than the lowest that is stated.
                for shares in [[0.1, 0.9], [0.5, 0.0], [1.0, 0.2]] {
                    let at = |(device, share): (&DeviceLatency, f64)| {
                        device.low_ms + share * (device.high_ms - device.low_ms)
                    };
                    let latencies: Vec<f64> = candidate.devices.iter().zip(shares).map(at).collect();
                    let reward = objective.reward(candidate.expected_accuracy, &latencies).total.value;
                    prop_assert!(reward >= candidate.reward_low - 1e-12);
                }
            }
            prop_assert_eq!(runner_up.is_some(), networks.networks.len() > 1);
            let kept = |keeps: fn(&DeviceLatency) -> bool| best.devices.iter().all(keeps);
            let expected = match (kept(|d| d.low_ms <= d.target_ms), kept(|d| d.high_ms <= d.target_ms)) {
                (_, true) => TargetMet::Yes,
                (true, false) => TargetMet::Unsure,
                (false, _) => TargetMet::No,
            };
            prop_assert_eq!(target_met, Some(expected));
        }

        #[test]
        fn the_curves_never_fall_and_end_at_the_choice_and_at_the_whole_front(networks in known(), kind in kinds()) {
            let objective = objective(30.0, kind);
            let candidates = KnownNetworks { networks }.candidates(&objective);
            let choice = pick(&candidates, None, &objective).best.unwrap();
            let rewards = best_so_far(&candidates, Some(&choice));
            prop_assert!(rewards.is_sorted());
            prop_assert_eq!(rewards.last().copied(), Some(choice.reward));
            let volume = hypervolume(&candidates, &objective);
            prop_assert!(volume.by_evaluation.is_sorted() && (0.0..=1.0).contains(&volume.share));
            let mut backwards = candidates.clone();
            backwards.reverse();
            prop_assert!((hypervolume(&backwards, &objective).value - volume.value).abs() < 1e-9);
            prop_assert_eq!(front(&backwards, &objective).len(), front(&candidates, &objective).len());
        }
    }
}
