//! A device of your own, calibrated like any other: `cargo run --release --example own_device`.

use std::error::Error;
use std::ops::ControlFlow;

use mnas::device::{Clock, Description, Device, DeviceError, Model, Timing};
use mnas::latency::{CalibrationSettings, calibrate};
use mnas::space::Space;

/// Replace the formula by your measurement: everything else works with it as with a phone.
struct Accelerator;

impl Device for Accelerator {
    fn description(&self) -> Description {
        Description {
            id: "accelerator".into(),
            kind: "example".into(),
            model: "a formula".into(),
            runtime: "none".into(),
            threads: 1,
            clock: Clock::Wall,
        }
    }

    fn reads_files(&self) -> bool {
        false
    }

    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        let Some(network) = &model.network else {
            let (device, problem) = ("accelerator".into(), "needs the network, not a file alone".into());
            return Err(DeviceError::Model { device, model: model.name.clone(), problem });
        };
        let ms = 0.02 * network.layers.len() as f64 + network.madds() as f64 / 4e8;
        Ok(Timing { wall_ms: vec![ms; 5], cpu_ms: Vec::new() })
    }
}

/// Measures 30 networks, fits, and judges the predictor on 15 others.
pub fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = CalibrationSettings::new(Space::preset("demo")?);
    (settings.networks, settings.validation, settings.repeats) = (30, 15, 3);
    let folder = tempfile::tempdir()?;
    let calibration = calibrate(&mut Accelerator, &settings, folder.path(), &mut |_| ControlFlow::Continue(()))?;
    println!(
        "{} networks: {:.1} % mean error on {} others",
        calibration.networks, calibration.mape, calibration.validation
    );
    Ok(())
}
