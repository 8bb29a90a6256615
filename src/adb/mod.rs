//! The link to phones: a blocking client of the adb server's socket.
//!
//! The `adb` program cannot be relied on for measurements: it exits with 0 when the connection breaks in the middle of a
//! command, and hangs for ever on a phone that stalls. This client talks to the adb server itself, and tells apart what
//! went wrong; the program is only started to start a local server. Every call has one deadline for all it does.
//!
//! ```text
//! Server ──(host:…)──► list, states, connections
//!   └── Phone ──(shell,v2,raw:…)──► Command ► Output { stdout, stderr, exit }
//!          └────(sync:)───────────► push, pull, stat
//! ```
//!
//! A request is four hexadecimal digits of length and the text; the answer is `OKAY`, or `FAIL` and a text of the same
//! form. After `host:transport:SERIAL` the same connection speaks to the phone. The formats are those of AOSP's
//! `packages/modules/adb`: `OVERVIEW.TXT`, `SERVICES.TXT`, `SYNC.TXT` and `shell_protocol.h`.
//!
//! | variable | means |
//! |---|---|
//! | `ADB_SERVER_SOCKET` | where the server is, `tcp:HOST:PORT` or `tcp:PORT` |
//! | `ANDROID_ADB_SERVER_ADDRESS`, `ANDROID_ADB_SERVER_PORT` | the same in two parts, by default 127.0.0.1 and 5037 |
//! | `ANDROID_SERIAL` | the phone to use where none is named |
//!
//! ```no_run
//! use mnas::adb::{Command, Server};
//! use std::time::Duration;
//! let limit = Duration::from_secs(10);
//! let phone = Server::from_environment()?.phone(None, limit)?;
//! let model = phone.ask(&Command::new("getprop").word("ro.product.model"), limit)?;
//! println!("{}: {model}", phone.serial());
//! # Ok::<(), mnas::adb::AdbError>(())
//! ```

mod address;
mod circumstances;
mod command;
mod error;
mod leftovers;
mod listing;
mod phone;
mod push;
mod server;
mod shell;
mod start;
mod sync;
mod tracker;
mod wire;

pub use address::Address;
pub use command::Command;
pub use error::{AdbError, Leftovers, Party};
pub use listing::{Listed, State};
pub use phone::Phone;
pub use push::Pushed;
pub use server::Server;
pub use shell::Output;
pub use sync::Stat;
pub use tracker::Tracker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Names a call: the phone's part, and sixteen hexadecimal digits that no other call of this or another process has.
fn token(serial: &str) -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let parts = format!("{} {} {}", std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed), now.as_nanos());
    format!("{}{}", phone_part(serial), &blake3::hash(parts.as_bytes()).to_hex()[..16])
}

/// Eight hexadecimal digits that the names of all calls to that phone begin with.
fn phone_part(serial: &str) -> String {
    blake3::hash(serial.as_bytes()).to_hex()[..8].to_owned()
}
