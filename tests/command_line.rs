//! The program as its users meet it: results on stdout, one clear message on stderr, exit codes that scripts can trust.

use assert_cmd::Command;
use serde_json::Value;

fn mnas(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("mnas").unwrap();
    command.args(arguments).env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

/// stdout of a command that must succeed, as JSON.
fn json(arguments: &[&str]) -> Value {
    let output = mnas(arguments).arg("--json").assert().success().get_output().clone();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// stderr of a command that must fail with this code and print nothing on stdout.
fn failure(arguments: &[&str], code: i32) -> String {
    let output = mnas(arguments).assert().code(code).get_output().clone();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn arch_answers_with_one_object_per_network() {
    let answer = json(&["arch", "mnasnet-a1", "mobilenet-v2@0.5/192"]);
    assert_eq!(answer[0]["params"], 3_887_038);
    assert_eq!(answer[0]["madds"].as_u64().unwrap() / 10_000, 31_157);
    assert_eq!(answer[1]["input_size"], 192);
    assert_eq!(answer[0]["layers"][0]["name"], "stem");
    let sum: u64 = answer[0]["layers"].as_array().unwrap().iter().map(|layer| layer["params"].as_u64().unwrap()).sum();
    assert_eq!(sum, 3_887_038);
}

#[test]
fn arch_reads_lines_from_stdin_and_names_the_one_that_is_wrong() {
    mnas(&["arch", "-"]).write_stdin("mnasnet-a1\n\nmnasnet-b1\n").assert().success();
    let output = mnas(&["arch", "-"]).write_stdin("mnasnet-a1\nr1_k3\n").assert().code(1).get_output().clone();
    insta::assert_snapshot!(
        String::from_utf8(output.stderr).unwrap(),
        @"error: stdin, line 2: architecture 'r1_k3': column 1: block 'r1_k3' lacks its expansion (e)"
    );
}

#[test]
fn an_unknown_network_is_answered_with_the_known_ones() {
    insta::assert_snapshot!(
        failure(&["arch", "mnasnet-a9"], 1),
        @"error: no reference network 'mnasnet-a9'; known are mnasnet-a1, mnasnet-b1, mnasnet-small, mobilenet-v1, mobilenet-v2, efficientnet-lite0"
    );
}

#[test]
fn a_malformed_block_string_is_answered_with_its_column() {
    insta::assert_snapshot!(
        failure(&["arch", "stem=32 r1_k3_s11_e1_i32_o16 r2_k3_s22_ex_i16_o24"], 1),
        @"error: architecture 'stem=32 r1_k3_s11_e1_i32_o16 r2_k3_s22_ex_i16_o24': column 41: the expansion must be a whole number from 1 to 65536, found 'x'"
    );
}

#[test]
fn a_space_with_an_empty_choice_is_answered_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("space.toml");
    let text = "name = \"x\"\ninput_size = 32\nstem = 8\nhead = 0\nclasses = 10\n[[block]]\nstride = 2\nop = [\"sepconv\"]\nkernel = []\nfilters = [8]\nlayers = [1]\n";
    fs_err::write(&file, text).unwrap();
    let message = failure(&["space", "size", "--space", file.to_str().unwrap()], 1);
    assert!(message.contains("space.toml: block 1, kernel: the list of choices is empty"), "{message}");
}

#[test]
fn wrong_usage_exits_with_2() {
    failure(&["arch"], 2);
    failure(&["frobnicate"], 2);
}

#[test]
fn the_size_of_a_space_is_exact_beyond_64_bits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("space.toml");
    let block = "[[block]]\nstride = 1\nop = [\"conv\", \"sepconv\", \"mbconv3\", \"mbconv6\"]\nkernel = [3, 5]\nse_ratio = [0.0, 0.25]\nskip = [\"none\", \"identity\", \"pool\"]\nfilters = [8, 16, 24]\nlayers = [1, 2, 3]\n";
    let head = "name = \"deep\"\ninput_size = 32\nstem = 8\nhead = 0\nclasses = 10\n";
    fs_err::write(&file, format!("{head}{}", block.repeat(20))).unwrap();
    let file = file.to_str().unwrap();
    mnas(&["space", "size", "--space", file, "--json"])
        .assert()
        .success()
        .stdout(predicates::str::contains("51247765762279218861124094288225479023039191634149376"));
}

#[test]
fn tokens_and_architectures_translate_both_ways() {
    let drawn = json(&["space", "sample", "3", "--seed", "5", "--space", "mnasnet-small"]);
    for one in drawn.as_array().unwrap() {
        let line = one["architecture"].as_str().unwrap();
        let encoded = json(&["space", "encode", line, "--space", "mnasnet-small"]);
        assert_eq!(encoded["tokens"], one["tokens"]);
        let words = one["tokens"].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>().join(",");
        let decoded = json(&["space", "decode", &words, "--space", "mnasnet-small"]);
        assert_eq!(decoded["architecture"], line);
    }
    let again = json(&["space", "sample", "3", "--seed", "5", "--space", "mnasnet-small"]);
    assert_eq!(drawn, again);
}

#[test]
fn an_exported_model_is_reproducible_and_its_weights_can_be_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let arch = "input=32 stem=8 r1_k3_s22_e3_i8_o16 head=0 classes=10";
    let first =
        json(&["export", arch, "-o", &path("a.tflite"), "--seed", "3", "--save-weights", &path("w.safetensors")]);
    let second = json(&["export", arch, "-o", &path("b.tflite"), "--weights", &path("w.safetensors")]);
    assert_eq!(first["sha256"], second["sha256"]);
    assert_eq!(first["bytes"].as_u64().unwrap(), std::fs::metadata(path("a.tflite")).unwrap().len());
    let message = failure(&["export", "mnasnet-a1", "-o", &path("c.tflite"), "--weights", &path("w.safetensors")], 1);
    assert!(message.contains("another architecture"), "{message}");
    assert!(!folder.path().join("c.tflite").exists());
}

/// Calibrates the simulated device into a folder.
fn calibrated(folder: &std::path::Path) -> Value {
    let out = folder.to_str().unwrap();
    let settings = ["--space", "demo", "--networks", "20", "--validation", "10", "--repeats", "3", "--rounds", "2"];
    json(&[&["calibrate", "--device", "simulated", "--out", out], settings.as_slice()].concat())
}

#[test]
fn a_calibration_states_its_error_and_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = folder.path().join("simulated");
    let found = calibrated(&calibration);
    for field in ["networks", "mape", "within_5", "within_10", "kendall", "spearman", "noise", "seconds"] {
        assert!(found[field].is_number(), "{field}: {found}");
    }
    for file in ["measurements.csv", "predictor.json", "validation.json", "report.html"] {
        assert!(calibration.join(file).exists(), "{file}");
    }
    let path = calibration.to_str().unwrap();
    let arch = "input=224 stem=8 r1_k3_s22_e3_i8_o16 r1_k3_s22_e3_i16_o32 r1_k3_s11_e3_i32_o64 r1_k3_s22_e3_i64_o64 head=0 classes=10";
    let answer = json(&["predict", arch, "mnasnet-a1", "--predictor", path]);
    for prediction in answer["predictions"].as_array().unwrap() {
        let [low, middle, high] = ["low_ms", "latency_ms", "high_ms"].map(|field| prediction[field].as_f64().unwrap());
        assert!(0.0 < low && low < middle && middle < high, "{prediction}");
    }
    let csv = calibration.join("measurements.csv");
    let compared = json(&["predict", "--from", csv.to_str().unwrap(), "--predictor", path]);
    assert!(compared["mape"].as_f64().unwrap() < 20.0, "{compared}");
}

#[test]
fn a_limit_on_the_error_that_is_not_met_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("c");
    let arguments = ["calibrate", "--device", "simulated", "--space", "demo", "--networks", "12", "--validation", "5"];
    let more = ["--repeats", "0", "--rounds", "1", "--max-error", "0.0001", "--out", out.to_str().unwrap()];
    mnas(&[arguments.as_slice(), more.as_slice()].concat()).assert().code(3);
}

#[test]
fn a_truncated_predictor_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = folder.path().join("simulated");
    calibrated(&calibration);
    let file = calibration.join("predictor.json");
    let whole = fs_err::read(&file).unwrap();
    fs_err::write(&file, &whole[..whole.len() / 2]).unwrap();
    let message = failure(&["predict", "mnasnet-a1", "--predictor", calibration.to_str().unwrap()], 1);
    assert!(message.contains("predictor.json") && message.contains("run `mnas calibrate` again"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn a_missing_library_is_one_message_that_says_what_to_run() {
    let output = mnas(&["bench", "mobilenet-v2/32", "--device", "host"])
        .env("LITERT_LIBRARY", "/nowhere/libLiteRt.so")
        .assert()
        .code(1)
        .get_output()
        .clone();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("/nowhere/libLiteRt.so") && message.contains("make setup"), "{message}");
    let fallback = ["bench", "mobilenet-v2@0.35/32", "--rounds", "1", "--fallback", "--json"];
    let output = mnas(&fallback).env("LITERT_LIBRARY", "/nowhere/libLiteRt.so").assert().success().get_output().clone();
    assert!(String::from_utf8(output.stderr).unwrap().contains("FALLING BACK TO TRACT"));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["environment"]["device"]["kind"].as_str().unwrap().contains("tract"), "{}", answer["environment"]);
    let devices = mnas(&["devices", "--json"]).env("LITERT_LIBRARY", "/nowhere/libLiteRt.so").assert().success();
    let devices: Value = serde_json::from_slice(&devices.get_output().stdout).unwrap();
    assert_ne!(devices["devices"][0]["state"], "ready");
}

#[test]
fn bench_times_models_together_and_verifies_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.tflite");
    json(&["export", "mobilenet-v2@0.35/32", "-o", file.to_str().unwrap()]);
    let answer =
        json(&["bench", "mnasnet-small/32", file.to_str().unwrap(), "--baseline", "mnasnet-small/32", "--rounds", "3"]);
    assert_eq!(answer["verified"], true);
    assert_eq!(answer["results"].as_array().unwrap().len(), 2);
    assert_eq!(answer["results"][0]["samples_ms"].as_array().unwrap().len(), 30);
    assert_eq!(answer["ratios"][0]["ratio"], 1.0);
    assert!(answer["environment"]["processor"].is_string());
}

#[test]
fn a_truncated_model_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.tflite");
    let path = file.to_str().unwrap();
    json(&["export", "mobilenet-v2@0.35/32", "-o", path]);
    let whole = fs_err::read(&file).unwrap();
    fs_err::write(&file, &whole[..whole.len() / 3]).unwrap();
    let message = failure(&["bench", path], 1);
    assert!(message.contains("m.tflite"), "{message}");
}

#[test]
#[cfg(feature = "torch")]
fn a_drawn_data_set_trains_a_network_that_is_saved_after_every_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    json(&[
        "dataset",
        "draw",
        "--out",
        &path("images"),
        "--size",
        "16",
        "--classes",
        "2",
        "--train",
        "128",
        "--validation",
        "64",
    ]);
    let arch = "input=16 stem=4 r1_k3_s22_e1_i4_o8_noskip head=0";
    let answer =
        json(&["train", arch, "--data", &path("images"), "--out", &path("out"), "--epochs", "2", "--batch", "16"]);
    assert_eq!(answer["epochs"], 2);
    assert!(answer["images_per_second"].as_f64().unwrap() > 0.0);
    assert!((0.0..=1.0).contains(&answer["top1"].as_f64().unwrap()) && answer["top5"] == 1.0, "{answer}");
    let classes: Vec<&str> =
        answer["classes"].as_array().unwrap().iter().map(|class| class.as_str().unwrap()).collect();
    let named = classes.join("\n") + "\n";
    assert_eq!(fs_err::read_to_string(path("out/labels.txt")).unwrap(), named);
    assert_eq!((&answer["left_out"], &answer["without_validation"]), (&serde_json::json!([]), &serde_json::json!([])));
    let again = ["export", answer["architecture"].as_str().unwrap(), "-o", &path("m.tflite"), "--weights"];
    json(&[again.as_slice(), &[&path("out/weights.safetensors")]].concat());
    assert_eq!(fs_err::read(path("m.tflite")).unwrap(), fs_err::read(path("out/model.tflite")).unwrap());
    assert_eq!(fs_err::read_to_string(path("m.labels.txt")).unwrap(), named, "the names go where the weights go");
    let message = failure(&["dataset", "draw", "--out", &path("images")], 1);
    assert!(message.contains("images"), "a folder with files in it is never drawn over: {message}");
}

/// A text as Windows' programs save it.
fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn texts_in_utf_16_are_read_wherever_a_user_gives_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs_err::write(&path, utf16(text)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let space = write("space.toml", include_str!("../src/space/presets/demo.toml"));
    assert_eq!(
        json(&["space", "size", "--space", &space])["size"],
        json(&["space", "size", "--space", "demo"])["size"]
    );
    let search = write("search.toml", "seed = 1\nfoo = 2\n");
    let message = failure(&["search", &search, "--run", folder.path().join("run").to_str().unwrap()], 1);
    assert!(message.contains("foo") && !message.contains("utf-8"), "{message}");
    let lines = utf16("mnasnet-a1\r\nmobilenet_v2\r\n");
    let output = mnas(&["arch", "-", "--json"]).write_stdin(lines).assert().success().get_output().clone();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().unwrap().len(), 2);
    let binary = folder.path().join("binary.toml");
    fs_err::write(&binary, b"TFL3\0\x01\x02").unwrap();
    let message = failure(&["space", "size", "--space", binary.to_str().unwrap()], 1);
    assert!(message.contains("binary.toml") && message.contains("binary data"), "{message}");
}

#[test]
fn comments_and_lists_over_several_lines_are_read_from_stdin() {
    let text = "\u{feff}# mine\nmnasnet-a1  # published\n\n[\n  # stage 0\n  ['ds_r1_k3_s1_e1_c16_noskip'],\n  ['ir_r2_k3_s2_e6_c24'],  # 1\n]\nbad_r1\n";
    let output = mnas(&["arch", "-"]).write_stdin(text).assert().code(1).get_output().clone();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("stdin, line 9") && message.contains("bad"), "{message}");
    let sound = text.replace("bad_r1\n", "");
    let output = mnas(&["arch", "-", "--json"]).write_stdin(sound).assert().success().get_output().clone();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        answer[1]["architecture"].as_str().unwrap().contains("r1_k3_s11_e1_i32_o16_noskip r2_k3_s22_e6_i16_o24"),
        "{answer}"
    );
}

#[test]
fn one_long_cell_makes_no_table_wide_and_stands_whole_in_the_json() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = folder.path().join("simulated");
    calibrated(&calibration);
    let predict = ["predict", "mnasnet-a1", "mobilenet-v2", "--predictor", calibration.to_str().unwrap()];
    let output = mnas(&predict).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 160) && text.contains('…'), "{text}");
    assert!(json(&predict)["predictions"][0]["architecture"].as_str().unwrap().len() > 160);
}

#[test]
fn a_csv_in_microseconds_and_another_phone_are_answered_in_words_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = folder.path().join("simulated");
    calibrated(&calibration);
    let rows = fs_err::read_to_string(calibration.join("measurements.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(rows.as_bytes());
    let mut text = "net\ttime\n".to_owned();
    for row in reader.records().map(Result::unwrap).take(16) {
        text += &format!("{}\t{:.0}\n", &row[0], 3000.0 * row[1].parse::<f64>().unwrap());
    }
    let path = folder.path().join("other.tsv");
    fs_err::write(&path, text).unwrap();
    let compare =
        ["predict", "--from", path.to_str().unwrap(), "--unit", "us", "--predictor", calibration.to_str().unwrap()];
    let answer = json(&compare);
    assert_eq!(
        (&answer["file"]["unit"], &answer["misfit"]["kind"]),
        (&Value::from("us"), &Value::from("other_device"))
    );
    assert!(answer["drift"].is_null(), "{answer}");
    let output = mnas(&compare).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("another device") && text.contains("--warm-start"), "{text}");
    failure(&[&compare[..4], &["fortnights"]].concat(), 2);
}
