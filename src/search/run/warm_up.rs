//! What is measured before the first step: networks of the space, on every device without a calibration.

use std::path::Path;

use serde_json::json;

use super::Search;
use super::control::Control;
use super::progress::Progress;
use crate::device::DeviceError;
use crate::device::noise::DeviceNoise;
use crate::device::session::Plan;
use crate::latency::CalibrationError;
use crate::latency::calibrate::measure::{Batch, Measuring, Row};
use crate::latency::calibrate::plan::{CalibrationSettings, Part, Planned, plan};
use crate::latency::data::pace::logged;
use crate::network::Network;
use crate::search::error::SearchError;
use crate::search::model::Latencies;
use crate::search::model::calibration::{calibration, calibration_name, noise_name};
use crate::search::settings::Settings;
use crate::search::timing::session::LEVEL;
use crate::store::{FailedTiming, Measurement, Purpose};

impl Search<'_> {
    /// Everything the run knows of latencies. Where a device has no calibration, measures its first networks now.
    pub(super) fn first_latencies(&mut self, control: &Control) -> Result<Latencies, SearchError> {
        for device in 0..self.settings.devices.len() {
            if self.ledger.setting(&noise_name(device))?.is_none() {
                let noise = self.first_noise(device, control)?;
                self.ledger.set(&noise_name(device), &json!(noise).to_string())?;
            }
        }
        Latencies::read(self.ledger, self.settings)
    }

    /// The noise of a device: its calibration's, or that of its first measurements, which are made now.
    fn first_noise(&mut self, device: usize, control: &Control) -> Result<DeviceNoise, SearchError> {
        match self.ledger.setting(&calibration_name(device))? {
            Some(_) => Ok(calibration(self.ledger, device)?.0.noise().unwrap_or_default()),
            None => self.warm_up(device, control),
        }
    }

    /// Measures networks of the space as a calibration does: in interleaved rounds, every load on file before the next
    /// begins.
    fn warm_up(&mut self, device: usize, control: &Control) -> Result<DeviceNoise, SearchError> {
        let mut planned = first_networks(self.settings)?;
        let failed = self.ledger.failed_timings()?;
        planned.retain(|one| {
            let line = one.architecture.to_string();
            !failed.iter().any(|failed| failed.device == device && failed.architecture == line)
        });
        let path = self.ledger.folder().join(format!("warm-up-{}.csv", device + 1));
        let rows = loop {
            match self.first_loads(device, &planned, &path, control) {
                // A network that the device cannot run shows that in the first round: the others begin anew.
                Err(SearchError::Device(DeviceError::Model { model, problem, .. }))
                    if planned.iter().any(|one| one.architecture.to_string() == model) =>
                {
                    tracing::warn!("the device cannot time this network, which is left out: {problem}: {model}");
                    let left_out = planned.extract_if(.., |one| one.architecture.to_string() == model);
                    let left_out: Vec<Planned> = left_out.collect();
                    fs_err::remove_file(&path)?;
                    for one in left_out {
                        let digest = Network::expand(&one.architecture)?.digest();
                        let (architecture, problem) = (model.clone(), problem.clone());
                        let failed = FailedTiming { device, digest, architecture, step: 0, problem };
                        self.ledger.add_failed_timing(failed)?;
                    }
                }
                other => break other?,
            }
        };
        self.store_first(device, &rows)
    }

    /// Their loads, as far as the file lacks them.
    fn first_loads(
        &mut self,
        device: usize,
        planned: &[Planned],
        path: &Path,
        control: &Control,
    ) -> Result<Vec<Row>, SearchError> {
        let schedule = Plan { rounds: self.settings.devices[device].loads, seed: self.settings.seed };
        let total = schedule.rounds * planned.len();
        let progress = Progress::new("measuring", total as u64, 0, control.progress.visible());
        let mut measuring = Measuring::open(path)?;
        let observe = &mut |_| {
            progress.evaluated();
            control.flow()
        };
        let batch = Batch { planned, schedule, index: 0 };
        match measuring.batch(&mut *self.devices[device], batch, total, observe) {
            Err(CalibrationError::Interrupted { .. }) => Err(SearchError::Stopped),
            Err(CalibrationError::Device(error)) => Err(error.into()),
            other => Ok(other?),
        }?;
        progress.finish();
        Ok(measuring.rows().to_vec())
    }

    /// Stores what the loads say of every network's latency; gives the device's noise.
    fn store_first(&mut self, device: usize, rows: &[Row]) -> Result<DeviceNoise, SearchError> {
        let loads: Vec<_> = rows.iter().map(Row::timed).collect();
        let logged = logged(&loads);
        for network in &logged.networks {
            let architecture = crate::space::parse(network.architecture).map_err(CalibrationError::from)?;
            let own = || rows.iter().filter(|row| row.architecture == network.architecture);
            let interval = network.ln_ms.exponential_interval(LEVEL);
            let measurement = Measurement {
                device,
                digest: Network::expand(&architecture)?.digest(),
                architecture: network.architecture.to_owned(),
                purpose: Purpose::WarmUp,
                step: 0,
                latency_ms: interval.value,
                interval_ms: [interval.low, interval.high],
                drift: None,
                attempts: 1,
                predicted_ms: None,
                timings: json!(own().map(|row| &row.runs_ms).collect::<Vec<_>>()).to_string(),
                seconds: own().map(|row| row.seconds).sum(),
            };
            if self.ledger.measurement(device, &measurement.digest, Purpose::WarmUp)?.is_none() {
                self.ledger.add_measurement(&measurement)?;
            }
        }
        Ok(logged.noise)
    }
}

/// The networks that a device without a calibration measures first.
fn first_networks(settings: &Settings) -> Result<Vec<Planned>, SearchError> {
    // A tiny space is not measured empty.
    let half = usize::try_from(settings.space.size() / 2u8).unwrap_or(usize::MAX);
    let mut calibration = CalibrationSettings::new(settings.space.clone());
    calibration.networks = settings.search.warm_up_measurements.min(half);
    (calibration.validation, calibration.repeats) = (1, 0);
    (calibration.seed, calibration.limits) = (settings.seed, settings.limits);
    Ok(plan(&calibration)?.into_iter().filter(|planned| planned.part == Part::Fit).collect())
}
