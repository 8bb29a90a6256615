//! LiteRT through its C API, loaded at run time.
//!
//! The library is `libLiteRt.so`, as the Python wheel `ai-edge-litert` carries it; `make setup` fetches it. A
//! [`Runtime`] is the loaded library, shared by the whole process; a [`Loaded`] is one fresh load of one model.

mod functions;
mod library;
mod loaded;

pub use library::Runtime;
pub use loaded::{Kernels, Loaded};
