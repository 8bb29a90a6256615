//! What is put on a phone to run there: found on this machine, by the phone's kind of processor.
//!
//! `devices/files/ABI/` (or `$MNAS_PHONE_FILES/ABI/`) holds `mnas-runner` and `libLiteRt.so`, or `benchmark_model`;
//! `devices/README.md` says how they are made. A profile may name other files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::link::FOLDER;
use crate::device::DeviceError;
use crate::device::profile::{Run, RunnerChoice};

/// Where people put their `benchmark_model` on a phone.
const STOCK: &str = "/data/local/tmp/benchmark_model";

/// A file to push.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it lies on the phone; holds the start of its hash, so that versions never meet.
    pub path: String,
    /// Its content.
    pub bytes: Arc<Vec<u8>>,
    /// SHA-256 of that.
    pub sha256: String,
}

impl File {
    fn read(local: &Path, name: &str, suffix: &str) -> Result<Self, DeviceError> {
        let bytes = fs_err::read(local).map_err(|error| DeviceError::Settings(error.to_string()))?;
        let sha256 = mnas_runner::sha256(&bytes);
        Ok(Self { path: format!("{FOLDER}/{name}-{}{suffix}", &sha256[..16]), bytes: Arc::new(bytes), sha256 })
    }
}

/// The program that times, and what it needs.
#[derive(Debug, Clone)]
pub enum Runner {
    /// `mnas-runner` with LiteRT's library.
    Ours {
        /// The program.
        program: File,
        /// LiteRT.
        library: File,
    },
    /// Google's `benchmark_model`.
    Stock {
        /// Its path on the phone.
        path: String,
        /// To be pushed there; `None` if it is there already.
        program: Option<File>,
    },
}

impl Runner {
    /// What the profile asks for, for a phone of that ABI.
    ///
    /// # Errors
    /// The files that are missing, and how to get them.
    pub fn find(run: &Run, abi: &str) -> Result<Self, DeviceError> {
        let folder = folder(abi);
        match run.runner {
            RunnerChoice::Ours => {
                let program = run.runner_path.clone().unwrap_or_else(|| folder.join("mnas-runner"));
                let library = run.library_path.clone().unwrap_or_else(|| folder.join("libLiteRt.so"));
                for path in [&program, &library] {
                    if !path.is_file() {
                        return Err(missing(path, abi));
                    }
                }
                Ok(Self::Ours {
                    program: File::read(&program, "mnas-runner", "")?,
                    library: File::read(&library, "libLiteRt", ".so")?,
                })
            }
            RunnerChoice::BenchmarkModel => {
                let local = run.runner_path.clone().unwrap_or_else(|| folder.join("benchmark_model"));
                match local.is_file() {
                    true => {
                        let program = File::read(&local, "benchmark_model", "")?;
                        Ok(Self::Stock { path: program.path.clone(), program: Some(program) })
                    }
                    false => {
                        let path = run.runner_path.as_ref().map_or(STOCK.into(), |path| path.display().to_string());
                        Ok(Self::Stock { path, program: None })
                    }
                }
            }
        }
    }

    /// The files to push.
    pub fn files(&self) -> Vec<&File> {
        match self {
            Self::Ours { program, library } => vec![program, library],
            Self::Stock { program, .. } => program.iter().collect(),
        }
    }

    /// Its name and, where it is known, the start of its hash.
    pub fn name(&self) -> String {
        match self {
            Self::Ours { program, .. } => format!("mnas-runner (sha256 {})", &program.sha256[..12]),
            Self::Stock { program: Some(program), .. } => format!("benchmark_model (sha256 {})", &program.sha256[..12]),
            Self::Stock { program: None, path } => format!("benchmark_model ({path} on the phone)"),
        }
    }

    /// SHA-256 of its file, where this machine has it.
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Self::Ours { program, .. } | Self::Stock { program: Some(program), .. } => Some(&program.sha256),
            Self::Stock { program: None, .. } => None,
        }
    }
}

fn folder(abi: &str) -> PathBuf {
    let root = std::env::var_os("MNAS_PHONE_FILES").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    // What the phone says must stay one name of a folder.
    let abi: String = abi.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    root.unwrap_or_else(|| Path::new("devices").join("files")).join(abi)
}

fn missing(path: &Path, abi: &str) -> DeviceError {
    DeviceError::Settings(format!(
        "{} is not there, which a phone with '{abi}' needs: devices/README.md says how to build the runner and where \
         LiteRT's library comes from; MNAS_PHONE_FILES names another folder, and a profile's runner = \"benchmark_model\" \
         uses Google's tool instead",
        path.display()
    ))
}
