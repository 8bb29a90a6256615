//! `mnas-runner`: times one .tflite model where it runs.

use std::process::ExitCode;

use clap::Parser;
use mnas_runner::{flags::Flags, job};

fn main() -> ExitCode {
    match job::run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}
