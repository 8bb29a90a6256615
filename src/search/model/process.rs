//! A Gaussian process over token sequences, grown one observation at a time.
//!
//! y(x) = c + f(x) + noise, f with the [`Kernel`] as covariance and c a constant, estimated by generalised least
//! squares; the scale of both is the one of greatest likelihood (a closed form), and the kernel's numbers are those of
//! greatest marginal likelihood times a log-normal prior around expected ones, found by steps of a factor of 4, then 2.
//! (Without the prior, thirty accuracies were taken for noise and nothing else in most searches.) They are learnt anew,
//! from 200 observations evenly spread over all, whenever these have grown by a tenth. So everything is a function of
//! the observations and their order: a process rebuilt from a ledger equals the one that grew, bit for bit.
//!
//! With L the Cholesky factor of the covariance, a row of L needs only the rows above: an observation costs O(n²).

use super::kernel::{Kernel, KernelPrior, KernelSettings, Layout, Likeness, Sequences};
use crate::spread;

/// Fewest observations the kernel is learnt from.
const FIRST: usize = 6;
/// Growth of the observations after which the kernel is learnt again.
const GROWTH: f64 = 1.1;
/// Observations that the kernel is learnt from, at most: the cost is cubic in them.
const LEARNT_FROM: usize = 200;
/// Keeps factors finite where two sequences are one.
const LEAST_VARIANCE: f64 = 1e-10;
/// Ranges of decay, noise and the weights.
const DECAYS: [f64; 2] = [0.02, 4.0];
const NOISES: [f64; 2] = [1e-4, 4.0];
const WEIGHTS: [f64; 2] = [1e-3, 64.0];
/// Factors by which the search for the kernel's numbers steps.
const STEPS: [f64; 2] = [4.0, 2.0];

/// A normal distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Process {
    prior: KernelPrior,
    kernel: Kernel,
    sequences: Sequences,
    values: Vec<f64>,
    factor: Vec<Vec<f64>>,
    solution: Solution,
    learn_at: usize,
}

/// What follows from factor and values.
#[derive(Debug, Clone, Default)]
struct Solution {
    constant: f64,
    scale: f64,
    /// (L Lᵀ)⁻¹ (y − c).
    weights: Vec<f64>,
}

impl Process {
    /// A process over these tokens that has seen nothing, and what its kernel's numbers are expected to be.
    pub fn new(layout: Layout, prior: KernelPrior) -> Self {
        let kernel = Kernel::new(layout, prior.expected);
        Self {
            prior,
            kernel,
            sequences: Sequences::default(),
            values: Vec::new(),
            factor: Vec::new(),
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

    /// The kernel's numbers, as learnt.
    pub fn kernel(&self) -> &KernelSettings {
        self.kernel.settings()
    }

    /// Takes in observations, in order; a value that is not finite is left out.
    pub fn extend<'a>(&mut self, observations: impl IntoIterator<Item = (&'a [usize], f64)>) {
        for (tokens, value) in observations.into_iter().filter(|(_, value)| value.is_finite()) {
            self.sequences.push(tokens);
            self.values.push(value);
            if self.len() == self.learn_at {
                self.learn();
                self.learn_at = (self.len() as f64 * GROWTH).ceil() as usize;
            } else {
                self.factor.push(row(&self.kernel, &self.sequences, &self.factor));
            }
        }
        if !self.is_empty() {
            self.solution = solve(&self.factor, &self.values);
        }
    }

    /// The mean alone: cheap.
    pub fn mean(&self, tokens: &[usize]) -> f64 {
        let covariances = self.kernel.values(tokens, &self.sequences, self.len());
        self.solution.constant + dot(&covariances, &self.solution.weights)
    }

    /// The mean at the observation of that index, at once: what was observed, less the noise in it. Before anything is
    /// known of the noise, what was observed.
    pub fn fitted(&self, index: usize) -> f64 {
        if self.len() < FIRST {
            return self.values[index];
        }
        self.values[index] - self.kernel.settings().noise * self.solution.weights[index]
    }

    /// Mean and standard deviation.
    pub fn posterior(&self, tokens: &[usize]) -> Normal {
        let covariances = self.kernel.values(tokens, &self.sequences, self.len());
        let mean = self.solution.constant + dot(&covariances, &self.solution.weights);
        let whitened = forward(&self.factor, &covariances);
        let variance = (self.kernel.settings().variance() - dot(&whitened, &whitened)).max(0.0);
        Normal { mean, deviation: self.solution.scale * variance.sqrt() }
    }

    /// Learns the kernel's numbers and factors everything anew.
    fn learn(&mut self) {
        let kept = spread(self.len(), LEARNT_FROM);
        let settings = Learning::new(&self.kernel, self.prior, &self.sequences, &self.values, &kept).best();
        self.kernel = Kernel::new(self.kernel.layout().clone(), settings);
        self.factor.clear();
        while self.factor.len() < self.len() {
            self.factor.push(row(&self.kernel, &self.sequences, &self.factor));
        }
    }
}

/// The next row of the factor: of the sequence that comes after those it already covers.
fn row(kernel: &Kernel, sequences: &Sequences, factor: &[Vec<f64>]) -> Vec<f64> {
    let covariances = kernel.values(&sequences.get(factor.len()), sequences, factor.len());
    factor_row(factor, &covariances, kernel.settings().variance() + kernel.settings().noise)
}

/// A row of the factor from the covariances with the rows above and the own variance.
fn factor_row(factor: &[Vec<f64>], covariances: &[f64], variance: f64) -> Vec<f64> {
    let mut row = forward(factor, covariances);
    let left = variance - dot(&row, &row);
    row.push(left.max(LEAST_VARIANCE).sqrt());
    row
}

/// L⁻¹ b for the rows of L that b covers.
fn forward(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut solution: Vec<f64> = Vec::with_capacity(right.len() + 1);
    for (row, value) in factor.iter().zip(right) {
        let index = solution.len();
        solution.push((value - dot(&row[..index], &solution)) / row[index]);
    }
    solution
}

fn solve(factor: &[Vec<f64>], values: &[f64]) -> Solution {
    let ones = forward(factor, &vec![1.0; values.len()]);
    let whitened = forward(factor, values);
    let constant = dot(&ones, &whitened) / dot(&ones, &ones);
    let mut weights: Vec<f64> = whitened.iter().zip(&ones).map(|(value, one)| value - constant * one).collect();
    let scale = (dot(&weights, &weights) / values.len() as f64).sqrt();
    for index in (0..weights.len()).rev() {
        let weight = weights[index] / factor[index][index];
        weights[index] = weight;
        for (above, entry) in weights[..index].iter_mut().zip(&factor[index]) {
            *above -= weight * entry;
        }
    }
    Solution { constant, scale, weights }
}

/// A scalar product in eight sums side by side, which is what a processor does at once.
fn dot(one: &[f64], other: &[f64]) -> f64 {
    const LANES: usize = 8;
    let length = one.len().min(other.len());
    let (one, other) = (&one[..length], &other[..length]);
    let mut sums = [0.0; LANES];
    let (head, tail) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f64 = head.remainder().iter().zip(tail.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in head.zip(tail) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    rest + sums.iter().sum::<f64>()
}

/// The search for the kernel's numbers.
struct Learning {
    kernel: Kernel,
    prior: KernelPrior,
    sequences: Sequences,
    values: Vec<f64>,
    /// Of every sequence with those before it, under the kernel's decay.
    likeness: Vec<Vec<Likeness>>,
}

impl Learning {
    fn new(kernel: &Kernel, prior: KernelPrior, all: &Sequences, values: &[f64], kept: &[usize]) -> Self {
        let mut sequences = Sequences::default();
        kept.iter().for_each(|index| sequences.push(&all.get(*index)));
        let values = kept.iter().map(|index| values[*index]).collect();
        let kernel = Kernel::new(kernel.layout().clone(), prior.expected);
        let mut learning = Self { kernel, prior, sequences, values, likeness: Vec::new() };
        learning.compare();
        learning
    }

    fn compare(&mut self) {
        let of = |index| self.kernel.likeness(&self.sequences.get(index), &self.sequences, index);
        self.likeness = (0..self.sequences.len()).map(of).collect();
    }

    /// Logarithm of the marginal likelihood at the best scale, times the prior, up to a constant.
    fn likelihood(&self, settings: &KernelSettings) -> f64 {
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(self.values.len());
        for likeness in &self.likeness {
            let covariances: Vec<f64> = likeness.iter().map(|likeness| settings.mix(likeness)).collect();
            factor.push(factor_row(&factor, &covariances, settings.variance() + settings.noise));
        }
        let scale = solve(&factor, &self.values).scale.max(f64::MIN_POSITIVE);
        let determinant: f64 = factor.iter().filter_map(|row| row.last()).map(|entry| entry.ln()).sum();
        self.prior.ln_density(settings) - (self.values.len() as f64) * scale.ln() - determinant
    }

    /// The likeliest numbers that steps by a factor find from the expected ones.
    fn best(&mut self) -> KernelSettings {
        let mut best = *self.kernel.settings();
        let mut likelihood = self.likelihood(&best);
        for step in STEPS {
            for number in 0..NUMBERS {
                for factor in [step, 1.0 / step] {
                    while let Some(tried) = stepped(&best, number, factor) {
                        if tried.decay != self.kernel.settings().decay {
                            self.kernel = Kernel::new(self.kernel.layout().clone(), tried);
                            self.compare();
                        }
                        let found = self.likelihood(&tried);
                        if found <= likelihood + 1e-3 {
                            break;
                        }
                        (best, likelihood) = (tried, found);
                    }
                    if best.decay != self.kernel.settings().decay {
                        self.kernel = Kernel::new(self.kernel.layout().clone(), best);
                        self.compare();
                    }
                }
            }
        }
        best
    }
}

/// Numbers of a kernel that are learnt.
const NUMBERS: usize = 5;
/// The settings with one number multiplied, `None` where it is at the end of its range.
fn stepped(settings: &KernelSettings, number: usize, factor: f64) -> Option<KernelSettings> {
    let mut settings = *settings;
    let (value, [least, most]) = match number {
        0 => (&mut settings.decay, DECAYS),
        1 => (&mut settings.noise, NOISES),
        2 => (&mut settings.block, WEIGHTS),
        3 => (&mut settings.quartic, WEIGHTS),
        _ => (&mut settings.whole, WEIGHTS),
    };
    let moved = (*value * factor).clamp(least, most);
    if moved == *value {
        return None;
    }
    *value = moved;
    Some(settings)
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

    fn process(observations: &[(Vec<usize>, f64)]) -> Process {
        let mut process = Process::new(Layout::of(&Space::preset("mnasnet").unwrap()), KernelPrior::ACCURACIES);
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
