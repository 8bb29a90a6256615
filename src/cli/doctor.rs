//! `mnas doctor`: whether timings on a device can be trusted.

use serde_json::json;

use super::output::{Output, table};
use super::{Ending, Error};
use crate::device::checks::{self, Check};
use crate::device::{Choice, Place, host, place};

/// Arguments of `mnas doctor`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The device: host, a profile (its name in devices/, or its path), or a phone's serial number.
    #[arg(long, default_value = host::ID, value_name = "ID")]
    device: String,
}

/// Checks one device. Ends with [`Ending::LimitNotMet`] if any check fails.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let checks = match place(&Choice::of(&arguments.device))? {
        Place::Host(settings) => checks::host(&settings, &checks::default_profile()),
        Place::Phone { server, serial, profile } => checks::phone(server, &serial, &profile),
        Place::Simulated | Place::Command => {
            return Err(Error::new(format!("there is nothing to check about '{}'", arguments.device)));
        }
    };
    let ok = checks.iter().all(|check| check.ok);
    out.print(&json!({ "device": arguments.device, "ok": ok, "checks": checks }), || text(&checks, ok))?;
    Ok(if ok { Ending::Done } else { Ending::LimitNotMet })
}

fn text(checks: &[Check], ok: bool) -> String {
    let row = |check: &Check| {
        let state = if check.ok { "ok" } else { "NO" };
        vec![format!("{state}  {}", check.name), check.found.clone()]
    };
    let advice: String =
        (checks.iter().filter(|check| !check.ok)).map(|check| format!("{}: {}\n", check.name, check.advice)).collect();
    let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
    match ok {
        true => format!("{}\ntimings there can be trusted\n", table(&["check", "found"], &rows)),
        false => format!("{}\ntimings there cannot be trusted yet:\n{advice}", table(&["check", "found"], &rows)),
    }
}
