//! From what a user names to a device that can time.

use std::path::PathBuf;
use std::time::Duration;

use super::command::CommandDevice;
use super::host::{self, HostDevice, HostSettings};
use super::phone::PhoneDevice;
use super::phone::link::Link;
use super::pinning::Pinning;
use super::profile::{FOLDER, KernelChoice, Kind, Profile};
use super::simulated::{self, SimulatedDevice};
use super::{Device, DeviceError};
use crate::adb::{AdbError, Listed, Server, State};

/// How long the adb server may take to list its phones, or to start.
const LISTING: Duration = Duration::from_secs(20);

/// A device as asked for on the command line or in a search file.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// `host`, `simulated` for dry runs, a profile's name or path, or a phone's serial number.
    pub id: String,
    /// A program that times models, instead of `id`; empty for none.
    pub command: Vec<String>,
    /// How long that program may take over one network; none: as long as it likes.
    pub timeout: Option<Duration>,
    /// Threads a model runs with; by default those of the profile, else one.
    pub threads: Option<usize>,
    /// Cores a model may use; empty for those of the profile, else a phone's biggest, else all.
    pub cores: Vec<usize>,
    /// Kernels behind the operators; by default those of the profile, else XNNPACK's.
    pub kernels: Option<KernelChoice>,
    /// Whether the host may fall back to tract where LiteRT cannot be loaded, saying so loudly.
    pub fallback: bool,
    /// Timed runs per load.
    pub runs: usize,
    /// Seed of a simulated device's noise.
    pub seed: u64,
    /// Where models are put for a program to read.
    pub scratch: PathBuf,
}

impl Choice {
    /// This device with the defaults of everything else.
    pub fn of(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            command: Vec::new(),
            timeout: None,
            threads: None,
            cores: Vec::new(),
            kernels: None,
            fallback: false,
            runs: HostSettings::default().runs,
            seed: 0,
            scratch: std::env::temp_dir(),
        }
    }

    /// A profile with what was asked for explicitly in place of its own.
    fn over(&self, mut profile: Profile) -> Result<Profile, DeviceError> {
        let run = &mut profile.run;
        run.threads = self.threads.unwrap_or(run.threads);
        run.kernels = self.kernels.unwrap_or(run.kernels);
        if !self.cores.is_empty() {
            run.cores = Some(self.cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        }
        profile.check().map_err(|problem| DeviceError::Settings(format!("device {}: {problem}", profile.id)))?;
        Ok(profile)
    }
}

/// Where a device is, and how it is to be used.
#[derive(Debug)]
pub enum Place {
    /// A program of the user's.
    Command,
    /// Computed latencies.
    Simulated,
    /// This machine.
    Host(HostSettings),
    /// A phone.
    Phone {
        /// The server that sees it.
        server: Server,
        /// Its serial number.
        serial: String,
        /// How it is to be used.
        profile: Box<Profile>,
    },
}

/// Finds the device.
///
/// # Errors
/// A profile that is wrong, settings out of range; that no such phone is there, or which of several.
pub fn place(choice: &Choice) -> Result<Place, DeviceError> {
    if !choice.command.is_empty() {
        return Ok(Place::Command);
    }
    if choice.id == simulated::ID {
        return Ok(Place::Simulated);
    }
    if choice.id == host::ID {
        return host_settings(choice, host::ID, &Profile::new("this-machine", Kind::Host)).map(Place::Host);
    }
    match Profile::named(&choice.id)? {
        Some(profile) if profile.kind == Kind::Host => host_settings(choice, &profile.id, &profile).map(Place::Host),
        Some(profile) => {
            let server = Server::from_environment()?;
            let serial = serial_of(&server, &profile)?;
            Ok(Place::Phone { server, serial, profile: Box::new(choice.over(profile)?) })
        }
        None => {
            let server = Server::from_environment()?;
            let serial = listed(&server, &choice.id)?;
            let profile = Profile { id: file_name(&choice.id), ..Profile::new("phone", Kind::Phone) };
            Ok(Place::Phone { server, serial, profile: Box::new(choice.over(profile)?) })
        }
    }
}

fn host_settings(choice: &Choice, id: &str, profile: &Profile) -> Result<HostSettings, DeviceError> {
    let profile = choice.over(profile.clone())?;
    let pinning = profile.pinning().map_err(DeviceError::Settings)?.unwrap_or(Pinning::None);
    Ok(HostSettings {
        id: id.to_owned(),
        threads: profile.run.threads,
        pinning,
        kernels: profile.run.kernels.into(),
        warmup_runs: profile.run.warmup_runs,
        runs: choice.runs,
        ..HostSettings::default()
    })
}

/// The serial number that adb lists; anything else cannot be a device.
fn listed(server: &Server, id: &str) -> Result<String, DeviceError> {
    let known = format!(
        "known are {} (this machine), {} (made-up latencies, for dry runs), profiles in {FOLDER}/, paths of profiles, and \
         serial numbers of phones; `mnas devices` lists them",
        host::ID,
        simulated::ID
    );
    match server.devices(LISTING) {
        Ok(phones) if phones.iter().any(|phone| phone.serial == id) => Ok(id.to_owned()),
        Ok(_) => Err(DeviceError::Settings(format!("no device '{id}', and no phone of that serial number; {known}"))),
        Err(error) => {
            Err(DeviceError::Settings(format!("no device '{id}'; {known}. Phones cannot be listed: {error}")))
        }
    }
}

/// The phone that a profile means: that of its serial number, else the only one of its model.
fn serial_of(server: &Server, profile: &Profile) -> Result<String, DeviceError> {
    if let Some(serial) = &profile.serial {
        return Ok(serial.clone());
    }
    let phones = server.devices(LISTING)?;
    let Some(model) = &profile.model else { return Ok(server.phone(None, LISTING)?.serial().to_owned()) };
    // The server writes names with _ for what is no letter or digit; of phones on the network it tells none.
    let plain = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let named = |phone: &Listed| match &phone.model {
        Some(name) => Some(name.clone()),
        None => Some(Link::open(server.clone(), &phone.serial).ok()?.properties().ok()?.model),
    };
    let of_model =
        |phone: &&Listed| phone.state == State::Device && named(phone).is_some_and(|name| plain(&name) == plain(model));
    match phones.iter().filter(of_model).collect::<Vec<_>>().as_slice() {
        [phone] => Ok(phone.serial.clone()),
        [] => Err(DeviceError::Settings(format!(
            "no phone of model '{model}' (profile {}) is connected and trusted; `mnas devices` lists what adb sees",
            profile.id
        ))),
        several => Err(AdbError::Several(several.iter().map(|phone| phone.serial.clone()).collect()).into()),
    }
}

/// A serial number as a name for files: `HOST:PORT` and the like have characters that some systems do not take.
fn file_name(serial: &str) -> String {
    serial.replace(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')), "-")
}

/// Opens the device.
///
/// # Errors
/// An unknown id, a missing runtime library, settings out of range, a program that does not start, a phone that is not
/// ready or in use.
pub fn open(choice: &Choice) -> Result<Box<dyn Device>, DeviceError> {
    match place(choice)? {
        Place::Command => {
            let program = CommandDevice::start(&choice.command, &choice.scratch);
            let program = program.map_err(|error| DeviceError::Library(error.to_string()))?;
            Ok(Box::new(program.with_timeout(choice.timeout)))
        }
        Place::Simulated => Ok(Box::new(SimulatedDevice::new(choice.seed))),
        Place::Host(settings) => {
            let open = if choice.fallback { HostDevice::with_fallback } else { HostDevice::new };
            Ok(Box::new(open(settings)?))
        }
        Place::Phone { server, serial, profile } => {
            Ok(Box::new(PhoneDevice::open(server, &serial, &profile, choice.runs)?))
        }
    }
}
