//! What follows from a factor and the observed values.

use super::factor::{CholeskyFactor, dot};

/// The constant, the scale and the weights of a process whose covariance is known up to a scale.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Solution {
    /// c, by generalised least squares: (1ᵀ K⁻¹ y) / (1ᵀ K⁻¹ 1).
    pub constant: f64,
    /// √(‖L⁻¹ (y − c)‖² / n): what makes the observed values likeliest, as a factor of standard deviations.
    pub scale: f64,
    /// K⁻¹ (y − c), n numbers.
    pub weights: Vec<f64>,
}

impl Solution {
    /// For the factor of n observations and their values; at least one.
    pub fn of(factor: &CholeskyFactor, values: &[f64]) -> Self {
        let ones = factor.whiten(&vec![1.0; values.len()]);
        let whitened = factor.whiten(values);
        let constant = dot(&ones, &whitened) / dot(&ones, &ones);
        let whitened: Vec<f64> = whitened.iter().zip(&ones).map(|(value, one)| value - constant * one).collect();
        let scale = (dot(&whitened, &whitened) / values.len() as f64).sqrt();
        Self { constant, scale, weights: factor.unwhiten(whitened) }
    }

    /// Logarithm of the marginal likelihood with constant and scale at their best, up to a constant: −n ln scale −
    /// ½ ln det K.
    pub fn ln_likelihood(&self, factor: &CholeskyFactor) -> f64 {
        -(factor.len() as f64) * self.scale.max(f64::MIN_POSITIVE).ln() - factor.half_ln_determinant()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gaussian_process::factor::tests::{covariance, eliminate};

    proptest! {
        #[test]
        fn constant_scale_and_weights_are_those_of_the_formulas(matrix in covariance(), slope in -2.0..2.0_f64) {
            let values: Vec<f64> = (0..matrix.len()).map(|index| 3.0 + slope * (index as f64).sin()).collect();
            let factor = CholeskyFactor::of(matrix.len(), |a, b| matrix[a][b]).unwrap();
            let found = Solution::of(&factor, &values);
            let (by_ones, _) = eliminate(&matrix, &vec![1.0; values.len()]);
            let constant = by_ones.iter().zip(&values).map(|(a, b)| a * b).sum::<f64>() / by_ones.iter().sum::<f64>();
            let centred: Vec<f64> = values.iter().map(|value| value - constant).collect();
            let (weights, ln_determinant) = eliminate(&matrix, &centred);
            let square = centred.iter().zip(&weights).map(|(a, b)| a * b).sum::<f64>().max(0.0) / values.len() as f64;
            prop_assert!((found.constant - constant).abs() < 1e-8);
            prop_assert!((found.scale.powi(2) - square).abs() < 1e-8 * (1.0 + square));
            for (weight, expected) in found.weights.iter().zip(&weights) {
                prop_assert!((weight - expected).abs() < 1e-7 * (1.0 + expected.abs()));
            }
            if square > 1e-6 {
                let naive = -0.5 * (values.len() as f64) * square.ln() - 0.5 * ln_determinant;
                prop_assert!((found.ln_likelihood(&factor) - naive).abs() < 1e-6);
            }
        }
    }
}
