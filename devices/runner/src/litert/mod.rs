//! LiteRT through its C API, loaded at run time.
//!
//! The library is `libLiteRt.so`, as the Python wheel `ai-edge-litert` carries it; `make setup` fetches it. A
//! [`Runtime`] is the loaded library, shared by the whole process; a [`Loaded`] is one fresh load of one model.

mod functions;
mod library;
mod loaded;

pub use library::Runtime;
pub use loaded::{Kernels, Loaded};

/// Why LiteRT's library cannot be used: which file, what is wrong with it, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LiteRtError(String);
