//! One session per phone: two that time at once would both be wrong.
//!
//! The lock is the kernel's (`flock`) on a file per serial number, so that it ends with the process that holds it,
//! however that ends. The file holds that process's number, for messages only.

use std::fs::TryLockError;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use crate::device::DeviceError;

/// A phone that is ours while this lives.
#[derive(Debug)]
pub struct Lock {
    _file: fs_err::File,
}

impl Lock {
    /// Takes the phone.
    ///
    /// # Errors
    /// [`DeviceError::Settings`], naming who has it, or the file that cannot be made.
    pub fn take(serial: &str) -> Result<Self, DeviceError> {
        let problem =
            |error: std::io::Error| DeviceError::Settings(format!("phone {serial} cannot be locked: {error}"));
        let path = path(serial);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder).map_err(problem)?;
        }
        let mut options = fs_err::OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(problem)?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who it is only makes the message better.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let who = if holder.is_empty() { "another process".into() } else { format!("process {holder}") };
                return Err(DeviceError::Settings(format!(
                    "phone {serial} is being measured by {who}: wait for its end, or stop it (lock {})",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(problem(error)),
        }
        let write = (|| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        })();
        write.map_err(problem)?;
        Ok(Self { _file: file })
    }
}

/// One file per serial number, of which letters and digits are kept and a hash, in a folder of this user's.
fn path(serial: &str) -> PathBuf {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()).map_or_else(
        // SAFETY: getuid cannot fail and touches no memory.
        || std::env::temp_dir().join(format!("mnas-{}", unsafe { libc::getuid() })),
        |folder| PathBuf::from(folder).join("mnas"),
    );
    let plain: String = serial.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    folder.join(format!("{plain}-{}.lock", &mnas_runner::sha256(serial.as_bytes())[..8]))
}
