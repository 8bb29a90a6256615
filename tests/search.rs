//! A search from file to report, with a made-up device and trainer where reality would not repeat itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mnas::device::simulated::SimulatedDevice;
use mnas::latency::{CsvSettings, DataSet, Feature, Features, FitSettings, Predictor, calibrate_from_csv};
use mnas::network::Network;
use mnas::space::Space;
use mnas::store::Purpose;
use rand::Rng;
use serde_json::Value;

const SPACE: &str = r#"
name = "small"
input_size = 64
stem = 8
head = 0
classes = 10
[[block]]
stride = 2
op = ["conv", "sepconv", "mbconv3", "mbconv6"]
kernel = [3, 5]
se_ratio = [0.0, 0.25]
skip = ["none", "identity", "pool"]
filters = [8, 12, 16]
layers = [1, 2, 3]
[[block]]
stride = 2
op = ["conv", "sepconv", "mbconv3", "mbconv6"]
kernel = [3, 5]
se_ratio = [0.0, 0.25]
skip = ["none", "identity", "pool"]
filters = [16, 24, 32]
layers = [1, 2, 3]
"#;

/// A search whose device and trainer are formulas, so that nothing but its own decisions can differ between two runs.
fn search_file(algorithm: &str, evaluations: u64, delay_ms: u64) -> String {
    format!(
        r#"
seed = 11
[space]
file = "space.toml"
[target]
latency_ms = 1.0
reward = "soft"
[device]
id = "simulated"
loads = 3
[accuracy]
kind = "simulated"
delay_ms = {delay_ms}
workers = 2
[budget]
evaluations = {evaluations}
[search]
algorithm = "{algorithm}"
sampled_per_step = 16
trained_per_step = 6
timed_per_step = 2
warm_up_measurements = 20
final_loads = 3
"#
    )
}

/// A folder with a space and a search file.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(search: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("space.toml"), SPACE).unwrap();
        fs_err::write(folder.path().join("search.toml"), search).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, run: &str) -> Child {
        spawn(&["search", self.path("search.toml").to_str().unwrap(), "--run", self.path(run).to_str().unwrap()])
    }

    fn resume(&self, run: &str, more: &[&str]) -> Child {
        let run = self.path(run);
        spawn(&[&["resume", run.to_str().unwrap()], more].concat())
    }

    /// What a run found, without what a clock put there.
    fn report(&self, run: &str) -> Value {
        let output = mnas().args(["report", "--json"]).arg(self.path(run)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
        forget_clocks(&mut report);
        report
    }
}

fn mnas() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnas"));
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

fn spawn(arguments: &[&str]) -> Child {
    mnas().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a process that must end well.
fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// stderr of a process that must end with this code.
fn failure(child: Child, code: i32) -> String {
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{message}");
    message
}

fn forget_clocks(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                !matches!(name.as_str(), "seconds" | "overhead_percent" | "date" | "started" | "run")
            });
            fields.values_mut().for_each(forget_clocks);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_clocks),
        _ => {}
    }
}

fn killed_and_resumed_equals_uninterrupted(search: &str) {
    let bench = Bench::new(search);
    finish(bench.start("whole"));
    let whole = bench.report("whole");
    assert_eq!(whole["evaluations"], 30);

    let random = &mut mnas::seeded(1);
    let mut process = bench.start("broken");
    let mut kills = 0u64;
    loop {
        // Longer and longer, so that however slow this machine is, the run is through at last.
        std::thread::sleep(Duration::from_millis(random.gen_range(20..300 + 60 * kills)));
        match process.try_wait().unwrap() {
            Some(status) if status.success() => break,
            Some(_) => panic!("{}", failure(process, 0)),
            None => {
                process.kill().unwrap();
                process.wait().unwrap();
                kills += 1;
                process = if bench.path("broken/run.sqlite").exists() {
                    bench.resume("broken", &[])
                } else {
                    bench.start("broken")
                };
            }
        }
        assert!(kills < 100, "the run makes no progress between kills");
    }
    assert!(kills >= 2, "the run ended before it was killed twice");
    assert_eq!(bench.report("broken"), whole, "after {kills} kills");
}

#[test]
#[cfg(feature = "torch")]
fn a_ppo_search_killed_again_and_again_ends_as_one_never_stopped() {
    killed_and_resumed_equals_uninterrupted(&search_file("ppo", 30, 15));
}

#[test]
fn an_evolution_search_killed_again_and_again_ends_as_one_never_stopped() {
    killed_and_resumed_equals_uninterrupted(&search_file("evolution", 30, 15));
}

#[test]
fn a_random_search_on_two_devices_killed_again_and_again_ends_as_one_never_stopped() {
    let second = "id = \"simulated\"\nlatency_ms = 0.8\nweight = 0.5";
    killed_and_resumed_equals_uninterrupted(&two_devices(&search_file("random", 30, 15), second, "product"));
}

/// The search with a second device.
fn two_devices(search: &str, second: &str, combine: &str) -> String {
    let first = "[[device]]\nid = \"simulated\"\nloads = 3";
    search
        .replace("[device]\nid = \"simulated\"\nloads = 3", &format!("{first}\n[[device]]\n{second}\nloads = 2"))
        .replace("reward = \"soft\"", &format!("reward = \"soft\"\ncombine = \"{combine}\""))
}

#[test]
fn the_report_of_a_search_holds_together() {
    let bench = Bench::new(&search_file("evolution", 24, 0));
    finish(bench.start("run"));
    let report = bench.report("run");
    let rewards: Vec<f64> =
        report["best_reward_by_evaluation"].as_array().unwrap().iter().map(|r| r.as_f64().unwrap()).collect();
    assert_eq!(rewards.len(), 24);
    assert!(rewards.is_sorted(), "the best reward so far never falls: {rewards:?}");
    let measurements = report["measurements"].as_u64().unwrap();
    assert!((1..=8).contains(&measurements), "at most two networks are timed in each of four steps: {measurements}");
    assert_eq!(report["best"]["measured"], true);
    assert_eq!(rewards.last().copied(), report["best"]["reward"].as_f64(), "the curve ends at the choice");
    assert_eq!(report["ended"], "evaluations");
    let volumes = report["hypervolume"]["by_evaluation"].as_array().unwrap();
    assert!(volumes.len() == 24 && volumes.iter().map(Value::as_f64).is_sorted());
    assert_eq!(report["hypervolume"]["reference_ms"], 2.0, "twice the target");
    let count = |name: &str| {
        let phase = report["phases"].as_array().unwrap().iter().find(|phase| phase["phase"] == name);
        phase.map_or(0, |phase| phase["count"].as_u64().unwrap())
    };
    assert_eq!((count("measured first"), count("trained"), count("timed at the end")), (20, 24, 5));
    let (lost, left) = (count("known already") + count("screened out"), count("trained") + count("failed"));
    assert_eq!(count("sampled"), lost + left, "every sampled network is accounted for: {}", report["phases"]);
    assert_eq!(count("timed"), report["measurements"].as_u64().unwrap());
    let front: Vec<(f64, f64)> = report["pareto"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["latency_ms"].as_f64().unwrap(), p["accuracy"].as_f64().unwrap()))
        .collect();
    assert!(front.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{front:?}");
    for file in ["search.toml", "run.sqlite", "best.tflite", "report.html"] {
        assert!(bench.path("run").join(file).exists(), "{file}");
    }
}

#[test]
fn every_trained_network_is_timed_where_that_is_asked_for() {
    let all = search_file("random", 24, 0).replace("timed_per_step = 2", "timing = \"all\"");
    let bench = Bench::new(&all);
    finish(bench.start("run"));
    assert_eq!(bench.report("run")["measurements"], 24);
}

#[test]
#[cfg(feature = "torch")]
fn a_guided_search_finds_a_better_network_than_as_many_random_ones() {
    let best = |search: &str| {
        let bench = Bench::new(search);
        finish(bench.start("run"));
        bench.report("run")["best"]["reward"].as_f64().unwrap()
    };
    let exact = |algorithm| search_file(algorithm, 40, 0).replace("delay_ms = 0", "noise = 0.0");
    let (guided, random) = (best(&exact("ppo")), best(&exact("random")));
    assert!(guided > random, "{guided} and {random}");
}

#[test]
#[cfg(feature = "torch")]
fn a_search_that_expects_nothing_more_ends_if_asked_to() {
    let settled = "algorithm = \"ppo\"\nstop_when_converged = true\npatience = 3";
    let search = search_file("ppo", 400, 0).replace("delay_ms = 0", "noise = 0.0");
    let bench = Bench::new(&search.replace("algorithm = \"ppo\"", settled));
    finish(bench.start("run"));
    let report = bench.report("run");
    assert!(report["evaluations"].as_u64().unwrap() < 400, "{}", report["evaluations"]);
    let last = report["steps"].as_array().unwrap().last().unwrap().clone();
    assert!(last["expected_improvement"].as_f64().unwrap() < 1e-4, "{last}");
}

#[test]
fn no_network_is_trained_twice() {
    let bench = Bench::new(&search_file("random", 40, 0));
    finish(bench.start("run"));
    let ledger = mnas::store::Ledger::read(&bench.path("run")).unwrap();
    let evaluations = ledger.evaluations().unwrap();
    let digests: std::collections::HashSet<_> = evaluations.iter().map(|e| e.digest.clone()).collect();
    assert_eq!(digests.len(), evaluations.len());
    assert_eq!(evaluations.iter().map(|e| e.id).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
}

#[test]
fn a_space_that_runs_out_ends_the_search_instead_of_turning_for_ever() {
    let tiny = "name = \"tiny\"\ninput_size = 32\nstem = 8\nhead = 0\nclasses = 10\n[[block]]\nstride = 2\nop = [\"sepconv\", \"mbconv3\"]\nkernel = [3, 5]\nse_ratio = [0.0, 0.25]\nskip = [\"none\"]\nfilters = [8, 16]\nlayers = [1, 2]\n";
    let bench = Bench::new(&search_file("random", 500, 0));
    fs_err::write(bench.path("space.toml"), tiny).unwrap();
    finish(bench.start("run"));
    let report = bench.report("run");
    assert_eq!((&report["evaluations"], &report["ended"]), (&32.into(), &"converged".into()));
}

#[test]
fn a_finished_run_goes_on_with_a_larger_budget() {
    let bench = Bench::new(&search_file("evolution", 12, 0));
    finish(bench.start("run"));
    finish(bench.resume("run", &["--evaluations", "20"]));
    assert_eq!(bench.report("run")["evaluations"], 20);
}

#[test]
fn stop_ends_a_run_that_resume_completes() {
    let bench = Bench::new(&search_file("evolution", 30, 200));
    let process = bench.start("run");
    while !bench.path("run/run.sqlite").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    finish(spawn(&["stop", bench.path("run").to_str().unwrap()]));
    let message = failure(process, 130);
    assert!(message.contains("mnas resume"), "{message}");
    assert_eq!(bench.report("run")["ended"], "stopped");
    finish(bench.resume("run", &[]));
    assert_eq!(bench.report("run")["evaluations"], 30);
}

#[test]
fn two_processes_cannot_write_one_run() {
    let bench = Bench::new(&search_file("evolution", 30, 200));
    let mut first = bench.start("run");
    while !bench.path("run/run.sqlite").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let message = failure(bench.resume("run", &[]), 1);
    assert!(message.contains("is being written by another process"), "{message}");
    first.kill().unwrap();
    first.wait().unwrap();
}

fn refused(change: impl Fn(&str) -> String, hint: &str) {
    let bench = Bench::new(&change(&search_file("evolution", 12, 0)));
    let message = failure(bench.start("run"), 1);
    assert!(message.contains(hint), "{message}");
    assert!(!bench.path("run").join("run.sqlite").exists(), "a refused search must leave no run behind");
}

#[test]
fn an_unusable_search_file_is_refused_before_anything_is_made() {
    refused(|text| text.replace("latency_ms = 1.0", "latency_ms = 0"), "latency_ms must be");
    refused(|text| text.replace("latency_ms = 1.0", "latency_ms = -3.0"), "latency_ms must be");
    refused(|text| text.replace("seed = 11", "sed = 11"), "unknown field `sed`");
    refused(|text| text.replace("id = \"simulated\"", "id = \"pixel\""), "no device 'pixel'");
    refused(|text| text.replace("kind = \"simulated\"", "kind = \"guess\""), "found \"guess\"");
    refused(|text| text.replace("trained_per_step = 6", "trained_per_step = 60"), "search.sampled_per_step");
    refused(|text| text.replace("evaluations = 12", "evaluations = 0"), "budget.evaluations");
    refused(|text| text.replace("file = \"space.toml\"", "file = \"nowhere.toml\""), "nowhere.toml");
    refused(|text| text.replace("file = \"space.toml\"", "preset = \"mnasnett\""), "known are mnasnet");
    refused(|text| text.replace("id = \"simulated\"", "id = \"simulated\"\npredictor = \"nowhere\""), "nowhere");
}

#[test]
fn a_profile_beside_the_search_file_is_found_from_everywhere() {
    for id in ["devices/mine.toml", "mine"] {
        let bench = Bench::new(&search_file("random", 6, 0).replace("id = \"simulated\"", &format!("id = \"{id}\"")));
        fs_err::create_dir(bench.path("devices")).unwrap();
        // What is said of it shows that it was read, and no device is needed.
        fs_err::write(bench.path("devices/mine.toml"), "id = \"mine\"\n[run]\nthreads = 0\n").unwrap();
        let message = failure(bench.start("run"), 1);
        assert!(message.contains("devices/mine.toml: run.threads must be"), "{message}");
    }
}

#[test]
fn an_existing_run_is_never_overwritten() {
    let bench = Bench::new(&search_file("evolution", 12, 0));
    finish(bench.start("run"));
    let before = bench.report("run");
    let message = failure(bench.start("run"), 1);
    assert!(message.contains("already holds a run"), "{message}");
    assert_eq!(bench.report("run"), before);
    let message = failure(bench.resume("elsewhere", &[]), 1);
    assert!(message.contains("holds no run"), "{message}");
}

/// Runs `script` in a private mount namespace where `folder` is a tmpfs of that size; `None` where the kernel forbids it.
fn in_small_folder(folder: &Path, size: &str, script: &str) -> Option<std::process::Output> {
    let mount = format!("mount -t tmpfs -o size={size} tmpfs {} && {script}", folder.display());
    let allowed = Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success());
    allowed.then(|| Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output().unwrap())
}

#[test]
fn a_full_disk_is_one_clear_error_and_the_run_goes_on_once_there_is_room() {
    let bench = Bench::new(&search_file("evolution", 400, 0));
    let small = bench.path("small");
    fs_err::create_dir(&small).unwrap();
    let (program, file, saved) = (env!("CARGO_BIN_EXE_mnas"), bench.path("search.toml"), bench.path("saved"));
    let script = format!(
        "{program} search {} --run {small}/run 2>&1; code=$?; cp -r {small}/run {}; exit $code",
        file.display(),
        saved.display(),
        small = small.display(),
    );
    let Some(output) = in_small_folder(&small, "900k", &script) else {
        // Past the test harness, which would swallow it.
        let message = b"SKIPPED: this kernel allows no private mounts, so no disk can be made full\n";
        std::io::stderr().write_all(message).unwrap();
        return;
    };
    let message = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("full") || message.contains("No space left"), "{message}");
    assert_eq!(message.matches("error:").count(), 1, "{message}");
    let before = mnas::store::Ledger::read(&saved).unwrap().evaluations().unwrap();
    assert!(!before.is_empty(), "something was stored before the disk was full");
    finish(bench.resume("saved", &["--evaluations", &(before.len() + 5).to_string()]));
    let after = mnas::store::Ledger::read(&saved).unwrap().evaluations().unwrap();
    // Trainers finish in any order: what was stored need not be the first numbers.
    assert!(before.iter().all(|evaluation| after.contains(evaluation)), "{before:?} and {after:?}");
    assert_eq!(after.len(), before.len() + 5);
}

#[test]
fn a_larger_budget_after_a_kill_within_the_last_step_is_no_obstacle() {
    let bench = Bench::new(&search_file("random", 10, 60));
    let mut process = bench.start("run");
    let evaluated = || mnas::store::Ledger::read(&bench.path("run")).map_or(0, |l| l.evaluations().unwrap().len());
    while evaluated() < 8 {
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    finish(bench.resume("run", &["--evaluations", "30"]));
    assert_eq!(bench.report("run")["evaluations"], 30);
    assert!(failure(bench.resume("run", &["--evaluations", "0"]), 1).contains("budget.evaluations"));
}

#[test]
fn a_run_keeps_its_own_space() {
    let bench = Bench::new(&search_file("evolution", 12, 0));
    finish(bench.start("run"));
    fs_err::remove_file(bench.path("space.toml")).unwrap();
    finish(bench.resume("run", &["--evaluations", "18"]));
    assert_eq!(bench.report("run")["evaluations"], 18);
}

#[test]
fn another_device_than_the_calibrated_one_is_noticed() {
    let bench = Bench::new(&search_file("evolution", 12, 0));
    finish(bench.start("run"));
    let ledger = mnas::store::Ledger::read(&bench.path("run")).unwrap();
    let rows = ledger.measurements().unwrap().into_iter().take(20);
    let csv: String = rows.map(|m| format!("{},{}\n", m.architecture, m.latency_ms / 5.0)).collect();
    fs_err::create_dir(bench.path("foreign")).unwrap();
    fs_err::write(bench.path("foreign/measurements.csv"), format!("architecture,latency_ms\n{csv}")).unwrap();
    let search =
        search_file("evolution", 12, 0).replace("id = \"simulated\"", "id = \"simulated\"\npredictor = \"foreign\"");
    fs_err::write(bench.path("search.toml"), search.replace("latency_ms = 1.0", "latency_ms = 0.2")).unwrap();
    let message = failure(bench.start("other"), 1);
    assert!(message.contains("another device"), "{message}");
}

/// Networks of another space than the search's, timed by a function, as a CSV of measurements.
fn timings(count: usize, seed: u64, latency_ms: impl Fn(&Network) -> f64) -> String {
    let (space, random) = (Space::preset("demo").unwrap(), &mut mnas::seeded(seed));
    let lines = (0..count).map(|_| {
        let architecture = space.decode(&space.sample(random)).unwrap();
        format!("{architecture},{}\n", latency_ms(&Network::expand(&architecture).unwrap()))
    });
    format!("architecture,latency_ms\n{}", lines.collect::<String>())
}

#[test]
fn a_search_predicts_as_its_warm_started_calibration_does_wherever_that_has_gone_since() {
    let search = search_file("evolution", 12, 0);
    let bench = Bench::new(&search.replace("id = \"simulated\"", "id = \"simulated\"\npredictor = \"second\""));
    let calibrate = |name: &str, csv: String, warm_start: Option<PathBuf>| {
        let file = bench.path(&format!("{name}.csv"));
        fs_err::write(&file, csv).unwrap();
        let settings = CsvSettings { warm_start, ..CsvSettings::new(&file) };
        calibrate_from_csv(&settings, &bench.path(name)).unwrap();
    };
    let squeezed = |network: &Network| Features::of(network).get(Feature::GateScaled);
    let first = |network: &Network| SimulatedDevice::latency_ms(network) * (1.0 + squeezed(network));
    calibrate("first", timings(60, 1, first), None);
    calibrate("second", timings(14, 2, SimulatedDevice::latency_ms), Some(bench.path("first")));
    let predictor = Predictor::load(&bench.path("second/predictor.json")).unwrap();
    let data = DataSet::read(&bench.path("second/measurements.csv"), "latency_ms").unwrap();
    let cold = Predictor::fit(&data, FitSettings::default()).unwrap();

    let timed = || {
        let all = mnas::store::Ledger::read(&bench.path("run")).unwrap().measurements().unwrap();
        all.into_iter().filter(|measurement| measurement.purpose == Purpose::Search).collect::<Vec<_>>()
    };
    finish(bench.start("run"));
    let before = timed().len();
    for name in ["first", "second"] {
        fs_err::remove_dir_all(bench.path(name)).unwrap();
    }
    finish(bench.resume("run", &["--evaluations", "24"]));
    assert!(0 < before && before < timed().len() && timed().len() < 10, "{before} of {} timings", timed().len());
    // Of another space, the calibration's networks tell nothing of the search's beyond what the predictor says.
    for measurement in timed() {
        let network = Network::expand(&mnas::space::parse(&measurement.architecture).unwrap()).unwrap();
        let [predicted_ms, ..] = measurement.predicted_ms.unwrap();
        let [warm_ms, cold_ms] = [&predictor, &cold].map(|predictor| predictor.predict(&network).latency_ms);
        assert!((predicted_ms / warm_ms - 1.0).abs() < 1e-9, "{predicted_ms} ms, by the calibration {warm_ms} ms");
        assert!((cold_ms / warm_ms - 1.0).abs() > 1e-3, "{warm_ms} ms with and {cold_ms} ms without its warm start");
    }
}

#[test]
fn a_device_that_cannot_run_one_network_costs_that_network_alone() {
    let device = r#"
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    size = len(request["architecture"])
    if "_k5_s22_e6" in request["architecture"]:
        print(json.dumps({"id": request["id"], "error": "no such kernel"}), flush=True)
    else:
        print(json.dumps({"id": request["id"], "latency_ms": [size / 100, size / 99]}), flush=True)
"#;
    let bench = Bench::new(
        &search_file("evolution", 18, 0).replace("id = \"simulated\"", "command = [\"python3\", \"device.py\"]"),
    );
    fs_err::write(bench.path("device.py"), device).unwrap();
    let (file, run) = (bench.path("search.toml"), bench.path("run"));
    let mut command = mnas();
    command.current_dir(bench.path("")).arg("search").arg(file).arg("--run").arg(run);
    let output = command.output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("no such kernel"), "{message}");
    assert_eq!(bench.report("run")["evaluations"], 18);
}

/// The architectures of a run that were trained or timed, with their networks.
fn touched(run: &Path) -> Vec<mnas::network::Network> {
    let ledger = mnas::store::Ledger::read(run).unwrap();
    let trained = ledger.evaluations().unwrap().into_iter().map(|evaluation| evaluation.architecture);
    let timed = ledger.measurements().unwrap().into_iter().map(|measurement| measurement.architecture);
    let expand = |line: String| mnas::network::Network::expand(&mnas::space::parse(&line).unwrap()).unwrap();
    trained.chain(timed).map(expand).collect()
}

fn limited(limits: &str) -> String {
    search_file("evolution", 18, 0).replace("[device]", &format!("[limits]\n{limits}\n[device]"))
}

#[test]
fn nothing_beyond_the_limits_is_trained_or_timed_and_the_report_says_how_much_was() {
    let bench = Bench::new(&limited("params = 8e3\nmadds = 2.5e6\nmemory_mb = 0.15"));
    finish(bench.start("run"));
    let networks = touched(&bench.path("run"));
    assert!(networks.len() >= 18 + 20);
    for network in networks {
        assert!(network.parameters() <= 8000 && network.madds() <= 2_500_000);
        assert!(network.peak_activation_bytes() <= 150_000);
    }
    let report = bench.report("run");
    let beyond = |name: &str| -> u64 {
        report["steps"].as_array().unwrap().iter().map(|step| step["beyond_limits"][name].as_u64().unwrap()).sum()
    };
    assert!(beyond("params") > 0 && beyond("memory_mb") > 0, "{}", report["steps"]);
}

#[test]
fn limits_that_only_a_few_networks_keep_to_are_searched_within() {
    let bench = Bench::new(&limited("params = 1200"));
    finish(bench.start("run"));
    assert!(touched(&bench.path("run")).iter().all(|network| network.parameters() <= 1200));
    assert_eq!(bench.report("run")["evaluations"], 18);
}

#[test]
fn limits_that_hardly_any_sample_keeps_to_are_searched_within_all_the_same() {
    let space = mnas::space::Space::from_toml(SPACE, "test").unwrap();
    let random = &mut mnas::seeded(1);
    let params =
        |tokens: &[usize]| mnas::network::Network::expand(&space.decode(tokens).unwrap()).unwrap().parameters() as f64;
    let least = mnas::network::Limits { params: Some(1.0), ..Default::default() };
    let limit = 1.6 * params(&least.shrunk(&space, space.sample(random)).unwrap().1);
    let within = (0..4000).filter(|_| params(&space.sample(random)) <= limit).count();
    assert!(within < 80, "{within} of 4000 samples keep to the limit: it is no tight one");
    let bench = Bench::new(&limited(&format!("params = {limit}")));
    finish(bench.start("run"));
    assert!(touched(&bench.path("run")).iter().all(|network| network.parameters() as f64 <= limit));
    assert!(bench.report("run")["evaluations"].as_u64().unwrap() >= 12);
}

#[test]
fn limits_beyond_the_smallest_network_of_the_space_are_refused_before_anything_is_made() {
    refused(|_| limited("params = 300"), "limits: no network of the space 'small' keeps to them");
    refused(|_| limited("memory_mb = 0"), "memory_mb must be a number above 0");
    refused(|_| limited("flops = 3"), "unknown field `flops`");
}

#[test]
fn every_budget_can_be_raised_and_none_below_what_makes_sense() {
    let budgets = "evaluations = 18\nmeasurements = 2";
    let search = search_file("evolution", 18, 0).replace("evaluations = 18", budgets);
    let bench = Bench::new(&search.replace("timed_per_step = 2", "timing = \"all\""));
    finish(bench.start("run"));
    assert_eq!(bench.report("run")["measurements"], 2);
    finish(bench.resume("run", &["--evaluations", "30", "--measurements", "5", "--hours", "2"]));
    let report = bench.report("run");
    assert_eq!((&report["evaluations"], &report["measurements"]), (&30.into(), &5.into()));
    finish(bench.resume("run", &["--evaluations", "36"]));
    assert_eq!(bench.report("run")["measurements"], 5, "a raised budget stays raised");
    let fewer = (["--evaluations", "10"], "36 are done: 36 ends it now, 46 trains 10 more");
    for (wrong, hint) in [(["--hours", "0"], "budget.hours"), (["--hours", "nan"], "budget.hours"), fewer] {
        assert!(failure(bench.resume("run", &wrong), 1).contains(hint));
    }
    assert_eq!(bench.report("run")["evaluations"], 36, "a refused budget changes nothing");
}

/// What `mnas report` says with more arguments.
fn report_with(bench: &Bench, more: &[&str]) -> Value {
    let output = mnas().args(["report", "--json"]).arg(bench.path("run")).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_finished_run_answers_for_other_targets_without_searching_again() {
    let bench = Bench::new(&search_file("evolution", 24, 0));
    finish(bench.start("run"));
    let own = bench.report("run");
    let before = fs_err::read(bench.path("run/run.sqlite")).unwrap();
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap();
    let mut latencies: Vec<f64> =
        own["candidates"].as_array().unwrap().iter().map(|candidate| number(candidate, "latency_ms")).collect();
    latencies.sort_by(f64::total_cmp);
    let target_ms = latencies[8];
    let other = report_with(&bench, &["--target-ms", &target_ms.to_string(), "--reward", "hard"]);
    assert_eq!(other["pareto"].as_array().unwrap().len(), own["pareto"].as_array().unwrap().len());
    for (candidate, as_it_was) in
        other["candidates"].as_array().unwrap().iter().zip(own["candidates"].as_array().unwrap())
    {
        for same in ["architecture", "accuracy", "latency_ms", "low_ms", "high_ms", "measured"] {
            assert_eq!(candidate[same], as_it_was[same]);
        }
        let factor = |latency_ms: f64| (target_ms / latency_ms).min(1.0);
        let reward = number(candidate, "accuracy") * factor(number(candidate, "latency_ms"));
        assert!((number(candidate, "reward") - reward).abs() < 1e-12);
        let assured = number(candidate, "expected_accuracy") * factor(number(candidate, "high_ms"));
        assert!(number(&other["best"], "reward_low") >= assured - 1e-12, "the best of what is assured is chosen");
    }
    assert_eq!((&other["target"]["reward"], number(&other["target"], "latency_ms")), (&"hard".into(), target_ms));
    let several = report_with(&bench, &["--target-ms", "0.5,1,4"]);
    let several = several.as_array().unwrap();
    let targets: Vec<f64> = several.iter().map(|pick| number(&pick["target"], "latency_ms")).collect();
    assert_eq!(targets, [0.5, 1.0, 4.0]);
    for pick in several {
        let kept = number(&pick["best"], "high_ms") <= number(&pick["target"], "latency_ms");
        assert_eq!(pick["target_met"] == "yes", kept);
    }
    assert_eq!(fs_err::read(bench.path("run/run.sqlite")).unwrap(), before, "a report changes nothing");
    assert_eq!(bench.report("run"), own);
    let wrong =
        |more: &[&str], code| failure(spawn(&[&["report", bench.path("run").to_str().unwrap()], more].concat()), code);
    assert!(wrong(&["--target-ms", "0"], 1).contains("above 0"));
    assert!(wrong(&["--reward", "generous"], 2).contains("soft, hard or absolute"));
    assert!(wrong(&["--target-ms", "1,2", "-o", "x.html"], 1).contains("one target"));
}

/// Of a device whose latency counts channels and layers, unlike the simulated one.
const ANOTHER_DEVICE: &str = r#"
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    work = sum(block["filters"] * block["layers"] * block["kernel"] for block in request["blocks"])
    print(json.dumps({"id": request["id"], "latency_ms": [work / 50, work / 49]}), flush=True)
"#;

#[test]
fn two_devices_share_one_reward_and_each_is_measured_reported_and_can_be_asked_for_again() {
    let search = two_devices(
        &search_file("evolution", 24, 0),
        "command = [\"python3\", \"another.py\"]\nlatency_ms = 5.0",
        "worst",
    );
    let bench = Bench::new(&search);
    fs_err::write(bench.path("another.py"), ANOTHER_DEVICE).unwrap();
    let mut command = mnas();
    command.current_dir(bench.path("")).arg("search").arg("search.toml").arg("--run").arg("run");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ledger = mnas::store::Ledger::read(&bench.path("run")).unwrap();
    let timed_on = |device: usize| -> std::collections::BTreeSet<String> {
        let of_device = ledger.measurements().unwrap().into_iter().filter(|m| m.device == device);
        let of_device = of_device.filter(|m| m.purpose != Purpose::Anchor);
        of_device.map(|m| m.digest).collect()
    };
    assert!(timed_on(0).len() > 20 && timed_on(0) == timed_on(1), "every network is timed on both");
    let report = bench.report("run");
    assert_eq!(report["devices"].as_array().unwrap().len(), 2);
    assert_eq!(report["target"]["combine"], "worst");
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap();
    let check = |report: &Value, targets: [f64; 2]| {
        for candidate in report["candidates"].as_array().unwrap() {
            let devices = candidate["devices"].as_array().unwrap();
            let ratios: Vec<f64> =
                devices.iter().zip(targets).map(|(device, target)| number(device, "latency_ms") / target).collect();
            let worst = ratios[0].max(ratios[1]);
            assert!((number(candidate, "latency_ratio") - worst).abs() < 1e-9);
            assert!((number(candidate, "latency_ms") - targets[0] * worst).abs() < 1e-9);
            let reward = number(candidate, "accuracy") * worst.powf(-0.07);
            assert!((number(candidate, "reward") - reward).abs() < 1e-9);
            assert_eq!(candidate["measured"], devices.iter().all(|device| device["measured"] == true));
        }
        let front: Vec<(f64, f64)> = report["pareto"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| (number(point, "latency_ratio"), number(point, "accuracy")))
            .collect();
        assert!(front.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{front:?}");
    };
    check(&report, [1.0, 5.0]);
    assert!(report["final_rows"].as_array().unwrap().iter().all(|row| row["devices"].as_array().unwrap().len() == 2));
    check(&report_with(&bench, &["--target-ms", "0.6"]), [0.6, 3.0]);
}

/// Of a device that is another one from the moment on that a file appears beside it.
const CHANGING_DEVICE: &str = r#"
import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    changed = os.path.exists("changed")
    def cost(block):
        gate = 4 * block["se_ratio"] * block["filters"]
        work = block["filters"] * block["layers"] * block["expansion"]
        return 3 * gate + 20 * block["kernel"] if changed else gate + work
    latency = sum(cost(block) for block in request["blocks"]) / 100 + 0.5
    print(json.dumps({"id": request["id"], "latency_ms": [latency, 1.01 * latency]}), flush=True)
"#;

#[test]
fn a_device_that_becomes_another_one_in_the_middle_is_told_of_once_and_in_the_report() {
    let device = "command = [\"python3\", \"changing.py\"]";
    let file = search_file("evolution", 30, 0).replace("id = \"simulated\"", device);
    let bench = Bench::new(&file.replace("timed_per_step = 2", "timed_per_step = 1"));
    fs_err::write(bench.path("changing.py"), CHANGING_DEVICE).unwrap();
    let told = |arguments: &[&str]| {
        let output = mnas().current_dir(bench.path("")).args(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{message}");
        (message.matches("is not the device any more").count(), message)
    };
    let search = |run: &str, budgets: &[&str]| {
        let _ = fs_err::remove_file(bench.path("changed"));
        assert_eq!(told(&["search", "search.toml", "--run", run]).0, 0, "nothing has changed yet");
        fs_err::write(bench.path("changed"), "").unwrap();
        let resumed: Vec<_> = budgets.iter().map(|budget| told(&["resume", run, "--evaluations", budget])).collect();
        assert_eq!(resumed.iter().map(|(times, _)| times).sum::<usize>(), 1, "{resumed:?}");
        resumed.into_iter().map(|(_, message)| message).collect::<String>()
    };
    let message = search("run", &["120"]);
    assert!(message.contains("mnas stop run") && message.contains("NOT AS EXPECTED"), "{message}");
    let report = bench.report("run");
    let [change] = report["predictor"]["changes"].as_array().unwrap().as_slice() else { panic!("one device changed") };
    assert!(change["outside"].as_f64().unwrap() > 25.0, "{change}");
    let raised_in = |step: &&Value| step["changed_devices"] != 0;
    let steps: Vec<&Value> = report["steps"].as_array().unwrap().iter().filter(raised_in).map(|s| &s["step"]).collect();
    assert_eq!(steps, [&change["step"]]);
    let page = fs_err::read_to_string(bench.path("run/report.html")).unwrap();
    assert!(page.contains("is not the device any more"));

    search("again", &["60", "90", "120"]);
    assert_eq!(bench.report("again")["predictor"], report["predictor"], "a watch survives a stop");
    let (times, message) = told(&["search", "search.toml", "--run", "other"]);
    assert_eq!((times, bench.report("other")["predictor"]["changes"].as_array().unwrap().len()), (0, 0), "{message}");
}

#[test]
fn devices_that_make_no_sense_are_refused() {
    let with = |second: &'static str| move |text: &str| two_devices(text, second, "worst");
    refused(with("id = \"simulated\"\nlatency_ms = 0"), "device.latency_ms");
    refused(with("id = \"simulated\"\nweight = -1"), "device.weight");
    refused(with("id = \"simulated\"\nspeed = 1"), "unknown field `speed`");
    refused(|text| text.replace("\nloads = 3", "\nweight = 2.0"), "has no use with one device");
    refused(|text| two_devices(text, "id = \"simulated\"", "best"), "combine");
}
