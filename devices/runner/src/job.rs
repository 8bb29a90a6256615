//! One call of the program: load, warm up, time, tell.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::flags::Flags;
use crate::lines::{CountLine, TimingsLine};
use crate::litert::{Kernels, LiteRtError, Loaded, Runtime};
use crate::machine::{Moment, peak_memory_mb};
use crate::pinning::{self, Pinned, Pinning};
use crate::report::{self, FORMAT, Report};
use crate::sampling::{Sample, Schedule, Steady, sample};
use crate::sha256;

/// When a warm-up counts as steady.
const STEADY: Steady = Steady { window: 5, tolerance: 0.03 };

/// Why nothing was timed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// LiteRT cannot be loaded.
    #[error("{0}")]
    Library(#[from] LiteRtError),
    /// A file, with its path.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// Something only Google's tool can do.
    #[error("--{0} is not in this runner, which computes on the processor through LiteRT's C API; use benchmark_model")]
    Unsupported(&'static str),
    /// The model, or what is asked of it.
    #[error("{graph}: {problem}")]
    Model {
        /// `--graph`.
        graph: String,
        /// What is wrong.
        problem: String,
    },
    /// The cores cannot be had.
    #[error("{0}")]
    Affinity(String),
    /// The report cannot be written as JSON.
    #[error("cannot write the report: {0}")]
    Report(#[from] serde_json::Error),
}

/// Does what the flags say; results on stdout.
///
/// # Errors
/// [`JobError`]: one message that says what, where, and what to do.
pub fn run(flags: &Flags) -> Result<(), JobError> {
    refuse(flags)?;
    let bytes = model(&flags.graph)?;
    let report = time(flags, &bytes)?;
    let lines = lines(flags, &report);
    match &flags.json {
        Some(_) if flags.json_to_stdout() => {
            eprint!("{lines}");
            println!("{}", serde_json::to_string(&report)?);
        }
        Some(path) => {
            fs_err::write(path, serde_json::to_vec(&report)?)?;
            print!("{lines}");
        }
        None => print!("{lines}"),
    }
    Ok(())
}

fn refuse(flags: &Flags) -> Result<(), JobError> {
    let asked = [(flags.gpu, "use_gpu"), (flags.nnapi, "use_nnapi"), (flags.op_profiling, "enable_op_profiling")];
    match asked.into_iter().find(|(asked, _)| *asked) {
        Some((_, flag)) => Err(JobError::Unsupported(flag)),
        None => Ok(()),
    }
}

/// The model's bytes. LiteRT trusts what it is given, so that at least the file's identifier is looked at.
fn model(path: &Path) -> Result<Vec<u8>, JobError> {
    let bytes = fs_err::read(path)?;
    match bytes.get(4..8) {
        Some(b"TFL3") => Ok(bytes),
        _ => Err(failed(path, "it is no .tflite model: the identifier TFL3 is missing".into())),
    }
}

fn failed(graph: &Path, problem: String) -> JobError {
    JobError::Model { graph: graph.display().to_string(), problem }
}

fn time(flags: &Flags, bytes: &[u8]) -> Result<Report, JobError> {
    let runtime = match &flags.library {
        Some(path) => Runtime::open(path)?,
        None => Runtime::shared()?,
    };
    let _pinned = Pinned::to(flags.affinity.as_ref().unwrap_or(&Pinning::None)).map_err(JobError::Affinity)?;
    let kernels = if flags.xnnpack { Kernels::Xnnpack } else { Kernels::Builtin };
    let (start_mb, start) = (peak_memory_mb(), Instant::now());
    let problem = |problem| failed(&flags.graph, problem);
    let mut loaded = runtime.load(bytes, flags.threads.into(), kernels).map_err(problem)?;
    let (init, init_mb) = (start.elapsed(), peak_memory_mb());
    set_input(flags, &mut loaded)?;
    if let Some(path) = &flags.output {
        loaded.run().map_err(problem)?;
        let output = loaded.output().map_err(problem)?;
        fs_err::write(path, output.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    let (warmup, runs) = schedules(flags);
    let warmup = sample(&warmup, &mut || loaded.run()).map_err(problem)?;
    let before = Moment::now();
    let samples = sample(&runs, &mut || loaded.run()).map_err(problem)?;
    let after = Moment::now();
    let milliseconds = |of: fn(&Sample) -> Duration, samples: &[Sample]| {
        samples.iter().map(|sample| of(sample).as_secs_f64() * 1e3).collect::<Vec<_>>()
    };
    Ok(Report {
        format: FORMAT,
        runner: runner(flags),
        runtime: report::Runtime {
            version: runtime.version(),
            sha256: flags.hash_files.then(|| runtime.hash().to_owned()),
        },
        graph: flags.graph.display().to_string(),
        graph_sha256: sha256(bytes),
        threads: flags.threads.into(),
        xnnpack: flags.xnnpack,
        pid: std::process::id(),
        affinity: pinning::allowed()?,
        init_ms: init.as_secs_f64() * 1e3,
        warmup_wall_ms: milliseconds(|sample| sample.wall, &warmup),
        wall_ms: milliseconds(|sample| sample.wall, &samples),
        cpu_ms: milliseconds(|sample| sample.cpu, &samples),
        before,
        after,
        memory_init_mb: init_mb - start_mb,
        memory_overall_mb: peak_memory_mb() - start_mb,
    })
}

fn runner(flags: &Flags) -> report::Runner {
    let file = flags.hash_files.then(|| std::env::current_exe().and_then(fs_err::read).ok()).flatten();
    report::Runner {
        name: env!("CARGO_PKG_NAME").into(),
        version: env!("CARGO_PKG_VERSION").into(),
        sha256: file.map(|bytes| sha256(&bytes)),
    }
}

fn set_input(flags: &Flags, loaded: &mut Loaded<'_>) -> Result<(), JobError> {
    let Some(path) = &flags.input else {
        // Weyl's sequence of the golden ratio: any values do, but zeros could be treated apart.
        let mut state = 0_u32;
        let mut next = || {
            state = state.wrapping_add(0x9E37_79B9);
            f64::from(state) as f32 / 2_f32.powi(31) - 1.0
        };
        return loaded.fill(&mut next).map_err(|problem| failed(&flags.graph, problem));
    };
    let bytes = fs_err::read(path)?;
    if bytes.len() % 4 != 0 {
        let problem = format!("{} holds {} bytes, no whole number of f32", path.display(), bytes.len());
        return Err(failed(&flags.graph, problem));
    }
    let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    loaded.set_input(&values).map_err(|problem| failed(&flags.graph, problem))
}

/// Of the warm-up and of the timed runs.
fn schedules(flags: &Flags) -> (Schedule, Schedule) {
    let most = Duration::from_secs_f64(flags.most_s);
    let warmup = Schedule {
        least_runs: flags.warmup_runs,
        least: Duration::from_secs_f64(flags.warmup_least_s),
        most: flags.warmup_most_s.map_or(most, Duration::from_secs_f64),
        pause: Duration::ZERO,
        steady: flags.steady.then_some(STEADY),
    };
    let pause = Duration::try_from_secs_f64(flags.delay_s).unwrap_or(Duration::ZERO);
    let least = Duration::from_secs_f64(flags.least_s);
    (warmup, Schedule { least_runs: flags.runs, least, most, pause, steady: None })
}

/// The lines of `benchmark_model` about these runs.
fn lines(flags: &Flags, report: &Report) -> String {
    let whole = |ms: &[f64]| ms.iter().map(|ms| (ms * 1e3).round() as u64).collect::<Vec<_>>();
    let (warmup, runs) = (whole(&report.warmup_wall_ms), whole(&report.wall_ms));
    let first = warmup.iter().chain(&runs).next().copied().unwrap_or(0);
    let timings = TimingsLine { init: (report.init_ms * 1e3).round() as u64, first, warmup: &warmup, runs: &runs };
    let peak = match flags.peak_memory {
        true => format!("Overall peak memory footprint (MB) via the system's account: {}\n", peak_memory_mb()),
        false => String::new(),
    };
    format!(
        "STARTING!\nGraph: [{}]\n{}\n\n{}\n\n{timings}\nMemory footprint delta from the start of the tool (MB): init={} overall={}\n{peak}",
        report.graph,
        CountLine(&warmup),
        CountLine(&runs),
        report.memory_init_mb,
        report.memory_overall_mb,
    )
}
