//! Calibrations and devices: several, changing, unable.

use std::path::PathBuf;

use crate::bench::{Bench, failure, finish, mnas, refused, report_with, search_file, two_devices};
use mnas::device::simulated::SimulatedDevice;
use mnas::latency::{CsvSettings, DataSet, Feature, Features, FitSettings, Predictor, calibrate_from_csv};
use mnas::network::Network;
use mnas::space::Space;
use mnas::store::Purpose;
use serde_json::Value;

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
            // An expectation over the posterior of the latencies, which are nearly certain here.
            let reward = number(candidate, "expected_accuracy") * worst.powf(-0.07);
            assert!((number(candidate, "reward") / reward - 1.0).abs() < 0.01);
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
    // The device is at another pace for every network: waiting for the usual one would be in vain.
    let device = "command = [\"python3\", \"changing.py\"]\nwait_seconds = 0";
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
