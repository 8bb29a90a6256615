//! The Pareto front over accuracy (more is better) and latency (less is better).
//!
//! A point dominates another if it is at least as good in both and better in one. The front keeps the points that
//! none dominates, sorted by latency, so accuracy rises along it and one binary search places a new point.

use serde::{Deserialize, Serialize};

/// One candidate on the plane, with whatever names it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point<T> {
    /// A fraction; more is better.
    pub accuracy: f64,
    /// Milliseconds; less is better.
    pub latency_ms: f64,
    /// The candidate.
    pub candidate: T,
}

impl<T> Point<T> {
    /// Whether this point is at least as good in both and better in one.
    pub fn dominates<U>(&self, other: &Point<U>) -> bool {
        self.accuracy >= other.accuracy
            && self.latency_ms <= other.latency_ms
            && (self.accuracy > other.accuracy || self.latency_ms < other.latency_ms)
    }
}

/// The points that no other dominates, by rising latency and accuracy.
///
/// ```
/// use mnas::search::{Front, Point};
/// let mut front = Front::default();
/// assert!(front.insert(Point { accuracy: 0.70, latency_ms: 20.0, candidate: "a" }));
/// assert!(front.insert(Point { accuracy: 0.75, latency_ms: 40.0, candidate: "b" }));
/// assert!(!front.insert(Point { accuracy: 0.69, latency_ms: 21.0, candidate: "dominated by a" }));
/// // Between 20 and 40 ms accuracy 0.70 is had, between 40 and 100 ms 0.75.
/// assert_eq!(front.hypervolume(0.0, 100.0), 0.70 * 20.0 + 0.75 * 60.0);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Front<T> {
    points: Vec<Point<T>>,
}

impl<T> Default for Front<T> {
    fn default() -> Self {
        Self { points: Vec::new() }
    }
}

impl<T> Front<T> {
    /// Takes `point` in unless a point of the front dominates or equals it, and drops those that it dominates; returns
    /// whether it was taken. A point that is not finite is never taken.
    pub fn insert(&mut self, point: Point<T>) -> bool {
        if !(point.accuracy.is_finite() && point.latency_ms.is_finite()) {
            return false;
        }
        let slower = self.points.partition_point(|other| other.latency_ms <= point.latency_ms);
        if slower > 0 && self.points[slower - 1].accuracy >= point.accuracy {
            return false;
        }
        let first = self.points.partition_point(|other| other.latency_ms < point.latency_ms);
        let last = self
            .points
            .partition_point(|other| other.latency_ms < point.latency_ms || other.accuracy <= point.accuracy);
        self.points.splice(first..last.max(first), [point]);
        true
    }

    /// The points by rising latency.
    pub fn points(&self) -> &[Point<T>] {
        &self.points
    }

    /// Area dominated by the front within the corner of accuracy `least_accuracy` and latency `most_latency_ms`;
    /// accuracy (a fraction) times milliseconds.
    pub fn hypervolume(&self, least_accuracy: f64, most_latency_ms: f64) -> f64 {
        let ends = self.points.iter().skip(1).map(|point| point.latency_ms).chain([f64::INFINITY]);
        self.points
            .iter()
            .zip(ends)
            .map(|(point, end)| {
                let width = (end.min(most_latency_ms) - point.latency_ms).max(0.0);
                width * (point.accuracy - least_accuracy).max(0.0)
            })
            .sum()
    }
}

impl<T> FromIterator<Point<T>> for Front<T> {
    fn from_iter<I: IntoIterator<Item = Point<T>>>(points: I) -> Self {
        let mut front = Self::default();
        for point in points {
            front.insert(point);
        }
        front
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Coarse values, so that ties are common.
    fn clouds() -> impl Strategy<Value = Vec<Point<usize>>> {
        let point = (0..12u8, 0..12u8);
        prop::collection::vec(point, 0..60).prop_map(|pairs| {
            let place = |(index, (accuracy, latency)): (usize, (u8, u8))| Point {
                accuracy: f64::from(accuracy) / 11.0,
                latency_ms: 1.0 + f64::from(latency),
                candidate: index,
            };
            pairs.into_iter().enumerate().map(place).collect()
        })
    }

    proptest! {
        #[test]
        fn the_front_is_what_comparing_everything_with_everything_leaves(cloud in clouds()) {
            let mut naive: Vec<(f64, f64)> = cloud
                .iter()
                .filter(|point| !cloud.iter().any(|other| other.dominates(point)))
                .map(|point| (point.latency_ms, point.accuracy))
                .collect();
            naive.sort_by(|a, b| a.partial_cmp(b).unwrap());
            naive.dedup();
            let front: Front<usize> = cloud.into_iter().collect();
            let found: Vec<(f64, f64)> = front.points().iter().map(|p| (p.latency_ms, p.accuracy)).collect();
            prop_assert_eq!(found, naive);
        }

        #[test]
        fn the_hypervolume_is_the_share_of_a_fine_grid_that_some_point_dominates(cloud in clouds()) {
            // Points lie on the corners of 1/11 x 1 ms cells, so whole cells are dominated or not.
            let dominated = |a: usize, l: usize| cloud.iter().any(|point| {
                point.accuracy >= (a as f64 + 0.5) / 11.0 && point.latency_ms <= l as f64 + 1.5
            });
            let cells = (0..11).flat_map(|a| (0..14).map(move |l| (a, l))).filter(|&(a, l)| dominated(a, l)).count();
            let front: Front<usize> = cloud.iter().copied().collect();
            prop_assert!((front.hypervolume(0.0, 15.0) - cells as f64 / 11.0).abs() < 1e-9);
        }

        #[test]
        fn taken_means_no_point_before_was_as_good(cloud in clouds()) {
            let mut front = Front::default();
            for (index, point) in cloud.iter().enumerate() {
                let as_good = cloud[..index].iter().any(|other| {
                    other.accuracy >= point.accuracy && other.latency_ms <= point.latency_ms
                });
                prop_assert_eq!(front.insert(*point), !as_good);
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_out() {
        let mut front = Front::default();
        assert!(!front.insert(Point { accuracy: f64::NAN, latency_ms: 1.0, candidate: () }));
        assert!(!front.insert(Point { accuracy: 0.5, latency_ms: f64::INFINITY, candidate: () }));
        assert_eq!(front.hypervolume(0.0, 10.0), 0.0);
    }
}
