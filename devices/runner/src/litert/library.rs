//! Finding and loading `libLiteRt.so`, once per process.
//!
//! Before 2.1.6 `LiteRtCreateModelFromBuffer` had no environment argument, and nothing in the library tells its version,
//! so a function that came with 2.1.6 is asked for before any other is trusted.

use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::LiteRtError;
use super::functions::{
    AUTO_REGISTER_ACCELERATORS, CPU, EnvironmentOption, Functions, Handle, INTEGER, LEAST_LOG_SEVERITY, Value, check,
};
use crate::sha256;

/// Exported since 2.1.6 and not before (compared in the wheels of 2.1.5 and 2.1.6).
const PROBE: &str = "LiteRtCreateModelFromFd";
/// The folder `make setup` links, when this is run from a checkout.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.deps/litert/libLiteRt.so");
/// File name of the library, and its folder in the cache.
const NAME: &str = "libLiteRt.so";
const CACHED: &str = "litert-2.3.0/libLiteRt.so";

/// What to do about every failure here.
const ADVICE: &str = "Run `make setup`, or set LITERT_LIBRARY to the libLiteRt.so of LiteRT 2.1.6 or newer";

/// The loaded library with one environment; it lives as long as the process.
pub struct Runtime {
    pub(super) functions: Functions,
    pub(super) environment: Handle,
    /// The file it came from.
    path: PathBuf,
    /// SHA-256 of that file, once it was asked for.
    hash: OnceLock<String>,
}

// SAFETY: the environment is set up once and read afterwards; LiteRT's handles belong to no particular thread.
unsafe impl Send for Runtime {}
// SAFETY: as above; models are made and used through `Loaded`, which stays on its thread.
unsafe impl Sync for Runtime {}

impl Runtime {
    /// The library of this process, loaded at the first call and shared from then on.
    ///
    /// It is looked for at `LITERT_LIBRARY` and nowhere else if that is set; otherwise beside the executable, in the
    /// checkout's `.deps/litert`, in the cache (`MNAS_CACHE`, by default `~/.cache/mnas`), then where the system's
    /// loader looks.
    ///
    /// # Errors
    /// [`LiteRtError`], naming every place and what to do.
    pub fn shared() -> Result<&'static Self, LiteRtError> {
        static SHARED: Mutex<Option<&'static Runtime>> = Mutex::new(None);
        let mut shared: MutexGuard<'_, _> = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = *shared {
            return Ok(runtime);
        }
        let runtime = match std::env::var_os("LITERT_LIBRARY").filter(|path| !path.is_empty()) {
            Some(path) => Self::open(Path::new(&path))?,
            None => Self::search()?,
        };
        *shared = Some(runtime);
        Ok(runtime)
    }

    fn search() -> Result<&'static Self, LiteRtError> {
        let places = places();
        match places.iter().find(|place| place.is_file()) {
            Some(place) => Self::open(place),
            // SAFETY: LiteRT's initialisers have no precondition.
            None => match unsafe { libloading::Library::new(NAME) } {
                Ok(library) => Self::from_library(library, Path::new(NAME)),
                Err(_) => Err(missing(&places)),
            },
        }
    }

    /// Loads one particular library, for the life of the process.
    ///
    /// # Errors
    /// [`LiteRtError`] if it is no shared library, not LiteRT or too old.
    pub fn open(path: &Path) -> Result<&'static Self, LiteRtError> {
        // SAFETY: LiteRT's initialisers have no precondition; another library is the user's explicit choice.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| {
            LiteRtError(format!("LiteRT cannot be loaded from {}: {error}. {ADVICE}", path.display()))
        })?;
        Self::from_library(library, path)
    }

    fn from_library(library: libloading::Library, path: &Path) -> Result<&'static Self, LiteRtError> {
        let unusable = |symbol: &str| {
            LiteRtError(format!(
                "{} is not LiteRT 2.1.6 or newer: it lacks the function {symbol}. {ADVICE}",
                path.display()
            ))
        };
        // SAFETY: the symbol is only asked for, never called.
        if unsafe { library.get::<*const c_void>(PROBE.as_bytes()) }.is_err() {
            return Err(unusable(PROBE));
        }
        // SAFETY: the probe says that this is LiteRT 2.1.6 or newer.
        let functions = unsafe { Functions::load(&library) }.map_err(unusable)?;
        // The functions must stay: XNNPACK's threads may outlive every handle.
        std::mem::forget(library);
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let environment = create_environment(&functions)?;
        Ok(Box::leak(Box::new(Self { functions, environment, path, hash: OnceLock::new() })))
    }

    /// `LiteRT` and its version where the folder of the library tells it.
    pub fn version(&self) -> String {
        let folder = self.path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let version = folder.as_deref().and_then(|name| name.strip_prefix("litert-")).unwrap_or("2.1.6 or newer");
        format!("LiteRT {version}")
    }

    /// [`Runtime::version`] with the start of the library's hash.
    pub fn identity(&self) -> String {
        let hash = self.hash();
        format!("{} ({NAME} sha256 {})", self.version(), hash.get(..12).unwrap_or(hash))
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the library's file, in hexadecimal digits.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| fs_err::read(&self.path).map_or_else(|_| "unknown".into(), |bytes| sha256(&bytes)))
    }
}

/// Where the library may lie, in the order of the search.
fn places() -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(NAME)));
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("MNAS_CACHE").or_else(|| {
        let caches = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
        Some(caches.join("mnas"))
    });
    [beside, Some(CHECKOUT.into()), cache.map(|cache| cache.join(CACHED))].into_iter().flatten().collect()
}

fn missing(places: &[PathBuf]) -> LiteRtError {
    let tried: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    LiteRtError(format!("LiteRT is not there: tried {} and the system's loader. {ADVICE}", tried.join(", ")))
}

fn create_environment(functions: &Functions) -> Result<Handle, LiteRtError> {
    let option = |tag, integer| EnvironmentOption { tag, value: Value { kind: INTEGER, integer } };
    let options = [option(AUTO_REGISTER_ACCELERATORS, i64::from(CPU)), option(LEAST_LOG_SEVERITY, 3)];
    let mut environment = null_mut();
    // SAFETY: the array lives through the call, which copies it.
    let status = unsafe { (functions.create_environment)(options.len() as c_int, options.as_ptr(), &mut environment) };
    check("creating the environment", status).map_err(LiteRtError)?;
    Ok(environment)
}
