//! A Gaussian process over token sequences, grown one observation at a time.
//!
//! y(x) = c + f(x) + noise, f with the [`Kernel`] as covariance and c a constant, estimated by generalised least
//! squares; the scale of both is the one of greatest likelihood (a closed form), and the kernel's hyper-parameters are
//! those of greatest marginal likelihood times a log-normal prior around expected ones, found by steps of a factor of
//! 4, then 2. They are learnt anew, from 200 observations evenly spread over all, whenever these have grown by a tenth.
//! So everything is a function of the observations and their order: a process rebuilt from a ledger equals the one that
//! grew, bit for bit.
//!
//! The noise of an observation has a variance that is a multiple, known beforehand, of one that is learnt: a timing that was
//! disturbed counts for less than others.
//!
//! The linear algebra is that of `gaussian_process`: an observation costs O(n²).

use super::kernel::{Kernel, KernelPrior, KernelSettings, KernelTerms, Layout, Sequences};
use crate::gaussian_process::{CholeskyFactor, Solution, coordinate_ascent, dot};
use crate::spread;
use crate::statistics::Normal;

/// Fewest observations the kernel is learnt from.
const FIRST: usize = 6;
/// Growth of the observations after which the kernel is learnt again.
const GROWTH: f64 = 1.1;
/// Observations that the kernel is learnt from, at most: the cost is cubic in them.
const LEARNT_FROM: usize = 200;
/// Ranges of the kernel's hyper-parameters, as [`KernelSettings::numbers`] has them.
const RANGES: [[f64; 2]; 5] = [[0.02, 4.0], [1e-4, 4.0], [1e-3, 64.0], [1e-3, 64.0], [1e-3, 64.0]];
/// Factors by which the search for the kernel's hyper-parameters steps.
const STEPS: [f64; 2] = [4.0, 2.0];

/// See the module's text.
#[derive(Debug, Clone)]
pub struct GaussianProcess {
    prior: KernelPrior,
    kernel: Kernel,
    sequences: Sequences,
    values: Vec<f64>,
    /// What the learnt variance of the noise is multiplied by, observation by observation.
    noises: Vec<f64>,
    factor: CholeskyFactor,
    solution: Solution,
    learn_at: usize,
}

impl GaussianProcess {
    /// A process over these tokens that has seen nothing, and the prior of its kernel's hyper-parameters.
    pub fn new(layout: Layout, prior: KernelPrior) -> Self {
        let kernel = Kernel::new(layout, prior.expected);
        Self {
            prior,
            kernel,
            sequences: Sequences::default(),
            values: Vec::new(),
            noises: Vec::new(),
            factor: CholeskyFactor::default(),
            solution: Solution::default(),
            learn_at: FIRST,
        }
    }

    /// Observations so far.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Standard deviation of an observation's noise, as learnt.
    pub fn noise(&self) -> f64 {
        self.solution.scale * self.kernel.settings().noise.sqrt()
    }

    /// Takes in observations of the usual noise, in order; a value that is not finite is left out.
    pub fn extend<'a>(&mut self, observations: impl IntoIterator<Item = (&'a [usize], f64)>) {
        self.extend_noisy(observations.into_iter().map(|(tokens, value)| (tokens, value, 1.0)));
    }

    /// Takes in observations, in order, each with what the learnt variance of the noise is multiplied by; a value that is
    /// not finite is left out.
    pub fn extend_noisy<'a>(&mut self, observations: impl IntoIterator<Item = (&'a [usize], f64, f64)>) {
        for (tokens, value, noise) in observations.into_iter().filter(|(_, value, _)| value.is_finite()) {
            self.sequences.push(tokens);
            self.values.push(value);
            self.noises.push(noise);
            if self.len() == self.learn_at {
                self.learn();
                self.learn_at = (self.len() as f64 * GROWTH).ceil() as usize;
            } else {
                self.factor_next();
            }
        }
        if !self.is_empty() {
            self.solution = Solution::of(&self.factor, &self.values);
        }
    }

    /// The posterior mean alone: cheap.
    pub fn mean(&self, tokens: &[usize]) -> f64 {
        let covariances = self.kernel.values(tokens, &self.sequences, self.len());
        self.solution.constant + dot(&covariances, &self.solution.weights)
    }

    /// The posterior mean at the observation of that index, at once: what was observed, less the noise in it. Before
    /// anything is known of the noise, what was observed.
    pub fn fitted(&self, index: usize) -> f64 {
        if self.len() < FIRST {
            return self.values[index];
        }
        self.values[index] - self.kernel.settings().noise * self.noises[index] * self.solution.weights[index]
    }

    /// The leave-one-out posterior at the observation of that index, given all the others (Rasmussen and Williams 2006,
    /// equations 5.12).
    pub fn leave_one_out(&self, index: usize) -> Normal {
        let mut unit = vec![0.0; self.len()];
        unit[index] = 1.0;
        let column = self.factor.whiten(&unit);
        let precision = dot(&column, &column);
        let variance = (1.0 / precision - self.kernel.settings().noise * self.noises[index]).max(0.0);
        Normal {
            mean: self.values[index] - self.solution.weights[index] / precision,
            deviation: self.solution.scale * variance.sqrt(),
        }
    }

    /// Posterior mean and standard deviation.
    pub fn posterior(&self, tokens: &[usize]) -> Normal {
        let covariances = self.kernel.values(tokens, &self.sequences, self.len());
        let mean = self.solution.constant + dot(&covariances, &self.solution.weights);
        let whitened = self.factor.whiten(&covariances);
        let variance = (self.kernel.settings().variance() - dot(&whitened, &whitened)).max(0.0);
        Normal { mean, deviation: self.solution.scale * variance.sqrt() }
    }

    /// Learns the kernel's hyper-parameters and factors everything anew.
    fn learn(&mut self) {
        let kept = spread(self.len(), LEARNT_FROM);
        let settings = HyperParameterSearch::new(self, &kept).best();
        self.kernel = Kernel::new(self.kernel.layout().clone(), settings);
        self.factor = CholeskyFactor::default();
        while self.factor.len() < self.len() {
            self.factor_next();
        }
    }

    /// Takes the next observation, which comes after those it already covers, into the factor.
    fn factor_next(&mut self) {
        let (next, settings) = (self.factor.len(), self.kernel.settings());
        let covariances = self.kernel.values(&self.sequences.get(next), &self.sequences, next);
        self.factor.push(&covariances, settings.variance() + settings.noise * self.noises[next]);
    }
}

/// The search for the kernel's hyper-parameters.
struct HyperParameterSearch {
    kernel: Kernel,
    prior: KernelPrior,
    sequences: Sequences,
    values: Vec<f64>,
    noises: Vec<f64>,
    /// Of every sequence with those before it, under the kernel's decay.
    terms: Vec<Vec<KernelTerms>>,
}

impl HyperParameterSearch {
    fn new(process: &GaussianProcess, kept: &[usize]) -> Self {
        let mut sequences = Sequences::default();
        kept.iter().for_each(|index| sequences.push(&process.sequences.get(*index)));
        let of = |numbers: &[f64]| kept.iter().map(|index| numbers[*index]).collect();
        let (values, noises) = (of(&process.values), of(&process.noises));
        let kernel = Kernel::new(process.kernel.layout().clone(), process.prior.expected);
        let mut learning = Self { kernel, prior: process.prior, sequences, values, noises, terms: Vec::new() };
        learning.compare();
        learning
    }

    fn compare(&mut self) {
        let of = |index| self.kernel.terms(&self.sequences.get(index), &self.sequences, index);
        self.terms = (0..self.sequences.len()).map(of).collect();
    }

    /// Logarithm of the marginal likelihood at the best scale, times the prior, up to a constant.
    fn likelihood(&mut self, settings: &KernelSettings) -> f64 {
        if settings.decay != self.kernel.settings().decay {
            self.kernel = Kernel::new(self.kernel.layout().clone(), *settings);
            self.compare();
        }
        let mut factor = CholeskyFactor::default();
        for (terms, noise) in self.terms.iter().zip(&self.noises) {
            let covariances: Vec<f64> = terms.iter().map(|terms| settings.value(terms)).collect();
            factor.push(&covariances, settings.variance() + settings.noise * noise);
        }
        self.prior.ln_density(settings) + Solution::of(&factor, &self.values).ln_likelihood(&factor)
    }

    /// The likeliest numbers that steps by a factor find from the expected ones.
    fn best(&mut self) -> KernelSettings {
        let expected = self.prior.expected.numbers();
        KernelSettings::of(coordinate_ascent(expected, &RANGES, &STEPS, |numbers| {
            self.likelihood(&KernelSettings::of(*numbers))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Space;
    use rand::Rng;

    /// Something a network's tokens could do to its accuracy: single effects and one of two tokens.
    fn value(tokens: &[usize]) -> f64 {
        let single: f64 = tokens.iter().enumerate().map(|(t, &token)| (t % 5) as f64 * token as f64).sum();
        0.6 + 0.001 * single + 0.01 * (tokens[0] * tokens[3]) as f64
    }

    fn observed(count: usize, noise: f64, seed: u64) -> Vec<(Vec<usize>, f64)> {
        let (space, random) = (Space::preset("mnasnet").unwrap(), &mut crate::seeded(seed));
        let mut one = || {
            let tokens = space.sample(random);
            let error: f64 = (0..12).map(|_| random.gen_range(-0.5..0.5)).sum();
            (tokens.clone(), value(&tokens) + noise * error)
        };
        (0..count).map(|_| one()).collect()
    }

    fn process(observations: &[(Vec<usize>, f64)]) -> GaussianProcess {
        let mut process = GaussianProcess::new(Layout::of(&Space::preset("mnasnet").unwrap()), KernelPrior::ACCURACIES);
        process.extend(observations.iter().map(|(tokens, value)| (tokens.as_slice(), *value)));
        process
    }

    #[test]
    fn it_predicts_what_it_has_not_seen_and_its_deviation_says_how_well() {
        let (process, unseen) = (process(&observed(150, 0.0, 1)), observed(300, 0.0, 2));
        let errors: Vec<f64> = unseen
            .iter()
            .map(|(tokens, value)| {
                let normal = process.posterior(tokens);
                assert!((normal.mean - process.mean(tokens)).abs() < 1e-12);
                (value - normal.mean) / normal.deviation
            })
            .collect();
        let variance = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
        assert!((0.3..3.0).contains(&variance(&errors)), "errors are of the size that is told: {}", variance(&errors));
        let spread: Vec<f64> = unseen.iter().map(|(_, value)| value - 0.65).collect();
        let missed: Vec<f64> = unseen.iter().map(|(tokens, value)| value - process.mean(tokens)).collect();
        assert!(variance(&missed) < 0.1 * variance(&spread), "{} of {}", variance(&missed), variance(&spread));
    }

    #[test]
    fn it_learns_how_noisy_the_observations_are() {
        let noise = process(&observed(200, 0.005, 3)).noise();
        assert!((0.0035..0.0065).contains(&noise), "{noise}");
        assert!(process(&observed(200, 0.0, 3)).noise() < 0.002);
    }

    #[test]
    fn what_it_says_of_an_observation_is_the_mean_there() {
        let observations = observed(30, 0.005, 7);
        let process = process(&observations);
        for (index, (tokens, _)) in observations.iter().enumerate() {
            assert!((process.fitted(index) - process.mean(tokens)).abs() < 1e-9);
        }
    }

    #[test]
    fn what_it_says_without_an_observation_is_what_one_that_never_saw_it_says() {
        let observations = observed(5, 0.005, 8);
        // Fewer than the kernel is learnt from: both have the expected numbers.
        let whole = process(&observations);
        let without = process(&observations[1..]);
        let (found, expected) = (whole.leave_one_out(0), without.posterior(&observations[0].0));
        // Constant and scale are estimated anew by the one that never saw it.
        let scale = whole.solution.scale / without.solution.scale;
        assert!((found.deviation - scale * expected.deviation).abs() < 1e-9, "{found:?} {expected:?}");
    }

    #[test]
    fn an_observation_of_great_noise_changes_little() {
        let (observations, tokens) = (observed(40, 0.001, 9), observed(1, 0.0, 10)[0].0.clone());
        let before = process(&observations).mean(&tokens);
        let with = |noise: f64| {
            let mut process = process(&observations);
            process.extend_noisy([(tokens.as_slice(), before + 0.1, noise)]);
            process.mean(&tokens) - before
        };
        assert!(with(1.0) > 0.03 && with(1e4) < 0.003, "{} {}", with(1.0), with(1e4));
    }

    #[test]
    fn one_that_grew_equals_one_built_at_once_bit_for_bit() {
        let observations = observed(60, 0.003, 4);
        let mut grown = process(&observations[..7]);
        for few in observations[7..].chunks(5) {
            grown.extend(few.iter().map(|(tokens, value)| (tokens.as_slice(), *value)));
        }
        let built = process(&observations);
        for (tokens, _) in observed(20, 0.0, 5) {
            assert_eq!(grown.posterior(&tokens), built.posterior(&tokens));
        }
    }

    #[test]
    fn equal_values_are_predicted_everywhere() {
        let space = Space::preset("mnasnet").unwrap();
        let same: Vec<_> = (0..20).map(|seed| (space.sample(&mut crate::seeded(seed)), 0.5)).collect();
        let posterior = process(&same).posterior(&space.sample(&mut crate::seeded(99)));
        assert!((posterior.mean - 0.5).abs() < 1e-9 && posterior.deviation < 1e-6);
    }
}
