//! Adam (Kingma and Ba, 2015, algorithm 1) on one flat vector, with all of its state at hand.
//!
//! m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − rate · m̂ / (√v̂ + ε), where m̂ = m/(1−β₁ᵗ) and v̂ = v/(1−β₂ᵗ).
//! Torch's own keeps m and v where they cannot be read out, and a resumed search must continue bit for bit.

/// β₁, β₂ and ε, the paper's.
const FIRST_DECAY: f64 = 0.9;
const SECOND_DECAY: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The moments of the gradient and the number of steps made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adam {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
    pub steps: u64,
}

impl Adam {
    /// No step made yet, for that many parameters.
    pub fn new(parameters: usize) -> Self {
        Self { first: vec![0.0; parameters], second: vec![0.0; parameters], steps: 0 }
    }

    /// Moves `parameters` one step against `gradient`.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f64) {
        self.steps += 1;
        let first_weight = 1.0 - FIRST_DECAY.powf(self.steps as f64);
        let second_weight = 1.0 - SECOND_DECAY.powf(self.steps as f64);
        let (rate, second_scale) = ((rate / first_weight) as f32, (1.0 / second_weight) as f32);
        let (b1, b2, epsilon) = (FIRST_DECAY as f32, SECOND_DECAY as f32, EPSILON as f32);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            *parameter -= rate * *m / ((*v * second_scale).sqrt() + epsilon);
        }
    }
}

/// Scales `gradient` down to `greatest` if its Euclidean norm is longer; returns the norm it had.
pub(super) fn clip_norm(gradient: &mut [f32], greatest: f64) -> f64 {
    let norm = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
    if norm > greatest {
        let scale = (greatest / norm) as f32;
        gradient.iter_mut().for_each(|g| *g *= scale);
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_has_the_length_of_the_rate_whatever_the_gradient() {
        let mut parameters = [1.0, 1.0];
        Adam::new(2).step(&mut parameters, &[1e-3, -50.0], 0.1);
        assert!((parameters[0] - 0.9).abs() < 1e-4 && (parameters[1] - 1.1).abs() < 1e-4, "{parameters:?}");
    }

    #[test]
    fn it_finds_the_minimum_of_a_badly_scaled_bowl() {
        let (mut parameters, mut adam) = ([3.0_f32, -2.0], Adam::new(2));
        for _ in 0..2000 {
            let gradient = [2.0 * (parameters[0] - 1.0), 200.0 * (parameters[1] - 5.0)];
            adam.step(&mut parameters, &gradient, 0.02);
        }
        assert!((parameters[0] - 1.0).abs() < 1e-2 && (parameters[1] - 5.0).abs() < 1e-2, "{parameters:?}");
    }

    #[test]
    fn only_long_gradients_are_scaled() {
        let mut gradient = [3.0, 4.0];
        assert_eq!(clip_norm(&mut gradient, 10.0), 5.0);
        assert_eq!(gradient, [3.0, 4.0]);
        assert_eq!(clip_norm(&mut gradient, 1.0), 5.0);
        assert_eq!(gradient, [0.6, 0.8]);
    }
}
