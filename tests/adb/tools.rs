//! What `scripts/setup.py --tools` fetched, or else what is installed.

use std::path::{Path, PathBuf};

/// The programs that play phones.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Holds `programs/` and `libraries/`.
    pub folder: PathBuf,
}

/// Programs a phone is made of.
const PHONE: [&str; 3] = ["adbd", "mksh", "toybox"];

impl Tools {
    /// Where they were unpacked; none if they were not.
    pub fn find() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/android").canonicalize().ok()?;
        let tools = Self { folder };
        tools.program("adb").exists().then_some(tools)
    }

    /// Whether whole phones can be played, not only the server's side.
    pub fn has_phones(&self) -> bool {
        PHONE.iter().all(|name| self.program(name).exists())
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    pub fn programs(&self) -> PathBuf {
        self.folder.join("programs")
    }

    pub fn libraries(&self) -> PathBuf {
        self.folder.join("libraries")
    }
}
