//! pending
use super::output::Output;
use super::{Ending, Error};
/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {}
/// Pending.
pub fn run(_arguments: &Arguments, _out: Output) -> Result<Ending, Error> {
    Ok(Ending::Done)
}
