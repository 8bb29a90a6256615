//! The runner on this machine, with the real LiteRT: `benchmark_model`'s flags and lines, its own report, its errors;
//! and every form in which Google's tool prints the same.

mod built_runner;

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use mnas::device::host::{HostDevice, HostSettings};
use mnas::device::phone::benchmark_model::{PrintedError, read};
use mnas::device::{Clock, Device, Model, verify};
use mnas::network::{Network, Weights};
use mnas::{seeded, space, tflite};
use mnas_runner::lines::{CountLine, TimingsLine};
use mnas_runner::report::Report;
use mnas_runner::sha256;
use proptest::prelude::*;

/// Nothing but what a test asks for: no seconds, no warm-up.
const QUICK: [&str; 4] = ["--warmup_runs=0", "--warmup_min_secs=0", "--min_secs=0", "--num_runs=3"];

struct Bench {
    folder: tempfile::TempDir,
    model: Model,
}

impl Bench {
    fn new() -> Self {
        let architecture = space::parse("mnasnet-a1/32").unwrap();
        let network = Network::expand(&architecture).unwrap();
        let bytes = tflite::write(&network, &Weights::random(&network, &mut seeded(1))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("m.tflite"), &bytes).unwrap();
        Self { folder, model: Model { name: "m".into(), architecture: None, network: None, bytes } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, flags: &[&str]) -> Output {
        let mut command = Command::new(built_runner::path());
        command.current_dir(&self.folder).arg("--graph=m.tflite").args(QUICK).args(flags);
        command.env("LITERT_LIBRARY", litert()).output().unwrap()
    }

    /// stdout of a call that must succeed.
    fn lines(&self, flags: &[&str]) -> String {
        let output = self.run(flags);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn report(&self, flags: &[&str]) -> Report {
        serde_json::from_str(&self.lines(&[flags, &["--json_output=-"]].concat())).unwrap()
    }

    /// stderr of a call that must fail and print no result.
    fn failure(&self, flags: &[&str], code: i32) -> String {
        let output = self.run(flags);
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(code), true));
        String::from_utf8(output.stderr).unwrap()
    }
}

fn litert() -> PathBuf {
    mnas::device::litert::Runtime::shared().expect("`make setup` fetched LiteRT").path().to_owned()
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = fs_err::read(path).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn the_output_for_an_input_is_the_hosts() {
    let bench = Bench::new();
    let image = verify::input(&bench.model).unwrap();
    fs_err::write(bench.path("in"), image.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    bench.lines(&["--input_file=in", "--output_file=out", "--num_runs=0"]);
    let host = HostDevice::new(HostSettings::default()).unwrap().infer(&bench.model, &image).unwrap().unwrap();
    assert_eq!(floats(&bench.path("out")), host);
}

#[test]
fn every_run_and_what_ran_stands_in_the_report() {
    let bench = Bench::new();
    let report = bench.report(&["--warmup_runs=2", "--affinity=0x1"]);
    assert_eq!((report.wall_ms.len(), report.cpu_ms.len(), report.warmup_wall_ms.len()), (3, 3, 2));
    assert!(report.wall_ms.iter().chain(&report.cpu_ms).all(|&ms| ms > 0.0) && report.init_ms > 0.0);
    assert_eq!(report.graph_sha256, sha256(&bench.model.bytes));
    assert_eq!(report.runtime.sha256, Some(sha256(&fs_err::read(litert()).unwrap())));
    let unhashed = bench.report(&["--hash_files=false"]);
    assert_eq!((unhashed.runtime.sha256, unhashed.runner.sha256), (None, None));
    assert_eq!(report.runner.sha256, Some(sha256(&fs_err::read(built_runner::path()).unwrap())));
    assert_eq!((report.affinity, report.threads, report.xnnpack), (vec![0], 1, true));
}

#[test]
fn counts_seconds_threads_and_kernels_are_honoured() {
    let bench = Bench::new();
    let longer = bench.report(&["--num_runs=1", "--min_secs=0.05", "--num_threads=2", "--use_xnnpack=false"]);
    assert!(longer.wall_ms.len() > 1 && longer.wall_ms.iter().sum::<f64>() < 1000.0);
    assert_eq!((longer.threads, longer.xnnpack), (2, false));
    let cut = bench.report(&["--num_runs=1000000", "--max_secs=0.05"]);
    assert!(cut.wall_ms.len() < 1_000_000);
    let steady = bench.report(&["--warmup_until_steady=true", "--max_secs=5"]);
    assert!(steady.warmup_wall_ms.len() >= 15, "three windows of five runs");
}

#[test]
fn lines_are_those_of_benchmark_model() {
    let bench = Bench::new();
    let lines = bench.lines(&["--warmup_runs=1", "--report_peak_memory_footprint=true"]);
    for part in ["\ncount=1 curr=", "\ncount=3 ", "Inference timings in us: Init: ", "Memory footprint delta", "peak"] {
        assert!(lines.contains(part), "{part} in {lines}");
    }
    assert!(bench.lines(&["--num_runs=0"]).contains("count=0\n"));
    let output = bench.run(&["--json_output=-"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("count=3 "), "the lines go to stderr then");
    bench.lines(&["--json_output=report.json"]);
    assert!(serde_json::from_slice::<Report>(&fs_err::read(bench.path("report.json")).unwrap()).is_ok());
}

#[test]
fn what_is_missing_or_wrong_is_one_message_on_stderr() {
    let bench = Bench::new();
    fs_err::write(bench.path("text"), "no model, but long enough").unwrap();
    fs_err::write(bench.path("short"), [0; 12]).unwrap();
    for (flags, part) in [
        (&["--graph=nowhere.tflite"][..], "nowhere.tflite"),
        (&["--graph=text"], "text: it is no .tflite model"),
        (&["--runtime_library=nowhere.so"], "LiteRT cannot be loaded from nowhere.so"),
        (&["--input_file=short"], "its input has 12288 bytes, not 12 of f32"),
        (&["--use_gpu=true"], "--use_gpu is not in this runner"),
        (&["--affinity=1000"], "cannot pin to cores [1000]"),
        (&["--json_output=/nowhere/report.json"], "/nowhere/report.json"),
    ] {
        let message = bench.failure(flags, 1);
        assert!(message.contains(part) && message.contains("ERROR: "), "{message}");
    }
    for flags in [&["--num_threads=0"][..], &["--min_secs=-1"], &["--nonsense=1"], &["--affinity=a"]] {
        bench.failure(flags, 2);
    }
}

/// What was printed of the runs: fastest, and the middle one that stands for all, ms.
fn printed(stdout: &str, stderr: &str) -> Result<(f64, f64), PrintedError> {
    let printed = read(stdout, stderr)?;
    let timing = printed.timing();
    let [middle_ms] = timing.of(Clock::ThreadCpu)[..] else { panic!("the tool tells no single runs: {timing:?}") };
    Ok((printed.runs.min_us / 1e3, middle_ms))
}

const WARMUP: &str =
    "count=159 first=6611 curr=3192 min=2606 max=6611 avg=3243.58 std=501 p5=2700 median=3201 p95=4100\n";
const NEW: &str =
    "count=337 first=2881 curr=2703 min=2605 max=20356 avg=2942.27 std=1190 p5=2647 median=2781 p95=3169\n";
const TIMINGS: &str =
    "Inference timings in us: Init: 6395, First inference: 2761, Warmup (avg): 3243.58, Inference (avg): 2942.27\n";

#[test]
fn every_form_of_benchmark_models_output_is_read() {
    let old = "count=337 first=2881 curr=2703 min=2605 max=20356 avg=2942.27 std=1190\n";
    let oldest = "Average inference timings in us: Warmup: 3243.58, Init: 6395, Inference: 2942.27\n";
    let slow = "count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798\n\
                Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.51239e+06, Inference (avg): 2.95034e+06\n";
    let same = |line: &str| format!("{line}\n{}", TIMINGS.replace("2942.27", "2605"));
    for (text, fastest, middle) in [
        (format!("{WARMUP}{NEW}{TIMINGS}"), 2.605, 2.781),
        (format!("INFO: {WARMUP}INFO: {NEW}INFO: {TIMINGS}"), 2.605, 2.781),
        (
            format!("07-08 15:34:26.202 I/tflite  ( 5395): {NEW}07-08 15:34:26.202 I/tflite  ( 5395): {TIMINGS}"),
            2.605,
            2.781,
        ),
        (format!("{WARMUP}{old}{TIMINGS}"), 2.605, 2.94227),
        (oldest.to_owned(), 2.94227, 2.94227),
        (slow.to_owned(), 2727.568, 2950.34),
        (same("count=1 curr=2605"), 2.605, 2.605),
        (same("count=5 curr=2605(all same)"), 2.605, 2.605),
    ] {
        assert_eq!(printed(&text, "").unwrap(), (fastest, middle), "{text}");
        assert_eq!(printed("", &text).unwrap(), (fastest, middle), "on stderr: {text}");
    }
}

#[test]
fn the_profile_of_operators_is_read_by_the_names_of_its_columns() {
    let new = "node type, first, avg_ms, %, cdf%, mem KB, times called, name\n\
               CONV_2D, 0.031, 0.042, 60%, 60%, 0, 1, [stem]:0\nSOFTMAX, 0.01, 0.028, 40%, 100%, 0, 1, [out]:1\n\nother\n";
    let old = "node type, start, first, avg_ms, %, cdf%, mem KB, times called, name\nCONV_2D, 0, 0.031, 0.042, 100%, 100%, 0, 2, [stem]\n";
    let before = "Profiling Info for Benchmark Initialization:\nnode type, first, avg_ms, %, cdf%, mem KB, times called, name\n\
                  AllocateTensors, 1, 1.356, 100%, 100%, 0, 1, AllocateTensors/0\n";
    let title = "Operator-wise Profiling Info for Regular Benchmark Runs:\n";
    let of = |table: &str| read(&format!("{NEW}{TIMINGS}{table}"), "").unwrap().operators;
    let operators = of(&format!("{before}{title}{new}"));
    assert_eq!(operators.len(), 2);
    assert_eq!((operators[0].kind.as_str(), operators[0].mean_ms, operators[0].calls), ("CONV_2D", 0.042, 1));
    assert_eq!((of(old)[0].mean_ms, of(old)[0].calls, of(old)[0].name.as_str()), (0.042, 2, "[stem]"));
    assert_eq!(of("").len(), 0);
}

#[test]
fn an_output_without_whole_results_is_an_error_that_shows_it() {
    let missing = |text: &str| matches!(printed(text, "ERROR: failed to load"), Err(PrintedError::Missing(_)));
    assert!(missing("") && missing("STARTING!\n") && missing(NEW) && missing(&format!("count=0\n{TIMINGS}")));
    let text = printed("STARTING!\n", "ERROR: failed to load").unwrap_err().to_string();
    assert!(text.contains("STARTING!") && text.contains("failed to load"), "{text}");
    // The warm-up of one output and the end of another.
    assert!(matches!(printed(&format!("{WARMUP}{TIMINGS}"), ""), Err(PrintedError::Contradiction { .. })));
    for end in 6..NEW.find("median").unwrap() {
        let cut = &NEW[..end];
        // Until `p5=`, it is a whole line of an older build; a cut number may still be one.
        if !cut.contains(" std=") || cut.contains(" p5=") {
            assert!(printed(&format!("{cut}\n{TIMINGS}"), "").is_err(), "{cut}");
        }
    }
    for wrong in
        [NEW.replace("min=2605", "min=nan"), NEW.replace("min=2605", "min=-5"), NEW.replace("median=2781", "median=1")]
    {
        assert!(matches!(printed(&format!("{wrong}{TIMINGS}"), ""), Err(PrintedError::Line { .. })), "{wrong}");
    }
}

proptest! {
    #[test]
    fn what_our_runner_prints_is_read_back(
        warmup in prop::collection::vec(1..10_000_000_u64, 0..20),
        runs in prop::collection::vec(1..10_000_000_u64, 1..60),
        prefix in prop::sample::select(vec!["", "INFO: ", "07-08 15:34:26.202 I/tflite  ( 5395): "]),
    ) {
        let timings = TimingsLine { init: 5, first: 7, warmup: &warmup, runs: &runs };
        let text = format!("{prefix}{}\n\n{prefix}{}\n\n{prefix}{timings}\n", CountLine(&warmup), CountLine(&runs));
        let read = read(&text, "").unwrap();
        let fastest = *runs.iter().min().unwrap() as f64;
        let mean = runs.iter().sum::<u64>() as f64 / runs.len() as f64;
        prop_assert_eq!((read.runs.count, read.runs.min_us, read.init_us), (runs.len() as u64, fastest, Some(5.0)));
        prop_assert!((read.runs.mean_us - mean).abs() <= 1e-5 * mean, "{} {mean}", read.runs.mean_us);
    }

    #[test]
    fn garbage_never_panics_and_never_becomes_a_time_that_is_not_positive(text in "(count=|min=|avg=|first=|curr=|std=|Inference timings in us: |Inference \\(avg\\): |[0-9]{1,3}|nan|e|-|\n| |é|\\PC){0,60}") {
        if let Ok(read) = read(&text, "") {
            prop_assert!(read.timing().wall_ms.iter().all(|ms| ms.is_finite() && *ms >= 0.0));
        }
    }
}
