//! The host as a device: what it keeps of each run, how sessions interleave, and what it says when it cannot.

mod device_contract;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mnas::device::environment::Environment;
use mnas::device::host::{HostDevice, HostSettings};
use mnas::device::litert::{Kernels, Runtime};
use mnas::device::noise::DeviceNoise;
use mnas::device::pinning::Pinning;
use mnas::device::session::{Estimates, Load, Plan, Session, Turn, measure};
use mnas::device::simulated::SimulatedDevice;
use mnas::device::verify::{Verification, verify};
use mnas::device::{Clock, Device, Model, Timing};
use mnas::network::{Network, Weights};
use mnas::statistics::{median, median_absolute_deviation, median_interval, quantile};
use mnas::{seeded, space, tflite};
use proptest::prelude::*;
use rand::Rng;

fn model(name: &str) -> Model {
    let architecture = space::parse(name).unwrap();
    let network = Network::expand(&architecture).unwrap();
    let bytes = tflite::write(&network, &Weights::random(&network, &mut seeded(1))).unwrap();
    Model { name: name.into(), architecture: Some(architecture), network: Some(network), bytes }
}

fn host(settings: HostSettings) -> HostDevice {
    HostDevice::new(settings).expect("`make setup` fetched LiteRT")
}

#[test]
fn every_device_keeps_the_contract() {
    device_contract::check(&mut host(HostSettings::default()));
    device_contract::check(&mut host(HostSettings { threads: 2, kernels: Kernels::Builtin, ..Default::default() }));
    device_contract::check(&mut SimulatedDevice::new(1));
}

#[test]
fn every_run_is_kept_with_both_clocks() {
    let timing = host(HostSettings { runs: 7, ..Default::default() }).time(&model("mnasnet-small/64")).unwrap();
    assert_eq!((timing.wall_ms.len(), timing.cpu_ms.len()), (7, 7));
    assert!(timing.wall_ms.iter().chain(&timing.cpu_ms).all(|&ms| ms > 0.0));
}

#[test]
fn with_several_threads_only_the_wall_clock_counts() {
    let mut host = host(HostSettings { threads: 2, runs: 3, ..Default::default() });
    assert_eq!(host.description().clock, Clock::Wall);
    let timing = host.time(&model("mnasnet-small/64")).unwrap();
    assert_eq!((timing.wall_ms.len(), timing.cpu_ms.len()), (3, 0));
}

#[test]
fn runs_go_on_until_the_minimum_time_is_met() {
    let mut host = host(HostSettings { runs: 1, minimum_ms: 20.0, ..Default::default() });
    let timing = host.time(&model("mnasnet-small/32")).unwrap();
    assert!(timing.wall_ms.len() > 1, "one run of so small a network takes far less than 20 ms");
}

#[test]
fn pinning_holds_during_the_runs_only_and_names_a_core_that_is_not_there() {
    let before = std::thread::available_parallelism().unwrap();
    host(HostSettings { pinning: Pinning::Cores(vec![0]), runs: 1, ..Default::default() })
        .time(&model("mnasnet-small/32"))
        .unwrap();
    assert_eq!(std::thread::available_parallelism().unwrap(), before);
    let nowhere = HostSettings { pinning: Pinning::Cores(vec![1000]), ..Default::default() };
    let problem = host(nowhere).time(&model("mnasnet-small/32")).unwrap_err().to_string();
    assert!(problem.contains("cannot pin to cores [1000]"), "{problem}");
}

#[test]
fn settings_out_of_range_are_refused() {
    for (settings, part) in [
        (HostSettings { threads: 0, ..Default::default() }, "threads must be from 1 to 64, found 0"),
        (HostSettings { runs: 0, ..Default::default() }, "runs must be at least 1"),
        (HostSettings { minimum_ms: f64::NAN, ..Default::default() }, "minimum_ms must be"),
        (HostSettings { pinning: Pinning::Cores(vec![]), ..Default::default() }, "at least one core"),
    ] {
        let problem = HostDevice::new(settings).err().expect("out of range").to_string();
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn a_timed_model_is_verified_and_a_wrong_expectation_is_found_out() {
    let (mut host, model) = (host(HostSettings::default()), model("mnasnet-a1/64"));
    assert!(verify(&mut host, &model, None).unwrap().is_verified());
    assert!(matches!(verify(&mut host, &model, Some(&[0.5; 1000])).unwrap(), Verification::Wrong { .. }));
    let simulated = verify(&mut SimulatedDevice::new(1), &model, None).unwrap();
    assert!(matches!(simulated, Verification::Unverified { .. }));
}

#[test]
fn both_kinds_of_kernels_compute_the_same() {
    let model = model("mnasnet-a1/64");
    let builtin = HostSettings { kernels: Kernels::Builtin, ..Default::default() };
    assert!(host(builtin.clone()).description().runtime.ends_with("without XNNPACK"));
    assert!(verify(&mut host(builtin), &model, None).unwrap().is_verified());
}

#[test]
fn the_environment_names_the_runtime_and_its_hash() {
    let environment = Environment::now(host(HostSettings::default()).description());
    let hash = environment.library_sha256.as_ref().expect("LiteRT is loaded");
    assert!(environment.device.runtime.contains(&hash[..12]), "{environment:?}");
    let text = serde_json::to_string(&environment).unwrap();
    assert_eq!(serde_json::from_str::<Environment>(&text).unwrap(), environment);
}

/// Any shared library that is not LiteRT: the C library this process runs on.
fn another_library() -> PathBuf {
    let maps = fs_err::read_to_string("/proc/self/maps").unwrap();
    let is_libc = |path: &&str| path.starts_with('/') && path.contains("/libc");
    maps.lines().filter_map(|line| line.split_whitespace().last()).find(is_libc).expect("Rust links libc").into()
}

#[test]
fn a_library_that_is_missing_broken_or_not_litert_is_one_message_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("libLiteRt.so");
    fs_err::write(&garbage, "no library").unwrap();
    let problem = |path: &Path| Runtime::open(path).err().expect("unusable").to_string();
    for (path, part) in [
        (folder.path().join("nowhere.so"), "cannot be loaded"),
        (garbage, "cannot be loaded"),
        (another_library(), "is not LiteRT 2.1.6 or newer: it lacks the function LiteRt"),
    ] {
        let problem = problem(&path);
        assert!(problem.contains(part) && problem.contains(&path.display().to_string()), "{problem}");
        assert!(problem.contains("make setup") && problem.contains("LITERT_LIBRARY"), "{problem}");
    }
}

#[test]
fn without_litert_the_host_refuses_and_falls_back_to_tract_only_when_asked() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "in_a_process_without_litert"]).env("LITERT_LIBRARY", "/nowhere/libLiteRt.so");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "run by the test above in a process of its own, whose LITERT_LIBRARY names nothing"]
fn in_a_process_without_litert() {
    let problem = HostDevice::new(HostSettings::default()).err().expect("no library there").to_string();
    assert!(problem.contains("/nowhere/libLiteRt.so") && problem.contains("make setup"), "{problem}");
    let mut host = HostDevice::with_fallback(HostSettings { runs: 2, ..Default::default() }).unwrap();
    device_contract::check(&mut host);
    assert_eq!(host.description().kind, "host (tract fallback)");
    assert_eq!(host.time(&model("mnasnet-small/32")).unwrap().cpu_ms.len(), 2);
    let threads = HostSettings { threads: 2, ..Default::default() };
    let problem = HostDevice::with_fallback(threads).err().expect("tract has one thread").to_string();
    assert!(problem.contains("one thread only"), "{problem}");
}

#[test]
fn simulated_latencies_depend_on_seed_and_network_alone() {
    let (small, a1) = (model("mnasnet-small"), model("mnasnet-a1"));
    let mut device = SimulatedDevice::new(1);
    let first = device.time(&small).unwrap();
    device.time(&a1).unwrap();
    assert_eq!(first, device.time(&small).unwrap());
    assert_eq!(first, SimulatedDevice::new(1).time(&Model { name: "other".into(), ..small.clone() }).unwrap());
    assert_ne!(first, SimulatedDevice::new(2).time(&small).unwrap());
    assert!(median(&first.wall_ms) < median(&device.time(&a1).unwrap().wall_ms));
}

#[test]
fn each_round_loads_every_model_once_in_an_order_of_its_own() {
    let turns = Plan { rounds: 20, seed: 3 }.turns(5);
    let orders: BTreeSet<Vec<usize>> =
        turns.chunks(5).map(|round| round.iter().map(|turn| turn.model).collect()).collect();
    assert!(orders.len() > 10);
    for (number, round) in turns.chunks(5).enumerate() {
        assert!(round.iter().all(|turn| turn.round == number));
        assert_eq!(round.iter().map(|turn| turn.model).collect::<BTreeSet<_>>(), (0..5).collect());
    }
}

#[test]
fn an_interrupted_session_goes_on_where_it_stopped() {
    let models = [model("mnasnet-small/32"), model("mnasnet-a1/32"), model("mobilenet-v2/32")];
    let plan = Plan { rounds: 4, seed: 5 };
    let mut go_on = |_: &Load| ControlFlow::Continue(());
    let whole = measure(&mut SimulatedDevice::new(1), &models, &plan, Vec::new(), &mut go_on).unwrap();
    let mut seen = 0;
    let mut stop = |_: &Load| {
        seen += 1;
        if seen == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let part = measure(&mut SimulatedDevice::new(1), &models, &plan, Vec::new(), &mut stop).unwrap();
    assert_eq!(part.loads.len(), 5);
    let resumed = measure(&mut SimulatedDevice::new(1), &models, &plan, part.loads, &mut go_on).unwrap();
    assert_eq!(resumed, whole);
}

/// A session of two models whose loads take the given times, the second always `ratio` times the first.
fn made_up(first: &[f64], ratio: f64) -> Session {
    let load = |round, model, ms: f64| Load {
        turn: Turn { round, model },
        timing: Timing { wall_ms: vec![ms * 0.99, ms, ms * 1.5], cpu_ms: Vec::new() },
    };
    let rounds = first.iter().enumerate();
    let loads = rounds.flat_map(|(round, &ms)| [load(round, 0, ms), load(round, 1, ms * ratio)]).collect();
    Session { clock: Clock::Wall, seed: 1, loads }
}

fn estimates(session: &Session) -> Estimates<'_> {
    session.estimates(DeviceNoise::default())
}

#[test]
fn a_machine_that_slows_down_moves_latencies_but_not_ratios() {
    let session = made_up(&[10.0, 10.5, 11.0, 15.0, 20.0, 30.0], 2.0);
    let ratio = estimates(&session).ratio(1, 0).unwrap();
    assert!((ratio.value - 2.0).abs() < 1e-3 && (ratio.high - ratio.low).abs() < 1e-3, "{ratio:?}");
    let latency = estimates(&session).latency(0).unwrap();
    // Nobody can tell from this what the machine does when nothing slows it down, and the interval says so.
    assert!(latency.low_ms < 11.0 && latency.high_ms > 15.0, "{latency:?}");
    assert!((estimates(&session).drift(0).unwrap() - 25.0 / 10.25).abs() < 1e-3);
    assert_eq!(session.samples_ms(0).len(), 18);
}

#[test]
fn a_load_that_stands_out_is_named_and_still_counted() {
    let session = made_up(&[10.0, 10.1, 9.9, 10.0, 25.0, 10.2], 2.0);
    let estimates = estimates(&session);
    let outliers = estimates.outliers(0);
    assert_eq!((outliers.len(), outliers[0].round), (1, 4));
    assert!((outliers[0].latency_ms / 25.0 - 1.0).abs() < 0.02, "{outliers:?}");
    assert_eq!(estimates.loads_ms(0).len(), 6);
    assert!((estimates.latency(0).unwrap().median_ms - 10.0).abs() < 0.15);
    for even in [vec![10.0, 10.1, 9.9], vec![10.0, 10.0, 10.0]] {
        let session = made_up(&even, 1.0);
        assert_eq!(session.estimates(DeviceNoise::default()).outliers(0), []);
    }
}

#[test]
fn what_was_not_timed_has_no_latency() {
    let session = made_up(&[], 1.0);
    let estimates = estimates(&session);
    assert_eq!((estimates.latency(0), estimates.ratio(1, 0), estimates.drift(0)), (None, None, None));
}

#[test]
fn the_bootstrap_interval_covers_the_true_median_as_often_as_it_says() {
    let mut random = seeded(11);
    let covered = (0..400).filter(|_| {
        let samples: Vec<f64> = (0..25).map(|_| random.gen_range(-1.0..1.0_f64).powi(3)).collect();
        let interval = median_interval(&samples, 0.9, &mut random);
        interval.low <= 0.0 && 0.0 <= interval.high
    });
    // 90 % nominal; the percentile bootstrap of a median of 25 is within a few points of it.
    let covered = covered.count();
    assert!((340..=388).contains(&covered), "{covered} of 400");
}

proptest! {
    #[test]
    fn quantiles_are_ordered_and_move_with_the_samples(
        samples in prop::collection::vec(-1e3..1e3_f64, 1..40),
        shift in -1e3..1e3_f64,
    ) {
        let (low, middle, high) = (quantile(&samples, 0.1), median(&samples), quantile(&samples, 0.9));
        prop_assert!(low <= middle && middle <= high);
        let shifted: Vec<f64> = samples.iter().map(|sample| sample + shift).collect();
        prop_assert!((median(&shifted) - middle - shift).abs() < 1e-9);
        prop_assert!((median_absolute_deviation(&shifted) - median_absolute_deviation(&samples)).abs() < 1e-9);
    }
}
