//! What a run knows of the networks it evaluated, whatever target it was asked for: accuracy, latency, costs.
//!
//! A network's latency is the best that is known of it: of the final session, else measured in the loop, else what a
//! predictor says that has seen every measurement of the run. Rewards for any target follow from that without another
//! training or timing.

use std::collections::HashMap;

use super::SearchError;
use super::latencies::Latencies;
use super::options::Settings;
use super::pareto::{Front, Point};
use super::reward::Target;
use crate::device::statistics::Interval;
use crate::network::{Network, Resource};
use crate::report::data::{Candidate, Hypervolume, Pick, TargetMet, TargetSummary};
use crate::store::{Evaluation, FinalRow, Ledger, Measurement, Purpose};

/// The hypervolume's reference latency as a multiple of the target; its reference accuracy is 0.
const REFERENCE_RATIO: f64 = 2.0;

/// One evaluated network.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    step: u64,
    architecture: String,
    accuracy: f64,
    latency: Interval,
    measured: bool,
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
    /// Reads a run's ledger; `measurements` and `finals` are its own.
    ///
    /// # Errors
    /// An unreadable ledger, or measurements that no predictor can be fitted to.
    pub fn read(
        ledger: &Ledger,
        settings: &Settings,
        measurements: &[Measurement],
        finals: &[FinalRow],
    ) -> Result<Self, SearchError> {
        let closed = ledger.steps()?.len() as u64;
        // The latencies of an open step are not known yet.
        let evaluations = ledger.evaluations()?.into_iter().filter(|evaluation| evaluation.step <= closed);
        let evaluations: Vec<Evaluation> = evaluations.filter(|evaluation| evaluation.outcome.is_ok()).collect();
        let measured = measured(measurements, finals);
        let all_measured = evaluations.iter().all(|evaluation| measured.contains_key(evaluation.digest.as_str()));
        let latencies = if all_measured { None } else { Some(Latencies::read(ledger, settings)?) };
        let mut networks = Vec::new();
        for Evaluation { step, architecture, digest, outcome, .. } in evaluations {
            let line = crate::space::parse(&architecture).map_err(|error| SearchError::Ledger(error.to_string()))?;
            let network = Network::expand(&line)?;
            let timed = measured.get(digest.as_str()).copied();
            let tokens = settings.space.encode(&line).map_err(crate::space::SpaceError::from)?;
            let predicted = latencies.as_ref().map(|latencies| {
                let prediction = latencies.predict(&tokens, &network);
                Interval { value: prediction.latency_ms, low: prediction.low_ms, high: prediction.high_ms }
            });
            let (Ok(accuracy), Some(latency)) = (outcome, timed.or(predicted)) else { continue };
            networks.push(Known {
                step,
                architecture,
                accuracy,
                latency,
                measured: timed.is_some(),
                params: network.parameters(),
                madds: network.madds(),
                memory_mb: Resource::MemoryMb.of(&network),
            });
        }
        Ok(Self { networks })
    }

    /// The networks with their rewards for a target, in order of evaluation.
    pub fn candidates(&self, target: &Target) -> Vec<Candidate> {
        let candidate = |known: &Known| {
            let Interval { value, low, high } = known.latency;
            let reward = |latency_ms| target.reward(known.accuracy, latency_ms).value;
            Candidate {
                architecture: known.architecture.clone(),
                accuracy: known.accuracy,
                latency_ms: value,
                low_ms: low,
                high_ms: high,
                measured: known.measured,
                reward: reward(value),
                // As a function of latency a reward has no valley: its least value over an interval is at an end.
                reward_low: reward(low).min(reward(high)),
                params: known.params,
                madds: known.madds,
                memory_mb: known.memory_mb,
            }
        };
        self.networks.iter().map(candidate).collect()
    }

    /// How many of the networks were evaluated by the end of this step.
    pub fn evaluated_by(&self, step: u64) -> usize {
        self.networks.partition_point(|known| known.step <= step)
    }

    /// What the run gives for a target: the network with the best reward that its latency's interval assures, so that
    /// one whose latency is only predicted does not win by a hair.
    pub fn pick(&self, target: &Target) -> Pick {
        pick(&self.candidates(target), None, target)
    }
}

/// The latencies that were measured, with their intervals, by digest: the final session's before the loop's.
fn measured<'a>(measurements: &'a [Measurement], finals: &'a [FinalRow]) -> HashMap<&'a str, Interval> {
    let in_loop = measurements.iter().filter(|m| m.purpose == Purpose::Search);
    let in_loop = in_loop.map(|m| {
        let [low, high] = m.interval_ms;
        (m.digest.as_str(), Interval { value: m.latency_ms, low, high })
    });
    let last = finals
        .iter()
        .map(|row| (row.digest.as_str(), Interval { value: row.latency_ms, low: row.low_ms, high: row.high_ms }));
    in_loop.chain(last).collect()
}

/// The best candidate, which is `chosen` where something has chosen one already, and the next best.
pub(super) fn pick(candidates: &[Candidate], chosen: Option<&str>, target: &Target) -> Pick {
    let assured = |a: &&Candidate, b: &&Candidate| a.reward_low.total_cmp(&b.reward_low);
    let best = chosen.and_then(|chosen| candidates.iter().find(|candidate| candidate.architecture == chosen));
    let best = best.or_else(|| candidates.iter().max_by(assured));
    let others = candidates.iter().filter(|candidate| best.is_some_and(|best| best != *candidate));
    Pick {
        best: best.cloned(),
        target_met: best.map(|best| TargetMet::of(best.low_ms, best.high_ms, target.latency_ms())),
        runner_up: others.max_by(assured).cloned(),
        target: summary(target),
    }
}

/// The target as reports name it.
fn summary(target: &Target) -> TargetSummary {
    let (alpha, beta) = target.weights();
    TargetSummary { latency_ms: target.latency_ms(), reward: target.kind().name().to_owned(), alpha, beta }
}

/// The candidates that no other beats in both accuracy and latency.
pub(super) fn front(candidates: &[Candidate]) -> Vec<Candidate> {
    let front: Front<&Candidate> = candidates.iter().map(point).collect();
    front.points().iter().map(|point| point.candidate.clone()).collect()
}

fn point(candidate: &Candidate) -> Point<&Candidate> {
    Point { accuracy: candidate.accuracy, latency_ms: candidate.latency_ms, candidate }
}

/// How much of the plane up to accuracy 0 and twice the target the candidates dominate, and how that grew.
pub(super) fn hypervolume(candidates: &[Candidate], target: &Target) -> Hypervolume {
    let (reference_accuracy, reference_ms) = (0.0, REFERENCE_RATIO * target.latency_ms());
    let mut front = Front::default();
    let grow = |candidate| {
        front.insert(point(candidate));
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
                latency: Interval { value, low: value * (1.0 - width), high: value * (1.0 + width) },
                measured,
                params: 1,
                madds: 1,
                memory_mb: 1.0,
            };
            all.into_iter().enumerate().map(known).collect()
        })
    }

    fn target(latency_ms: f64, reward: RewardKind) -> Target {
        TargetOptions { latency_ms, reward, alpha: None, beta: None, combine: Combine::Worst }.check().unwrap()
    }

    fn kinds() -> impl Strategy<Value = RewardKind> {
        prop_oneof![Just(RewardKind::Soft), Just(RewardKind::Hard), Just(RewardKind::Absolute)]
    }

    proptest! {
        #[test]
        fn the_pick_is_the_best_of_what_is_assured_and_says_whether_it_keeps_the_target(
            networks in known(), kind in kinds(), target_ms in 1.0..120.0_f64,
        ) {
            let target = target(target_ms, kind);
            let networks = KnownNetworks { networks };
            let Pick { best: Some(best), target_met, runner_up, .. } = networks.pick(&target) else {
                panic!("there are networks");
            };
            for candidate in networks.candidates(&target) {
                prop_assert!(candidate.reward_low <= best.reward_low && candidate.reward_low <= candidate.reward);
                // The reward anywhere within the interval is no less than the assured one.
                for share in [0.1, 0.5, 0.9] {
                    let latency_ms = candidate.low_ms + share * (candidate.high_ms - candidate.low_ms);
                    prop_assert!(target.reward(candidate.accuracy, latency_ms).value >= candidate.reward_low - 1e-12);
                }
            }
            prop_assert_eq!(runner_up.is_some(), networks.networks.len() > 1);
            let expected = match (best.low_ms <= target_ms, best.high_ms <= target_ms) {
                (_, true) => TargetMet::Yes,
                (true, false) => TargetMet::Unsure,
                (false, _) => TargetMet::No,
            };
            prop_assert_eq!(target_met, Some(expected));
        }

        #[test]
        fn the_curves_never_fall_and_end_at_the_choice_and_at_the_whole_front(networks in known(), kind in kinds()) {
            let target = target(30.0, kind);
            let candidates = KnownNetworks { networks }.candidates(&target);
            let choice = pick(&candidates, None, &target).best.unwrap();
            let rewards = best_so_far(&candidates, Some(&choice));
            prop_assert!(rewards.is_sorted());
            prop_assert_eq!(rewards.last().copied(), Some(choice.reward));
            let volume = hypervolume(&candidates, &target);
            prop_assert!(volume.by_evaluation.is_sorted() && (0.0..=1.0).contains(&volume.share));
            let mut backwards = candidates.clone();
            backwards.reverse();
            prop_assert!((hypervolume(&backwards, &target).value - volume.value).abs() < 1e-9);
            prop_assert_eq!(front(&backwards).len(), front(&candidates).len());
        }
    }
}
