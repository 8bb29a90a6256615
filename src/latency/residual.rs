//! The non-linear part of the predictor: a Gaussian process on what the linear part leaves.
//!
//! It models rᵢ = ln(yᵢ / linearᵢ) over the standardised features z ∈ ℝᵈ with the kernel
//! k(z, z') = (1 + √3 ρ) exp(−√3 ρ) + z·z' / (10 d), ρ = |z − z'| / (ℓ √d): Matérn 3/2 for what varies, a faint linear
//! term for what the linear part got wrong on average (Rasmussen and Williams, "Gaussian Processes for Machine
//! Learning", sections 2.2 and 4.2). Length scale ℓ and noise maximise the marginal likelihood, whose signal variance
//! has a closed form: s² = rᵀ K⁻¹ r / n, −ln L = (n ln s² + ln |K|) / 2 + constant (section 5.4.1).
//!
//! Evaluation runs over single-precision copies of the inputs in blocks of eight, which the compiler turns into
//! vector instructions: a search asks for hundreds of thousands of predictions.

use linfa_linalg::cholesky::CholeskyInplace as _;
use linfa_linalg::triangular::{SolveTriangular as _, UPLO};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use serde::{Deserialize, Serialize};

use super::FitError;

/// Length scales tried, in units of √d.
const LENGTHS: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 8.0];
/// Noise variances tried, relative to the signal's.
const NOISES: [f64; 6] = [0.001, 0.01, 0.03, 0.1, 0.3, 1.0];
/// Weight of the linear term.
const LINEAR: f64 = 0.1;
/// Rows that choose the two parameters; more do not choose better, and cost grows with their cube.
const MOST_CHOOSING: usize = 200;
/// Rows the process keeps: the cost of a fit grows with their cube, that of a prediction with their number.
const MOST_KEPT: usize = 500;
/// Width of a block of single-precision values.
const LANES: usize = 8;

/// The two parameters that the marginal likelihood chooses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KernelParameters {
    /// Length scale in units of √d.
    pub length: f64,
    /// Noise variance relative to the signal's.
    pub noise: f64,
}

/// Brings features to zero mean and unit variance; constant ones are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardisation {
    columns: Vec<usize>,
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl Standardisation {
    /// Means and deviations of the columns of `features`.
    pub fn of(features: &Array2<f64>) -> Self {
        let mut standardisation = Self { columns: Vec::new(), means: Vec::new(), deviations: Vec::new() };
        for (index, column) in features.axis_iter(Axis(1)).enumerate() {
            let (mean, deviation) = (column.mean().unwrap_or(0.0), column.std(0.0));
            if deviation > 1e-9 * mean.abs().max(1e-9) {
                standardisation.columns.push(index);
                standardisation.means.push(mean);
                standardisation.deviations.push(deviation);
            }
        }
        standardisation
    }

    /// How many columns vary.
    pub fn dimensions(&self) -> usize {
        self.columns.len()
    }

    /// One row, standardised.
    pub fn apply<'a>(&'a self, features: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let columns = self.columns.iter().zip(&self.means).zip(&self.deviations);
        columns.map(|((&column, mean), deviation)| (features[column] - mean) / deviation)
    }

    /// All rows, standardised.
    pub fn apply_all(&self, features: &Array2<f64>) -> Array2<f64> {
        let mut standardised = Array2::zeros((features.nrows(), self.dimensions()));
        for (row, mut target) in features.rows().into_iter().zip(standardised.rows_mut()) {
            for ((&column, (mean, deviation)), value) in
                self.columns.iter().zip(self.means.iter().zip(&self.deviations)).zip(target.iter_mut())
            {
                *value = (row[column] - mean) / deviation;
            }
        }
        standardised
    }
}

/// The fitted process in the form it is stored in; a predictor lays it out for speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    parameters: KernelParameters,
    standardisation: Standardisation,
    /// K⁻¹ r, one value per network of the fit.
    coefficients: Vec<f64>,
    /// Their standardised features, row after row, in single precision as they are evaluated.
    inputs: Vec<f32>,
}

impl Residual {
    /// The likeliest parameters for residuals (length n) over features (n by d).
    ///
    /// # Errors
    /// [`FitError::Regression`] if no combination can be decomposed.
    pub fn choose(features: &Array2<f64>, residuals: ArrayView1<f64>) -> Result<KernelParameters, FitError> {
        let (features, residuals) = thinned(features, residuals, MOST_CHOOSING);
        let inputs = Standardisation::of(&features).apply_all(&features);
        let (distances, products) = pairs(&inputs);
        let mut best: Option<(f64, KernelParameters)> = None;
        for length in LENGTHS {
            let kernel = kernel_of(&distances, &products, length, inputs.ncols());
            for noise in NOISES {
                let Ok(solved) = Solved::new(kernel.clone(), noise, residuals.view()) else { continue };
                let loss = solved.loss(residuals.view());
                if best.is_none_or(|(least, _)| loss < least) {
                    best = Some((loss, KernelParameters { length, noise }));
                }
            }
        }
        best.map(|(_, parameters)| parameters)
            .ok_or_else(|| FitError::Regression("no kernel fits the residuals".into()))
    }

    /// Fits residuals (length n) over features (n by d), or to rows spread evenly over them if there are very many.
    ///
    /// # Errors
    /// [`FitError::Regression`] if the kernel matrix cannot be decomposed.
    pub fn fit(
        parameters: KernelParameters,
        features: &Array2<f64>,
        residuals: ArrayView1<f64>,
    ) -> Result<Self, FitError> {
        let (features, residuals) = thinned(features, residuals, MOST_KEPT);
        let standardisation = Standardisation::of(&features);
        let inputs = standardisation.apply_all(&features);
        let (distances, products) = pairs(&inputs);
        let kernel = kernel_of(&distances, &products, parameters.length, inputs.ncols());
        let solved = Solved::new(kernel, parameters.noise, residuals.view())?;
        Ok(Self {
            parameters,
            standardisation,
            coefficients: solved.coefficients.to_vec(),
            inputs: inputs.iter().map(|&value| value as f32).collect(),
        })
    }

    /// Checks what a file may have got wrong: the lengths.
    pub(super) fn is_consistent(&self, features: usize) -> bool {
        let Standardisation { columns, means, deviations } = &self.standardisation;
        let lengths = columns.len() == means.len() && columns.len() == deviations.len();
        lengths
            && columns.iter().all(|&column| column < features)
            && self.inputs.len() == self.coefficients.len() * columns.len()
    }

    /// The form that predicts.
    pub(super) fn ready(&self) -> ReadyResidual {
        let dimensions = self.standardisation.dimensions();
        let width = dimensions.next_multiple_of(LANES).max(LANES);
        let mut inputs = vec![0.0; self.coefficients.len() * width];
        let mut slope = vec![0.0; dimensions];
        for (row, coefficient) in self.coefficients.iter().enumerate() {
            let input = &self.inputs[row * dimensions..(row + 1) * dimensions];
            inputs[row * width..row * width + dimensions].copy_from_slice(input);
            slope.iter_mut().zip(input).for_each(|(sum, &value)| *sum += coefficient * f64::from(value));
        }
        let scale = LINEAR / dimensions.max(1) as f64;
        ReadyResidual {
            standardisation: self.standardisation.clone(),
            inputs,
            width,
            coefficients: self.coefficients.iter().map(|&value| value as f32).collect(),
            slope: slope.into_iter().map(|sum| sum * scale).collect(),
            inverse_length: (3.0 / (self.parameters.length.powi(2) * dimensions.max(1) as f64)).sqrt() as f32,
        }
    }
}

/// A process laid out for evaluation.
#[derive(Debug, Clone)]
pub(super) struct ReadyResidual {
    standardisation: Standardisation,
    /// Rows padded with zeros to whole blocks.
    inputs: Vec<f32>,
    width: usize,
    coefficients: Vec<f32>,
    /// The linear term, summed over all rows.
    slope: Vec<f64>,
    /// √3 / (ℓ √d).
    inverse_length: f32,
}

impl ReadyResidual {
    /// The expected ln(latency / linear part) at these features.
    pub(super) fn predict(&self, features: &[f64]) -> f64 {
        let mut at = [0.0f32; super::features::COUNT.next_multiple_of(LANES)];
        let mut linear = 0.0;
        for ((value, slope), target) in self.standardisation.apply(features).zip(&self.slope).zip(&mut at) {
            linear += value * slope;
            *target = value as f32;
        }
        let at = &at[..self.width];
        let rows = self.inputs.chunks_exact(self.width).zip(&self.coefficients);
        let matern: f32 = rows
            .map(|(row, coefficient)| {
                let distance = squared_distance(row, at).sqrt() * self.inverse_length;
                coefficient * (1.0 + distance) * (-distance).exp()
            })
            .sum();
        f64::from(matern) + linear
    }
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().sum()
}

/// At most `most` rows, evenly spread.
fn thinned(features: &Array2<f64>, residuals: ArrayView1<f64>, most: usize) -> (Array2<f64>, Array1<f64>) {
    let count = features.nrows().min(most);
    let rows: Vec<usize> = (0..count).map(|row| row * features.nrows() / count).collect();
    (features.select(Axis(0), &rows), residuals.select(Axis(0), &rows))
}

/// Squared distances and products of all pairs of rows.
fn pairs(inputs: &Array2<f64>) -> (Array2<f64>, Array2<f64>) {
    let products = inputs.dot(&inputs.t());
    let norms = products.diag().to_owned();
    let distances =
        Array2::from_shape_fn(products.dim(), |(i, j)| (norms[i] + norms[j] - 2.0 * products[[i, j]]).max(0.0));
    (distances, products)
}

fn kernel_of(distances: &Array2<f64>, products: &Array2<f64>, length: f64, dimensions: usize) -> Array2<f64> {
    let dimensions = dimensions.max(1) as f64;
    let scale = 3.0 / (dimensions * length * length);
    let matern = distances.mapv(|distance| {
        let distance = (distance * scale).sqrt();
        (1.0 + distance) * (-distance).exp()
    });
    matern + products * (LINEAR / dimensions)
}

/// A decomposed kernel matrix with K⁻¹ r.
struct Solved {
    lower: Array2<f64>,
    coefficients: Array1<f64>,
}

impl Solved {
    fn new(mut kernel: Array2<f64>, noise: f64, residuals: ArrayView1<f64>) -> Result<Self, FitError> {
        kernel.diag_mut().iter_mut().for_each(|value| *value += noise);
        let failed = |error: linfa_linalg::LinalgError| FitError::Regression(error.to_string());
        let lower = kernel.cholesky_into().map_err(failed)?;
        let column = residuals.to_owned().insert_axis(Axis(1));
        let half = lower.solve_triangular(&column, UPLO::Lower).map_err(failed)?;
        let whole = lower.t().solve_triangular(&half, UPLO::Upper).map_err(failed)?;
        Ok(Self { lower, coefficients: whole.index_axis_move(Axis(1), 0) })
    }

    /// The negative logarithm of the marginal likelihood, up to a constant.
    fn loss(&self, residuals: ArrayView1<f64>) -> f64 {
        let count = residuals.len() as f64;
        let variance = residuals.dot(&self.coefficients).max(f64::MIN_POSITIVE) / count;
        0.5 * count * variance.ln() + self.lower.diag().iter().map(|value| value.ln()).sum::<f64>()
    }
}
