//! Trainers and devices as people bring them: some networks kill them, some answers are no numbers, some hang.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::bench::{Bench, failure, finish, mnas, refused, search_file};

/// One program for both roles: what it does over a network whose hash, from 0 to 9, is in `BAD`.
const PROGRAM: &str = r#"#!/usr/bin/env python3
import hashlib, json, math, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    id, hash = request["id"], int(hashlib.md5(request["architecture"].encode()).hexdigest(), 16) % 10
    with open("asked", "a") as file: file.write(request["architecture"] + "\n")
    is_bad = BAD
    if is_bad: DEED
    good = {"latency_ms": [len(request["architecture"]) / 100.0] * 3} if request["tflite"] else {"accuracy": 0.5 + hash / 100}
    print(json.dumps({"id": id, **good}))
"#;

/// What makes a program break after so many requests, until it is mended.
fn broken_after(requests: usize) -> String {
    format!("len(open('asked').readlines()) > {requests} and not os.path.exists('mended')")
}

/// What programs do over networks that are too much for them, and what the report then says.
const DEEDS: [(&str, &str); 9] = [
    ("raise RuntimeError('CUDA out of memory')", "RuntimeError: CUDA out of memory"),
    ("os.kill(os.getpid(), 9)", "(SIGKILL): usually the system was out of memory"),
    ("os.abort()", "(SIGABRT)"),
    ("sys.exit(0)", "exit status: 0"),
    ("print(json.dumps({'id': id, 'accuracy': math.nan, 'latency_ms': [math.nan]})); continue", "found NaN"),
    ("print(json.dumps({'id': id, 'accuracy': -math.inf})); continue", "found -Infinity"),
    ("print(json.dumps({'id': id + 1, 'accuracy': 0.5})); continue", "expected the answer to request"),
    ("print(json.dumps({'id': id})); continue", "exactly one of accuracy, latency_ms and error"),
    ("print('Epoch 1/5', flush=True)", "expected JSON"),
];

fn program(bench: &Bench, bad: &str, deed: &str) {
    let path = bench.path("program.py");
    fs_err::write(&path, PROGRAM.replace("BAD", bad).replace("DEED", deed)).unwrap();
    fs_err::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

const COMMAND: &str = "command = [\"./program.py\"]";

fn trained_by_program(evaluations: u64, more: &str) -> String {
    let command = format!("kind = \"command\"\n{COMMAND}\n{more}");
    search_file("random", evaluations, 0).replace("kind = \"simulated\"\ndelay_ms = 0\nworkers = 2", &command)
}

fn timed_by_program(evaluations: u64, more: &str) -> String {
    search_file("evolution", evaluations, 0).replace("id = \"simulated\"", &format!("{COMMAND}\n{more}"))
}

/// The program run in the scene's folder, where it keeps its notes.
fn run(bench: &Bench, arguments: &[&str]) -> std::process::Child {
    let mut command = mnas();
    command.current_dir(bench.path("")).args(arguments).env_remove("PYTHONUNBUFFERED");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn search(bench: &Bench) -> std::process::Child {
    run(bench, &["search", "search.toml", "--run", "run"])
}

fn phase(report: &Value, name: &str) -> (u64, String) {
    let phases = report["phases"].as_array().unwrap();
    let found = phases.iter().find(|phase| phase["phase"] == name);
    found.map_or((0, String::new()), |phase| {
        (phase["count"].as_u64().unwrap(), phase["why"].as_str().unwrap().to_owned())
    })
}

#[test]
fn a_network_that_a_trainer_cannot_bear_costs_itself_and_is_told() {
    let one = |(deed, reason): (&str, &str)| {
        let bench = Bench::new(&trained_by_program(24, ""));
        program(&bench, "hash in (3, 7)", deed);
        finish(search(&bench));
        let report = bench.report("run");
        let ((trained, _), (failed, why)) = (phase(&report, "trained"), phase(&report, "failed"));
        assert!(failed > 0 && trained + failed == 24, "{deed}: {trained} trained, {failed} failed");
        assert!(why.contains(reason) && !why.contains('\n'), "{deed}: {why}");
        let ledger = mnas::store::Ledger::read(&bench.path("run")).unwrap();
        let problems = ledger.evaluations().unwrap().into_iter().filter_map(|evaluation| evaluation.outcome.err());
        assert!(problems.inspect(|problem| assert!(problem.contains(reason), "{problem}")).count() as u64 == failed);
    };
    std::thread::scope(|scope| DEEDS.into_iter().for_each(|deed| drop(scope.spawn(move || one(deed)))));
}

#[test]
fn a_network_that_a_device_cannot_time_costs_itself_and_is_told() {
    let one = |(deed, reason): (&str, &str)| {
        let deed = deed.replace("'accuracy': -math.inf", "'latency_ms': [-math.inf]");
        let bench = Bench::new(&timed_by_program(24, "").replace("timed_per_step = 2", "timing = \"all\""));
        program(&bench, "hash in (3, 7)", &deed);
        finish(search(&bench));
        let report = bench.report("run");
        let (count, why) = phase(&report, "not timed");
        let reason = if reason.starts_with("exactly") { "exactly one of" } else { reason };
        assert!(count > 0 && why.contains(reason) && !why.contains('\n'), "{deed}: {count}, {why}");
        assert_eq!((&report["evaluations"], &report["best"]["measured"]), (&24.into(), &true.into()));
        let asked = fs_err::read_to_string(bench.path("asked")).unwrap();
        let failed = mnas::store::Ledger::read(&bench.path("run")).unwrap().failed_timings().unwrap();
        for network in failed {
            assert!(network.problem.contains(reason), "{}", network.problem);
            let times = asked.lines().filter(|line| **line == network.architecture).count();
            assert_eq!(times, 2, "{deed}: once more, and then never again: {}", network.architecture);
        }
    };
    std::thread::scope(|scope| DEEDS.into_iter().for_each(|deed| drop(scope.spawn(move || one(deed)))));
}

/// A search that is killed again and again, over programs that fail, against one that is not.
fn killed_and_resumed_equals_uninterrupted(file: &str, prefix: &str) {
    let broken = Bench::new(file);
    program(&broken, "hash in (3, 7)", "raise RuntimeError('CUDA out of memory')");
    finish(search(&broken));
    let whole = broken.report("run");
    for left in ["run", "asked"] {
        fs_err::rename(broken.path(left), broken.path(&format!("whole-{left}"))).unwrap();
    }
    let asked = || fs_err::read_to_string(broken.path("asked")).map_or(0, |text| text.lines().count());
    let mut process = search(&broken);
    for kill in 1..=5 {
        let before = asked();
        while asked() < before + 6 * kill && process.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        process = match broken.path("run/run.sqlite").exists() {
            true => run(&broken, &["resume", "run"]),
            false => search(&broken),
        };
    }
    finish(process);
    assert!(phase(&whole, prefix).0 > 0, "nothing failed: {}", whole["phases"]);
    assert_eq!(whole, broken.report("run"));
}

#[test]
fn a_search_over_networks_that_fail_killed_again_and_again_ends_as_one_never_stopped() {
    killed_and_resumed_equals_uninterrupted(&trained_by_program(24, ""), "failed");
}

#[test]
fn a_search_on_a_device_that_fails_killed_again_and_again_ends_as_one_never_stopped() {
    killed_and_resumed_equals_uninterrupted(&timed_by_program(24, ""), "not timed");
}

#[test]
fn a_trainer_that_breaks_ends_the_run_which_goes_on_once_it_is_mended() {
    let bench = Bench::new(&trained_by_program(24, ""));
    let broken = broken_after(8);
    program(&bench, &broken, "raise RuntimeError('no CUDA-capable device is detected')");
    let evaluated = || mnas::store::Ledger::read(&bench.path("run")).unwrap().evaluations().unwrap();
    let message = failure(search(&bench), 1);
    for part in ["5 different networks in a row failed", "no CUDA-capable device", "mnas resume"] {
        assert!(message.contains(part), "{message}");
    }
    let before = evaluated();
    let message = failure(run(&bench, &["resume", "run"]), 1);
    assert!(message.contains("in a row failed"), "{message}");
    assert!(evaluated().len() > before.len(), "no network is asked about for ever");
    fs_err::write(bench.path("mended"), "").unwrap();
    finish(run(&bench, &["resume", "run"]));
    let report = bench.report("run");
    assert_eq!(phase(&report, "trained").0 + phase(&report, "failed").0, 24);
    assert!(phase(&report, "failed").0 >= 8, "{}", report["phases"]);
}

#[test]
fn a_device_that_is_gone_ends_the_run_which_goes_on_once_it_is_back() {
    let bench = Bench::new(&timed_by_program(24, "").replace("timed_per_step = 2", "timing = \"all\""));
    program(&bench, &broken_after(70), "raise OSError('device not found')");
    let message = failure(search(&bench), 1);
    for part in ["5 different networks in a row failed", "device not found", "mnas resume"] {
        assert!(message.contains(part), "{message}");
    }
    fs_err::write(bench.path("mended"), "").unwrap();
    finish(run(&bench, &["resume", "run"]));
    assert_eq!(bench.report("run")["evaluations"], 24);
}

#[test]
fn networks_of_the_calibration_that_can_no_longer_be_timed_are_left_out_of_later_sessions() {
    let bench = Bench::new(&timed_by_program(18, "").replace("timed_per_step = 2", "timing = \"all\""));
    // The first measurements load everything three times; then half of them fail.
    program(
        &bench,
        "hash < 5 and open('asked').read().splitlines().count(request['architecture']) > 3",
        "raise OSError('gone')",
    );
    let child = search(&bench);
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("can no longer time this network of its calibration"), "{message}");
    assert_eq!(bench.report("run")["evaluations"], 18);
}

#[test]
fn a_timeout_costs_the_network_that_hangs_whoever_hangs() {
    for (file, prefix) in
        [(trained_by_program(8, "timeout = 0.5"), "failed"), (timed_by_program(8, "timeout = 0.5"), "not timed")]
    {
        let bench = Bench::new(&file);
        program(&bench, "hash == 3", "time.sleep(1000)");
        finish(search(&bench));
        let (count, why) = phase(&bench.report("run"), prefix);
        assert!(count > 0 && why.contains("no answer within the timeout of 0.5 s"), "{count}, {why}");
    }
}

#[test]
fn a_timeout_that_cannot_be_meant_is_refused() {
    let command = |timeout: &str| trained_by_program(12, &format!("timeout = {timeout}"));
    for timeout in ["0", "-5", "nan", "inf", "1e300"] {
        refused(|_| command(timeout), "timeout must be a number of seconds above 0");
    }
    refused(|_| timed_by_program(12, "timeout = 0"), "device.timeout: must be a number of seconds above 0");
    refused(
        |text| text.replace("id = \"simulated\"", "id = \"simulated\"\ntimeout = 5"),
        "device.timeout: has no use without a command",
    );
    refused(|text| text.replace("delay_ms = 0", "timeout = 5"), "unknown field `timeout`");
}

/// A trainer as somebody brought it, in a folder of its own with its search file.
#[cfg(feature = "torch")]
fn brought(name: &str, change: impl Fn(String) -> String) -> Bench {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/search/trainers").join(name);
    let bench = Bench::new(&change(fs_err::read_to_string(folder.join("search.toml")).unwrap()));
    for file in fs_err::read_dir(&folder).unwrap().map(Result::unwrap) {
        if file.file_name() != "search.toml" {
            let copy = bench.path(file.file_name().to_str().unwrap());
            fs_err::copy(file.path(), &copy).unwrap();
            fs_err::set_permissions(copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    bench
}

#[test]
#[cfg(feature = "torch")]
fn trainers_that_cannot_bear_one_network_in_five_end_well() {
    for (name, reason) in [("nan_one", "found NaN"), ("crash_one", "RuntimeError: CUDA out of memory")] {
        let bench = brought(name, |file| file);
        let output = search(&bench).wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {message}");
        assert!(message.contains("is sent once more") && message.contains(", failed "), "{name}: {message}");
        let report = bench.report("run");
        let (failed, why) = phase(&report, "failed");
        assert!(failed > 0 && why.contains(reason), "{name}: {failed}, {why}");
        assert_eq!(phase(&report, "trained").0 + failed, 40);
    }
}

#[test]
#[cfg(feature = "torch")]
fn a_trainer_that_does_not_flush_and_one_behind_a_shell_end_well() {
    for name in ["noflush", "orphan"] {
        let bench = brought(name, |file| file);
        finish(search(&bench));
        assert_eq!(phase(&bench.report("run"), "trained").0, 4, "{name}");
    }
}

#[test]
#[cfg(feature = "torch")]
fn a_banner_is_refused_with_where_it_belongs() {
    let message = failure(search(&brought("banner", |file| file)), 1);
    for part in ["Using TensorFlow backend.", "line 1 of its output", "belongs on stderr", "--evaluations"] {
        assert!(message.contains(part), "{message}");
    }
    let message = failure(search(&brought("banner", |file| file.replace("evaluations = 4", "evaluations = 400"))), 1);
    assert!(message.contains("5 different networks in a row failed"), "{message}");
}

#[test]
#[cfg(feature = "torch")]
fn a_trainer_that_hangs_is_given_up_at_its_timeout() {
    let with_timeout =
        |file: String| file.replace("command = [\"./trainer.py\"]", "command = [\"./trainer.py\"]\ntimeout = 0.5");
    let message = failure(search(&brought("hang", with_timeout)), 1);
    assert!(message.contains("no answer within the timeout of 0.5 s"), "{message}");
}

#[test]
fn a_timeout_stands_beside_the_command_on_the_command_line() {
    let bench = |more: &[&str], code: i32| {
        let network = "input=32 stem=8 r1_k3_s22_e3_i8_o16 head=0 classes=4";
        let output = mnas().args(["bench", network, "--rounds", "1"]).args(more).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{message}");
        message
    };
    let message = bench(&["--timeout", "0.3", "--command", "sh", "-c", "while read a; do sleep 1000; done"], 1);
    assert!(message.contains("no answer within the timeout of 0.3 s"), "{message}");
    assert!(bench(&["--timeout", "0", "--command", "cat"], 2).contains("expected a positive number"));
    assert!(bench(&["--timeout", "5"], 2).contains("--command"));
}
