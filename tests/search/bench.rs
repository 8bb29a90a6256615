//! A folder with a small space and a search file, and the program run in it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub const SPACE: &str = r#"
name = "small"
input_size = 64
stem = 8
head = 0
classes = 10
[[block]]
stride = 2
op = ["conv", "sepconv", "mbconv3", "mbconv6"]
kernel = [3, 5]
se_ratio = [0.0, 0.25]
skip = ["none", "identity", "pool"]
filters = [8, 12, 16]
layers = [1, 2, 3]
[[block]]
stride = 2
op = ["conv", "sepconv", "mbconv3", "mbconv6"]
kernel = [3, 5]
se_ratio = [0.0, 0.25]
skip = ["none", "identity", "pool"]
filters = [16, 24, 32]
layers = [1, 2, 3]
"#;

/// A search whose device and trainer are formulas, so that nothing but its own decisions can differ between two runs.
pub fn search_file(algorithm: &str, evaluations: u64, delay_ms: u64) -> String {
    format!(
        r#"
seed = 11
[space]
file = "space.toml"
[target]
latency_ms = 1.0
reward = "soft"
[device]
id = "simulated"
loads = 3
[accuracy]
kind = "simulated"
delay_ms = {delay_ms}
workers = 2
[budget]
evaluations = {evaluations}
[search]
algorithm = "{algorithm}"
sampled_per_step = 16
trained_per_step = 6
timed_per_step = 2
warm_up_measurements = 20
final_loads = 3
"#
    )
}

/// A folder with a space and a search file.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new(search: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("space.toml"), SPACE).unwrap();
        fs_err::write(folder.path().join("search.toml"), search).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn start(&self, run: &str) -> Child {
        spawn(&["search", self.path("search.toml").to_str().unwrap(), "--run", self.path(run).to_str().unwrap()])
    }

    pub fn resume(&self, run: &str, more: &[&str]) -> Child {
        let run = self.path(run);
        spawn(&[&["resume", run.to_str().unwrap()], more].concat())
    }

    /// What a run found, without what a clock put there.
    pub fn report(&self, run: &str) -> Value {
        let output = mnas().args(["report", "--json"]).arg(self.path(run)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
        forget_clocks(&mut report);
        report
    }
}

pub fn mnas() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnas"));
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

pub fn spawn(arguments: &[&str]) -> Child {
    mnas().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a process that must end well.
pub fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// stderr of a process that must end with this code.
pub fn failure(child: Child, code: i32) -> String {
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{message}");
    message
}

pub fn forget_clocks(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                !matches!(name.as_str(), "seconds" | "overhead_percent" | "date" | "started" | "run")
            });
            fields.values_mut().for_each(forget_clocks);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_clocks),
        _ => {}
    }
}

/// The search with a second device.
pub fn two_devices(search: &str, second: &str, combine: &str) -> String {
    let first = "[[device]]\nid = \"simulated\"\nloads = 3";
    search
        .replace("[device]\nid = \"simulated\"\nloads = 3", &format!("{first}\n[[device]]\n{second}\nloads = 2"))
        .replace("reward = \"soft\"", &format!("reward = \"soft\"\ncombine = \"{combine}\""))
}

pub fn refused(change: impl Fn(&str) -> String, hint: &str) {
    let bench = Bench::new(&change(&search_file("evolution", 12, 0)));
    let message = failure(bench.start("run"), 1);
    assert!(message.contains(hint), "{message}");
    assert!(!bench.path("run").join("run.sqlite").exists(), "a refused search must leave no run behind");
}

/// What `mnas report` says with more arguments.
pub fn report_with(bench: &Bench, more: &[&str]) -> Value {
    let output = mnas().args(["report", "--json"]).arg(bench.path("run")).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
