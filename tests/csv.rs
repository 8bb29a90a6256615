//! Files of timings as people have them: many spellings of the same numbers, and what is said where none is right.

use std::path::{Path, PathBuf};

use mnas::device::simulated::SimulatedDevice;
use mnas::latency::data::numbers::Unit;
use mnas::latency::data::reading::{FileFacts, ReadOptions, Reading};
use mnas::latency::judge::misfit::Misfit;
use mnas::latency::{CsvSettings, DataSet, Predictor, calibrate_from_csv, predict_from_csv};
use mnas::network::Network;
use mnas::space::{self, Space};
use rand::Rng as _;

/// Networks of a space with their latencies on the simulated device, times a factor; three digits behind the point.
fn rows(preset: &str, count: usize, seed: u64, factor: f64) -> Vec<(String, f64)> {
    let (space, mut random) = (Space::preset(preset).unwrap(), mnas::seeded(seed));
    let row = |_| {
        let architecture = space.decode(&space.sample(&mut random)).unwrap();
        let ms = factor * SimulatedDevice::latency_ms(&Network::expand(&architecture).unwrap());
        (architecture.to_string(), (1000.0 * ms).round() / 1000.0)
    };
    (0..count).map(row).collect()
}

fn csv(rows: &[(String, f64)]) -> String {
    let lines = rows.iter().map(|(line, ms)| format!("{line},{ms}\n"));
    "architecture,latency_ms\n".to_owned() + &lines.collect::<String>()
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

fn read_with(bytes: &[u8], options: &ReadOptions) -> Result<(DataSet, FileFacts), String> {
    match Reading::of(bytes, "m.csv", options) {
        Ok(Reading { data, facts }) => Ok((data, facts)),
        Err(error) => Err(error.to_string()),
    }
}

fn read(bytes: impl AsRef<[u8]>) -> Result<(DataSet, FileFacts), String> {
    read_with(bytes.as_ref(), &ReadOptions::default())
}

fn latin_1(text: &[u8]) -> Vec<u8> {
    std::str::from_utf8(text).unwrap().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// Every spelling of the same measurements.
fn spellings(rows: &[(String, f64)]) -> Vec<(&'static str, Vec<u8>)> {
    let plain = csv(rows);
    let with = |header: &str, row: &dyn Fn(usize, &str, f64) -> String| -> Vec<u8> {
        let lines = rows.iter().enumerate().map(|(index, (line, ms))| row(index, line, *ms) + "\n");
        (header.to_owned() + "\n" + &lines.collect::<String>()).into_bytes()
    };
    let comma = |text: String| text.replace('.', ",");
    vec![
        ("plain", plain.clone().into_bytes()),
        ("byte order mark", ["\u{feff}", &plain].concat().into_bytes()),
        ("UTF-16 LE", utf16(&plain, true)),
        ("UTF-16 BE", utf16(&plain, false)),
        ("UTF-16 without a mark", utf16(&plain, true)[2..].to_vec()),
        ("CRLF", plain.replace('\n', "\r\n").into_bytes()),
        ("CR", plain.replace('\n', "\r").into_bytes()),
        ("semicolons", with("architecture;latency_ms", &|_, line, ms| format!("{line};{}", comma(ms.to_string())))),
        ("decimal commas everywhere", with("architecture;latency_ms", &|_, line, ms| comma(format!("{line};{ms:.3}")))),
        ("tabs", with("architecture\tlatency_ms", &|_, line, ms| format!("{line}\t{ms}"))),
        (
            "tabs and decimal commas",
            with("Architecture\tLatency (ms)", &|_, line, ms| comma(format!("{line}\t{ms:.3}"))),
        ),
        ("microseconds by name", with("architecture,latency_us", &|_, line, ms| format!("{line},{:.0}", 1000.0 * ms))),
        (
            "microseconds in brackets",
            with("arch,Inference [\u{b5}s]", &|_, line, ms| format!("{line},{:.0}", 1000.0 * ms)),
        ),
        ("seconds by name", with("architecture,latency_s", &|_, line, ms| format!("{line},{:.6}", ms / 1000.0))),
        (
            "units in cells",
            with("architecture,latency_ms", &|index, line, ms| match index % 3 {
                0 => format!("{line},{ms} ms"),
                1 => format!("{line},{:.0}us", 1000.0 * ms),
                _ => format!("{line},{:.6} s", ms / 1000.0),
            }),
        ),
        (
            "quotes and thousands",
            with("\"network\",\"time (us)\"", &|_, line, ms| {
                let us = (1000.0 * ms).round() as u64;
                let digits = if us >= 1000 { format!("{},{:03}.0", us / 1000, us % 1000) } else { format!("{us}.0") };
                format!("\"{line}\",\"{digits}\"")
            }),
        ),
        (
            "other columns and order",
            with("id,mean_ms,std_ms,net,max_ms", &|index, line, ms| format!("{index},{ms},0.1,{line},{}", ms * 1.2)),
        ),
        (
            "comments and blank lines",
            ("# by hand\n\n".to_owned() + &plain.replace("\ninput", "\n\n  # next\n   \ninput")).into_bytes(),
        ),
        ("a header in a comment", format!("# {plain}").into_bytes()),
        ("Excel's separator", with("sep=;\narchitecture;latency_ms", &|_, line, ms| format!("{line};{ms}"))),
        (
            "Latin-1",
            latin_1(&with("architecture,latency_ms,Ger\u{e4}t", &|_, line, ms| format!("{line},{ms},M\u{fc}ller"))),
        ),
        ("the header twice", plain.replacen("\ninput", "\narchitecture,latency_ms\ninput", 3).into_bytes()),
        ("empty rows and columns", with("architecture,latency_ms,,", &|_, line, ms| format!("{line},{ms},,\n,,,"))),
    ]
}

#[test]
fn the_same_measurements_in_any_spelling_are_the_same_measurements() {
    let rows = rows("demo", 30, 1, 1.0);
    let (plain, _) = read(csv(&rows)).unwrap();
    for (name, bytes) in spellings(&rows) {
        let (found, _) = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.len(), plain.len(), "{name}");
        for (found, expected) in found.measurements().iter().zip(plain.measurements()) {
            assert_eq!(found.architecture, expected.architecture, "{name}");
            assert!((found.latency_ms / expected.latency_ms - 1.0).abs() < 1e-9, "{name}: {}", found.latency_ms);
        }
    }
}

#[test]
fn a_unit_is_what_is_asked_for_else_what_the_name_says_else_milliseconds_with_a_word() {
    let text = "architecture,t\nmobilenet-v2,75000\nmnasnet-a1,78000\n";
    let ask = |unit| {
        let options = ReadOptions { latency_column: "t".to_owned(), unit, ..ReadOptions::default() };
        read_with(text.as_bytes(), &options).unwrap()
    };
    let (data, facts) = ask(Some(Unit::Microseconds));
    assert_eq!((data.measurements()[0].latency_ms, facts.unit, facts.warnings.len()), (75.0, Unit::Microseconds, 0));
    let (data, facts) = ask(None);
    assert_eq!(data.measurements()[0].latency_ms, 75_000.0);
    assert!(
        facts.warnings[0].contains("says no unit") && facts.warnings[1].contains("too slow"),
        "{:?}",
        facts.warnings
    );
    let named = text.replace(",t\n", ",latency_us\n");
    let options = ReadOptions { unit: Some(Unit::Milliseconds), ..ReadOptions::default() };
    let (_, facts) = read_with(named.as_bytes(), &options).unwrap();
    assert!(facts.warnings[0].contains("although its name says us"), "{:?}", facts.warnings);
}

#[test]
fn what_cannot_be_meant_is_one_message_that_says_where() {
    let a1 = |cell: &str| format!("architecture,latency_ms\nmobilenet-v2,75.5\n\nmnasnet-a1,{cell}\n");
    for (text, hints) in [
        (a1("0"), vec!["line 4", "expected a positive number of milliseconds", "found '0'"]),
        (a1("-3"), vec!["line 4", "'-3'"]),
        (a1("NaN"), vec!["line 4", "'NaN'", "empty cell"]),
        (a1("inf"), vec!["line 4"]),
        (a1("78 kg"), vec!["line 4", "'78 kg'"]),
        (a1("\"78,5\""), vec!["line 4", "decimal sign", "'78,5'", "'75.5' in line 2"]),
        (a1("78,5"), vec!["line 4", "semicolons"]),
        (
            "architecture,latency_ms\nmnasnet-a1,\"78,500\"\n".to_owned(),
            vec!["line 2", "clear whether its comma", "'78,500'"],
        ),
        (
            "architecture,latency_ms,latency_ms\nmnasnet-a1,78,80\n".to_owned(),
            vec!["column 2 'latency_ms' and column 3 'latency_ms'", "rename"],
        ),
        (
            "architecture,latency_ms,Latency_MS\nmnasnet-a1,78,80\n".to_owned(),
            vec!["column 2 'latency_ms' and column 3 'Latency_MS'"],
        ),
        (
            "architecture,architecture,latency_ms\nmnasnet-a1,mnasnet-b1,80\n".to_owned(),
            vec!["column 1 'architecture' and column 2"],
        ),
        (
            "architecture,cpu_ms,gpu_ms\nmnasnet-a1,78,8\n".to_owned(),
            vec!["column 2 'cpu_ms' and column 3 'gpu_ms'", "--latency-column"],
        ),
        ("architecture,score\nmnasnet-a1,78\n".to_owned(), vec!["no column 'latency_ms'", "'score'"]),
        (
            "mnasnet-a1,78\nmobilenet-v2,75\n".to_owned(),
            vec!["the first line holds a network", "architecture,latency_ms"],
        ),
        ("".to_owned(), vec!["no column 'architecture'"]),
        (
            "model,latency_ms\nresnet_50,78\n".to_owned(),
            vec!["line 2", "no reference network 'resnet_50'", "mobilenet-v2"],
        ),
    ] {
        let error = read(&text).unwrap_err();
        assert!(hints.iter().all(|hint| error.contains(hint)) && error.contains("m.csv"), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let error = read(b"architecture,latency_ms\0\x01\x02\n").unwrap_err();
    assert!(error.contains("binary data"), "{error}");
}

#[test]
fn networks_of_ours_are_known_by_their_names_in_any_spelling() {
    let text =
        "Model;ms per inference\nMobileNetV2;75\nmobilenet_v2@0,75;50\nMNASNET_A1;78\nmobilenet_v2_0.75_160;30\n";
    let (data, _) = read(text).unwrap();
    let expected = ["mobilenet-v2", "mobilenet-v2@0.75", "mnasnet-a1", "mobilenet-v2@0.75/160"]
        .map(|name| space::parse(name).unwrap());
    assert!(data.measurements().iter().map(|row| &row.architecture).eq(&expected));
}

#[test]
fn repeated_rows_are_averaged_and_teach_the_noise() {
    let rows = rows("demo", 40, 2, 1.0);
    let mut random = mnas::seeded(3);
    let mut noisy = Vec::new();
    for _ in 0..5 {
        for (line, ms) in &rows {
            let symmetric: f64 = (0..12).map(|_| random.r#gen::<f64>()).sum::<f64>() - 6.0;
            noisy.push((line.clone(), ms * (0.03 * symmetric).exp()));
        }
    }
    let (data, facts) = read(csv(&noisy)).unwrap();
    assert_eq!((data.len(), facts.repeated, facts.contradictions.len()), (40, 40, 0));
    let errors: Vec<f64> =
        data.measurements().iter().zip(&rows).map(|(row, (_, ms))| (row.latency_ms / ms).ln()).collect();
    let mean = errors.iter().sum::<f64>() / 40.0;
    let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / 40.0).sqrt();
    // The fastest of five would lie 3.5 % too low, one row of each network scatter by 3 %.
    assert!(mean.abs() < 0.008 && deviation < 0.022, "{mean} {deviation}");
    let noise = data.noise().unwrap().loads;
    assert!((0.02..0.045).contains(&noise.deviation), "{noise:?}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noisy.csv");
    fs_err::write(&path, csv(&noisy)).unwrap();
    let found = calibrate_from_csv(&CsvSettings::new(&path), &folder.path().join("out")).unwrap();
    let floor = found.noise.unwrap();
    assert!((0.5..2.5).contains(&floor), "3 % over the root of 5, times 0.8: {floor}");
    let again = calibrate_from_csv(
        &CsvSettings::new(&folder.path().join("out/measurements.csv")),
        &folder.path().join("again"),
    );
    assert_eq!(again.unwrap().mape, found.mape, "what the folder keeps says the same");
}

#[test]
fn rows_that_contradict_each_other_are_said_and_never_decided_by_the_fastest() {
    let rows = rows("demo", 20, 4, 1.0);
    let mut text = csv(&rows);
    // The first network: three against one; the second: one against one.
    text += &csv(&[
        (rows[0].0.clone(), rows[0].1 * 1.01),
        (rows[0].0.clone(), rows[0].1 * 0.01),
        (rows[0].0.clone(), rows[0].1),
    ]);
    text += &csv(&[(rows[1].0.clone(), rows[1].1 / 100.0)]);
    let (data, facts) = read(&text).unwrap();
    assert_eq!(data.len(), 19);
    assert!(
        (data.measurements()[0].latency_ms / rows[0].1 - 1.0).abs() < 0.02,
        "{}",
        data.measurements()[0].latency_ms
    );
    assert_eq!(data.measurements()[1].architecture.to_string(), rows[2].0, "nothing tells what the second one's is");
    let settled: Vec<bool> = facts.contradictions.iter().map(|found| found.settled).collect();
    assert_eq!(settled, [true, false]);
    assert!(facts.warnings[0].contains("2 of 20 networks contradict each other"), "{:?}", facts.warnings);

    let all: Vec<(String, f64)> = rows.iter().map(|(line, ms)| (line.clone(), ms * 100.0)).collect();
    let error = read(csv(&[rows, all].concat())).unwrap_err();
    assert!(error.contains("20 of 20 networks contradict each other: lines 2, 22"), "{error}");
}

/// Writes a file of timings.
fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs_err::write(&path, text).unwrap();
    path
}

#[test]
fn all_rows_can_be_fitted_and_the_error_is_then_that_of_cross_validation() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "m.csv", &csv(&rows("demo", 25, 5, 1.0)));
    let all = CsvSettings { networks: Some(25), ..CsvSettings::new(&path) };
    let found = calibrate_from_csv(&all, &folder.path().join("all")).unwrap();
    assert_eq!((found.networks, found.validation, found.cross_validated), (25, 0, true));
    assert!(found.mape > 0.0 && found.mape < 20.0 && found.bound.is_finite(), "{found:?}");
    let judged = predict_from_csv(&CsvSettings::new(&path), None, &[]).unwrap();
    assert!((judged.mape - found.mape).abs() < 1e-9, "{} {}", judged.mape, found.mape);
    let page = fs_err::read_to_string(folder.path().join("all/report.html")).unwrap();
    assert!(page.contains("cross-validated"));
    let error = calibrate_from_csv(&CsvSettings { networks: Some(26), ..all }, &folder.path().join("more"));
    assert!(error.unwrap_err().to_string().contains("from 10 to the 25 in the file, found 26"));
    // Too few to keep some back.
    let path = file(folder.path(), "few.csv", &csv(&rows("demo", 11, 5, 1.0)));
    let found = calibrate_from_csv(&CsvSettings::new(&path), &folder.path().join("few")).unwrap();
    assert_eq!((found.networks, found.cross_validated), (11, true));
}

#[test]
fn a_column_chooses_the_networks_to_fit() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows("demo", 24, 6, 1.0);
    let part = |index: usize| if index.is_multiple_of(3) { "Test" } else { "train" };
    let lines = rows.iter().enumerate().map(|(index, (line, ms))| format!("{line},{ms},{}\n", part(index)));
    let text = "architecture,latency_ms,split\n".to_owned() + &lines.collect::<String>();
    let settings = |path: &Path| CsvSettings { part_column: Some("split".to_owned()), ..CsvSettings::new(path) };
    let found =
        calibrate_from_csv(&settings(&file(folder.path(), "m.csv", &text)), &folder.path().join("out")).unwrap();
    assert_eq!((found.networks, found.validation, found.cross_validated), (16, 8, false));
    let kept = settings(&folder.path().join("out/measurements.csv"));
    let again = calibrate_from_csv(&kept, &folder.path().join("again")).unwrap();
    assert_eq!((again.networks, again.mape), (16, found.mape));

    for (text, hint) in [
        (text.replacen(",train", ",perhaps", 1), "line 3, column 'split': expected fit or validation"),
        (format!("{text}{},1,train\n", rows[0].0), "the same part in every row of a network"),
        (text.replace("split", "fold"), "no column 'split'"),
        (text.replace(",train", ",val"), "networks to fit must be at least 10, found 0"),
    ] {
        let error = calibrate_from_csv(&settings(&file(folder.path(), "bad.csv", &text)), &folder.path().join("bad"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
}

/// A calibration of the simulated device from a file.
fn calibrated(folder: &Path, preset: &str) -> (PathBuf, Predictor) {
    let path = file(folder, "first.csv", &csv(&rows(preset, 60, 7, 1.0)));
    let out = folder.join("first");
    calibrate_from_csv(&CsvSettings::new(&path), &out).unwrap();
    let predictor = Predictor::load(&out.join("predictor.json")).unwrap();
    (out, predictor)
}

#[test]
fn three_rows_of_another_phone_suffice_with_a_warm_start() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = calibrated(folder.path(), "demo");
    let path = file(folder.path(), "three.csv", &csv(&rows("demo", 3, 8, 2.5)));
    let cold = calibrate_from_csv(&CsvSettings::new(&path), &folder.path().join("cold")).unwrap_err().to_string();
    assert!(cold.contains("--warm-start") && cold.contains("found 3"), "{cold}");
    let settings = CsvSettings { warm_start: Some(first.clone()), ..CsvSettings::new(&path) };
    let found = calibrate_from_csv(&settings, &folder.path().join("warm")).unwrap();
    assert_eq!((found.networks, found.cross_validated), (3, true));
    let warm = Predictor::load(&folder.path().join("warm/predictor.json")).unwrap();
    let judged = file(folder.path(), "judged.csv", &csv(&rows("demo", 40, 9, 2.5)));
    let judged = predict_from_csv(&CsvSettings::new(&judged), Some(&warm), &[]).unwrap();
    assert!(judged.mape < 10.0, "{}", judged.mape);
    let two = file(folder.path(), "two.csv", &csv(&rows("demo", 2, 8, 2.5)));
    let error = calibrate_from_csv(&CsvSettings { csv: two, ..settings }, &folder.path().join("two")).unwrap_err();
    assert!(error.to_string().contains("at least 3, found 2"), "{error}");
}

#[test]
fn another_phone_and_another_family_are_not_called_drift() {
    let folder = tempfile::tempdir().unwrap();
    let (_, predictor) = calibrated(folder.path(), "demo");
    let misfit = |name: &str, rows: &[(String, f64)]| {
        let path = file(folder.path(), name, &csv(rows));
        predict_from_csv(&CsvSettings::new(&path), Some(&predictor), &[]).unwrap()
    };
    let same = misfit("same.csv", &rows("demo", 30, 10, 1.0));
    assert_eq!((same.misfit, same.drift), (None, None));

    let phone = misfit("phone.csv", &rows("demo", 30, 10, 2.7));
    assert!(
        matches!(phone.misfit, Some(Misfit::OtherDevice { typical_ratio, .. }) if (typical_ratio - 2.7).abs() < 0.3)
    );
    let advice = phone.advice.unwrap();
    assert!(phone.drift.is_none() && advice.contains("--warm-start") && advice.contains("no drift"), "{advice}");

    let family = misfit("family.csv", &rows("mnasnet", 30, 10, 1.2));
    assert!(
        matches!(family.misfit, Some(Misfit::OtherNetworks { networks, .. }) if networks > 15),
        "{:?}",
        family.misfit
    );
    assert!(family.drift.is_none() && family.advice.unwrap().contains("--warm-start"));

    let drifted = misfit("drifted.csv", &rows("demo", 30, 10, 1.15));
    assert!(drifted.drift.is_some() && matches!(drifted.misfit, Some(Misfit::Drift { .. })), "{:?}", drifted.misfit);
}

/// Inputs that failed once, kept beside the repository.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    path.exists().then_some(path)
}

#[test]
fn the_files_that_failed_once_are_read_or_refused_with_their_reason() {
    let Some(folder) = shared("field/csv") else { return };
    let read = |name: &str| Reading::of_file(&folder.join(name), &ReadOptions::default());
    let plain = read("plain.csv").unwrap().data;
    for name in ["semicolon_comma.csv", "utf16.csv", "header_us.csv"] {
        let data = read(name).unwrap_or_else(|error| panic!("{error}")).data;
        assert_eq!(data.len(), plain.len(), "{name}");
        for (a, b) in data.measurements().iter().zip(plain.measurements()) {
            assert!(a.architecture == b.architecture && (a.latency_ms / b.latency_ms - 1.0).abs() < 1e-3, "{name}");
        }
    }
    let doubled = read("dup_header.csv").unwrap_err().to_string();
    assert!(doubled.contains("column 2 'latency_ms' and column 3 'latency_ms'"), "{doubled}");
    let conflict = read("dups_conflict.csv").unwrap_err().to_string();
    assert!(conflict.contains("contradict each other: lines"), "{conflict}");
}

#[test]
fn published_phones_tell_another_phone_and_another_family_from_drift() {
    let Some(folder) = shared("reference/phones") else { return };
    let out = tempfile::tempdir().unwrap();
    let fitted = |name: &str, keep: &dyn Fn(&str) -> bool| {
        let text = fs_err::read_to_string(folder.join(name)).unwrap();
        let mut lines = text.lines();
        let header = lines.next().unwrap();
        let kept: Vec<&str> = std::iter::once(header).chain(lines.filter(|line| keep(line))).collect();
        file(out.path(), "part.csv", &(kept.join("\n") + "\n"))
    };
    let old = |line: &str| line.contains("mobilenet_w") || line.contains("mobilenetv2");
    let all = CsvSettings { networks: Some(12), ..CsvSettings::new(&fitted("pixel4_large.csv", &old)) };
    calibrate_from_csv(&all, &out.path().join("old")).unwrap();
    let predictor = Predictor::load(&out.path().join("old/predictor.json")).unwrap();
    let compare = |path: &Path| predict_from_csv(&CsvSettings::new(path), Some(&predictor), &[]).unwrap();
    let family = compare(&fitted("pixel4_large.csv", &|line| !old(line)));
    assert!(matches!(family.misfit, Some(Misfit::OtherNetworks { .. })), "{:?} {}", family.misfit, family.coverage);
    let phone = compare(&fitted("mi8se_large.csv", &old));
    assert!(matches!(phone.misfit, Some(Misfit::OtherDevice { .. })), "{:?}", phone.misfit);
}
