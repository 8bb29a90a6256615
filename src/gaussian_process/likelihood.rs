//! How likely hyper-parameters are, and the search for the likeliest.

use super::factor::{CholeskyFactor, dot};

/// An increase of the logarithm of the likelihood that is worth another step.
const WORTH: f64 = 1e-3;

/// Logarithm of the marginal likelihood of n values without a constant, up to one: −½ yᵀ K⁻¹ y − ½ ln det K; `weights` is
/// K⁻¹ y.
pub fn ln_likelihood(factor: &CholeskyFactor, values: &[f64], weights: &[f64]) -> f64 {
    -0.5 * dot(values, weights) - factor.half_ln_determinant()
}

/// Logarithm, up to a constant, of the density of ln(value) where that is a normal variable of mean ln(median).
pub fn ln_log_normal(value: f64, median: f64, deviation: f64) -> f64 {
    let deviations = (value / median).ln() / deviation;
    -0.5 * deviations * deviations
}

/// Coordinate ascent: the likeliest of N positive numbers that steps by a factor find. One after the other is
/// multiplied or divided by the first factor as long as that raises `ln_likelihood`, then all by the second, and so on.
/// No number leaves its range.
pub fn coordinate_ascent<const N: usize>(
    start: [f64; N],
    ranges: &[[f64; 2]; N],
    factors: &[f64],
    mut ln_likelihood: impl FnMut(&[f64; N]) -> f64,
) -> [f64; N] {
    let (mut best, mut most) = (start, ln_likelihood(&start));
    for factor in factors {
        for number in 0..N {
            for factor in [*factor, 1.0 / factor] {
                while let Some(tried) = stepped(&best, number, factor, ranges) {
                    let found = ln_likelihood(&tried);
                    if found <= most + WORTH {
                        break;
                    }
                    (best, most) = (tried, found);
                }
            }
        }
    }
    best
}

/// The numbers with one multiplied, none where it is at the end of its range.
fn stepped<const N: usize>(numbers: &[f64; N], number: usize, factor: f64, ranges: &[[f64; 2]; N]) -> Option<[f64; N]> {
    let [least, most] = ranges[number];
    let moved = (numbers[number] * factor).clamp(least, most);
    let mut stepped = *numbers;
    stepped[number] = moved;
    (moved != numbers[number]).then_some(stepped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hill_without_ridges_is_climbed_to_within_the_last_factor_and_never_out_of_range(
            top in prop::array::uniform3(-4.0..4.0_f64),
        ) {
            let ranges = [[0.02, 50.0]; 3];
            let height = |numbers: &[f64; 3]| -> f64 {
                for (number, [least, most]) in numbers.iter().zip(&ranges) {
                    assert!((least..=most).contains(&number));
                }
                numbers.iter().zip(&top).map(|(number, top)| ln_log_normal(*number, top.exp(), 1.0)).sum()
            };
            let found = coordinate_ascent([1.0; 3], &ranges, &[4.0, 2.0], height);
            for (found, top) in found.iter().zip(&top) {
                let nearest = top.exp().clamp(0.02, 50.0);
                prop_assert!((found / nearest).ln().abs() < 2.0_f64.ln(), "{found} {nearest}");
            }
        }

        #[test]
        fn the_likelihood_is_that_of_independent_values_where_they_are_independent(
            values in prop::collection::vec(-3.0..3.0_f64, 1..12), variance in 0.1..4.0_f64,
        ) {
            let factor = CholeskyFactor::of(values.len(), |a, b| if a == b { variance } else { 0.0 }).unwrap();
            let weights = factor.unwhiten(factor.whiten(&values));
            let naive: f64 = values.iter().map(|value| -0.5 * value * value / variance - 0.5 * variance.ln()).sum();
            prop_assert!((ln_likelihood(&factor, &values, &weights) - naive).abs() < 1e-9);
        }
    }
}
