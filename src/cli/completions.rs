//! `mnas completions`: the completion script of a shell.

use clap::CommandFactory;

use super::{Ending, Error};

/// Arguments of `mnas completions`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(arguments: &Arguments) -> Result<Ending, Error> {
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "mnas", &mut std::io::stdout());
    Ok(Ending::Done)
}
