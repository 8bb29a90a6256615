//! `mnas report`: what a run found.

use std::path::{Path, PathBuf};

use super::output::Output;
use super::{Ending, Error};
use crate::report::{html, text};
use crate::search::summary::summarise;
use crate::store::Ledger;

/// Arguments of `mnas report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run directory.
    #[arg(value_name = "DIR")]
    run: PathBuf,
    /// Also write the report as a page.
    #[arg(short, long, value_name = "FILE.html")]
    output: Option<PathBuf>,
}

/// Prints the report, of a finished run or of one under way.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    if let Some(file) = &arguments.output {
        let data = summarise(&Ledger::read(&arguments.run)?)?;
        crate::files::write_atomically(file, html::render(&data)?.as_bytes())?;
    }
    print(&arguments.run, out)?;
    Ok(Ending::Done)
}

/// Prints the report of the run in `folder`.
pub fn print(folder: &Path, out: Output) -> Result<(), Error> {
    let data = summarise(&Ledger::read(folder)?)?;
    out.print(&data, || text::render(&data))
}
