//! How fast the device is now, compared with when it was calibrated.
//!
//! A machine that trains two networks side by side, heats up or shares its processor with strangers can time everything
//! a quarter slower than during the calibration an hour before. A latency from such a moment is of no use beside those
//! the predictor was fitted to. So every session in the loop times a few *anchors* along: networks of the calibration,
//! of known latency. The session's drift is the median of their latencies now over then, and every latency of the
//! session is divided by it.

use std::sync::OnceLock;

use super::asked::Asked;
use crate::device::session::{Session, Statistic};
use crate::device::statistics::median;
use crate::device::{Device, Model};
use crate::latency::calibrate::measure::model_for;
use crate::latency::{DataSet, Prediction};
use crate::network::Network;
use crate::search::error::SearchError;
use crate::space::Architecture;
use crate::store::Purpose;

/// Where in the sorted latencies of the calibration the anchors stand.
const QUANTILES: [f64; 3] = [0.25, 0.5, 0.75];
/// Share of sessions whose anchors are to lie within what is expected of them.
pub(super) const LEVEL: f64 = 0.97;
/// Half the width of such an interval in standard deviations.
const DEVIATIONS: f64 = 2.17;
/// Deviation of a timing's logarithm, at least: what lies closer matters to no search.
const LEAST_DEVIATION: f64 = 0.02;
/// No one device drifts further than this.
pub const MOST_DRIFT: f64 = 2.0;

/// A few networks of known latency; see the module's text.
pub struct Anchors {
    architectures: Vec<Architecture>,
    known_ms: Vec<f64>,
    models: OnceLock<Vec<Model>>,
}

impl Anchors {
    /// Picks anchors from measurements that were made in one go.
    pub fn of(data: &DataSet) -> Self {
        let mut sorted: Vec<_> = data.measurements().iter().collect();
        sorted.sort_by(|a, b| {
            let line = |m: &crate::latency::Measurement| m.architecture.to_string();
            a.latency_ms.total_cmp(&b.latency_ms).then_with(|| line(a).cmp(&line(b)))
        });
        let mut anchors = Self { architectures: Vec::new(), known_ms: Vec::new(), models: OnceLock::new() };
        for quantile in QUANTILES {
            let position = (quantile * sorted.len() as f64) as usize;
            if let Some(measurement) = sorted.get(position) {
                anchors.architectures.push(measurement.architecture.clone());
                anchors.known_ms.push(measurement.latency_ms);
            }
        }
        anchors
    }

    /// The anchors' models, to be timed by the device behind the others of a session; made at the first call.
    ///
    /// # Errors
    /// A network that cannot be written.
    pub fn models(&self, device: &dyn Device) -> Result<&[Model], SearchError> {
        if let Some(models) = self.models.get() {
            return Ok(models);
        }
        let made: Result<Vec<Model>, _> = self.architectures.iter().map(|line| model_for(device, line)).collect();
        let made = made?;
        Ok(self.models.get_or_init(|| made))
    }

    /// What to ask of a session beside its networks, and what is expected of it on the calibrated device, freed of the
    /// session's drift, if the logarithm of a timing has this deviation; without one nothing is expected.
    ///
    /// # Errors
    /// None that [`Self::models`] did not have.
    pub(in crate::search) fn asked(&self, deviation: Option<f64>) -> Result<Vec<Asked<'_>>, SearchError> {
        // It differs from the middle one, each by its timings then and now: four deviations, added in squares.
        let half_width = deviation.map(|deviation| DEVIATIONS * 2.0 * deviation.max(LEAST_DEVIATION));
        let expected = |known_ms: f64| {
            let half_width = half_width?;
            let (low_ms, high_ms) = (known_ms * (-half_width).exp(), known_ms * half_width.exp());
            Some(Prediction { latency_ms: known_ms, low_ms, high_ms })
        };
        let mut asked = Vec::new();
        for (architecture, known_ms) in self.architectures.iter().zip(&self.known_ms) {
            let (digest, predicted) = (Network::expand(architecture)?.digest(), expected(*known_ms));
            asked.push(Asked { architecture, digest, purpose: Purpose::Anchor, predicted });
        }
        Ok(asked)
    }

    /// The drift of a session whose models from index `first` on are the anchors; 1 if none was timed.
    ///
    /// # Errors
    /// A drift beyond [`MOST_DRIFT`] either way: this is not the device, or not the setting, that was calibrated.
    pub fn drift(&self, session: &Session, first: usize) -> Result<f64, SearchError> {
        let now = (first..).map_while(|index| session.typical(index, Statistic::Fastest));
        let ratios: Vec<f64> = now.zip(&self.known_ms).map(|(now, known_ms)| now.value / known_ms).collect();
        let drift = if ratios.is_empty() { 1.0 } else { median(&ratios) };
        if !(1.0 / MOST_DRIFT..=MOST_DRIFT).contains(&drift) {
            return Err(SearchError::OtherDevice { drift });
        }
        Ok(drift)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::device::session::{Plan, measure};
    use crate::device::simulated::SimulatedDevice;
    use crate::device::{Description, DeviceError, Timing};
    use crate::space::Space;

    /// The simulated device, as much slower.
    struct Slower(SimulatedDevice, f64);

    impl Device for Slower {
        fn description(&self) -> Description {
            self.0.description()
        }

        fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
            let mut timing = self.0.time(model)?;
            timing.wall_ms.iter_mut().chain(&mut timing.cpu_ms).for_each(|ms| *ms *= self.1);
            Ok(timing)
        }
    }

    #[test]
    fn a_device_that_became_a_fifth_slower_is_found_to_be_so() {
        let space = Space::preset("demo").unwrap();
        let random = &mut crate::seeded(2);
        let mut data = DataSet::default();
        let time = |device: &mut dyn Device, models: &[Model]| {
            let plan = Plan { rounds: 3, seed: 1 };
            measure(device, models, &plan, Vec::new(), &mut |_| ControlFlow::Continue(())).unwrap()
        };
        for _ in 0..12 {
            let architecture = space.decode(&space.sample(random)).unwrap();
            let device = &mut SimulatedDevice::new(1);
            let model = model_for(device, &architecture).unwrap();
            let session = time(device, &[model]);
            data.push(&architecture, session.typical(0, Statistic::Fastest).unwrap().value, "").unwrap();
        }
        let anchors = Anchors::of(&data);
        let drift = |factor| {
            let device = &mut Slower(SimulatedDevice::new(1), factor);
            let models = anchors.models(device).unwrap();
            anchors.drift(&time(device, models), 0).unwrap_or(f64::NAN)
        };
        assert!((drift(1.0) - 1.0).abs() < 1e-9, "{}", drift(1.0));
        assert!((drift(1.2) - 1.2).abs() < 1e-9, "{}", drift(1.2));
        assert!(drift(3.0).is_nan(), "three times as slow is another device");
    }
}
