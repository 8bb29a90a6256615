//! Which of a step's sampled candidates are worth training, judged by predicted latency alone.
//!
//! The controller's samples are kept in the order they were drawn, so that inside the window the trained batch stays
//! a sample of the policy. The window is a band around the target: a candidate outside cannot become the network that
//! was asked for, whatever its accuracy. Where too few lie inside, the nearest outside fill the batch, by the distance
//! |ln(latency / edge)|.

use crate::search::settings::Window;

impl Window {
    /// Distance of a predicted latency from the band, on the scale of |ln|; 0 inside.
    fn distance(&self, latency_ms: f64, target_ms: f64) -> f64 {
        let ratio = latency_ms / target_ms;
        if ratio < self.low {
            (self.low / ratio).ln()
        } else if ratio > self.high {
            (ratio / self.high).ln()
        } else {
            0.0
        }
    }

    /// Positions of all candidates inside, or of `wanted` where fewer are, in the order they were drawn.
    pub fn inside(&self, predicted_ms: &[f64], target_ms: f64, wanted: usize) -> Vec<usize> {
        let inside = predicted_ms.iter().filter(|latency_ms| self.distance(**latency_ms, target_ms) == 0.0).count();
        self.select(predicted_ms, target_ms, wanted.max(inside))
    }

    /// Positions of the at most `wanted` candidates to train, in the order they were drawn.
    pub fn select(&self, predicted_ms: &[f64], target_ms: f64, wanted: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..predicted_ms.len()).collect();
        let distance = |position: &usize| self.distance(predicted_ms[*position], target_ms);
        // Stable: equal distances keep the order of drawing.
        order.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        order.truncate(wanted);
        order.sort_unstable();
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inside_the_window_the_order_of_drawing_decides() {
        let window = Window { low: 0.5, high: 1.2 };
        assert_eq!(window.select(&[90.0, 200.0, 60.0, 119.0, 10.0], 100.0, 2), [0, 2]);
    }

    #[test]
    fn too_few_inside_are_filled_with_the_nearest_outside() {
        let window = Window { low: 0.5, high: 1.2 };
        assert_eq!(window.select(&[90.0, 200.0, 45.0, 10.0], 100.0, 3), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn nobody_outside_is_taken_while_somebody_inside_is_left(
            predicted in prop::collection::vec(1.0..1000.0f64, 0..40),
            wanted in 0..20usize,
        ) {
            let window = Window::default();
            let taken = window.select(&predicted, 100.0, wanted);
            prop_assert_eq!(taken.len(), wanted.min(predicted.len()));
            let farthest = taken.iter().map(|&i| window.distance(predicted[i], 100.0)).fold(0.0, f64::max);
            for left in (0..predicted.len()).filter(|i| !taken.contains(i)) {
                prop_assert!(window.distance(predicted[left], 100.0) >= farthest);
            }
        }
    }
}
