//! The one suite that every kind of device passes.

use mnas::device::{Clock, Device, Model};
use mnas::network::{Network, Weights};
use mnas::{seeded, space, tflite};

/// What everything above devices relies on.
pub fn check(device: &mut dyn Device) {
    let (description, good) = (device.description(), good());
    assert!(!description.id.is_empty() && !description.kind.is_empty() && description.threads >= 1);
    let broken = Model { name: "broken".into(), architecture: None, network: None, bytes: vec![0; 100] };
    let problem = device.time(&broken).unwrap_err().to_string();
    assert!(problem.contains(&description.id) && problem.contains("model 'broken'"), "{problem}");
    let timing = device.time(&good).expect("a broken model leaves the device usable");
    assert!(!timing.wall_ms.is_empty() && timing.wall_ms.iter().chain(&timing.cpu_ms).all(|&ms| ms > 0.0));
    assert!(timing.cpu_ms.is_empty() || timing.cpu_ms.len() == timing.wall_ms.len());
    assert!(description.clock == Clock::Wall || !timing.cpu_ms.is_empty());
    if let Some(logits) = device.infer(&good, &[0.1; 32 * 32 * 3]).unwrap() {
        assert_eq!(logits.len(), 1000);
    }
}

fn good() -> Model {
    let architecture = space::parse("mnasnet-small/32").unwrap();
    let network = Network::expand(&architecture).unwrap();
    let bytes = tflite::write(&network, &Weights::random(&network, &mut seeded(1))).unwrap();
    Model { name: "mnasnet-small/32".into(), architecture: Some(architecture), network: Some(network), bytes }
}
