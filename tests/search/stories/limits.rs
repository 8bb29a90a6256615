//! Limits on parameters, multiply-adds and memory.

use std::path::Path;

use crate::bench::{Bench, SPACE, finish, refused, search_file};

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
