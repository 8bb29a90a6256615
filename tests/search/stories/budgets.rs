//! When a search ends, and how far it goes on.

use std::time::Duration;

use crate::bench::{Bench, failure, finish, search_file};

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
