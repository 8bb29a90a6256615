//! What `benchmark_model` printed, in every form that its versions have.
//!
//! Lines are matched unanchored, since newer builds prefix them with `INFO: ` and Android's log with more, and on stdout
//! and stderr alike:
//!
//! ```text
//! count=50 first=5216 curr=5302 min=5101 max=5600 avg=5243.12 std=77 p5=5110 median=5240 p95=5400
//! count=1 curr=5216            count=5 curr=5216(all same)            count=0
//! Inference timings in us: Init: 6395, First inference: 2761, Warmup (avg): 3243.58, Inference (avg): 2942.27
//! Average inference timings in us: Warmup: 3243.58, Init: 6395, Inference: 2942.27
//! Memory footprint delta from the start of the tool (MB): init=39.4531 overall=40.8281
//! ```
//!
//! The `count=` line comes twice, for the warm-up and for the timed runs; builds before 2024 have no percentiles. The
//! tool exits with success even where it printed nothing of this, so that every missing or half line is an error.
//! Sources: tensorflow/core/util/stats_calculator.{h,cc}, tensorflow/lite/tools/benchmark/benchmark_model.cc.

use serde::{Deserialize, Serialize};

use crate::device::Timing;

/// Lines that are kept of a garbled output in an error.
const EXCERPT: usize = 200;

/// One series of runs, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Runs.
    pub count: u64,
    /// Fastest run.
    pub min_us: f64,
    /// Slowest run.
    pub max_us: f64,
    /// Mean.
    pub mean_us: f64,
    /// 5th percentile, median and 95th, where the build prints them.
    pub percentiles_us: Option<[f64; 3]>,
}

/// One output of the tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Printed {
    /// Loading, µs.
    pub init_us: Option<f64>,
    /// The first run, µs; older builds do not tell it.
    pub first_us: Option<f64>,
    /// Mean of the warm-up, µs.
    pub warmup_us: Option<f64>,
    /// The timed runs.
    pub runs: Series,
    /// Growth of memory in all, MB.
    pub memory_mb: Option<f64>,
    /// Operators by cost, if they were asked for as CSV.
    pub operators: Vec<Operator>,
}

/// One row of the tool's profile of operators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    /// The operator's kind, as in `CONV_2D`.
    pub kind: String,
    /// Mean time, ms.
    pub mean_ms: f64,
    /// Calls in one run.
    pub calls: u64,
    /// Where in the graph.
    pub name: String,
}

/// Why an output is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PrintedError {
    /// Nothing was timed, or the tool is another.
    #[error("no line 'count=… avg=…' of timed runs and no 'Inference timings in us'; the output ends with: {0}")]
    Missing(String),
    /// A line that breaks off or holds something else.
    #[error("line '{line}': {problem}")]
    Line {
        /// The line.
        line: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The lines contradict each other: two outputs in one, or one that is cut.
    #[error("the timed runs' mean is {series_us} µs in one line and {timings_us} µs in the other: not one output")]
    Contradiction {
        /// By the `count=` line.
        series_us: f64,
        /// By the `Inference timings` line.
        timings_us: f64,
    },
}

/// Reads an output. `stderr` may hold the lines too.
///
/// # Errors
/// [`PrintedError`].
pub fn read(stdout: &str, stderr: &str) -> Result<Printed, PrintedError> {
    let lines = || stdout.lines().chain(stderr.lines());
    let series =
        lines().filter_map(|line| Some(series(line, &line[line.find("count=")?..]))).collect::<Result<Vec<_>, _>>()?;
    let timings = lines().find_map(timings).transpose()?;
    let missing = || PrintedError::Missing(tail(stdout, stderr));
    let timings = timings.ok_or_else(missing)?;
    let runs = match series.last() {
        Some(Some(series)) => series.clone(),
        // The oldest builds print the mean alone.
        None => Series::of_one(timings.inference_us),
        Some(None) => return Err(missing()),
    };
    // Both print six significant digits.
    if (runs.mean_us - timings.inference_us).abs() > 1e-4 * runs.mean_us.max(1.0) + 1.0 {
        return Err(PrintedError::Contradiction { series_us: runs.mean_us, timings_us: timings.inference_us });
    }
    Ok(Printed {
        init_us: timings.init_us,
        first_us: timings.first_us,
        warmup_us: timings.warmup_us,
        runs,
        memory_mb: lines().find_map(|line| field(line.split_once("(MB): init=")?.1, "overall=")?.parse().ok()),
        operators: operators(stdout),
    })
}

impl Printed {
    /// The runs as a timing. The tool does not tell single runs: their median stands for them, or their mean where it
    /// prints no median.
    pub fn timing(&self) -> Timing {
        let Series { mean_us, percentiles_us, .. } = self.runs;
        let middle_us = percentiles_us.map_or(mean_us, |[_, middle, _]| middle);
        Timing { wall_ms: vec![middle_us / 1e3], cpu_ms: Vec::new() }
    }
}

impl Series {
    fn of_one(us: f64) -> Self {
        Self { count: 1, min_us: us, max_us: us, mean_us: us, percentiles_us: None }
    }
}

fn wrong(line: &str, problem: impl Into<String>) -> PrintedError {
    PrintedError::Line { line: excerpt(line), problem: problem.into() }
}

/// A `count=` line from there on; `None` for `count=0`.
fn series(line: &str, text: &str) -> Result<Option<Series>, PrintedError> {
    let number = |name: &str| -> Result<f64, PrintedError> {
        let word = field(text, name).ok_or_else(|| wrong(line, format!("'{name}' is missing")))?;
        microseconds(word).ok_or_else(|| wrong(line, format!("'{name}' is followed by '{word}', not by a time")))
    };
    let count: u64 = field(text, "count=").and_then(|word| word.parse().ok()).ok_or_else(|| wrong(line, "no count"))?;
    if count == 0 {
        return Ok(None);
    }
    if !text.contains("first=") {
        if count > 1 && !text.contains("(all same)") {
            return Err(wrong(line, "it breaks off"));
        }
        return Ok(Some(Series { count, ..Series::of_one(number("curr=")?) }));
    }
    let percentiles_us = match text.contains("p5=") {
        true => Some([number("p5=")?, number("median=")?, number("p95=")?]),
        false => None,
    };
    number("std=")?;
    let (min_us, max_us, mean_us) = (number("min=")?, number("max=")?, number("avg=")?);
    let series = Series { count, min_us, max_us, mean_us, percentiles_us };
    // Six digits of the mean may round beyond the extremes.
    let slack = 1.0 + 1e-5 * max_us;
    let middle = percentiles_us.unwrap_or([mean_us; 3]);
    let ordered = [min_us, middle[0], middle[1], middle[2], max_us];
    if ordered.windows(2).any(|pair| pair[0] > pair[1] + slack) || mean_us + slack < min_us || mean_us > max_us + slack
    {
        return Err(wrong(line, "its numbers are not in order"));
    }
    Ok(Some(series))
}

struct Timings {
    init_us: Option<f64>,
    first_us: Option<f64>,
    warmup_us: Option<f64>,
    inference_us: f64,
}

/// The summary, of newer and of older builds; `None` if the line is something else.
fn timings(line: &str) -> Option<Result<Timings, PrintedError>> {
    let text = line.split_once("nference timings in us: ")?.1;
    let of = |name: &str| field(text, name).and_then(microseconds);
    let inference = of("Inference (avg): ").or_else(|| of(", Inference: "));
    Some(inference.ok_or_else(|| wrong(line, "the time of an inference is missing")).map(|inference_us| Timings {
        init_us: of("Init: "),
        first_us: of("First inference: "),
        warmup_us: of("Warmup (avg): ").or_else(|| of("Warmup: ")),
        inference_us,
    }))
}

/// The word after the last `name` that stands at the start of a word; `None` if there is none.
fn field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    let starts = |at: usize| at == 0 || !text[..at].ends_with(|c: char| c.is_alphanumeric()) || name.starts_with(',');
    let at = text.match_indices(name).map(|(at, _)| at).find(|&at| starts(at))? + name.len();
    let rest = &text[at..];
    let end = rest.find(|c: char| c.is_whitespace() || c == ',' || c == '(').unwrap_or(rest.len());
    Some(&rest[..end]).filter(|word| !word.is_empty())
}

/// A finite time that is not negative.
fn microseconds(word: &str) -> Option<f64> {
    let digits = word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    word.parse().ok().filter(|us: &f64| digits && us.is_finite() && *us >= 0.0)
}

/// Title of the table of the timed runs; one of the initialisation may come before it.
const OPERATORS: &str = "Operator-wise Profiling Info";

/// The rows below the CSV header of the profile's run order, by the header's names, up to the first line that is none.
fn operators(stdout: &str) -> Vec<Operator> {
    let mut lines = stdout[stdout.find(OPERATORS).unwrap_or(0)..].lines();
    let Some(header) = lines.by_ref().find(|line| line.starts_with("node type, ")) else { return Vec::new() };
    let names: Vec<&str> = header.split(", ").map(str::trim).collect();
    let column = |name: &str| names.iter().position(|other| *other == name);
    let (Some(mean), Some(calls), Some(name)) = (column("avg_ms"), column("times called"), column("name")) else {
        return Vec::new();
    };
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(", ").map(str::trim).collect();
        Some(Operator {
            kind: cells.first()?.to_string(),
            mean_ms: cells.get(mean)?.parse().ok().filter(|ms: &f64| ms.is_finite())?,
            calls: cells.get(calls)?.parse().ok()?,
            name: cells.get(name)?.to_string(),
        })
    };
    lines.map_while(row).collect()
}

fn tail(stdout: &str, stderr: &str) -> String {
    let last = |text: &str| text.lines().rev().find(|line| !line.trim().is_empty()).map(excerpt);
    match (last(stdout), last(stderr)) {
        (None, None) => "(nothing)".into(),
        (out, error) => [out, error].into_iter().flatten().collect::<Vec<_>>().join(" / "),
    }
}

fn excerpt(line: &str) -> String {
    line.chars().take(EXCERPT).map(|c| if c.is_control() { '.' } else { c }).collect()
}
