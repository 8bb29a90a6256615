//! The `mnas` program: parses the command line, calls the library, prints the error.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match mnas::cli::run(mnas::cli::Arguments::parse()) {
        Ok(ending) => ExitCode::from(ending.code()),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
