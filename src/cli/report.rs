//! `mnas report`: what a run found, for its own target or for others.

use std::path::{Path, PathBuf};

use super::output::Output;
use super::{Ending, Error};
use crate::report::{Pick, html, text};
use crate::search::{Objective, RewardKind, TargetOptions};
use crate::search::{Summary, summarise};
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
    /// Choose from the run's networks for another target, without searching again; for several, as in 20,40,80, a
    /// table. Of a run with several devices this is the first one's target, and the others' change in proportion.
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
    let objectives = objectives(arguments, summary.objective())?;
    let data = match objectives.as_slice() {
        [] => summary.report()?,
        [objective] => summary.report_for(objective)?,
        [_, _, ..] if arguments.output.is_some() => {
            return Err(Error::new("a page shows one target: give --output with a single --target-ms"));
        }
        several => {
            let picks: Vec<Pick> = several.iter().map(|objective| summary.pick(objective)).collect();
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

/// What to choose for; nothing for what the run was asked for.
fn objectives(arguments: &Arguments, own: &Objective) -> Result<Vec<Objective>, Error> {
    let form = match arguments.reward {
        None => *own.target(),
        Some(reward) => {
            let latency_ms = own.target().latency_ms();
            TargetOptions { latency_ms, reward, alpha: None, beta: None, combine: own.combine() }.check()?
        }
    };
    let own = own.with_form(form);
    if arguments.target_ms.is_empty() {
        return Ok(arguments.reward.map(|_| own).into_iter().collect());
    }
    let at = |target_ms: &f64| form.at(*target_ms).map(|_| own.at(*target_ms));
    Ok(arguments.target_ms.iter().map(at).collect::<Result<_, _>>()?)
}

/// Prints the report of the run in `folder`.
pub fn print(folder: &Path, out: Output) -> Result<(), Error> {
    let data = summarise(&Ledger::read(folder)?)?;
    out.print(&data, || text::render(&data))
}
