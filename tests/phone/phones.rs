//! What the stories share: a profile, models, the program.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::lab::{Lab, LabPhone, Needs, inside};
use assert_cmd::Command;
use mnas::device::Device as _;
use mnas::device::phone::PhoneDevice;
use mnas::device::profile::{Kind, Profile};
use mnas::device::{DeviceError, IncidentKind, Model, Timing};
use mnas::network::{Network, Weights};
use mnas::{seeded, space, tflite};
use serde_json::Value;

pub const PATIENCE: Duration = Duration::from_secs(20);

pub const FIXED: &str = "/lab/fixed-performance";

pub fn model(name: &str) -> Model {
    let architecture = space::parse(name).unwrap();
    let network = Network::expand(&architecture).unwrap();
    let bytes = tflite::write(&network, &Weights::random(&network, &mut seeded(1))).unwrap();
    Model { name: name.into(), architecture: Some(architecture), network: Some(network), bytes }
}

pub fn small() -> Model {
    model("mnasnet-small/32")
}

pub fn litert() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".deps/litert/libLiteRt.so")
        .canonicalize()
        .expect("`make setup` fetched it")
}

/// Tells a story with the runner built beforehand: inside there is no cargo.
pub fn with_phones<F: FnOnce(&Lab)>(story: F) {
    crate::built_runner::path();
    inside(Needs::Phones, story);
}

/// Quick and impatient, without the reference network, whose times mean little on a machine that runs tests.
pub fn profile() -> Profile {
    let mut profile = Profile::new("lab", Kind::Phone);
    profile.run.runner_path = Some(crate::built_runner::path());
    profile.run.library_path = Some(litert());
    profile.run.warmup_runs = 1;
    profile.run.steady = Some(false);
    profile.run.reference = false;
    profile.limits.max_wait_s = 0;
    profile
}

pub fn open(lab: &Lab, number: u16, profile: &Profile) -> Result<PhoneDevice, DeviceError> {
    lab.link(number);
    PhoneDevice::open(lab.server(), &lab.phone(number).serial(), profile, 3)
}

pub fn problem<T>(result: Result<T, DeviceError>) -> String {
    result.err().expect("it cannot be").to_string()
}

pub fn assert_whole(timing: &Timing) {
    assert_eq!((timing.wall_ms.len(), timing.cpu_ms.len()), (3, 3));
}

pub fn kinds(device: &mut PhoneDevice) -> Vec<IncidentKind> {
    device.incidents().into_iter().map(|incident| incident.kind).collect()
}

/// Does something to the phone once something else is the case, beside the story.
pub fn once(
    what: &'static str,
    is: impl Fn() -> bool + Send + 'static,
    deed: impl FnOnce() + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        crate::lab::until(what, is);
        deed();
    })
}

/// The program, with files for the lab's phones where it looks for them.
pub fn mnas(lab: &Lab, arguments: &[&str]) -> Command {
    let files = lab.folder().join("files/x86_64");
    if !files.exists() {
        fs_err::create_dir_all(&files).unwrap();
        fs_err::os::unix::fs::symlink(crate::built_runner::path(), files.join("mnas-runner")).unwrap();
        fs_err::os::unix::fs::symlink(litert(), files.join("libLiteRt.so")).unwrap();
    }
    let mut command = Command::cargo_bin("mnas").unwrap();
    command.args(arguments).env("MNAS_PHONE_FILES", lab.folder().join("files")).current_dir(lab.folder());
    command.env("NO_COLOR", "1").env_remove("RUST_LOG");
    command
}

pub fn json(command: &mut Command, code: i32) -> Value {
    let output = command.arg("--json").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn biggest(phone: &LabPhone) -> Vec<usize> {
    let clocks = phone.cores();
    let most = clocks.iter().max().unwrap();
    (0..clocks.len()).filter(|&core| clocks[core] == *most).collect()
}
