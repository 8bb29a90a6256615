//! Writing files so that a crash or a full disk never leaves a half-written one under the real name.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` by way of a temporary file beside it, synced and renamed.
///
/// # Errors
/// Whatever the file system says, with the path; the old file is untouched and the temporary one removed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if path.exists() && !path.is_file() {
        // A device or a pipe is written through; a folder fails with its own message.
        return fs_err::OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let temporary = temporary_beside(path);
    let written = (|| {
        let mut file = fs_err::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs_err::rename(&temporary, path)
    })();
    if written.is_err() {
        // The first error is the one to report; the leftover may not even exist.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}
