//! The workspace's own `mnas-runner`, built for this machine.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The program, of the profile these tests were built in.
pub fn path() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    // TARGET/PROFILE/deps/TEST-HASH
    let profile = executable.ancestors().nth(2).unwrap();
    let built = profile.join("mnas-runner");
    // In a lab's namespace there is no cargo; whoever went in built it before.
    if std::env::var_os("MNAS_TEST_LAB").is_some() {
        return built;
    }
    let mut build = std::process::Command::new(env!("CARGO"));
    // Both packages are named so that their common dependencies keep the features they were built with.
    build.args("build --quiet --locked --offline -p mnas -p mnas-runner --bin mnas-runner".split(' '));
    build.arg("--target-dir").arg(profile.parent().unwrap()).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the runner must build");
    built
}
