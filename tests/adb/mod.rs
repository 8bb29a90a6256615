//! Phones to test against: the real adb server and real adbds, each in a root of its own, in a private namespace.
//!
//! ```text
//! test binary ──(unshare: users, mounts, network, processes)──► the same test, inside
//!     └── adb server ── adbd of phone 1, in a root with Android's shell and tools, /sys, /proc/cpuinfo, a small disk
//!                    ── adbd of phone 2, …
//!                    ── a stand-in, for what a real adbd cannot play
//! ```
//!
//! Nothing leaves the namespace, and with it everything ends; tests run in any order and side by side.
#![allow(dead_code, unused_imports, reason = "every test binary that includes this uses a part of it")]

mod inside;
mod laboratory;
mod phone;
pub mod stand_in;
mod tools;

pub use inside::{Needs, inside, inside_for};
pub use laboratory::{Lab, processes, until};
pub use phone::LabPhone;
