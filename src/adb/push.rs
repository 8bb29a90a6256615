//! Files on their way to the phone: sent only if they are not there already, and never taken for whole when they are not.
//!
//! A file goes under another name first. Only if the phone then computes its hash (where it has no `sha256sum`: finds its
//! size) does it get its own name, in the same command.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::circumstances::NO_SPACE;
use super::phone::File;
use super::wire::Deadline;
use super::{AdbError, Command, Phone, sync};

/// What a push came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The file was sent.
    Sent,
    /// The phone has these very bytes under that name.
    AlreadyThere,
}

/// Permissions of the owner.
const OWNER: u32 = 0o700;

/// Exit codes of [`SETTLE`] and [`HASH`].
const DIFFERENT: u8 = 3;
const NO_HASHES: u8 = 127;

/// Gives `$1` the name `$2` if its hash is `$3`, or its size `$4` where there are no hashes; else removes it.
const SETTLE: &str = r#"
if command -v sha256sum >/dev/null 2>&1; then
  found=$(sha256sum <"$1"); found=${found%% *}; wanted=$3
else
  found=$(wc -c <"$1"); found=$((found)); wanted=$4
fi
if [ "$found" = "$wanted" ]; then mv -f "$1" "$2"; else echo "$found"; rm -f "$1"; exit 3; fi"#;

/// Prints the hash of `$1`, or ends with 127.
const HASH: &str = r#"
command -v sha256sum >/dev/null 2>&1 || exit 127
sha256sum <"$1""#;

impl Phone {
    /// Makes `remote`, an absolute path, hold `bytes`, with the permissions `mode`. `progress` hears how many bytes have
    /// been sent, and of how many. It may be repeated after any error: the file is there whole, or not at all.
    ///
    /// # Errors
    /// [`AdbError::NoSpace`], [`AdbError::Remote`] with the phone's words (no such folder, read-only, …),
    /// [`AdbError::Protocol`] if other bytes arrived than were sent, and those of every call.
    pub fn push(
        &self,
        bytes: &[u8],
        remote: &str,
        mode: u32,
        limit: Duration,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Pushed, AdbError> {
        let deadline = Deadline::after(limit);
        let file = self.file("sending", remote, limit)?;
        let hash = hex(&Sha256::digest(bytes));
        if self.holds(&file, bytes.len() as u64, &hash, mode, deadline)? {
            return Ok(Pushed::AlreadyThere);
        }
        // Named by what it will hold, so that a repeated push finds and replaces what a broken one left.
        let part = format!("{remote}.{}.part", &hash[..16]);
        let sent = self.sync(&file, deadline, |connection| sync::send(connection, &part, mode, bytes, progress));
        if let Err(error) = sent {
            if matches!(error, AdbError::NoSpace { .. }) {
                // The first error is the one to report.
                let _ = self.remove(&part, limit);
            }
            return Err(error);
        }
        self.settle(&file, &part, bytes.len(), &hash, deadline)?;
        Ok(Pushed::Sent)
    }

    /// Whether the file is there with that content; its permissions are then set right.
    fn holds(&self, file: &File, size: u64, hash: &str, mode: u32, deadline: Deadline) -> Result<bool, AdbError> {
        let Some(stat) = self.stat_until(file, deadline)?.filter(|stat| stat.is_file() && stat.size == size) else {
            return Ok(false);
        };
        let output = self.shell_until(&Command::script(HASH).word(file.path), deadline)?;
        if output.exit == NO_HASHES {
            return Ok(false);
        }
        if !output.success() || output.text().split_whitespace().next() != Some(hash) {
            return Ok(false);
        }
        if stat.mode & OWNER != mode & OWNER {
            self.ask_until(&Command::new("chmod").word(format!("{mode:o}")).word(file.path), deadline)?;
        }
        Ok(true)
    }

    fn settle(&self, file: &File, part: &str, size: usize, hash: &str, deadline: Deadline) -> Result<(), AdbError> {
        let size = size.to_string();
        let command = Command::script(SETTLE).words([part, file.path, hash, &size]);
        let output = self.shell_until(&command, deadline)?;
        match output.exit {
            0 => Ok(()),
            DIFFERENT => Err(AdbError::Protocol {
                party: file.circumstances.party.clone(),
                doing: file.circumstances.doing.clone(),
                expected: format!("{size} bytes with sha256 {hash}"),
                found: output.text(),
            }),
            _ if String::from_utf8_lossy(&output.stderr).contains(NO_SPACE) => {
                Err(AdbError::NoSpace { serial: self.serial().into(), doing: file.circumstances.doing.clone() })
            }
            _ => Err(self.failed(&command, &output)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
