//! `mnas devices`: what can time a network from here, and a phone's profile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::output::{Output, table};
use super::{Ending, Error};
use crate::adb::{Listed, Server, State};
use crate::device::phone::link::Link;
use crate::device::phone::state;
use crate::device::pinning::cores_of;
use crate::device::profile::{Cluster, FOLDER, Kind, Profile};
use crate::device::{self, Choice, Place, place};
use crate::files;

/// How long the adb server may take to answer or to start.
const LISTING: Duration = Duration::from_secs(20);

/// Arguments of `mnas devices`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Write a phone's profile from what it reports, as devices/MODEL.toml.
    #[arg(long)]
    save: bool,
    /// With --save: the phone, if there are several; its serial number.
    #[arg(long, value_name = "ID", requires = "save")]
    device: Option<String>,
    /// With --save: the file to write instead.
    #[arg(short, long, value_name = "FILE.toml", requires = "save")]
    out: Option<PathBuf>,
}

/// Lists the devices and the state each is in, or writes a profile.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    if arguments.save {
        return save(arguments, out);
    }
    let mut devices = vec![local(device::host::ID, "host"), local(device::simulated::ID, "simulated")];
    let listed = Server::from_environment().and_then(|server| Ok((server.devices(LISTING)?, server)));
    let adb = match &listed {
        Ok((phones, server)) => {
            devices.extend(phones.iter().map(|phone| connected(server, phone)));
            Value::Null
        }
        Err(error) => json!(error.to_string()),
    };
    devices.extend(Profile::all_in(Path::new(FOLDER)).into_iter().map(|(path, profile)| profiled(&path, profile)));
    out.print(&json!({ "devices": devices, "adb": adb }), || text(&devices, &adb))?;
    Ok(Ending::Done)
}

fn text(devices: &[Value], adb: &Value) -> String {
    const COLUMNS: [&str; 6] = ["id", "kind", "state", "model", "soc", "cores"];
    let cell = |device: &Value, field: &str| match &device[field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> =
        devices.iter().map(|device| COLUMNS.map(|column| cell(device, column)).to_vec()).collect();
    let phones = adb.as_str().map_or_else(String::new, |problem| format!("\nno phones: {problem}\n"));
    table(&COLUMNS, &rows) + &phones
}

fn local(id: &str, kind: &str) -> Value {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match device::open(&Choice::of(id)) {
        Ok(device) => {
            let found = device.description();
            json!({
                "id": found.id, "kind": found.kind, "state": "ready", "model": found.model, "soc": Value::Null,
                "cores": cores, "runtime": found.runtime,
            })
        }
        Err(error) => json!({
            "id": id, "kind": kind, "state": error.to_string(), "model": Value::Null, "soc": Value::Null,
            "cores": cores, "runtime": Value::Null,
        }),
    }
}

/// A phone that adb sees; one that is ready is asked what it is.
fn connected(server: &Server, phone: &Listed) -> Value {
    let asked = (phone.state == State::Device).then(|| {
        let link = Link::open(server.clone(), &phone.serial)?;
        Ok::<_, crate::adb::AdbError>((link.properties()?, link.state()?))
    });
    let entry = |state: String, model: Option<String>, soc: Value, cores: Value| {
        json!({
            "id": phone.serial, "kind": "phone", "state": state, "model": model, "soc": soc, "cores": cores,
            "runtime": Value::Null,
        })
    };
    match asked {
        Some(Ok((properties, state))) => {
            entry("ready".into(), Some(properties.model), json!(properties.soc), json!(state.moment.cores.len()))
        }
        Some(Err(error)) => entry(error.to_string(), phone.model.clone(), Value::Null, Value::Null),
        None => entry(phone.state.to_string(), phone.model.clone(), Value::Null, Value::Null),
    }
}

fn profiled(path: &Path, profile: Result<Profile, device::DeviceError>) -> Value {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match profile {
        Ok(profile) => json!({
            "id": name, "kind": "profile", "state": format!("file {}", path.display()), "model": profile.model,
            "soc": profile.soc, "cores": cores_in(&profile.clusters), "runtime": Value::Null,
        }),
        Err(error) => json!({
            "id": name, "kind": "profile", "state": error.to_string(), "model": Value::Null, "soc": Value::Null,
            "cores": Value::Null, "runtime": Value::Null,
        }),
    }
}

/// How many cores the clusters have; none where they are not listed.
fn cores_in(clusters: &[Cluster]) -> Option<usize> {
    let counts: Option<Vec<usize>> = clusters.iter().map(|one| cores_of(&one.cores).map(|cores| cores.len())).collect();
    counts.map(|counts| counts.iter().sum()).filter(|cores| *cores > 0)
}

fn save(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let (server, serial) = match &arguments.device {
        Some(id) => match place(&Choice::of(id))? {
            Place::Phone { server, serial, .. } => (server, serial),
            _ => return Err(Error::new(format!("'{id}' is no phone: only phones are asked for their profile"))),
        },
        None => {
            let server = Server::from_environment()?;
            let serial = server.phone(None, LISTING)?.serial().to_owned();
            (server, serial)
        }
    };
    let link = Link::open(server, &serial)?;
    let profile = profile_of(&link.properties()?, &link.state()?);
    let path = arguments.out.clone().unwrap_or_else(|| Path::new(FOLDER).join(format!("{}.toml", profile.id)));
    if path.exists() {
        return Err(Error::new(format!(
            "{} is there already: remove it, or give another file with --out",
            path.display()
        )));
    }
    files::write_atomically(&path, profile.to_toml()?.as_bytes())?;
    out.print(&json!({ "path": path, "profile": profile }), || {
        format!("written {}; adjust it as you like", path.display())
    })?;
    Ok(Ending::Done)
}

/// What a phone reports, as a profile of every phone of its model.
fn profile_of(properties: &state::Properties, state: &state::State) -> Profile {
    let id = properties.model.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let mut profile = Profile::new(if id.is_empty() { "phone" } else { &id }, Kind::Phone);
    profile.model = Some(properties.model.clone()).filter(|model| !model.is_empty());
    profile.soc = Some(properties.soc.clone()).filter(|soc| !soc.is_empty());
    for core in &state.moment.cores {
        let max_mhz = core.max_khz.and_then(|khz| u32::try_from(khz / 1000).ok());
        match profile.clusters.last_mut() {
            Some(cluster) if cluster.max_mhz == max_mhz => cluster.cores = format!("{},{}", cluster.cores, core.core),
            _ => profile.clusters.push(Cluster { cores: core.core.to_string(), max_mhz, name: None }),
        }
    }
    let biggest = state.biggest_cores();
    let list = biggest.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    profile.run.cores = Some(list).filter(|list| !list.is_empty());
    profile
}
