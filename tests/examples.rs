//! Every program of `examples/` runs to its end.

#[path = "../examples/decode_and_export.rs"]
mod decode_and_export;
#[path = "../examples/own_device.rs"]
mod own_device;
#[cfg(feature = "torch")]
#[path = "../examples/ppo_on_a_formula.rs"]
mod ppo_on_a_formula;
#[path = "../examples/predictor_from_csv.rs"]
mod predictor_from_csv;
#[path = "../examples/reward_table.rs"]
mod reward_table;

#[test]
fn decode_and_export_writes_a_file_that_can_be_read() {
    decode_and_export::main().unwrap();
    let written = fs_err::read(std::env::temp_dir().join("mnas-example.tflite")).unwrap();
    assert!(mnas::tflite::read(&written).is_ok());
}

#[test]
fn predictor_from_csv_runs() {
    predictor_from_csv::main().unwrap();
}

#[test]
#[cfg(feature = "torch")]
fn ppo_on_a_formula_runs() {
    ppo_on_a_formula::main().unwrap();
}

#[test]
fn own_device_runs() {
    own_device::main().unwrap();
}

#[test]
fn reward_table_runs() {
    reward_table::main().unwrap();
}

#[test]
fn no_example_is_forgotten_here() {
    let here = include_str!("examples.rs");
    for file in fs_err::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(here.contains(&format!("../examples/{name}")), "{name} is not run");
    }
}
