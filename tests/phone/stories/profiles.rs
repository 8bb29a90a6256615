//! Profiles, and what phones say of themselves.

use std::path::Path;

use crate::phones::json;
use assert_cmd::Command;
use mnas::device::phone::state::{Properties, State};
use mnas::device::profile::Profile;
use proptest::prelude::*;

#[test]
fn the_profiles_that_come_along_are_valid_and_the_hosts_can_be_used() {
    let profiles = Profile::all_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("devices"));
    assert!(profiles.len() >= 5);
    for (path, profile) in profiles {
        let profile = profile.unwrap();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(profile.id.as_str()));
        assert_eq!(Profile::parse(&profile.to_toml().unwrap()).unwrap(), profile);
    }
    let mut command = Command::cargo_bin("mnas").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["bench", "mnasnet-small/32", "--rounds", "1", "--device", "host-two-threads"]);
    let answer = json(&mut command, 0);
    let device = &answer["environment"]["device"];
    assert_eq!(
        (&device["id"], &device["threads"], &device["clock"]),
        (&"host-two-threads".into(), &2.into(), &"wall".into())
    );
    let mut command = Command::cargo_bin("mnas").unwrap();
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["bench", "mnasnet-small/32", "--rounds", "1", "--kernels", "builtin", "--threads", "1"]);
    let answer = json(&mut command, 0);
    assert!(answer["environment"]["device"]["runtime"].as_str().unwrap().ends_with("without XNNPACK"));
}

#[test]
fn a_mistake_in_a_profile_is_one_line_with_its_place() {
    for (text, part) in [
        ("kind = \"phone\"", "missing field `id`"),
        ("id = \"a\"\ncolour = \"red\"", "line 2: unknown field `colour`"),
        ("id = \"host\"", "id must be a file name of its own"),
        ("id = \"a\"\n[run]\nthreads = 0", "run.threads must be from 1 to 64, found 0"),
        ("id = \"a\"\n[run]\ncores = \"4,x\"", "run.cores: cores are a mask like 0xf0"),
        ("id = \"a\"\n[run]\ncores = \"7\"\nthreads = 2", "run.threads is 2, more than the 1 of run.cores"),
        ("id = \"a\"\n[run]\ndelegate = \"gpu\"", "only runner = \"benchmark_model\""),
        ("id = \"a\"\n[limits]\nmax_slowdown = 1.0", "limits.max_slowdown must be from 1.01 to 2"),
        ("id = \"a\"\n[run]\nrunner = \"theirs\"", "run.runner: line 3: unknown variant `theirs`"),
    ] {
        let problem = Profile::parse(text).unwrap_err();
        assert!(problem.contains(part) && !problem.contains('\n'), "{problem}");
    }
}

proptest! {
    #[test]
    fn whatever_a_phone_says_of_itself_is_read_without_panic(
        text in "((core|zone|load|saver|property|@battery|@thermal|level:|temperature:|Thermal Status:|[0-9]{1,20}|-|\\?|cpu| |\n|\\PC){0,12}\n){0,20}",
    ) {
        let state = State::parse(&text);
        let cores = state.biggest_cores();
        prop_assert!(cores.iter().all(|core| state.moment.cores.iter().any(|one| one.core == *core)));
        prop_assert!(state.hottest().is_none_or(|zone| zone.celsius.is_finite()));
        let _ = Properties::parse(&text);
    }
}
