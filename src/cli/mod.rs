//! The command line: one file per verb, each a clap definition and the calls that serve it.
//!
//! Results go to stdout (with `--json` one JSON document and nothing else), progress and logs to stderr. Exit codes:
//! 0 done, 1 failed, 2 wrong usage, 3 done but a stated limit was not met, 130 interrupted with the state saved.

mod arch;
mod bench;
mod calibrate;
mod completions;
mod dataset;
mod device_arguments;
mod devices;
mod doctor;
mod export;
mod input;
mod output;
mod predict;
mod report;
mod search;
mod space;
#[cfg(feature = "torch")]
mod train;

use clap::{Parser, Subcommand};

pub use output::Error;

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything done.
    Done,
    /// Done, but a stated limit was not met.
    LimitNotMet,
    /// Stopped on request; the state is saved.
    Interrupted,
}

impl Ending {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::LimitNotMet => 3,
            Self::Interrupted => 130,
        }
    }
}

/// Finds a convolutional network for one particular device: MnasNet search with true timings and a calibrated latency predictor.
///
/// A first round: `mnas calibrate --device host --out calibration/host`, then `mnas search FILE.toml --run runs/1`.
/// ARCH is an architecture line, a reference network (mnasnet-a1, mnasnet-b1, mnasnet-small, mobilenet-v1, mobilenet-v2,
/// efficientnet-lite0; with @WIDTH and /INPUT, as in mnasnet-a1@0.75/192), or - to read lines from stdin.
#[derive(Debug, Parser)]
#[command(name = "mnas", version, max_term_width = 110)]
pub struct Arguments {
    /// Print one JSON document on stdout instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Say more on stderr (-v: what happens, -vv: details). RUST_LOG overrides.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Parameters, multiply-adds, memory and the layers of networks.
    Arch(arch::Arguments),
    /// Show a search space, count it, sample from it, translate tokens.
    Space(space::Arguments),
    /// Write a network as a .tflite file.
    Export(export::Arguments),
    /// List what can time a network, and the state it is in.
    Devices(devices::Arguments),
    /// Whether timings on a device can be trusted, and what to do about it.
    Doctor(doctor::Arguments),
    /// Time networks on a device, interleaved and verified.
    Bench(bench::Arguments),
    /// Measure a device and fit its latency predictor, with a stated error; or fit other people's measurements.
    Calibrate(Box<calibrate::Arguments>),
    /// Predict latencies, with intervals; with a CSV of measurements also the errors.
    Predict(predict::Arguments),
    /// Search a network: sampled, screened, trained, timed, rewarded, learnt from.
    Search(search::SearchArguments),
    /// Go on with a run that was stopped or killed.
    Resume(search::ResumeArguments),
    /// Ask a running search to finish what it is doing, save, and end.
    Stop(search::StopArguments),
    /// What a run found.
    Report(report::Arguments),
    /// Train one network fully.
    #[cfg(feature = "torch")]
    Train(train::Arguments),
    /// Make data sets.
    Dataset(dataset::Arguments),
    /// Print the completion script for a shell.
    Completions(completions::Arguments),
}

/// Runs one command.
///
/// # Errors
/// One message: what was expected, what came, where, and what to do.
pub fn run(arguments: Arguments) -> Result<Ending, Error> {
    start_log(arguments.verbose);
    let out = output::Output { json: arguments.json };
    match arguments.command {
        Command::Arch(arguments) => arch::run(&arguments, out),
        Command::Space(arguments) => space::run(&arguments, out),
        Command::Export(arguments) => export::run(&arguments, out),
        Command::Devices(arguments) => devices::run(&arguments, out),
        Command::Doctor(arguments) => doctor::run(&arguments, out),
        Command::Bench(arguments) => bench::run(&arguments, out),
        Command::Calibrate(arguments) => calibrate::run(&arguments, out),
        Command::Predict(arguments) => predict::run(&arguments, out),
        Command::Search(arguments) => search::search(&arguments, out),
        Command::Resume(arguments) => search::resume(&arguments, out),
        Command::Stop(arguments) => search::stop(&arguments, out),
        Command::Report(arguments) => report::run(&arguments, out),
        #[cfg(feature = "torch")]
        Command::Train(arguments) => train::run(&arguments, out),
        Command::Dataset(arguments) => dataset::run(&arguments, out),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

fn start_log(verbose: u8) {
    let level = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("warn,mnas={level}")));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time();
    // A second start in one process (tests) keeps the first log.
    let _ = log.with_target(false).with_ansi(output::colour()).try_init();
}
