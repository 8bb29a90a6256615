//! The Cholesky factor of a covariance matrix, grown row by row.

/// Keeps the factor finite where two observations are one.
const LEAST_VARIANCE: f64 = 1e-10;

/// L, lower triangular with a positive diagonal, of K = L Lᵀ. Row i has i + 1 entries and needs only the rows above it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CholeskyFactor {
    rows: Vec<Vec<f64>>,
}

impl CholeskyFactor {
    /// The factor of the n × n matrix with these entries, of which the lower triangle is asked for; none if the matrix is
    /// not positive definite. Cost: n³/6 multiply-adds.
    pub fn of(size: usize, entry: impl Fn(usize, usize) -> f64) -> Option<Self> {
        let mut factor = Self { rows: Vec::with_capacity(size) };
        for index in 0..size {
            let covariances: Vec<f64> = (0..index).map(|column| entry(index, column)).collect();
            let (row, left) = factor.row(&covariances, entry(index, index));
            if left.is_nan() || left <= 0.0 {
                return None;
            }
            factor.append(row, left);
        }
        Some(factor)
    }

    /// Rows so far: n.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Appends an observation from its n covariances with those before and its own variance; one that hardly differs from
    /// those before is given a little variance of its own. Cost: n² multiply-adds.
    pub fn push(&mut self, covariances: &[f64], variance: f64) {
        let (row, left) = self.row(covariances, variance);
        self.append(row, left.max(LEAST_VARIANCE));
    }

    /// The next row without its last entry, and that entry's square.
    fn row(&self, covariances: &[f64], variance: f64) -> (Vec<f64>, f64) {
        let row = self.whiten(covariances);
        let left = variance - dot(&row, &row);
        (row, left)
    }

    fn append(&mut self, mut row: Vec<f64>, square: f64) {
        row.push(square.sqrt());
        self.rows.push(row);
    }

    /// L⁻¹ b, by forward substitution; of the first rows only where b is shorter than n.
    pub fn whiten(&self, right: &[f64]) -> Vec<f64> {
        let mut solution: Vec<f64> = Vec::with_capacity(right.len() + 1);
        for (row, value) in self.rows.iter().zip(right) {
            let index = solution.len();
            solution.push((value - dot(&row[..index], &solution)) / row[index]);
        }
        solution
    }

    /// L⁻ᵀ b, by back substitution, for b of n numbers: of L⁻¹ y it makes K⁻¹ y.
    pub fn unwhiten(&self, mut right: Vec<f64>) -> Vec<f64> {
        for index in (0..right.len()).rev() {
            let value = right[index] / self.rows[index][index];
            right[index] = value;
            for (above, entry) in right[..index].iter_mut().zip(&self.rows[index]) {
                *above -= value * entry;
            }
        }
        right
    }

    /// ½ ln det K: the sum of the logarithms of L's diagonal.
    pub fn half_ln_determinant(&self) -> f64 {
        self.rows.iter().filter_map(|row| row.last()).map(|entry| entry.ln()).sum()
    }
}

/// A scalar product in eight sums side by side, which is what a processor does at once; of the shorter length.
pub fn dot(one: &[f64], other: &[f64]) -> f64 {
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

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A covariance matrix: points on a line, a smooth kernel, and noise.
    pub fn covariance() -> impl Strategy<Value = Vec<Vec<f64>>> {
        (prop::collection::vec(-3.0..3.0_f64, 1..24), 0.01..1.0_f64).prop_map(|(points, noise)| {
            let entry =
                |a: usize, b: usize| (-0.5 * (points[a] - points[b]).powi(2)).exp() + if a == b { noise } else { 0.0 };
            (0..points.len()).map(|a| (0..points.len()).map(|b| entry(a, b)).collect()).collect()
        })
    }

    /// K⁻¹ b and ln det K, by Gaussian elimination with pivots: the naive reference.
    pub fn eliminate(matrix: &[Vec<f64>], right: &[f64]) -> (Vec<f64>, f64) {
        let size = matrix.len();
        let mut rows: Vec<Vec<f64>> =
            matrix.iter().zip(right).map(|(row, value)| row.iter().copied().chain([*value]).collect()).collect();
        let mut ln_determinant = 0.0;
        for column in 0..size {
            let pivot = (column..size).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
            rows.swap(column, pivot.unwrap());
            ln_determinant += rows[column][column].abs().ln();
            for row in (0..size).filter(|row| *row != column) {
                let factor = rows[row][column] / rows[column][column];
                let pivot = rows[column].clone();
                rows[row].iter_mut().zip(&pivot).for_each(|(entry, pivot)| *entry -= factor * pivot);
            }
        }
        ((0..size).map(|row| rows[row][size] / rows[row][row]).collect(), ln_determinant)
    }

    proptest! {
        #[test]
        fn the_factor_solves_and_measures_what_elimination_does(matrix in covariance(), seed in 0..1000u64) {
            use rand::Rng as _;
            let random = &mut crate::seeded(seed);
            let right: Vec<f64> = matrix.iter().map(|_| random.gen_range(-1.0..1.0)).collect();
            let factor = CholeskyFactor::of(matrix.len(), |a, b| matrix[a][b]).unwrap();
            let (solved, ln_determinant) = eliminate(&matrix, &right);
            for (found, expected) in factor.unwhiten(factor.whiten(&right)).iter().zip(&solved) {
                prop_assert!((found - expected).abs() < 1e-8 * (1.0 + expected.abs()), "{found} {expected}");
            }
            prop_assert!((2.0 * factor.half_ln_determinant() - ln_determinant).abs() < 1e-8);
        }

        #[test]
        fn the_factor_times_its_transpose_is_the_matrix(matrix in covariance()) {
            let factor = CholeskyFactor::of(matrix.len(), |a, b| matrix[a][b]).unwrap();
            for (a, row) in matrix.iter().enumerate() {
                for (b, entry) in row.iter().enumerate().take(a + 1) {
                    prop_assert!((dot(&factor.rows[a], &factor.rows[b]) - entry).abs() < 1e-12);
                }
            }
        }

        #[test]
        fn one_that_grew_equals_one_made_at_once_bit_for_bit(matrix in covariance()) {
            let mut grown = CholeskyFactor::default();
            for (index, row) in matrix.iter().enumerate() {
                grown.push(&row[..index], row[index]);
            }
            prop_assert_eq!(Some(grown), CholeskyFactor::of(matrix.len(), |a, b| matrix[a][b]));
        }

        #[test]
        fn the_scalar_product_is_the_sum_of_the_products(pairs in prop::collection::vec((-9.0..9.0_f64, -9.0..9.0_f64), 0..40)) {
            let (one, other): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            let naive: f64 = pairs.iter().map(|(a, b)| a * b).sum();
            prop_assert!((dot(&one, &other) - naive).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_no_covariance_has_no_factor_and_a_point_seen_twice_has() {
        assert_eq!(CholeskyFactor::of(2, |a, b| if a == b { 1.0 } else { 2.0 }), None);
        assert_eq!(CholeskyFactor::of(1, |_, _| f64::NAN), None);
        let mut factor = CholeskyFactor::default();
        factor.push(&[], 1.0);
        factor.push(&[1.0], 1.0);
        assert!(factor.half_ln_determinant().is_finite());
    }
}
