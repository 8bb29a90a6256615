//! Starting the adb server of this machine: the one thing that the `adb` program is run for.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::wire::Deadline;
use super::{AdbError, Address};

/// Runs `adb start-server`, which returns when the server listens.
pub(super) fn start(address: &Address, deadline: Deadline) -> Result<(), AdbError> {
    let failed = |problem| AdbError::Start { address: address.clone(), problem };
    let mut child = Command::new("adb")
        .arg("start-server")
        .env_remove("ADB_SERVER_SOCKET")
        .env_remove("ANDROID_ADB_SERVER_ADDRESS")
        .env("ANDROID_ADB_SERVER_PORT", address.port.to_string())
        // The server that it leaves behind must hold none of our pipes.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(std::io::Error::other(status.to_string()))),
            None if deadline.left().is_none() => {
                // It may end in this very moment: then there is nothing left to kill.
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(std::io::ErrorKind::TimedOut.into()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
