//! A test that runs itself again in private namespaces.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Lab;
use super::tools::Tools;

/// What a story cannot be told without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The adb server.
    Server,
    /// Real adbds too.
    Phones,
}

/// Says to the process inside which folder is the lab's, and that it is inside.
const FOLDER: &str = "MNAS_TEST_LAB";

/// A story that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

const NAMESPACES: [&str; 4] = ["-rmnp", "--fork", "--mount-proc", "--kill-child"];

/// Tells `story`, which must be a closure written in the test function itself, in a namespace of its own. Where that
/// cannot be, the test says so past the harness and does nothing.
pub fn inside<F: FnOnce(&Lab)>(needs: Needs, story: F) {
    inside_for(LIMIT, needs, story);
}

/// The same for a story that may take longer than others.
pub fn inside_for<F: FnOnce(&Lab)>(limit: Duration, needs: Needs, story: F) {
    let Some(tools) = Tools::find().filter(|tools| needs == Needs::Server || tools.has_phones()) else {
        let what = if needs == Needs::Server { "adb" } else { "adb, adbd, mksh and toybox" };
        return skip(&format!(
            "{what} not fetched; 'python3 scripts/setup.py --tools' does that and says what it lacks"
        ));
    };
    match std::env::var_os(FOLDER) {
        Some(folder) => {
            let folder = PathBuf::from(folder);
            story(&Lab::new(&folder, tools));
            fs_err::write(told(&folder), "").unwrap();
        }
        None if !namespaces_work() => skip("this kernel allows no private namespaces"),
        None => outside(&test_name::<F>(), &tools, limit),
    }
}

/// Written when a story was told to its end: a wrong name would make a run of no test at all pass.
fn told(folder: &Path) -> PathBuf {
    folder.with_extension("told")
}

fn outside(name: &str, tools: &Tools, limit: Duration) {
    let scratch = tempfile::tempdir().unwrap();
    let (folder, output) = (scratch.path().join("lab"), scratch.path().join("output"));
    fs_err::create_dir(&folder).unwrap();
    let file = fs_err::File::create(&output).unwrap().into_file();
    let path = std::env::join_paths(
        std::iter::once(tools.programs()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut child = Command::new("unshare")
        .args(NAMESPACES)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1", "--include-ignored"])
        .env(FOLDER, &folder)
        .envs([("HOME", &folder), ("TMPDIR", &folder), ("LD_LIBRARY_PATH", &tools.libraries())])
        .env("PATH", path.unwrap())
        .env("RUST_BACKTRACE", "0")
        .env_remove("ADB_SERVER_SOCKET")
        .env_remove("ANDROID_ADB_SERVER_ADDRESS")
        .env_remove("ANDROID_ADB_SERVER_PORT")
        .env_remove("ANDROID_SERIAL")
        .env_remove("ADB_VENDOR_KEYS")
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.to_string(),
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                break format!("not over after {limit:?}, killed");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let said = String::from_utf8_lossy(&fs_err::read(&output).unwrap()).into_owned();
    // To the harness, which shows it if the test fails.
    println!("{said}");
    assert!(told(&folder).exists(), "inside the namespace: {status}");
}

/// The name of the test in which a closure was written, as `--exact` takes it.
fn test_name<F>() -> String {
    let name = std::any::type_name::<F>();
    let name = name.split("::{{closure}}").next().unwrap_or(name);
    name.split_once("::").map_or(name, |(_, name)| name).to_owned()
}

fn namespaces_work() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(NAMESPACES).args(["mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn skip(reason: &str) {
    // Past the test harness, which would swallow it.
    let message = format!("SKIPPED {}: {reason}\n", std::thread::current().name().unwrap_or("a test"));
    std::io::stderr().write_all(message.as_bytes()).unwrap();
}
