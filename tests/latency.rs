//! From timings to a predictor: features, metrics, fits, intervals, files, and a calibration that survives a crash.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mnas::device::simulated::SimulatedDevice;
use mnas::device::{Description, Device, DeviceError, Model, Timing};
use mnas::latency::calibrate::measure;
use mnas::latency::calibrate::plan::{Part, plan};
use mnas::latency::calibrate::stopping::StoppingReason;
use mnas::latency::judge::drift::Change;
use mnas::latency::{
    CalibrationSettings, CsvSettings, DataSet, Drift, Feature, Features, FitSettings, Metrics, Predictor, calibrate,
    calibrate_from_csv, metrics, predict_from_csv,
};
use mnas::network::Network;
use mnas::space::{self, Architecture, Space};
use proptest::prelude::*;
use rand::Rng as _;

fn network(line: &str) -> Network {
    Network::expand(&space::parse(line).unwrap()).unwrap()
}

fn features(line: &str) -> Features {
    Features::of(&network(line))
}

fn random_architectures(preset: &str, count: usize, seed: u64) -> Vec<Architecture> {
    let (space, mut random) = (Space::preset(preset).unwrap(), mnas::seeded(seed));
    (0..count).map(|_| space.decode(&space.sample(&mut random)).unwrap()).collect()
}

/// Networks timed by a function.
fn measured(architectures: &[Architecture], latency_ms: impl Fn(&Network) -> f64) -> DataSet {
    let mut data = DataSet::default();
    for architecture in architectures {
        data.push(architecture, latency_ms(&Network::expand(architecture).unwrap()), "").unwrap();
    }
    data
}

fn judge(predictor: &Predictor, held_out: &DataSet) -> Metrics {
    let predicted: Vec<f64> =
        held_out.measurements().iter().map(|row| predictor.predict_features(&row.features).latency_ms).collect();
    Metrics::of(&predicted, &held_out.latencies_ms())
}

#[test]
fn every_operator_kind_counts_into_its_own_features() {
    let line = "input=64 stem=8 r2_k3_s22_e3_i8_o16_se0.25 r2_k5_s11_e1_i16_o16 r2_k5_s22_e1_i16_o24_pool_conv head=32 classes=10";
    let found = features(line);
    let expected = [
        (Feature::Network, 1.0),
        // 256 columns of pixels are 1,024 of them: 147 tiles of 7; 8 channels are one tile of 16.
        (Feature::Stem, 1029.0 * 16.0 * 27.0 / 1e6),
        (Feature::Depthwise3Strided, 16.0 * 16.0 * 32.0 / 1e6),
        (Feature::Depthwise3, 16.0 * 16.0 * 48.0 / 1e6),
        (Feature::Depthwise5, 2.0 * 16.0 * 16.0 * 16.0 / 1e6),
        (Feature::Depthwise5Strided, 0.0),
        (Feature::GateMadds, 2.0 * (24.0 * 2.0 + 48.0 * 4.0) / 1e6),
        (Feature::GatePooled, 16.0 * 16.0 * (24.0 + 48.0) / 1e6),
        (Feature::GateScaled, 16.0 * 16.0 * (24.0 + 48.0) / 1e6),
        // 24 channels are two tiles of 16, 64 pixels ten tiles of 7.
        (Feature::Conv5Strided, 70.0 * 32.0 * 25.0 * 16.0 / 1e6),
        (Feature::Conv5, 70.0 * 32.0 * 25.0 * 24.0 / 1e6),
        (Feature::ConvWritten, 2.0 * 70.0 * 32.0 / 1e6),
        (Feature::ConvGathered, 64.0 * 25.0 * (16.0 + 24.0) / 1e6),
        (Feature::MaxPool, 8.0 * 8.0 * 24.0 / 1e6),
        (Feature::Added, (16.0 * 16.0 * 16.0 * 3.0 + 8.0 * 8.0 * 24.0) / 1e6),
        (Feature::HeadPooled, 8.0 * 8.0 * 32.0 / 1e6),
        (Feature::Dense, 320.0 / 1e6),
    ];
    for (feature, value) in expected {
        assert!(
            (found.get(feature) - value).abs() < 1e-12,
            "{}: {} is not {value}",
            feature.name(),
            found.get(feature)
        );
    }
}

#[test]
fn features_and_the_network_agree_on_what_is_counted_twice() {
    for architecture in random_architectures("mnasnet", 50, 1) {
        let network = Network::expand(&architecture).unwrap();
        let found = Features::of(&network);
        assert!((found.madds() - network.madds() as f64 / 1e6).abs() < 1e-6);
        assert_eq!(found.get(Feature::Layer), network.layers.len() as f64);
        let counted: u32 = found.shapes().iter().map(|(_, count)| count).sum();
        assert_eq!(counted as usize, network.layers.len() + 1, "the network itself is one more");
    }
}

proptest! {
    #[test]
    fn correlations_obey_their_laws(values in prop::collection::vec((1u32..40, 1u32..40), 2..60)) {
        let (a, b): (Vec<f64>, Vec<f64>) = values.iter().map(|(a, b)| (f64::from(*a), f64::from(*b))).unzip();
        let negated: Vec<f64> = b.iter().map(|value| -value).collect();
        let stretched: Vec<f64> = b.iter().map(|value| value.powi(3)).collect();
        for correlation in [metrics::kendall, metrics::spearman, metrics::pearson] {
            let found = correlation(&a, &b);
            prop_assert!((-1.0 - 1e-12..=1.0 + 1e-12).contains(&found));
            prop_assert!((found - correlation(&b, &a)).abs() < 1e-12);
            prop_assert!((found + correlation(&a, &negated)).abs() < 1e-12);
        }
        for of_order in [metrics::kendall, metrics::spearman] {
            prop_assert!((of_order(&a, &b) - of_order(&a, &stretched)).abs() < 1e-12);
        }
        if a.iter().any(|value| *value != a[0]) {
            prop_assert!((metrics::kendall(&a, &a) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn metrics_equal_their_naive_definitions(values in prop::collection::vec((1u32..40, 1u32..40), 2..40)) {
        let (p, m): (Vec<f64>, Vec<f64>) = values.iter().map(|(a, b)| (f64::from(*a), f64::from(*b))).unzip();
        let found = Metrics::of(&p, &m);
        let errors: Vec<f64> = p.iter().zip(&m).map(|(p, m)| ((p - m) / m).abs()).collect();
        prop_assert!((found.mape - 100.0 * errors.iter().sum::<f64>() / errors.len() as f64).abs() < 1e-9);
        let within = |most: f64| 100.0 * errors.iter().filter(|error| **error <= most).count() as f64 / errors.len() as f64;
        prop_assert_eq!((found.within_5, found.within_10), (within(0.05), within(0.1)));
        // A rank is the number of smaller values plus half the number of other equal ones.
        let rank = |list: &[f64], value: f64| {
            let below = list.iter().filter(|other| **other < value).count() as f64;
            below + (list.iter().filter(|other| **other == value).count() as f64 - 1.0) / 2.0
        };
        let ranks = |list: &[f64]| list.iter().map(|value| rank(list, *value)).collect::<Vec<_>>();
        prop_assert!((found.spearman - metrics::pearson(&ranks(&p), &ranks(&m))).abs() < 1e-12);
        let (mut concordant, mut discordant, mut tied_p, mut tied_m) = (0.0, 0.0, 0.0, 0.0);
        for i in 0..p.len() {
            for j in 0..i {
                let product = (p[i] - p[j]) * (m[i] - m[j]);
                concordant += f64::from(product > 0.0);
                discordant += f64::from(product < 0.0);
                tied_p += f64::from(p[i] == p[j]);
                tied_m += f64::from(m[i] == m[j]);
            }
        }
        let pairs = (p.len() * (p.len() - 1)) as f64 / 2.0;
        let scale = ((pairs - tied_p) * (pairs - tied_m)).sqrt();
        let tau = if scale > 0.0 { (concordant - discordant) / scale } else { 0.0 };
        prop_assert!((found.kendall - tau).abs() < 1e-12);
    }
}

#[test]
fn a_device_whose_time_is_a_sum_of_features_is_recovered_from_sixty_networks() {
    // A device whose rates are up to six times as far apart as those taken for typical.
    let latency = |network: &Network| -> f64 {
        let totals = Features::of(network).totals();
        let parts = Feature::ALL.iter().zip(totals).enumerate();
        parts.map(|(index, (kind, amount))| [0.5, 3.0][index % 2] * kind.typical_ms() * amount).sum()
    };
    let architectures = random_architectures("mnasnet", 160, 2);
    let predictor = Predictor::fit(&measured(&architectures[..60], latency), FitSettings::default()).unwrap();
    let found = judge(&predictor, &measured(&architectures[60..], latency));
    assert!(found.mape < 1.0 && found.kendall > 0.98, "{found:?}");
}

/// A latency that no sum of features is: caches make depthwise work dearer the more there is of it.
fn curved(network: &Network) -> f64 {
    let found = Features::of(network);
    let depthwise = found.get(Feature::Depthwise3) + found.get(Feature::Depthwise5);
    (2.0 + 0.02 * found.get(Feature::Pointwise) + depthwise)
        * (1.0 + 0.1 * depthwise)
        * (1.0 + 0.02 * found.get(Feature::GateScaled)).recip()
}

#[test]
fn what_each_part_of_the_predictor_adds_is_stated() {
    let architectures = random_architectures("mnasnet", 300, 3);
    let predictor = Predictor::fit(&measured(&architectures[..150], curved), FitSettings::default()).unwrap();
    let errors: Vec<f64> = predictor.candidates().iter().map(|candidate| candidate.mape).collect();
    assert!(errors.len() == 3 && errors[0] > errors[1] && errors[1] > errors[2], "{:?}", predictor.candidates());
    let found = judge(&predictor, &measured(&architectures[150..], curved));
    assert!(found.mape < 3.0, "{found:?}");
}

#[test]
fn intervals_hold_as_many_new_networks_as_they_promise() {
    let architectures = random_architectures("mnasnet", 700, 4);
    let mut device = SimulatedDevice { seed: 5, noise: 0.05 };
    let mut time = |architecture: &Architecture| {
        let network = Network::expand(architecture).unwrap();
        let (name, architecture) = (architecture.to_string(), Some(architecture.clone()));
        let model = Model { name, architecture, network: Some(network), bytes: Vec::new() };
        device.time(&model).unwrap().wall_ms[0]
    };
    let mut data = DataSet::default();
    for architecture in &architectures {
        data.push(architecture, time(architecture), "").unwrap();
    }
    let (fit, held_out): (Vec<usize>, Vec<usize>) = (0..data.len()).partition(|row| *row < 150);
    for level in [0.5, 0.8, 0.9] {
        let predictor = Predictor::fit(&data.select(&fit), FitSettings { level, ..FitSettings::default() }).unwrap();
        let rows = data.select(&held_out);
        let inside = |row: &&mnas::latency::Measurement| {
            let predicted = predictor.predict_features(&row.features);
            (predicted.low_ms..=predicted.high_ms).contains(&row.latency_ms)
        };
        let share = rows.measurements().iter().filter(inside).count() as f64 / rows.len() as f64;
        assert!((share - level).abs() < 0.08, "{share} of {level}");
    }
}

#[test]
fn several_sources_get_a_scale_each() {
    let architectures = random_architectures("mnasnet", 90, 6);
    let mut data = DataSet::default();
    for (index, architecture) in architectures.iter().enumerate() {
        let (source, scale) = if index % 3 == 0 { ("old runtime", 1.3) } else { ("new runtime", 1.0) };
        let latency = SimulatedDevice::latency_ms(&Network::expand(architecture).unwrap());
        data.push(architecture, scale * latency, source).unwrap();
    }
    let predictor = Predictor::fit(&data, FitSettings::default()).unwrap();
    let scale = |name: &str| predictor.scales().iter().find(|entry| entry.source == name).unwrap().scale;
    assert_eq!(scale("new runtime"), 1.0);
    assert!((scale("old runtime") - 1.3).abs() < 0.06, "{:?}", predictor.scales());
    let row = &data.measurements()[0];
    let ratio = predictor.predict_for_source(&row.features, "old runtime").latency_ms
        / predictor.predict_features(&row.features).latency_ms;
    assert!((ratio - scale("old runtime")).abs() < 1e-12);
}

fn demo_predictor() -> Predictor {
    let architectures = random_architectures("demo", 60, 7);
    Predictor::fit(&measured(&architectures, curved), FitSettings::default()).unwrap()
}

#[test]
fn a_saved_predictor_predicts_to_the_last_bit_what_the_fitted_one_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictor.json");
    let predictor = demo_predictor();
    predictor.save(&path).unwrap();
    let loaded = Predictor::load(&path).unwrap();
    assert_eq!(loaded.provenance(), predictor.provenance());
    for architecture in random_architectures("demo", 50, 8) {
        let network = Network::expand(&architecture).unwrap();
        assert_eq!(loaded.predict(&network), predictor.predict(&network));
    }
}

#[test]
fn a_truncated_edited_or_foreign_predictor_file_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictor.json");
    demo_predictor().save(&path).unwrap();
    let text = fs_err::read_to_string(&path).unwrap();
    let weight =
        text.split("\"deviations\": ").nth(1).unwrap().split(|c: char| c == ',' || c.is_whitespace()).next().unwrap();
    for (changed, hint) in [
        (text[..text.len() / 2].to_owned(), "not a whole latency predictor"),
        (String::new(), "not a whole latency predictor"),
        (text.replace(&format!("\"deviations\": {weight}"), "\"deviations\": 1.25"), "changed after it was saved"),
        (text.replace("\"format\": 4", "\"format\": 99"), "format 4 was expected, found 99"),
        ("{\"some\": \"json\"}".to_owned(), "format 4 was expected, found none"),
    ] {
        mnas::files::write_atomically(&path, changed.as_bytes()).unwrap();
        let error = Predictor::load(&path).unwrap_err().to_string();
        assert!(error.contains(hint) && error.contains("predictor.json"), "{error}");
        assert!(error.contains("calibrate"), "{error}");
    }
}

#[test]
fn what_is_wrong_in_a_csv_is_said_with_its_line_and_column() {
    for (text, hint) in [
        ("network,latency_ms\n", "no column 'architecture'; the header has 'network', 'latency_ms'"),
        ("architecture,ms\nmnasnet-a1,78\n", "no column 'latency_ms'"),
        ("architecture,latency_ms\nmnasnet-a1,78\nmnasnet-z9,80\n", "m.csv, line 3: "),
        ("architecture,latency_ms\nr1_k4_s11_e1_i32_o16,78\n", "line 2: architecture 'r1_k4_s11_e1_i32_o16'"),
        ("architecture,latency_ms\nmnasnet-a1,fast\n", "line 2, column 'latency_ms': expected a positive number"),
        ("architecture,latency_ms\nmnasnet-a1,-3\n", "found '-3'"),
        ("architecture,latency_ms\nmnasnet-a1,nan\n", "found 'nan'"),
        ("architecture,latency_ms\nmnasnet-a1\n", "line 2: expected 2 cells, as the header has, found 1"),
    ] {
        let error = DataSet::from_csv(text.as_bytes(), "m.csv", "latency_ms").unwrap_err().to_string();
        assert!(error.contains(hint) && error.contains("m.csv"), "{error}");
    }
}

#[test]
fn rows_without_a_latency_are_counted_and_repeated_rows_are_one_measurement() {
    let text = "architecture,latency_ms,source\nmnasnet-a1,78,a\nmobilenet-v2,,a\nmnasnet-a1,80,a\nmnasnet-a1,70,b\n";
    let data = DataSet::from_csv(text.as_bytes(), "m.csv", "latency_ms").unwrap();
    assert_eq!((data.len(), data.unmeasured()), (2, 1));
    assert_eq!(data.measurements()[0].repeats_ms, [78.0, 80.0]);
    let too_few = Predictor::fit(&data, FitSettings::default()).unwrap_err().to_string();
    assert!(too_few.contains("at least 10") && too_few.contains("found 2"), "{too_few}");
}

fn settings() -> CalibrationSettings {
    CalibrationSettings {
        networks: 30,
        validation: 12,
        repeats: 4,
        rounds: 2,
        ..CalibrationSettings::new(Space::preset("demo").unwrap())
    }
}

/// A deterministic device that stops working after some loads.
struct Dying {
    inner: SimulatedDevice,
    loads: usize,
}

impl Device for Dying {
    fn description(&self) -> Description {
        self.inner.description()
    }

    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        if self.loads == 0 {
            let (device, model) = ("dying".to_owned(), model.name.clone());
            return Err(DeviceError::Model { device, model, problem: "unplugged".to_owned() });
        }
        self.loads -= 1;
        self.inner.time(model)
    }
}

fn on(progress: mnas::latency::Progress) -> ControlFlow<()> {
    assert!(progress.done <= progress.total);
    ControlFlow::Continue(())
}

/// A calibration's measurements, but for the seconds that each took.
fn rows_without_cost(folder: &Path) -> Vec<measure::Row> {
    let mut rows = measure::read(&folder.join("measurements.csv")).unwrap();
    rows.iter_mut().for_each(|row| row.seconds = 0.0);
    rows
}

#[test]
fn a_calibration_cut_off_anywhere_goes_on_to_the_same_measurements() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let simulated = SimulatedDevice::new(9);
    let undisturbed = calibrate(&mut simulated.clone(), &settings(), &whole, &mut on).unwrap();
    let csv = parts.join("measurements.csv");
    for loads in [0, 1, 17, 30] {
        let error =
            calibrate(&mut Dying { inner: simulated.clone(), loads }, &settings(), &parts, &mut on).unwrap_err();
        assert!(error.to_string().contains("unplugged"), "{error}");
        // A kill in the middle of a write leaves half a row.
        let mut text = fs_err::read(&csv).unwrap();
        text.extend_from_slice(b"input=224 stem=16 r1_k");
        fs_err::write(&csv, text).unwrap();
    }
    let stopped = calibrate(&mut simulated.clone(), &settings(), &parts, &mut |_| ControlFlow::Break(())).unwrap_err();
    assert!(stopped.to_string().contains("48 of 92"), "{stopped}");
    let resumed = calibrate(&mut simulated.clone(), &settings(), &parts, &mut on).unwrap();
    assert_eq!(rows_without_cost(&parts), rows_without_cost(&whole));
    assert_eq!((resumed.mape, resumed.kendall), (undisturbed.mape, undisturbed.kendall));
    assert!(undisturbed.noise.unwrap() < 1e-6, "the simulated device repeats itself exactly: {:?}", undisturbed.noise);

    let other = CalibrationSettings { seed: 1, ..settings() };
    let error = calibrate(&mut simulated.clone(), &other, &parts, &mut on).unwrap_err().to_string();
    assert!(error.contains("differs in seed") && error.contains("--out"), "{error}");
}

#[test]
fn a_calibration_leaves_a_folder_that_others_can_use() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("calibration");
    let found = calibrate(&mut SimulatedDevice::new(10), &settings(), &out, &mut on).unwrap();
    assert!(found.mape < found.mape_by_madds / 2.0 && found.kendall > found.kendall_by_madds, "{found:?}");
    let predictor = Predictor::load(&out.join("predictor.json")).unwrap();
    assert_eq!(predictor.provenance().networks, 42);
    assert_eq!(predictor.provenance().device.as_ref().unwrap().id, "simulated");
    let page = fs_err::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(!page.contains("http://www.example") && !page.contains("src="), "nothing is loaded from elsewhere");
    let again = CsvSettings { networks: Some(30), ..CsvSettings::new(&out.join("measurements.csv")) };
    let from_file = calibrate_from_csv(&again, &folder.path().join("again")).unwrap();
    assert_eq!((from_file.networks, from_file.validation), (30, 12));
    let predicted = predict_from_csv(&again, Some(&predictor), &[space::parse("mnasnet-a1").unwrap()]).unwrap();
    assert_eq!((predicted.predictions.len(), predicted.pairs.len()), (43, 42));
    assert!(predicted.mape < 5.0, "{}", predicted.mape);
}

#[test]
fn a_space_without_enough_networks_is_refused_before_anything_is_measured() {
    let tiny = "name = \"tiny\"\ninput_size = 32\nstem = 8\nhead = 0\nclasses = 10\n[[block]]\nstride = 1\n\
                op = [\"conv\", \"sepconv\"]\nkernel = [3]\nfilters = [8, 16]\nlayers = [1, 2]\n";
    let space = Space::from_toml(tiny, "tiny").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = CalibrationSettings::new(space);
    let error = calibrate(&mut SimulatedDevice::new(1), &settings, folder.path(), &mut on).unwrap_err().to_string();
    assert!(error.contains("'tiny' holds 8 architectures"), "{error}");
    assert!(!folder.path().join("measurements.csv").exists());
}

#[test]
fn the_order_of_the_measurements_does_not_matter() {
    let architectures = random_architectures("demo", 60, 12);
    let data = measured(&architectures, curved);
    let mut order: Vec<usize> = (0..data.len()).collect();
    order.reverse();
    order.swap(3, 40);
    let [first, second] =
        [&data, &data.select(&order)].map(|data| Predictor::fit(data, FitSettings::default()).unwrap());
    for architecture in random_architectures("demo", 20, 13) {
        let network = Network::expand(&architecture).unwrap();
        assert_eq!(first.predict(&network), second.predict(&network));
    }
}

#[test]
fn a_higher_level_gives_intervals_around_those_of_a_lower_one() {
    let data = measured(&random_architectures("demo", 40, 14), curved);
    let levels = [0.5, 0.8, 0.9, 0.95];
    let predictors =
        levels.map(|level| Predictor::fit(&data, FitSettings { level, ..FitSettings::default() }).unwrap());
    for architecture in random_architectures("demo", 20, 15) {
        let network = Network::expand(&architecture).unwrap();
        let intervals = predictors.each_ref().map(|predictor| predictor.predict(&network));
        for pair in intervals.windows(2) {
            assert_eq!(pair[0].latency_ms, pair[1].latency_ms);
            assert!(pair[1].low_ms <= pair[0].low_ms && pair[0].high_ms <= pair[1].high_ms, "{intervals:?}");
        }
    }
}

#[test]
fn networks_unlike_those_measured_get_wider_intervals() {
    let data = measured(&random_architectures("demo", 60, 16), curved);
    let predictor = Predictor::fit(&data, FitSettings::default()).unwrap();
    let width = |network: &Network| {
        let predicted = predictor.predict(network);
        predicted.high_ms / predicted.low_ms
    };
    let known = random_architectures("demo", 20, 17);
    let widest = known.iter().map(|one| width(&Network::expand(one).unwrap())).fold(0.0, f64::max);
    assert!(width(&network("mobilenet-v2")) > widest, "twenty times as large, and wider than any network of the space");
}

/// The same device in another setting: faster on the whole, slower at gates.
fn other_setting(network: &Network) -> f64 {
    0.6 * curved(network) * (1.0 + 0.02 * Features::of(network).get(Feature::GateScaled))
}

#[test]
fn a_second_device_needs_fifteen_networks_for_what_sixty_give_without_a_first_one() {
    let architectures = random_architectures("mnasnet", 400, 18);
    let first = Predictor::fit(&measured(&architectures[..150], curved), FitSettings::default()).unwrap();
    let held_out = measured(&architectures[250..], other_setting);
    let fifteen = measured(&architectures[150..165], other_setting);
    let warm = Predictor::warm_started(&fifteen, &first, FitSettings::default()).unwrap();
    let cold = Predictor::fit(&measured(&architectures[150..210], other_setting), FitSettings::default()).unwrap();
    let [warm, cold] = [&warm, &cold].map(|predictor| judge(predictor, &held_out).mape);
    assert!(warm <= cold, "{warm} % from 15 after a warm start, {cold} % from 60 without");
}

#[test]
fn a_device_that_is_the_first_one_again_is_predicted_as_the_first_was() {
    let architectures = random_architectures("demo", 120, 19);
    let first = Predictor::fit(&measured(&architectures[..60], curved), FitSettings::default()).unwrap();
    let same = |network: &Network| first.predict(network).latency_ms;
    let again =
        Predictor::warm_started(&measured(&architectures[60..75], same), &first, FitSettings::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictor.json");
    again.save(&path).unwrap();
    let loaded = Predictor::load(&path).unwrap();
    for architecture in &architectures[75..] {
        let network = Network::expand(architecture).unwrap();
        let ratio = again.predict(&network).latency_ms / first.predict(&network).latency_ms;
        assert!((ratio - 1.0).abs() < 1e-6, "{ratio}");
        assert_eq!(again.predict(&network), loaded.predict(&network));
    }
}

/// A simulated device that is slower at times, whatever the network.
struct Slowed {
    inner: SimulatedDevice,
    loads: usize,
    /// By the number of the load.
    by: fn(usize) -> f64,
}

impl Device for Slowed {
    fn description(&self) -> Description {
        self.inner.description()
    }

    fn time(&mut self, model: &Model) -> Result<Timing, DeviceError> {
        let mut timing = self.inner.time(model)?;
        let slow = (self.by)(self.loads);
        timing.wall_ms.iter_mut().for_each(|ms| *ms *= slow);
        self.loads += 1;
        Ok(timing)
    }
}

/// Other work: every eight loads, with equal chance, it slows the device down or does not.
fn bursts(load: usize) -> f64 {
    if mnas::seeded(load as u64 / 8).gen_bool(0.5) { 1.3 } else { 1.0 }
}

#[test]
fn slow_spells_of_the_device_are_taken_out_of_the_measurements() {
    let folder = tempfile::tempdir().unwrap();
    let clock = |load: usize| 1.0 + 0.15 * (load as f64 / 60.0).sin().max(0.0);
    let mut device = Slowed { inner: SimulatedDevice::new(20), loads: 0, by: clock };
    let settings = CalibrationSettings { rounds: 5, ..settings() };
    let found = calibrate(&mut device, &settings, folder.path(), &mut on).unwrap();
    assert!(found.noise.unwrap() < 1.0, "15 % slower at times: {:?}", found.noise);
    let rows = measure::read(&folder.path().join("measurements.csv")).unwrap();
    let data = measure::data_of(&rows, &[Part::Fit, Part::Validation, Part::Repeat]).unwrap();
    let read = DataSet::read(&folder.path().join("measurements.csv"), "latency_ms").unwrap();
    assert_eq!(data.measurements(), read.measurements(), "a log is read the same by whoever reads it");
}

#[test]
fn other_work_that_disturbs_half_of_all_loads_does_not_pass_for_a_slow_device() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Slowed { inner: SimulatedDevice::new(20), loads: 0, by: bursts };
    let settings = CalibrationSettings { rounds: 7, ..settings() };
    let found = calibrate(&mut device, &settings, folder.path(), &mut on).unwrap();
    assert!(found.noise.unwrap() < 1.0, "30 % slower for eight loads now and then: {:?}", found.noise);
}

#[test]
fn a_calibration_that_was_too_noisy_goes_on_with_more_rounds() {
    let folder = tempfile::tempdir().unwrap();
    let (parts, whole) = (folder.path().join("parts"), folder.path().join("whole"));
    let mut device = Slowed { inner: SimulatedDevice::new(20), loads: 0, by: bursts };
    let few = calibrate(&mut device, &CalibrationSettings { rounds: 2, ..settings() }, &parts, &mut on).unwrap();
    let settings = CalibrationSettings { rounds: 7, ..settings() };
    let more = calibrate(&mut device, &settings, &parts, &mut on).unwrap();
    assert!(more.noise.unwrap() < 0.5 * few.noise.unwrap(), "{:?} then {:?}", few.noise, more.noise);
    calibrate(&mut Slowed { loads: 0, ..device }, &settings, &whole, &mut on).unwrap();
    assert_eq!(rows_without_cost(&parts), rows_without_cost(&whole), "as if it had been seven from the first");

    let fewer = CalibrationSettings { rounds: 5, ..settings };
    let error = calibrate(&mut SimulatedDevice::new(20), &fewer, &parts, &mut on).unwrap_err().to_string();
    assert!(error.contains("differs in rounds (7 there, 5 here)"), "{error}");
}

fn in_batches() -> CalibrationSettings {
    CalibrationSettings { networks: 60, batch: Some(15), target_error: Some(4.5), ..settings() }
}

#[test]
fn a_calibration_in_batches_ends_when_its_error_is_surely_reached() {
    let folder = tempfile::tempdir().unwrap();
    let found = calibrate(&mut SimulatedDevice::new(21), &in_batches(), folder.path(), &mut on).unwrap();
    assert_eq!(found.ending, Some(StoppingReason::ErrorReached), "{found:?}");
    assert!(found.networks < 60 && found.bound <= 4.5 && found.mape < found.bound, "{found:?}");
    let hopeless = CalibrationSettings { target_error: Some(1e-6), ..in_batches() };
    let found = calibrate(&mut SimulatedDevice::new(21), &hopeless, &folder.path().join("all"), &mut on).unwrap();
    assert_eq!((found.ending, found.networks), (Some(StoppingReason::AllMeasured), 60));
    let hurried = CalibrationSettings { target_error: None, minutes: Some(1e-6), ..in_batches() };
    let found = calibrate(&mut SimulatedDevice::new(21), &hurried, &folder.path().join("short"), &mut on).unwrap();
    assert_eq!((found.ending, found.networks), (Some(StoppingReason::TimeSpent), 15));
}

#[test]
fn a_calibration_in_batches_goes_on_after_a_crash_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let simulated = SimulatedDevice { noise: 0.0, ..SimulatedDevice::new(22) };
    let settings = CalibrationSettings { target_error: Some(1.0), ..in_batches() };
    let undisturbed = calibrate(&mut simulated.clone(), &settings, &whole, &mut on).unwrap();
    assert!(undisturbed.assessments.len() > 1, "several batches: {undisturbed:?}");
    for loads in [1, 70, 10, 25] {
        let died = calibrate(&mut Dying { inner: simulated.clone(), loads }, &settings, &parts, &mut on);
        assert!(died.unwrap_err().to_string().contains("unplugged"));
    }
    let resumed = calibrate(&mut simulated.clone(), &settings, &parts, &mut on).unwrap();
    assert_eq!(
        (resumed.assessments, resumed.ending, resumed.mape),
        (undisturbed.assessments, undisturbed.ending, undisturbed.mape)
    );
    assert_eq!(rows_without_cost(&parts), rows_without_cost(&whole));
    assert_eq!(fs_err::read_to_string(parts.join("environment.json")).unwrap().matches("\"environment\":").count(), 5);
}

#[test]
fn every_beginning_of_a_plan_is_the_plan_for_fewer_batches() {
    let lines = |settings: &CalibrationSettings| -> Vec<String> {
        let planned = plan(settings).unwrap();
        planned.iter().filter(|one| one.part == Part::Fit).map(|one| one.architecture.to_string()).collect()
    };
    let together = lines(&CalibrationSettings { networks: 60, ..settings() });
    assert_eq!(together, lines(&in_batches()));
    assert_eq!(together.iter().collect::<std::collections::HashSet<_>>().len(), 60, "no network twice");
}

/// Results of a predictor whose relative errors have this deviation, on a device slower by this factor.
fn watched(results: usize, deviation: f64, slower: f64, seed: u64) -> Drift {
    let (mut random, mut drift) = (mnas::seeded(seed), Drift::new(0.9));
    for _ in 0..results {
        // The sum of twelve uniform numbers is as good as normal.
        let normal: f64 = (0..12).map(|_| random.r#gen::<f64>()).sum::<f64>() - 6.0;
        let width = (1.645 * deviation).exp();
        let predicted = mnas::latency::Prediction { latency_ms: 10.0, low_ms: 10.0 / width, high_ms: 10.0 * width };
        drift.observe(predicted, 10.0 * slower * (deviation * normal).exp());
    }
    drift
}

#[test]
fn a_predictor_that_fits_raises_at_most_one_false_alarm_in_a_thousand_results() {
    let alarms = (0..400).filter(|seed| watched(250, 0.03, 1.0, *seed).alarm().is_some()).count();
    // 100,000 results; a watch ends with its first alarm.
    assert!(alarms <= 100, "{alarms} alarms");
}

#[test]
fn a_device_that_has_changed_is_noticed_soon_and_named() {
    for (slower, change, within) in [(1.2, Change::Slower, 5), (1.05, Change::Slower, 30), (0.9, Change::Faster, 6)] {
        let alarms: Vec<_> = (0..50).map(|seed| watched(300, 0.03, slower, seed).alarm().expect("an alarm")).collect();
        let mean = alarms.iter().map(|alarm| alarm.at).sum::<usize>() as f64 / alarms.len() as f64;
        assert!(mean <= f64::from(within), "{mean} results until the alarm for {slower}");
        let named = alarms.iter().filter(|alarm| alarm.change == change).count();
        assert!(named >= 48, "{named} of 50 named {change:?} for {slower}");
        for alarm in alarms {
            assert!((alarm.typical_ratio - slower).abs() < 0.04, "{alarm:?} for {slower}");
        }
    }
    let mut scattered = Drift::new(0.9);
    for index in 0..40 {
        let predicted = mnas::latency::Prediction { latency_ms: 10.0, low_ms: 9.5, high_ms: 10.5 };
        scattered.observe(predicted, if index % 2 == 0 { 8.5 } else { 11.5 });
    }
    assert_eq!(scattered.alarm().expect("an alarm").change, Change::Scattered);
}

#[test]
fn predictions_that_err_to_one_side_within_their_intervals_raise_an_alarm_only_where_sides_are_watched() {
    let (mut everything, mut intervals) = (Drift::new(0.9), Drift::of_intervals(0.9));
    let predicted = mnas::latency::Prediction { latency_ms: 10.0, low_ms: 9.0, high_ms: 11.0 };
    for drift in [&mut everything, &mut intervals] {
        (0..200).for_each(|_| drift.observe(predicted, 10.5));
    }
    assert_eq!(everything.alarm().expect("an alarm").change, Change::Slower);
    assert_eq!(intervals.alarm(), None);
}

/// The shipped calibrations with their numbers of networks, and how many of these were fitted for the error.
const SHIPPED: [(&str, usize, Option<usize>); 3] =
    [("pixel-1-published", 47, None), ("pixel-4-published", 20, Some(20)), ("mi-8-se-published", 20, Some(20))];

#[test]
fn the_predictors_that_are_shipped_are_those_their_measurements_give() {
    for (name, networks, fitted) in SHIPPED {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration").join(name);
        let shipped = Predictor::load(&folder.join("predictor.json")).unwrap();
        let rebuilt = tempfile::tempdir().unwrap();
        let settings = CsvSettings { seed: 1, networks: fitted, ..CsvSettings::new(&folder.join("measurements.csv")) };
        let found = calibrate_from_csv(&settings, rebuilt.path()).unwrap();
        assert_eq!(found.cross_validated, fitted.is_some(), "{name}");
        let rebuilt = Predictor::load(&rebuilt.path().join("predictor.json")).unwrap();
        assert_eq!(shipped.provenance().data_hash, rebuilt.provenance().data_hash, "{name}");
        assert_eq!((shipped.provenance().networks, shipped.scales()), (networks, rebuilt.scales()), "{name}");
        for line in ["mnasnet-a1", "mobilenet-v2@0.75/160", "mnasnet-b1", "efficientnet-lite0"] {
            let [first, second] = [&shipped, &rebuilt].map(|predictor| predictor.predict(&network(line)));
            // Another processor may round the last digits of a logarithm differently.
            for (a, b) in [(first.latency_ms, second.latency_ms), (first.low_ms, second.low_ms)] {
                assert!((a / b - 1.0).abs() < 1e-6, "{name}, {line}: {first:?} and {second:?}");
            }
        }
        let published = predict_from_csv(&settings, Some(&shipped), &[]).unwrap();
        assert!(
            published.mape < 5.0 && published.misfit.is_none(),
            "{name}: {} {:?}",
            published.mape,
            published.misfit
        );
    }
}

/// A file of public measurements that is kept beside the repository, not in it.
fn public_measurements(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference").join(name);
    if !path.exists() {
        // Past the test harness, which would swallow it.
        let place = path.display();
        let message = format!("SKIPPED: {name} is not beside this repository (looked for {place})\n");
        std::io::stderr().write_all(message.as_bytes()).unwrap();
        return None;
    }
    Some(path)
}

#[test]
fn five_thousand_measured_networks_are_predicted_from_three_hundred() {
    let Some(csv) = public_measurements("accel_nasbench.csv") else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings =
        CsvSettings { latency_column: "vck190_latency_ms".to_owned(), networks: Some(300), ..CsvSettings::new(&csv) };
    let found = calibrate_from_csv(&settings, folder.path()).unwrap();
    assert_eq!((found.networks, found.unmeasured), (300, 2));
    assert!(found.validation > 4_800, "{}", found.validation);
    assert!(found.mape <= 2.5 && found.kendall >= 0.95, "{found:?}");
    assert!((found.coverage - 90.0).abs() <= 4.0, "{found:?}");
    assert!(found.mape_by_madds > 15.0, "{found:?}");
}

#[test]
fn published_phone_timings_are_read_by_model_width_and_size() {
    let Some(csv) = public_measurements("published_latency.csv") else { return };
    let found = predict_from_csv(&CsvSettings::new(&csv), None, &[]).unwrap();
    assert_eq!(found.pairs.len(), 47);
    assert!(found.mape < 8.0 && found.kendall > 0.85, "{} {}", found.mape, found.kendall);
}
