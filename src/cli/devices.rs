//! `mnas devices`: what can time a network from here.

use serde_json::{Value, json};

use super::output::{Output, table};
use super::{Ending, Error};
use crate::device::{self, Choice};

/// Arguments of `mnas devices`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Lists the devices and the state each is in.
pub fn run(_arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let devices = vec![listed(device::host::ID, "host"), listed(device::simulated::ID, "simulated")];
    let cell =
        |device: &Value, field: &str| device[field].as_str().map_or_else(|| device[field].to_string(), str::to_owned);
    out.print(&json!({ "devices": devices }), || {
        let row = |device: &Value| {
            ["id", "kind", "state", "model", "cores", "runtime"].map(|field| cell(device, field)).to_vec()
        };
        table(&["id", "kind", "state", "model", "cores", "runtime"], &devices.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(Ending::Done)
}

fn listed(id: &str, kind: &str) -> Value {
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
