//! What is measured before the first step: networks of the space, on every device without a calibration.

use super::Search;
use super::control::Control;
use super::progress::Progress;
use crate::latency::calibrate::plan::{CalibrationSettings, Part, Planned, plan};
use crate::network::Network;
use crate::search::error::SearchError;
use crate::search::model::Latencies;
use crate::search::model::calibration::calibration_name;
use crate::search::timing::asked::Asked;
use crate::search::timing::session::Timing;
use crate::store::Purpose;

impl Search<'_> {
    /// Everything the run knows of latencies. Where a device has no calibration, measures its first networks now.
    pub(super) fn first_latencies(&mut self, control: &Control) -> Result<Latencies, SearchError> {
        for device in 0..self.settings.devices.len() {
            self.warm_up(device, control)?;
        }
        Latencies::read(self.ledger, self.settings)
    }

    /// Measures networks of the space on a device before the first step, one after the other, as far as the ledger lacks
    /// them. A device with a calibration needs none.
    fn warm_up(&mut self, device: usize, control: &Control) -> Result<(), SearchError> {
        if self.ledger.setting(&calibration_name(device))?.is_some() {
            return Ok(());
        }
        // A tiny space is not measured empty.
        let half = usize::try_from(self.settings.space.size() / 2u8).unwrap_or(usize::MAX);
        let wanted = self.settings.search.warm_up_measurements.min(half);
        let progress = Progress::new("measuring", wanted as u64, 0, control.progress.visible());
        let mut settings = CalibrationSettings::new(self.settings.space.clone());
        settings.networks = wanted;
        (settings.validation, settings.repeats) = (1, 0);
        settings.seed = self.settings.seed;
        settings.limits = self.settings.limits;
        for Planned { architecture, part } in plan(&settings)? {
            if part != Part::Fit {
                continue;
            }
            control.check()?;
            let network = Network::expand(&architecture)?;
            let digest = network.digest();
            if self.ledger.measurement(device, &digest, Purpose::WarmUp)?.is_none() {
                let asked = Asked { architecture: &architecture, digest, purpose: Purpose::WarmUp, predicted: None };
                let timing = Timing { settings: self.settings, place: device, anchors: None, step: 0 };
                for measurement in timing.measure(&mut *self.devices[device], vec![asked])?.networks {
                    self.ledger.add_measurement(&measurement)?;
                }
            }
            progress.evaluated();
        }
        progress.finish();
        Ok(())
    }
}
