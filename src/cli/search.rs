//! `mnas search`, `mnas resume`, `mnas stop`.

use std::path::PathBuf;

use super::output::{Output, bars, interruption};
use super::{Ending, Error, report};
use crate::search::{self, BudgetChange, Outcome, RunContext};
use crate::store::Ledger;

/// Arguments of `mnas search`.
#[derive(Debug, clap::Args)]
pub struct SearchArguments {
    /// The search file (TOML).
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// The run directory to make.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
}

/// Arguments of `mnas resume`.
#[derive(Debug, clap::Args)]
pub struct ResumeArguments {
    /// The run directory.
    #[arg(value_name = "DIR")]
    run: PathBuf,
    /// A new budget of evaluations, those already done included.
    #[arg(long, value_name = "N")]
    evaluations: Option<u64>,
    /// A new budget of timings in the loop, those already made included.
    #[arg(long, value_name = "N")]
    measurements: Option<u64>,
    /// A new budget of wall-clock hours, those already spent included.
    #[arg(long, value_name = "H")]
    hours: Option<f64>,
}

/// Arguments of `mnas stop`.
#[derive(Debug, clap::Args)]
pub struct StopArguments {
    /// The run directory.
    #[arg(value_name = "DIR")]
    run: PathBuf,
}

/// Starts a run.
pub fn search(arguments: &SearchArguments, out: Output) -> Result<Ending, Error> {
    let outcome = search::start(&arguments.file, &arguments.run, &context()?)?;
    finish(outcome, &arguments.run, out)
}

/// Goes on with a run.
pub fn resume(arguments: &ResumeArguments, out: Output) -> Result<Ending, Error> {
    let ResumeArguments { run, evaluations, measurements, hours } = arguments;
    let change = BudgetChange { evaluations: *evaluations, measurements: *measurements, hours: *hours };
    let outcome = search::resume(run, change, &context()?)?;
    finish(outcome, &arguments.run, out)
}

/// Asks a running search to end.
pub fn stop(arguments: &StopArguments, out: Output) -> Result<Ending, Error> {
    let running = Ledger::request_stop(&arguments.run)?;
    let run = arguments.run.display();
    out.print(&serde_json::json!({ "run": arguments.run, "running": running }), || {
        if running {
            format!("asked: it ends after the trainings and timings it is at; `mnas resume {run}` goes on")
        } else {
            format!("nothing is running in {run}")
        }
    })?;
    Ok(Ending::Done)
}

fn finish(outcome: Outcome, folder: &std::path::Path, out: Output) -> Result<Ending, Error> {
    match outcome {
        Outcome::Finished(_) => report::print(folder, out).map(|()| Ending::Done),
        Outcome::Stopped => {
            eprintln!("stopped; everything finished is stored. Go on with `mnas resume {}`", folder.display());
            Ok(Ending::Interrupted)
        }
    }
}

fn context() -> Result<RunContext, Error> {
    Ok(RunContext { interrupted: interruption()?, bars: bars() })
}
