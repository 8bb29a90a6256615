//! The commands that lead to a phone.

use std::time::{Duration, Instant};

use crate::lab::{Needs, inside, inside_for};
use crate::phones::{PATIENCE, json, mnas, with_phones};
use assert_cmd::Command;
use mnas::device::profile::{Kind, Profile};

#[test]
fn bench_over_adb_is_verified_and_stored_with_its_phone() {
    with_phones(|lab| {
        lab.link(1);
        let serial = lab.phone(1).serial();
        let arguments =
            ["bench", "mnasnet-small/32", "mnasnet-a1/32", "--rounds", "2", "--runs", "3", "--device", &serial];
        let answer = json(&mut mnas(lab, &arguments), 0);
        assert_eq!(answer["verified"], true);
        assert_eq!(answer["environment"]["phone"]["serial"], serial);
        assert_eq!(answer["environment"]["phone"]["properties"]["soc"], "LAB1");
        assert_eq!(answer["environment"]["device"]["kind"], "phone");
        let hash = mnas_runner::sha256(&fs_err::read(crate::built_runner::path()).unwrap());
        assert_eq!(answer["environment"]["phone"]["runner_sha256"], hash);
        let results = answer["results"].as_array().unwrap();
        assert!(results.iter().all(|result| result["samples_ms"].as_array().unwrap().len() == 6));
        assert!(results[0]["median_ms"].as_f64() < results[1]["median_ms"].as_f64(), "the small one is faster");
        let mut missing = mnas(lab, &["bench", "mnasnet-small/32", "--device", &serial]);
        let output = missing.env("MNAS_PHONE_FILES", "/nowhere").output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && message.contains("/nowhere/x86_64/mnas-runner is not there"),
            "{message}"
        );
        assert!(message.contains("devices/README.md"), "{message}");
    });
}

#[test]
fn devices_lists_phones_in_every_state_and_saves_a_profile_that_works() {
    with_phones(|lab| {
        lab.link(1);
        let listed = json(&mut mnas(lab, &["devices"]), 0);
        let serial = lab.phone(1).serial();
        let phone = listed["devices"].as_array().unwrap().iter().find(|device| device["id"] == serial).unwrap().clone();
        assert_eq!((&phone["state"], &phone["model"]), (&"ready".into(), &"Lab Phone 1".into()));
        assert_eq!(phone["cores"], lab.phone(1).cores().len());
        let saved = json(&mut mnas(lab, &["devices", "--save"]), 0);
        assert_eq!(saved["path"], "devices/lab-phone-1.toml");
        assert_eq!(mnas(lab, &["devices", "--save"]).output().unwrap().status.code(), Some(1), "never overwritten");
        let arguments = ["bench", "mnasnet-small/32", "--rounds", "1", "--runs", "2", "--device", "lab-phone-1"];
        let answer = json(&mut mnas(lab, &arguments), 0);
        assert_eq!(answer["environment"]["device"]["id"], "lab-phone-1");
        assert_eq!(answer["environment"]["phone"]["serial"], serial);
        lab.link(2);
        let several = mnas(lab, &["devices", "--save"]).output().unwrap();
        assert!(String::from_utf8_lossy(&several.stderr).contains("127.0.0.1:6002"), "both are named");
        let unknown = mnas(lab, &["bench", "mnasnet-small/32", "--device", "nobody"]).output().unwrap();
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("no device 'nobody'"));
    });
}

#[test]
fn a_phone_that_does_not_trust_this_computer_is_listed_and_doctor_says_what_to_do() {
    crate::built_runner::path();
    inside(Needs::Server, |lab| {
        let phone = crate::lab::stand_in::StandIn::suspicious(6100, |_| Vec::new());
        let serial = phone.serial();
        // That the key is not accepted is how this call ends.
        let _ = lab.server().connect_phone(&serial, PATIENCE);
        crate::lab::until("it is listed", || !lab.server().devices(PATIENCE).unwrap().is_empty());
        let listed = json(&mut mnas(lab, &["devices"]), 0);
        let devices = listed["devices"].as_array().unwrap();
        assert_eq!(devices.iter().find(|device| device["id"] == serial).unwrap()["state"], "unauthorized");
        let answer = json(&mut mnas(lab, &["doctor", "--device", &serial]), 3);
        let found = answer["checks"][0]["found"].as_str().unwrap();
        assert!(found.contains(&serial) && found.contains("accept 'Allow USB debugging?'"), "{answer}");
    });
}

#[test]
fn without_adb_devices_still_lists_this_machine_and_says_why_there_are_no_phones() {
    let mut command = Command::cargo_bin("mnas").unwrap();
    command
        .args(["devices"])
        .env("PATH", "/nowhere")
        .env("ANDROID_ADB_SERVER_PORT", "1")
        .env_remove("ADB_SERVER_SOCKET");
    let answer = json(&mut command, 0);
    assert_eq!(answer["devices"][0]["id"], "host");
    assert!(answer["adb"].as_str().unwrap().contains("install Android's platform tools"), "{answer}");
}

#[test]
#[ignore = "minutes of measuring; shows how long a calibration over adb takes"]
fn a_calibration_of_100_networks_over_adb_takes_less_than_ten_minutes() {
    crate::built_runner::path();
    inside_for(Duration::from_secs(3600), Needs::Phones, |lab| {
        lab.link(1);
        let start = Instant::now();
        // This machine stands in for the phone, and its neighbours make it a tenth slower or faster at any moment.
        let mut profile = Profile::new("stand-in", Kind::Phone);
        profile.serial = Some(lab.phone(1).serial());
        profile.limits.max_slowdown = 1.5;
        let file = lab.folder().join("stand-in.toml");
        fs_err::write(&file, profile.to_toml().unwrap()).unwrap();
        let device = file.to_str().unwrap();
        let arguments = ["calibrate", "--device", device, "--out", "calibration", "--networks", "100"];
        let answer = json(&mut mnas(lab, &arguments), 0);
        println!("{} s: {answer}", start.elapsed().as_secs());
        assert_eq!((&answer["networks"], &answer["validation"]), (&100.into(), &30.into()));
        assert!(start.elapsed() < Duration::from_secs(600));
    });
}
