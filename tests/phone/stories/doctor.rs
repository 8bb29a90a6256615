//! What `mnas doctor` says.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::lab::LabPhone;
use crate::phones::{biggest, json, mnas, with_phones};
use assert_cmd::Command;
use mnas::device::checks::busy_percent;
use serde_json::Value;

/// Lets the phone's processor look as busy as it says, in percent: `/proc/stat` is the host's otherwise.
fn play_load(phone: &LabPhone) -> Arc<AtomicU64> {
    let line = |busy: u64, idle: u64| format!("cpu  {busy:010} 0 0 {idle:010} 0 0 0 0 0 0\n");
    let (file, percent) = (phone.path("/lab/stat"), Arc::new(AtomicU64::new(1)));
    phone.write("/lab/stat", &line(0, 0));
    let mut mount = std::process::Command::new("mount");
    assert!(mount.arg("--bind").arg(&file).arg(phone.path("/proc/stat")).status().unwrap().success());
    let share = percent.clone();
    // Ends with the story's process.
    std::thread::spawn(move || {
        let (mut busy, mut idle) = (0, 0);
        let file = fs_err::OpenOptions::new().write(true).open(file).unwrap();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let share = share.load(Ordering::Relaxed);
            (busy, idle) = (busy + share, idle + 100 - share);
            // In one piece and of one length, so that nobody reads a half.
            file.file().write_all_at(line(busy, idle).as_bytes(), 0).unwrap();
        }
    });
    percent
}

#[test]
fn doctor_says_what_is_wrong_with_a_phone_and_exits_with_3() {
    with_phones(|lab| {
        lab.link(1);
        let phone = lab.phone(1);
        let serial = phone.serial();
        let look = |code| json(&mut mnas(lab, &["doctor", "--device", &serial]), code);
        let of = |answer: &Value, name: &str| -> Value {
            answer["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned().unwrap_or_default()
        };
        let percent = play_load(&phone);
        percent.store(90, Ordering::Relaxed);
        let busy = look(3);
        assert!(of(&busy, "load")["found"].as_str().unwrap().contains("90 % of all cores busy"), "{busy}");
        percent.store(1, Ordering::Relaxed);
        for (name, spoil, mend) in [
            (
                "temperature",
                (|phone| phone.heat(0, 95_000)) as fn(&LabPhone),
                (|phone| phone.heat(0, 30_000)) as fn(&LabPhone),
            ),
            ("thermal status", |phone| phone.thermal_status(2), |phone| phone.thermal_status(0)),
            ("battery", |phone| phone.battery(7, false, 250), |phone| phone.battery(80, true, 250)),
            (
                "battery saver",
                |phone| phone.write("/lab/settings/global/low_power", "1\n"),
                |phone| phone.write("/lab/settings/global/low_power", "0\n"),
            ),
            ("free space", |phone| phone.fill(1 << 20), |phone| phone.fill(200 << 20)),
        ] {
            spoil(&phone);
            let answer = look(3);
            mend(&phone);
            let check = of(&answer, name);
            assert!(check["ok"] == false && !check["advice"].as_str().unwrap().is_empty(), "{name}: {answer}");
            let failed = answer["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).count();
            assert_eq!(failed, 2, "{name} and what was therefore not tried: {answer}");
        }
        let big = biggest(&phone)[0];
        phone.clock(big, 900_000);
        let throttled = look(3);
        assert!(of(&throttled, "clocks")["found"].as_str().unwrap().contains("900 of 2850 MHz"), "{throttled}");
        phone.clock(big, 2_850_000);
        let output = mnas(lab, &["doctor", "--json", "--device", &serial]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let wrong = answer["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
        // How well timings repeat is up to whatever else this machine does.
        assert!(wrong.clone().all(|check| check["name"] == "repeatability"), "{answer}");
        assert_eq!(output.status.code(), Some(if wrong.count() == 0 { 0 } else { 3 }));
        phone.kill_adbd();
        let gone = look(3);
        assert!(of(&gone, "connection")["found"].as_str().unwrap().contains(&serial), "{gone}");
    });
}

#[test]
fn doctor_looks_at_this_machine_too() {
    let output = Command::cargo_bin("mnas").unwrap().args(["doctor", "--json"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed = answer["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).count();
    assert_eq!(output.status.code(), Some(if failed == 0 { 0 } else { 3 }), "{answer}");
    let names: Vec<_> = answer["checks"].as_array().unwrap().iter().map(|check| check["name"].clone()).collect();
    assert!(names.contains(&"load".into()) && names.contains(&"repeatability".into()), "{answer}");
    assert!(
        answer["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["ok"] == check["advice"].as_str().unwrap().is_empty())
    );
}

#[test]
fn busy_shares_come_from_ticks_and_from_nothing_else() {
    assert_eq!(busy_percent("cpu  10 0 10 80 0 0", "cpu  20 0 20 140 20 0"), Some(20.0));
    for (before, after) in [("", ""), ("cpu 1", "cpu 2"), ("cpu  1 1 1 1 1", "cpu  1 1 1 1 1"), ("intr 5", "intr 6")] {
        assert_eq!(busy_percent(before, after), None);
    }
}
