//! One start of a runner on the phone: its command line, and what its answer must hold to be believed.

use std::time::Duration;

use mnas_runner::report::{FORMAT, Report};

use super::benchmark_model;
use super::files::Runner;
use super::state::Properties;
use crate::adb::{Command, Output};
use crate::device::Timing;
use crate::device::profile::{Delegate, KernelChoice, Profile};

/// Seconds of warm-up and of timed runs each at most, of a warm-up with our runner until times are steady, and what the
/// phone may take beyond them to load a model.
const MOST_S: f64 = 60.0;
const STEADY_S: f64 = 5.0;
const LOADING_S: u64 = 60;
/// Runs of the reference network, timed and before them: enough that the fastest repeats within a few percent.
const REFERENCE_RUNS: usize = 30;
const REFERENCE_WARMUP: usize = 5;

/// How models run on one phone in one session.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub runner: Runner,
    /// Cores a model may use; empty for all.
    pub cores: Vec<usize>,
    /// Whether the phone has `taskset`, for a program that cannot pin itself.
    pub taskset: bool,
    /// Threads, kernels, warm-up, delegate.
    pub profile: Profile,
    /// Timed runs at least.
    pub runs: usize,
}

/// A model on the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its path there.
    pub path: String,
    /// SHA-256 of its content.
    pub sha256: String,
}

/// What one start gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The runs.
    pub timing: Timing,
    /// All that our runner says.
    pub report: Option<Report>,
}

impl Launch {
    /// For the phone with these properties; cores as in the profile, else `biggest`.
    pub fn new(
        runner: Runner,
        properties: &Properties,
        biggest: Vec<usize>,
        profile: Profile,
        runs: usize,
    ) -> Result<Self, String> {
        use crate::device::pinning::Pinning;
        let mut cores = match profile.pinning()? {
            Some(Pinning::Cores(cores)) => cores,
            Some(Pinning::None) | None => biggest,
        };
        // As the runner reports them.
        cores.sort_unstable();
        cores.dedup();
        if !cores.is_empty() && profile.run.threads > cores.len() {
            return Err(format!(
                "{} threads on {} core(s) {cores:?} would wait for each other: give fewer threads or more cores",
                profile.run.threads,
                cores.len()
            ));
        }
        Ok(Self { runner, cores, taskset: properties.taskset, profile, runs })
    }

    /// The same for the reference network, which is small: more runs, and no warm-up until they are steady.
    #[must_use]
    pub fn of_reference(&self) -> Self {
        let mut launch = self.clone();
        launch.runs = REFERENCE_RUNS;
        launch.profile.run.warmup_runs = REFERENCE_WARMUP;
        launch.profile.run.steady = Some(false);
        launch
    }

    /// Longest time that a start may take.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(2 * MOST_S as u64 + LOADING_S)
    }

    /// Whether the program is kept on the cores that were asked for.
    pub fn is_pinned(&self) -> bool {
        self.cores.is_empty() || self.taskset || matches!(self.runner, Runner::Ours { .. })
    }

    /// The command that times a model.
    pub fn time(&self, model: &Remote) -> Command {
        let run = &self.profile.run;
        let command = self
            .program(model)
            .word(format!("--num_runs={}", self.runs))
            .word(format!("--warmup_runs={}", run.warmup_runs))
            .word("--min_secs=0")
            .word("--warmup_min_secs=0")
            .word(format!("--max_secs={MOST_S}"));
        match &self.runner {
            Runner::Ours { .. } => {
                let steady = format!("--warmup_until_steady={}", run.steady.unwrap_or(true));
                command.word("--json_output=-").word(steady).word(format!("--warmup_max_secs={STEADY_S}"))
            }
            Runner::Stock { .. } => command,
        }
    }

    /// The command that computes the output for an input; `None` if the program cannot.
    pub fn infer(&self, model: &Remote, input: &str, output: &str) -> Option<Command> {
        matches!(self.runner, Runner::Ours { .. }).then(|| {
            let nothing = ["--num_runs=0", "--warmup_runs=0", "--min_secs=0", "--warmup_min_secs=0", "--json_output=-"];
            let files = [format!("--input_file={input}"), format!("--output_file={output}")];
            self.program(model).words(nothing).words(files)
        })
    }

    /// The program with what both commands say of threads, cores and kernels.
    fn program(&self, model: &Remote) -> Command {
        let run = &self.profile.run;
        let command = match &self.runner {
            Runner::Ours { program, library } => {
                // Both lie there by their hashes.
                let library = format!("--runtime_library={}", library.path);
                let command = Command::new(&program.path).word(library).word("--hash_files=false");
                match self.cores.is_empty() {
                    true => command,
                    false => command.word(format!("--affinity={}", list(&self.cores))),
                }
            }
            Runner::Stock { path, .. } => match self.taskset && !self.cores.is_empty() {
                true => Command::new("taskset").word(format!("{:x}", mask(&self.cores))).word(path),
                false => Command::new(path),
            },
        };
        let delegate = match run.delegate {
            Delegate::Cpu => format!("--use_xnnpack={}", run.kernels == KernelChoice::Xnnpack),
            Delegate::Gpu => "--use_gpu=true".into(),
            Delegate::Nnapi => "--use_nnapi=true".into(),
        };
        let graph = format!("--graph={}", model.path);
        command.word(graph).word(format!("--num_threads={}", run.threads)).word(delegate)
    }

    /// Reads what the command printed.
    ///
    /// # Errors
    /// The program's own message; or what makes its answer unbelievable: another program's output, another model, too
    /// few runs, other cores.
    pub fn answer(&self, model: &Remote, output: &Output) -> Result<Answer, String> {
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.success() {
            return Err(format!("the runner ended with {}: {}", output.exit, last_lines(&stderr, &stdout)));
        }
        let answer = match self.runner {
            Runner::Ours { .. } => self.ours(model, &stdout)?,
            Runner::Stock { .. } => {
                let printed = benchmark_model::read(&stdout, &stderr)
                    .map_err(|error| format!("benchmark_model said something else than expected: {error}"))?;
                if printed.runs.count < self.runs as u64 {
                    return Err(format!("benchmark_model made {} runs of {}", printed.runs.count, self.runs));
                }
                Answer { timing: printed.timing(), report: None }
            }
        };
        match answer.timing.wall_ms.iter().chain(&answer.timing.cpu_ms).find(|ms| !(ms.is_finite() && **ms > 0.0)) {
            Some(ms) => Err(format!("the runner says that a run took {ms} ms")),
            None => Ok(answer),
        }
    }

    fn ours(&self, model: &Remote, stdout: &str) -> Result<Answer, String> {
        let report: Report = serde_json::from_str(stdout)
            .map_err(|error| format!("the runner's answer is not its report ({error}): {}", last_lines(stdout, "")))?;
        let expected = |what: &str, expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
            Err(format!("the runner's report is about other {what}: expected {expected:?}, found {found:?}"))
        };
        if report.format != FORMAT {
            return Err(format!(
                "the runner's report has form {}, expected {FORMAT}: build the runner anew",
                report.format
            ));
        }
        if report.graph_sha256 != model.sha256 {
            return expected("models", &model.sha256, &report.graph_sha256);
        }
        if report.threads != self.profile.run.threads {
            return expected("threads", &self.profile.run.threads, &report.threads);
        }
        if !self.cores.is_empty() && report.affinity != self.cores {
            return expected("cores", &self.cores, &report.affinity);
        }
        if report.wall_ms.len() < self.runs || report.cpu_ms.len() != report.wall_ms.len() {
            return expected("numbers of runs", &self.runs, &(report.wall_ms.len(), report.cpu_ms.len()));
        }
        let cpu_ms = if report.threads == 1 { report.cpu_ms.clone() } else { Vec::new() };
        Ok(Answer { timing: Timing { wall_ms: report.wall_ms.clone(), cpu_ms }, report: Some(report) })
    }
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// As `taskset` takes it; it knows 64 cores, more than any phone has.
fn mask(cores: &[usize]) -> u64 {
    cores.iter().filter(|&&core| core < 64).fold(0, |mask, core| mask | 1 << core)
}

/// The end of what was said, whichever of the two said anything.
fn last_lines(first: &str, second: &str) -> String {
    let text = if first.trim().is_empty() { second } else { first };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(3)..].join(" / ");
    let start = end.char_indices().rev().nth(399).map_or(0, |(at, _)| at);
    end[start..].chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}
