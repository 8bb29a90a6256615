//! Runs that are killed, stopped, resumed or in the way of each other.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rand::Rng as _;

use crate::bench::{Bench, failure, finish, search_file, spawn, two_devices};

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
fn a_run_keeps_its_own_space() {
    let bench = Bench::new(&search_file("evolution", 12, 0));
    finish(bench.start("run"));
    fs_err::remove_file(bench.path("space.toml")).unwrap();
    finish(bench.resume("run", &["--evaluations", "18"]));
    assert_eq!(bench.report("run")["evaluations"], 18);
}
