//! The latencies of several models that were timed in turns, and how fast the device was meanwhile.
//!
//! Clocks, heat and neighbours make a device slower or faster for seconds or minutes at a time. Every load says something
//! about its moment: how much slower it was than its model's latency. The *pace* of a moment is the location
//! ([`Noise::locate`]) of these ratios over 31 neighbouring loads, nearly all of other models, and the latency of a model
//! is the location of its loads divided by their paces. Both are found in turn. Paces are relative to the undisturbed
//! device: to their own location, under noise that delays.
//!
//! One factor repairs a change of pace only in part. Beside two busy processes nine networks ran 1.48 to 1.75 times
//! slower where the neighbours computed, 1.04 to 1.41 times where they moved memory: the logarithms of the slow-downs
//! spread by a tenth to a half of their mean. So a load at a pace other than 1 is taken to be uncertain by
//! [`SPREAD`] · |ln pace| more, and loads at the usual pace decide wherever there are any.

use super::noise::{Noise, NoisePrior, Observation};
use crate::statistics::Normal;

/// Loads behind one pace, itself included.
const WINDOW: usize = 31;
/// Every so many loads the pace is estimated; in between it is interpolated.
const STRIDE: usize = 5;
/// Alternations between latencies and paces.
const ROUNDS: usize = 3;
/// Deviation of networks' slow-downs as a share of their mean, both in logarithms.
pub const SPREAD: f64 = 0.3;

/// One load, in the order of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimedLoad {
    /// Index of the model.
    pub model: usize,
    /// Logarithm of what it took, in ms.
    pub ln_ms: f64,
}

/// What some loads tell; see the module's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// ln(latency in ms) of every model; `None` of one that was never loaded.
    pub latencies: Vec<Option<Normal>>,
    /// Logarithm of the device's pace at every load, in order: above 0 where it was slow.
    pub paces: Vec<f64>,
    /// The noise of the loads, their paces taken out.
    pub noise: Noise,
}

impl Levels {
    /// From all loads of one session, in order.
    ///
    /// ```
    /// use mnas::device::levels::{Levels, TimedLoad};
    /// use mnas::device::noise::NoisePrior;
    /// let loads = [(0, 2.0_f64), (1, 4.0), (1, 4.02), (0, 2.01), (0, 1.99), (1, 3.98)];
    /// let loads = loads.map(|(model, ms)| TimedLoad { model, ln_ms: ms.ln() });
    /// let levels = Levels::of(&loads, 3, NoisePrior::LOADS);
    /// assert!((levels.latencies[1].unwrap().mean.exp() - 4.0).abs() < 0.02);
    /// assert_eq!(levels.latencies[2], None);
    /// ```
    pub fn of(loads: &[TimedLoad], models: usize, prior: NoisePrior) -> Self {
        let mut of_model = vec![Vec::new(); models];
        for (index, load) in loads.iter().enumerate() {
            of_model[load.model].push(index);
        }
        let mut paces = vec![0.0; loads.len()];
        let mut noise = learnt(loads, &of_model, &paces, prior);
        if loads.len() > WINDOW {
            for _ in 0..ROUNDS {
                let latencies = located(loads, &of_model, &paces, &noise);
                paces = running(&residuals(loads, &latencies), &noise);
                noise = learnt(loads, &of_model, &paces, prior);
            }
        }
        Self { latencies: located(loads, &of_model, &paces, &noise), paces, noise }
    }
}

fn learnt(loads: &[TimedLoad], of_model: &[Vec<usize>], paces: &[f64], prior: NoisePrior) -> Noise {
    let at_pace = |indices: &Vec<usize>| -> Vec<f64> { indices.iter().map(|&i| loads[i].ln_ms - paces[i]).collect() };
    let groups: Vec<Vec<f64>> = of_model.iter().map(at_pace).collect();
    Noise::learn(groups.iter().map(Vec::as_slice), prior)
}

fn located(loads: &[TimedLoad], of_model: &[Vec<usize>], paces: &[f64], noise: &Noise) -> Vec<Option<Normal>> {
    let observation = |&index: &usize| Observation {
        value: loads[index].ln_ms - paces[index],
        deviation: SPREAD * paces[index].abs(),
    };
    let locate = |indices: &Vec<usize>| {
        let observations: Vec<Observation> = indices.iter().map(observation).collect();
        (!observations.is_empty()).then(|| noise.locate(&observations))
    };
    of_model.iter().map(locate).collect()
}

fn residuals(loads: &[TimedLoad], latencies: &[Option<Normal>]) -> Vec<f64> {
    let residual = |load: &TimedLoad| latencies[load.model].map_or(0.0, |latency| load.ln_ms - latency.mean);
    loads.iter().map(residual).collect()
}

/// The location of the residuals around every moment, less the undisturbed one.
fn running(residuals: &[f64], noise: &Noise) -> Vec<f64> {
    let around = |at: usize| {
        let window = &residuals[at.saturating_sub(WINDOW / 2)..(at + WINDOW / 2 + 1).min(residuals.len())];
        noise.locate(&window.iter().copied().map(Observation::of).collect::<Vec<_>>()).mean
    };
    let knots: Vec<f64> = (0..residuals.len().div_ceil(STRIDE)).map(|knot| around(knot * STRIDE)).collect();
    // Neighbouring windows share loads: what is apart tells how paces scatter.
    let apart: Vec<f64> = knots.iter().copied().step_by(WINDOW / STRIDE).collect();
    let scatter = Noise::learn([apart.as_slice()], NoisePrior::PACES);
    let usual = scatter.locate(&knots.iter().copied().map(Observation::of).collect::<Vec<_>>()).mean;
    let pace = |at: usize| {
        let (knot, share) = (at / STRIDE, (at % STRIDE) as f64 / STRIDE as f64);
        let next = knots.get(knot + 1).unwrap_or(&knots[knot]);
        knots[knot] + share * (next - knots[knot]) - usual
    };
    (0..residuals.len()).map(pace).collect()
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    /// Forty models in five interleaved rounds on a device with 1 % of noise and this pace.
    fn session(pace: impl Fn(usize) -> f64) -> (Vec<TimedLoad>, Vec<f64>) {
        let random = &mut crate::seeded(11);
        let truth: Vec<f64> = (0..40).map(|model| (model as f64 / 10.0).exp().ln()).collect();
        let mut loads = Vec::new();
        for round in 0..5 {
            for turn in 0..40 {
                let model = (turn * 17 + round * 7) % 40;
                let noise: f64 = (0..12).map(|_| random.gen_range(-0.5..0.5)).sum::<f64>() * 0.01;
                loads.push(TimedLoad { model, ln_ms: truth[model] + noise + pace(round * 40 + turn) });
            }
        }
        (loads, truth)
    }

    fn error(levels: &Levels, truth: &[f64]) -> (f64, f64) {
        let errors = levels.latencies.iter().zip(truth).map(|(level, truth)| level.unwrap().mean - truth);
        let errors: Vec<f64> = errors.collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        (mean, (errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64).sqrt())
    }

    #[test]
    fn a_neighbour_that_comes_and_goes_changes_no_latency() {
        let (loads, truth) = session(|at| if (at / 45) % 2 == 1 { 0.3 } else { 0.0 });
        let levels = Levels::of(&loads, 40, NoisePrior::LOADS);
        let (bias, error) = error(&levels, &truth);
        assert!(bias.abs() < 0.005 && error < 0.012, "bias {bias}, root mean square error {error}");
        assert!((levels.paces[60] - 0.3).abs() < 0.02 && levels.paces[110].abs() < 0.02, "{:?}", levels.paces);
    }

    #[test]
    fn a_device_that_slowly_heats_up_is_followed() {
        let (loads, truth) = session(|at| 0.05 * at as f64 / 200.0);
        let (_, error) = error(&Levels::of(&loads, 40, NoisePrior::LOADS), &truth);
        // Its usual pace lies somewhere within what it ran at.
        assert!(error < 0.04, "{error}");
        let spread = |levels: &Levels| levels.paces[190] - levels.paces[10];
        assert!((spread(&Levels::of(&loads, 40, NoisePrior::LOADS)) - 0.045).abs() < 0.01);
    }

    #[test]
    fn few_loads_have_no_pace_of_their_own() {
        let (loads, _) = session(|_| 0.0);
        assert!(Levels::of(&loads[..20], 40, NoisePrior::LOADS).paces.iter().all(|pace| *pace == 0.0));
    }
}
