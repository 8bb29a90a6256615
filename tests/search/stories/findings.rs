//! What a search finds and its report says.

use crate::bench::{Bench, failure, finish, report_with, search_file, spawn};
use serde_json::Value;

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
        let least = number(candidate, "expected_accuracy") * factor(number(candidate, "high_ms"));
        assert!((number(candidate, "reward_low") - least).abs() < 1e-12);
        assert!(number(candidate, "reward") <= number(candidate, "expected_accuracy") + 1e-12);
        assert!(number(&other["best"], "reward") >= number(candidate, "reward"), "the best expected reward is chosen");
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
