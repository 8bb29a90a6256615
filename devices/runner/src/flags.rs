//! The command line: `benchmark_model`'s flags under their names, and a few of our own.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::BoolishValueParser;

use crate::pinning::Pinning;

/// Times one .tflite model with LiteRT on this machine's processor.
///
/// Takes benchmark_model's flags as --name=value and prints its lines; --json_output adds every single run, the clocks
/// and temperatures around them, and hashes of what ran.
#[derive(Debug, Clone, Parser)]
#[command(name = "mnas-runner", version, max_term_width = 110, args_override_self = true)]
pub struct Flags {
    /// The model.
    #[arg(long, value_name = "M.tflite")]
    pub graph: PathBuf,
    /// Threads of the runtime.
    #[arg(long = "num_threads", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Timed runs at least.
    #[arg(long = "num_runs", default_value_t = 50)]
    pub runs: usize,
    /// Timed runs go on for at least so many seconds.
    #[arg(long = "min_secs", default_value_t = 1.0, value_parser = seconds)]
    pub least_s: f64,
    /// No run begins after so many seconds, of warm-up and of timed runs each.
    #[arg(long = "max_secs", default_value_t = 150.0, value_parser = seconds)]
    pub most_s: f64,
    /// Untimed runs at least.
    #[arg(long = "warmup_runs", default_value_t = 1)]
    pub warmup_runs: usize,
    /// Untimed runs go on for at least so many seconds.
    #[arg(long = "warmup_min_secs", default_value_t = 0.5, value_parser = seconds)]
    pub warmup_least_s: f64,
    /// No untimed run begins after so many seconds (default: max_secs).
    #[arg(long = "warmup_max_secs", value_parser = seconds)]
    pub warmup_most_s: Option<f64>,
    /// Untimed runs go on until three neighbouring windows of five agree within 3 %, or warmup_max_secs are over.
    #[arg(long = "warmup_until_steady", default_value_t = false, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub steady: bool,
    /// Seconds of rest before each timed run but the first; negative for none.
    #[arg(long = "run_delay", default_value_t = -1.0, allow_negative_numbers = true)]
    pub delay_s: f64,
    /// XNNPACK's kernels; otherwise the interpreter's own.
    #[arg(long = "use_xnnpack", default_value_t = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub xnnpack: bool,
    /// Not here: benchmark_model has it.
    #[arg(long = "use_gpu", default_value_t = false, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub gpu: bool,
    /// Not here: benchmark_model has it.
    #[arg(long = "use_nnapi", default_value_t = false, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub nnapi: bool,
    /// Not here: benchmark_model has it.
    #[arg(long = "enable_op_profiling", default_value_t = false, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub op_profiling: bool,
    /// Print the most memory that the process held.
    #[arg(long = "report_peak_memory_footprint", default_value_t = false, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub peak_memory: bool,
    /// Hash this program and LiteRT's library for the report; whoever put them here by hash may save the time.
    #[arg(long = "hash_files", default_value_t = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub hash_files: bool,
    /// Cores to run on: a mask like 0xf0 or a list like 4,6-7; all unless given.
    #[arg(long, value_name = "CORES")]
    pub affinity: Option<Pinning>,
    /// LiteRT's library; else LITERT_LIBRARY, else libLiteRt.so beside this program.
    #[arg(long = "runtime_library", alias = "runtime-library", value_name = "FILE")]
    pub library: Option<PathBuf>,
    /// Input of the model: raw f32, little endian, row-major. Otherwise made-up values.
    #[arg(long = "input_file", value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Where the output goes: raw f32, little endian, row-major.
    #[arg(long = "output_file", value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where the report goes; with - it is all of stdout, and the lines go to stderr.
    #[arg(long = "json_output", value_name = "FILE|-")]
    pub json: Option<PathBuf>,
}

impl Flags {
    /// Whether stdout is kept for the report.
    pub fn json_to_stdout(&self) -> bool {
        self.json.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err(format!("seconds must be from 0 to 1000000, found '{text}'")),
    }
}
