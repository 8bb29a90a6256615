//! The kernel: the prior covariance of two token sequences.
//!
//! For token t with values a and b, s_t = exp(−decay · d), where d is the distance of their ranks where the values are
//! numbers (kernel side, expansion, filters, …) and 1 where they are names. With m the mean of s_t over all T tokens
//! and p_β the product over the tokens of block β of B:
//!
//! k(x, y) = m + quartic · m⁴ + block · mean_β(p_β) + whole · (Π_t s_t)^½
//!
//! Its terms are functions of single tokens; of few tokens anywhere; of all tokens of one block; of everything. The
//! decays are small in practice, so that each term is nearly a polynomial of that kind and learns from few points.

use std::collections::BTreeSet;

use crate::gaussian_process::ln_log_normal;
use crate::space::{BlockChoices, OperatorChoice, Space};

/// What a kernel must know about the tokens of a space.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// The block each token belongs to, in order.
    blocks: Vec<usize>,
    /// Per token the distances between its values, row after row.
    distances: Vec<Vec<f64>>,
    /// Choices behind each token.
    sizes: Vec<usize>,
}

impl Layout {
    /// Of the tokens of a space.
    pub fn of(space: &Space) -> Self {
        let mut layout = Self { blocks: Vec::new(), distances: Vec::new(), sizes: Vec::new() };
        for (index, block) in space.blocks.iter().enumerate() {
            for positions in positions(block).into_iter().filter(|positions| positions.len() > 1) {
                layout.blocks.push(index);
                layout.sizes.push(positions.len());
                layout
                    .distances
                    .push(positions.iter().flat_map(|a| positions.iter().map(move |b| a.distance(b))).collect());
            }
        }
        layout
    }

    /// Choices behind each token.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The block each token belongs to.
    pub fn blocks(&self) -> &[usize] {
        &self.blocks
    }

    /// How far two sequences are apart: the sum over tokens of their values' distance as a share of the greatest.
    pub fn distance(&self, one: &[usize], other: &[usize]) -> f64 {
        let of_token = |(token, size): (usize, &usize)| {
            let row = &self.distances[token][one[token] * size..][..*size];
            row[other[token]] / row.iter().copied().fold(1.0, f64::max)
        };
        self.sizes.iter().enumerate().map(of_token).sum()
    }
}

/// Where a value stands among those of its list.
enum Position {
    Rank(usize),
    Name(usize),
}

impl Position {
    fn distance(&self, other: &Self) -> f64 {
        match (self, other) {
            (Self::Rank(a), Self::Rank(b)) => a.abs_diff(*b) as f64,
            (Self::Name(a), Self::Name(b)) => f64::from(u8::from(a != b)),
            _ => 1.0,
        }
    }
}

/// The values of a block's seven lists, in token order.
fn positions(block: &BlockChoices) -> [Vec<Position>; 7] {
    let ratios: Vec<usize> = block.squeeze_ratios.iter().map(|ratio| (ratio * 1e9) as usize).collect();
    let operators: Vec<&OperatorChoice> = block.operators.iter().collect();
    [
        names(operators.len()),
        ranks(&block.expansions),
        ranks(&block.kernels),
        ranks(&ratios),
        names(block.skips.len()),
        ranks(&block.filters),
        ranks(&block.layers),
    ]
}

fn names(count: usize) -> Vec<Position> {
    (0..count).map(Position::Name).collect()
}

fn ranks(values: &[usize]) -> Vec<Position> {
    let sorted: BTreeSet<usize> = values.iter().copied().collect();
    values.iter().map(|value| Position::Rank(sorted.range(..value).count())).collect()
}

/// The kernel's hyper-parameters, and the noise's variance on the kernel's scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelSettings {
    /// How fast similarity falls with the distance of two values.
    pub decay: f64,
    /// Weight of functions of few tokens.
    pub quartic: f64,
    /// Weight of functions of a block's tokens.
    pub block: f64,
    /// Weight of functions of everything.
    pub whole: f64,
    /// Variance of an observation's noise.
    pub noise: f64,
}

/// The prior of a kernel's hyper-parameters: independent log-normal variables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelPrior {
    /// Their medians.
    pub expected: KernelSettings,
    /// Standard deviation of the logarithm of the decay.
    pub decay: f64,
    /// Of the noise's.
    pub noise: f64,
    /// Of the weights'.
    pub weight: f64,
}

impl KernelPrior {
    /// Of accuracies, read off searches on the Accel-NASBench oracle: most of them is a sum over blocks, and the noise of
    /// a training is small beside what the networks of a space differ by.
    pub const ACCURACIES: Self = Self {
        expected: KernelSettings { decay: 0.15, quartic: 1.0, block: 4.0, whole: 0.03, noise: 0.03 },
        decay: 0.7,
        noise: 2.0,
        weight: 1.2,
    };

    /// Of a latency predictor's errors, read off searches on the same oracle: a network may be off as a whole (`whole`), a
    /// whole region may be off (the wide prior on the weights), and a timing has some noise. `benches/SEARCH.md` has what
    /// happens without.
    pub const RESIDUALS: Self = Self {
        expected: KernelSettings { decay: 0.15, quartic: 1.0, block: 4.0, whole: 1.0, noise: 0.1 },
        decay: 0.7,
        noise: 2.0,
        weight: 2.0,
    };

    /// Logarithm of its density at some numbers, up to a constant.
    pub fn ln_density(&self, numbers: &KernelSettings) -> f64 {
        let deviations = [self.decay, self.noise, self.weight, self.weight, self.weight];
        let medians = self.expected.numbers();
        let all = numbers.numbers().into_iter().zip(medians).zip(deviations);
        all.map(|((number, median), deviation)| ln_log_normal(number, median, deviation)).sum()
    }
}

/// The three terms of the kernel's sum, before the weights multiply them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelTerms {
    mean: f64,
    block: f64,
    whole: f64,
}

impl KernelSettings {
    /// Decay, noise, and the weights of block, quartic and whole.
    pub fn numbers(&self) -> [f64; 5] {
        [self.decay, self.noise, self.block, self.quartic, self.whole]
    }

    /// From [`Self::numbers`].
    pub fn of([decay, noise, block, quartic, whole]: [f64; 5]) -> Self {
        Self { decay, quartic, block, whole, noise }
    }

    /// The kernel's value for two sequences with those terms.
    pub fn value(&self, terms: &KernelTerms) -> f64 {
        let square = terms.mean * terms.mean;
        terms.mean + self.quartic * square * square + self.block * terms.block + self.whole * terms.whole
    }

    /// The kernel's value for a sequence and itself.
    pub fn variance(&self) -> f64 {
        self.value(&KernelTerms { mean: 1.0, block: 1.0, whole: 1.0 })
    }
}

/// Token sequences in the order that comparing one with all of them wants: token after token.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sequences {
    columns: Vec<Vec<u8>>,
    count: usize,
}

impl Sequences {
    /// Appends a sequence.
    pub fn push(&mut self, tokens: &[usize]) {
        self.columns.resize_with(tokens.len(), Vec::new);
        for (column, token) in self.columns.iter_mut().zip(tokens) {
            column.push(u8::try_from(*token).unwrap_or(u8::MAX));
        }
        self.count += 1;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The sequence at `index`.
    pub fn get(&self, index: usize) -> Vec<usize> {
        self.columns.iter().map(|column| usize::from(column[index])).collect()
    }
}

/// A kernel ready to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    layout: Layout,
    settings: KernelSettings,
    /// exp(−decay · distance), as [`Layout`] stores the distances.
    tables: Vec<Vec<f64>>,
}

impl Kernel {
    /// A kernel over these tokens.
    pub fn new(layout: Layout, settings: KernelSettings) -> Self {
        let table = |distances: &Vec<f64>| distances.iter().map(|d| (-settings.decay * d).exp()).collect();
        Self { tables: layout.distances.iter().map(table).collect(), layout, settings }
    }

    /// The tokens.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The numbers.
    pub fn settings(&self) -> &KernelSettings {
        &self.settings
    }

    /// The values for a sequence and the first `count` of others.
    pub fn values(&self, tokens: &[usize], others: &Sequences, count: usize) -> Vec<f64> {
        self.terms(tokens, others, count).iter().map(|terms| self.settings.value(terms)).collect()
    }

    /// The terms of the kernel for a sequence and the first `count` of others.
    pub fn terms(&self, tokens: &[usize], others: &Sequences, count: usize) -> Vec<KernelTerms> {
        let blocks = self.layout.blocks.last().map_or(1, |last| last + 1) as f64;
        let mut sums = vec![KernelTerms { mean: 0.0, block: 0.0, whole: 1.0 }; count];
        let mut product = vec![1.0; count];
        for (token, table) in self.tables.iter().enumerate() {
            let size = self.layout.sizes[token];
            let row = &table[tokens[token] * size..][..size];
            for ((sum, product), other) in sums.iter_mut().zip(&mut product).zip(&others.columns[token]) {
                let similarity = row[usize::from(*other)];
                sum.mean += similarity;
                *product *= similarity;
            }
            if self.layout.blocks.get(token + 1) != Some(&self.layout.blocks[token]) {
                for (sum, product) in sums.iter_mut().zip(&mut product) {
                    sum.block += *product;
                    sum.whole *= *product;
                    *product = 1.0;
                }
            }
        }
        // Blocks without a token are alike in every pair.
        let searched = self.layout.blocks.iter().collect::<BTreeSet<_>>().len() as f64;
        let tokens = self.layout.sizes.len().max(1) as f64;
        for sum in &mut sums {
            sum.mean /= tokens;
            sum.block = (sum.block + blocks - searched) / blocks;
            sum.whole = sum.whole.sqrt();
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kernel(space: &Space) -> Kernel {
        Kernel::new(Layout::of(space), KernelPrior::ACCURACIES.expected)
    }

    proptest! {
        #[test]
        fn the_kernel_is_greatest_of_a_network_and_itself_and_symmetric(seed in 0..1000u64) {
            let space = Space::preset("mnasnet").unwrap();
            let (kernel, random) = (kernel(&space), &mut crate::seeded(seed));
            let (one, other) = (space.sample(random), space.sample(random));
            let mut both = Sequences::default();
            both.push(&one);
            both.push(&other);
            let (with_one, with_other) = (kernel.values(&one, &both, 2), kernel.values(&other, &both, 2));
            prop_assert!((with_one[0] - kernel.settings().variance()).abs() < 1e-12);
            prop_assert!(with_one[1] < with_one[0]);
            prop_assert_eq!(with_one[1], with_other[0]);
        }
    }

    #[test]
    fn numbers_near_each_other_are_more_alike_than_numbers_apart_whatever_their_order_in_the_list() {
        let text = "name = \"n\"\ninput_size = 32\nstem = 8\nhead = 0\nclasses = 2\n[[block]]\nstride = 1\n\
                    op = [\"conv\", \"sepconv\", \"mbconv3\"]\nkernel = [3, 7, 5]\nfilters = [8]\nlayers = [1]\n";
        let layout = Layout::of(&Space::from_toml(text, "test").unwrap());
        assert_eq!(layout.sizes(), [3, 3]);
        assert_eq!(layout.distance(&[0, 0], &[0, 1]), 1.0, "3 and 7 are farthest apart");
        assert_eq!(layout.distance(&[0, 0], &[0, 2]), 0.5, "5 lies between them");
        assert_eq!(layout.distance(&[0, 0], &[1, 0]), layout.distance(&[0, 0], &[2, 0]), "names have no order");
    }
}
