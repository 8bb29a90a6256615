//! `mnas report`: what a run found, for its own target or for others.

use std::path::{Path, PathBuf};

use super::output::Output;
use super::{Ending, Error};
use crate::report::{Pick, html, text};
use crate::search::summary::{Summary, summarise};
use crate::search::{RewardKind, Target, TargetOptions};
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
    /// Choose from the run's networks for another target, without searching again; for several, as in 20,40,80, a table.
    #[arg(long, value_name = "MS", value_delimiter = ',')]
    target_ms: Vec<f64>,
    /// The form of the reward to choose by, with its usual weights: soft, hard or absolute; the run's own otherwise.
    #[arg(long, value_name = "KIND")]
    reward: Option<RewardKind>,
}

/// Prints the report, of a finished run or of one under way.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let ledger = Ledger::read(&arguments.run)?;
    let summary = Summary::read(&ledger)?;
    let targets = targets(arguments, summary.target())?;
    let data = match targets.as_slice() {
        [] => summary.report()?,
        [target] => summary.report_for(target)?,
        [_, _, ..] if arguments.output.is_some() => {
            return Err(Error::new("a page shows one target: give --output with a single --target-ms"));
        }
        several => {
            let picks: Vec<Pick> = several.iter().map(|target| summary.pick(target)).collect();
            out.print(&picks, || text::picks(&picks))?;
            return Ok(Ending::Done);
        }
    };
    if let Some(file) = &arguments.output {
        crate::files::write_atomically(file, html::render(&data)?.as_bytes())?;
    }
    out.print(&data, || text::render(&data))?;
    Ok(Ending::Done)
}

/// The targets to choose for; none for the run's own.
fn targets(arguments: &Arguments, own: Target) -> Result<Vec<Target>, Error> {
    let kind = match arguments.reward {
        None => own,
        Some(reward) => {
            TargetOptions { latency_ms: own.latency_ms(), reward, alpha: None, beta: None, combine: Default::default() }
                .check()?
        }
    };
    if arguments.target_ms.is_empty() && arguments.reward.is_some() {
        return Ok(vec![kind]);
    }
    let targets: Result<Vec<Target>, _> = arguments.target_ms.iter().map(|target_ms| kind.at(*target_ms)).collect();
    Ok(targets?)
}

/// Prints the report of the run in `folder`.
pub fn print(folder: &Path, out: Output) -> Result<(), Error> {
    let data = summarise(&Ledger::read(folder)?)?;
    out.print(&data, || text::render(&data))
}
