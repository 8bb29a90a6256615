//! The runner on this machine, with the real LiteRT: `benchmark_model`'s flags and lines, its own report, its errors.

mod built_runner;

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use mnas::device::host::{HostDevice, HostSettings};
use mnas::device::{Device, Model, verify};
use mnas::network::{Network, Weights};
use mnas::{seeded, space, tflite};
use mnas_runner::report::Report;
use mnas_runner::sha256;

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
    assert_eq!(report.runtime.sha256, sha256(&fs_err::read(litert()).unwrap()));
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
