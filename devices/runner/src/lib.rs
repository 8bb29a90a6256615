//! Timing one .tflite model with LiteRT on the machine this runs on.
//!
//! The program `mnas-runner` takes the flags of Google's `benchmark_model` and prints its lines, so that either can
//! stand in for the other; with `--json_output` it also tells what that one does not: every single run on two clocks,
//! the cores' clocks and temperatures around them, and hashes of what ran. The library is what `mnas` shares with it:
//! the binding to LiteRT, the sampling loop and the report.
//!
//! | module | what lives there |
//! |---|---|
//! | [`litert`] | LiteRT's C API, loaded at run time |
//! | [`pinning`] | keeping a thread on chosen cores |
//! | [`sampling`] | runs until counts and seconds are met, on two clocks |
//! | [`machine`] | clocks, temperatures and memory as Linux and Android tell them |
//! | [`lines`] | what `benchmark_model` prints |
//! | [`report`] | the JSON report |
//! | [`flags`], [`job`] | the command line, and what it does |

pub mod flags;
pub mod job;
pub mod lines;
pub mod litert;
pub mod machine;
pub mod pinning;
pub mod report;
pub mod sampling;

use sha2::{Digest, Sha256};

/// SHA-256 in hexadecimal digits: what `sha256sum` prints, here and on a phone.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
