//! What the rates got wrong, and how sure that is: a Gaussian process over layers.
//!
//! A network's latency is a sum over its layers, so what is learnt about one layer holds for every network with such a
//! layer. Let lₙ be the first guess at network n's latency (see [`crate::latency::predict::rates`]), and mₙ its parts: the guessed
//! milliseconds of each piece of work w, of kind f(w) at place p(w). The process models rₙ = ln(latencyₙ / lₙ) as the
//! sum of what every piece adds, weighed by its share mₙw / lₙ, with the kernel
//!
//! k(n, n') = Σ_w∈n Σ_w'∈n' (mₙw / lₙ) (mₙ'w' / lₙ') κ(w, w') + c²
//! κ(w, w') = [f(w) = f(w')] · (s² + v² / (1 + |p(w) − p(w')|² / 2))
//!
//! s: by how much a kind's rate may be wrong everywhere; v: by how much one place may differ from others, where places
//! one octave of pixels or channels apart still tell much about each other (a rational quadratic kernel, Rasmussen and
//! Williams, "Gaussian Processes for Machine Learning", section 4.2.1, with α = 1); c: by how much the device as a
//! whole may be faster or slower. The variance of a measurement is that of the process and σ². v and σ maximise the
//! marginal likelihood (section 5.4.1) times a log-normal prior around [`HyperParameters::EXPECTED`], without which twenty
//! networks would lead it astray.

use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

use super::rates::Rates;
use crate::gaussian_process::{CholeskyFactor, ln_likelihood, ln_log_normal};
use crate::latency::data::features::{COUNT, Coordinates, Features, LayerShape};
use crate::latency::error::FitError;
use crate::spread;

/// Factors of v and values of σ that are tried.
const FACTORS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
const NOISES: [f64; 6] = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08];
/// Standard deviation of the prior on the logarithms of the factor and of σ.
const PRIOR_WIDTH: f64 = 0.5;
/// Rows that choose the parameters; more do not choose better, and cost grows with their cube.
const MOST_CHOOSING: usize = 200;
/// Rows a process keeps: the cost of a fit grows with their cube, that of a prediction with their number.
pub(super) const MOST_KEPT: usize = 500;

/// The standard deviations of the kernel's parts; see the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HyperParameters {
    /// c: the device as a whole.
    pub device: f64,
    /// s: one kind of work everywhere.
    pub kind: f64,
    /// v: one kind of work at one place.
    pub local: f64,
    /// σ: a measurement.
    pub noise: f64,
}

impl HyperParameters {
    /// Before anything is measured.
    pub const EXPECTED: Self = Self { device: 0.05, kind: 0.5, local: 0.2, noise: 0.02 };

    /// Where the first guess comes from another device: what differs between two.
    pub const EXPECTED_WARM: Self = Self { device: 0.1, kind: 0.4, local: 0.15, noise: 0.03 };

    /// Those tried, with the logarithm of their prior.
    fn tried(around: Self) -> impl Iterator<Item = (Self, f64)> {
        let prior = |factor: f64| ln_log_normal(factor, 1.0, PRIOR_WIDTH);
        FACTORS.into_iter().flat_map(move |factor| {
            let local = factor * around.local;
            NOISES.map(|noise| (Self { local, noise, ..around }, prior(factor) + prior(noise / around.noise)))
        })
    }
}

/// The parts of some networks: what work there is, where, and how many milliseconds each network spends on it.
struct WorkShares {
    /// By kind of work: the distinct places, and the guessed share of each (networks by places).
    kinds: Vec<WorkKind>,
}

struct WorkKind {
    places: Vec<Coordinates>,
    shares: Array2<f64>,
    /// Sums of the rows of `shares`.
    total: Array1<f64>,
}

impl WorkShares {
    fn of(rows: &[&Features], rates: &Rates, guesses_ms: &[f64]) -> Self {
        let mut pieces: Vec<Vec<(Coordinates, usize, f64)>> = vec![Vec::new(); COUNT];
        for (index, (row, guess)) in rows.iter().zip(guesses_ms).enumerate() {
            for (shape, count) in row.shapes() {
                for work in shape.work() {
                    let share = f64::from(*count) * rates.of(work.feature) * work.amount / guess;
                    pieces[work.feature as usize].push((work.place, index, share));
                }
            }
        }
        Self { kinds: pieces.into_iter().map(|pieces| WorkKind::of(pieces, rows.len())).collect() }
    }

    /// The kernel's two parts: of the kinds everywhere, and local, both networks by networks.
    fn kernels(&self, networks: usize) -> [Array2<f64>; 2] {
        let (mut everywhere, mut local) = (Array2::zeros((networks, networks)), Array2::zeros((networks, networks)));
        for kind in self.kinds.iter().filter(|kind| !kind.places.is_empty()) {
            let total = kind.total.view().insert_axis(Axis(1));
            everywhere += &total.dot(&total.t());
            local += &kind.shares.dot(&kind.closeness()).dot(&kind.shares.t());
        }
        [everywhere, local]
    }
}

impl WorkKind {
    fn of(pieces: Vec<(Coordinates, usize, f64)>, networks: usize) -> Self {
        let mut places: Vec<Coordinates> = pieces.iter().map(|(place, ..)| *place).collect();
        places.sort_by(order);
        places.dedup();
        let mut shares = Array2::zeros((networks, places.len()));
        for (place, network, share) in pieces {
            // Every place is in the list that was made of them.
            if let Ok(at) = places.binary_search_by(|known| order(known, &place)) {
                shares[[network, at]] += share;
            }
        }
        let total = shares.sum_axis(Axis(1));
        Self { places, shares, total }
    }

    fn closeness(&self) -> Array2<f64> {
        let count = self.places.len();
        Array2::from_shape_fn((count, count), |(i, j)| f64::from(closeness(&self.places[i], &self.places[j])))
    }
}

fn order(a: &Coordinates, b: &Coordinates) -> std::cmp::Ordering {
    let by = |axis: usize| a[axis].total_cmp(&b[axis]);
    by(0).then_with(|| by(1)).then_with(|| by(2))
}

/// 1 / (1 + d² / 2) for two places at a distance d.
fn closeness(a: &Coordinates, b: &Coordinates) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    1.0 / (1.0 + 0.5 * squares.sum::<f32>())
}

/// A fitted process.
pub(super) struct LayerProcess {
    parameters: HyperParameters,
    kinds: Vec<WorkKind>,
    factor: CholeskyFactor,
    /// K⁻¹ r.
    weights: Array1<f64>,
}

/// What the process knows of one layer, so that a network is but a sum.
pub(super) struct LayerPosterior {
    /// First guess in milliseconds.
    pub guess_ms: f64,
    /// Expected correction in milliseconds, to be divided by the network's guess.
    correction_ms: f64,
    /// L⁻¹ k, in milliseconds likewise.
    explained_ms: Vec<f32>,
    /// Guessed milliseconds of each piece of work.
    pieces: Vec<(usize, Coordinates, f32)>,
}

/// What is expected of ln(latency / first guess).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    pub mean: f64,
    /// Of a measurement: the process's own and the noise.
    pub deviation: f64,
}

impl LayerProcess {
    /// The likeliest parameters for `residuals` (ln(latency / guess), one per row), with a prior around `around`, and
    /// the logarithm of their likelihood and prior.
    pub fn choose(
        rows: &[&Features],
        rates: &Rates,
        guesses_ms: &[f64],
        residuals: &[f64],
        around: HyperParameters,
    ) -> Result<(f64, HyperParameters), FitError> {
        let kept = spread(rows.len(), MOST_CHOOSING);
        let (rows, guesses_ms) = (pick(rows, &kept), pick(guesses_ms, &kept));
        let residuals = pick(residuals, &kept);
        let [everywhere, local] = WorkShares::of(&rows, rates, &guesses_ms).kernels(rows.len());
        let mut best: Option<(f64, HyperParameters)> = None;
        for (parameters, prior) in HyperParameters::tried(around) {
            let Some(factor) = factor(&kernel(&everywhere, &local, parameters)) else { continue };
            let weights = factor.unwhiten(factor.whiten(&residuals));
            let likelihood = ln_likelihood(&factor, &residuals, &weights) + prior;
            if best.is_none_or(|(most, _)| likelihood > most) {
                best = Some((likelihood, parameters));
            }
        }
        best.ok_or_else(|| FitError::Regression("no process suits the latencies".into()))
    }

    /// Fits `residuals` (ln(latency / guess), one per row) with these parameters. At most [`MOST_KEPT`] rows.
    pub fn fit(
        parameters: HyperParameters,
        rows: &[&Features],
        rates: &Rates,
        guesses_ms: &[f64],
        residuals: &[f64],
    ) -> Result<Self, FitError> {
        let parts = WorkShares::of(rows, rates, guesses_ms);
        let [everywhere, local] = parts.kernels(rows.len());
        let not_definite = || FitError::Regression("the covariance of the latencies is not positive definite".into());
        let factor = factor(&kernel(&everywhere, &local, parameters)).ok_or_else(not_definite)?;
        let weights = Array1::from(factor.unwhiten(factor.whiten(residuals)));
        Ok(Self { parameters, kinds: parts.kinds, factor, weights })
    }

    /// What is known of one layer.
    pub fn layer_posterior(&self, shape: LayerShape, rates: &Rates) -> LayerPosterior {
        let mut covariance = Array1::<f64>::zeros(self.weights.len());
        let mut pieces = Vec::new();
        for work in shape.work() {
            let ms = rates.of(work.feature) * work.amount;
            let kind = &self.kinds[work.feature as usize];
            pieces.push((work.feature as usize, work.place, ms as f32));
            covariance.scaled_add(ms * self.parameters.kind.powi(2), &kind.total);
            let near: Array1<f64> = kind.places.iter().map(|place| f64::from(closeness(place, &work.place))).collect();
            covariance.scaled_add(ms * self.parameters.local.powi(2), &kind.shares.dot(&near));
        }
        LayerPosterior {
            guess_ms: pieces.iter().map(|(.., ms)| f64::from(*ms)).sum(),
            correction_ms: covariance.dot(&self.weights),
            explained_ms: self.explained(&covariance),
            pieces,
        }
    }

    /// What is known of the device as a whole, apart from any layer, as if it were a layer of one millisecond.
    pub fn device_posterior(&self) -> LayerPosterior {
        let covariance = Array1::from_elem(self.weights.len(), self.parameters.device.powi(2));
        LayerPosterior {
            guess_ms: 0.0,
            correction_ms: covariance.dot(&self.weights),
            explained_ms: self.explained(&covariance),
            pieces: Vec::new(),
        }
    }

    /// L⁻¹ k.
    fn explained(&self, covariance: &Array1<f64>) -> Vec<f32> {
        self.factor.whiten(&covariance.to_vec()).into_iter().map(|value| value as f32).collect()
    }

    /// What is expected of a network with these layers, each with its number, whose first guess is `guess_ms`.
    pub fn expect(&self, device: &LayerPosterior, layers: &[(&LayerPosterior, u32)], guess_ms: f64) -> Expected {
        let mut explained: Vec<f32> = device.explained_ms.iter().map(|value| value * guess_ms as f32).collect();
        let mut correction_ms = device.correction_ms * guess_ms;
        for (known, count) in layers {
            correction_ms += f64::from(*count) * known.correction_ms;
            let count = *count as f32;
            explained.iter_mut().zip(&known.explained_ms).for_each(|(sum, value)| *sum += count * value);
        }
        let explained: f32 = explained.iter().map(|value| value * value).sum();
        let square = guess_ms * guess_ms;
        let unexplained = (self.prior(layers) - f64::from(explained)) / square + self.parameters.device.powi(2);
        let variance = unexplained.max(0.0) + self.parameters.noise.powi(2);
        Expected { mean: correction_ms / guess_ms, deviation: variance.sqrt() }
    }

    /// The layers' variance before anything was measured, times the square of the guess.
    fn prior(&self, layers: &[(&LayerPosterior, u32)]) -> f64 {
        let (mut everywhere, mut local) = (0.0, 0.0);
        let pieces = Pieces::of(layers);
        for pieces in pieces.by_kind() {
            let total: f32 = pieces.iter().map(|piece| piece.ms).sum();
            everywhere += total * total;
            local += variation(pieces);
        }
        self.parameters.kind.powi(2) * f64::from(everywhere) + self.parameters.local.powi(2) * f64::from(local)
    }
}

/// The `count` networks whose measurements teach most about all of `rows`, in this order: each lowers the variance that
/// the process expects, summed over `rows`, furthest. Nothing needs to have been measured. Cost: rows² · count.
pub(in crate::latency) fn most_informative(rows: &[&Features], count: usize, expected: HyperParameters) -> Vec<usize> {
    let rates = Rates::nominal();
    let guesses: Vec<f64> = rows.iter().map(|row| rates.latency_ms(row)).collect();
    let [everywhere, local] = WorkShares::of(rows, &rates, &guesses).kernels(rows.len());
    let noise = expected.noise.powi(2);
    let mut covariance = kernel(&everywhere, &local, HyperParameters { noise: 0.0, ..expected });
    let mut left: Vec<usize> = (0..rows.len()).collect();
    let mut order = Vec::with_capacity(count);
    while order.len() < count && !left.is_empty() {
        let gain = |&row: &usize| covariance.row(row).dot(&covariance.row(row)) / (covariance[[row, row]] + noise);
        let gains: Vec<f64> = left.iter().map(gain).collect();
        let best = (0..left.len()).max_by(|&a, &b| gains[a].total_cmp(&gains[b]).then(b.cmp(&a))).unwrap_or(0);
        let chosen = left.remove(best);
        let column = covariance.row(chosen).to_owned();
        let scale = 1.0 / (column[chosen] + noise);
        for (mut row, value) in covariance.rows_mut().into_iter().zip(&column) {
            row.scaled_add(-scale * value, &column);
        }
        order.push(chosen);
    }
    order
}

/// A network's work, kind by kind.
struct Pieces {
    sorted: Vec<Piece>,
    /// Where each kind's pieces end.
    ends: [usize; COUNT],
}

#[derive(Clone, Copy)]
struct Piece {
    place: Coordinates,
    ms: f32,
}

impl Pieces {
    /// Sorts by counting: predictions are made by the hundred thousand.
    fn of(layers: &[(&LayerPosterior, u32)]) -> Self {
        let mut ends = [0; COUNT];
        layers.iter().flat_map(|(known, _)| &known.pieces).for_each(|(kind, ..)| ends[*kind] += 1);
        let mut count = 0;
        for end in &mut ends {
            // Where the kind begins for now; filling it moves this to where it ends.
            (*end, count) = (count, count + *end);
        }
        let mut sorted = vec![Piece { place: [0.0; 3], ms: 0.0 }; count];
        for (known, repeats) in layers {
            for (kind, place, ms) in &known.pieces {
                sorted[ends[*kind]] = Piece { place: *place, ms: ms * *repeats as f32 };
                ends[*kind] += 1;
            }
        }
        Self { sorted, ends }
    }

    fn by_kind(&self) -> impl Iterator<Item = &[Piece]> {
        let starts = std::iter::once(0).chain(self.ends);
        starts.zip(self.ends).map(|(start, end)| &self.sorted[start..end])
    }
}

/// Σ Σ m m' closeness(p, p') over all pairs of pieces.
fn variation(pieces: &[Piece]) -> f32 {
    let Some((first, rest)) = pieces.split_first() else { return 0.0 };
    if rest.iter().all(|piece| piece.place == first.place) {
        return pieces.iter().map(|piece| piece.ms).sum::<f32>().powi(2);
    }
    let with_earlier = |(index, piece): (usize, &Piece)| {
        let sum: f32 = pieces[..index].iter().map(|other| other.ms * closeness(&piece.place, &other.place)).sum();
        piece.ms * (piece.ms + 2.0 * sum)
    };
    pieces.iter().enumerate().map(with_earlier).sum()
}

/// The values with these indices.
pub(super) fn pick<T: Copy>(values: &[T], indices: &[usize]) -> Vec<T> {
    indices.iter().map(|&index| values[index]).collect()
}

fn kernel(everywhere: &Array2<f64>, local: &Array2<f64>, parameters: HyperParameters) -> Array2<f64> {
    let HyperParameters { device, kind, local: variation, noise } = parameters;
    let mut kernel = everywhere * kind.powi(2) + local * variation.powi(2) + device.powi(2);
    kernel.diag_mut().iter_mut().for_each(|value| *value += noise.powi(2));
    kernel
}

fn factor(kernel: &Array2<f64>) -> Option<CholeskyFactor> {
    CholeskyFactor::of(kernel.nrows(), |row, column| kernel[[row, column]])
}
