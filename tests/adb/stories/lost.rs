//! Connections that break: what was under way is lost, said so, and can be repeated.

use std::cell::Cell;
use std::time::Duration;

use mnas::adb::{AdbError, Command, Phone, Pushed};

use crate::LIMIT;
use crate::files::{REMOTE, content, push};
use crate::lab::{Lab, Needs, inside, processes, until};

/// A minute's sleep that a process list shows by its marker.
fn sleeper(marker: &str) -> Command {
    Command::script("sleep 60; echo $1").word(marker)
}

/// Breaks something while phone 1 runs a command, and gives the error of that.
fn broken_during_a_command(lab: &Lab, phone: &Phone, marker: &str, act: impl FnOnce(&Lab)) -> AdbError {
    let (sleeping, command) = (phone.clone(), sleeper(marker));
    let call = std::thread::spawn(move || sleeping.shell(&command, LIMIT));
    until("the command runs", || !processes(marker).is_empty());
    act(lab);
    call.join().unwrap().unwrap_err()
}

fn assert_lost(error: &AdbError, phone: &Phone) {
    assert!(matches!(error, AdbError::Lost { .. }) && error.retryable(), "{error}");
    assert_eq!(error.serial(), Some(phone.serial()));
}

#[test]
fn an_adbd_killed_during_a_command_loses_that_command_only_and_the_phone_comes_back() {
    inside(Needs::Phones, |lab| {
        let (first, second) = (lab.link(1), lab.link(2));
        let bystander = second.clone();
        let other = std::thread::spawn(move || bystander.ask(&Command::script("sleep 1; echo whole"), LIMIT));
        let error = broken_during_a_command(lab, &first, "lost-1", |lab| lab.phone(1).kill_adbd());
        assert_lost(&error, &first);
        assert_eq!(other.join().unwrap().unwrap(), "whole");

        let error = lab.server().wait_for(first.serial(), Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, AdbError::Offline { .. } | AdbError::Unknown { .. }), "{error}");
        assert_eq!(error.serial(), Some(first.serial()));
        lab.phone(1).restart_adbd();
        let again = lab.server().wait_for(first.serial(), LIMIT).unwrap();
        assert_eq!(again.ask(&Command::new("getprop").word("ro.product.model"), LIMIT).unwrap(), "Lab Phone 1");
        // A phone whose adbd dies keeps what that had started.
        assert!(again.sweep(LIMIT).unwrap() >= 1);
        assert!(processes("lost-1").is_empty());
    });
}

#[test]
fn a_server_killed_during_a_command_is_started_again_and_the_phone_connected_anew() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1);
        let error = broken_during_a_command(lab, &phone, "lost-2", Lab::kill_server);
        assert_lost(&error, &phone);
        let again = lab.server().wait_for(phone.serial(), LIMIT).unwrap();
        assert_eq!(again.serial(), phone.serial());
        assert_eq!(phone.ask(&Command::new("getprop").word("ro.product.model"), LIMIT).unwrap(), "Lab Phone 1");
    });
}

/// Breaks something when a quarter of a file is sent: the file must not be there, and go whole the next time.
fn broken_during_a_push(lab: &Lab, act: impl Fn(), mend: impl Fn()) {
    let (phone, other) = (lab.link(1), lab.link(2));
    push(&phone, b"what was there before").unwrap();
    let (bytes, done) = (content(40_000_000, 1), Cell::new(false));
    let mut progress = |sent: u64, total: u64| {
        if sent > total / 4 && !done.replace(true) {
            act();
        }
    };
    let error = phone.push(&bytes, REMOTE, 0o644, LIMIT, &mut progress).unwrap_err();
    assert_lost(&error, &phone);
    assert_eq!(fs_err::read(lab.phone(1).path(REMOTE)).unwrap(), b"what was there before");
    mend();
    let again = lab.server().wait_for(phone.serial(), LIMIT).unwrap();
    assert_eq!(push(&again, &bytes).unwrap(), Pushed::Sent);
    assert!(fs_err::read(lab.phone(1).path(REMOTE)).unwrap() == bytes);
    let names = fs_err::read_dir(lab.phone(1).path("/data/local/tmp")).unwrap().count();
    assert_eq!(names, 1, "the half file was replaced and renamed");
    let other = lab.server().wait_for(other.serial(), LIMIT).unwrap();
    assert_eq!(other.stat(REMOTE, LIMIT).unwrap(), None, "the other phone got nothing");
}

#[test]
fn an_adbd_killed_during_a_push_leaves_the_old_file_and_the_next_push_makes_it_whole() {
    inside(Needs::Phones, |lab| {
        broken_during_a_push(lab, || lab.phone(1).kill_adbd(), || lab.phone(1).restart_adbd());
    });
}

#[test]
fn a_server_killed_during_a_push_leaves_the_old_file_and_the_next_push_makes_it_whole() {
    inside(Needs::Phones, |lab| broken_during_a_push(lab, || lab.kill_server(), || ()));
}

#[test]
fn each_of_several_phones_gives_its_own_answers_while_another_comes_and_goes() {
    inside(Needs::Phones, |lab| {
        let model = Command::new("getprop").word("ro.product.model");
        let steady: Vec<_> = (1..=3).map(|number| (number, lab.link(number))).collect();
        let shaky = lab.link(4);
        let callers: Vec<_> = steady
            .into_iter()
            .map(|(number, phone)| {
                let model = model.clone();
                std::thread::spawn(move || {
                    for _ in 0..30 {
                        assert_eq!(phone.ask(&model, LIMIT).unwrap(), format!("Lab Phone {number}"));
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            lab.phone(4).kill_adbd();
            if let Err(error) = shaky.ask(&model, LIMIT) {
                assert_eq!(error.serial(), Some(shaky.serial()), "{error}");
            }
            lab.phone(4).restart_adbd();
        }
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        let again = lab.server().wait_for(shaky.serial(), LIMIT).unwrap();
        assert_eq!(again.ask(&model, LIMIT).unwrap(), "Lab Phone 4");
    });
}
