//! Commands: their output, their words, their end.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mnas::adb::{AdbError, Command, Leftovers, Phone};
use proptest::prelude::*;

use crate::LIMIT;
use crate::lab::{Needs, inside, processes, until};

pub fn echo() -> Command {
    Command::new("echo").word("hello")
}

/// Prints each of its words, with a zero byte after it.
fn printf(words: &[Vec<u8>]) -> Command {
    Command::new("printf").word("%s\\0").words(words.iter().map(|word| OsStr::from_bytes(word)))
}

fn printed(words: &[Vec<u8>]) -> Vec<u8> {
    words.iter().flat_map(|word| [word.as_slice(), b"\0"].concat()).collect()
}

/// The shells there are: this machine's, and Android's where it was fetched.
fn shells() -> Vec<PathBuf> {
    let android = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/android/programs/mksh");
    [PathBuf::from("/bin/sh"), android].into_iter().filter(|shell| shell.exists()).collect()
}

/// Words with everything that means something to a shell, and any other byte but zero.
fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let shellish = prop::sample::select(b"'\"\\$`;&|<>(){}[]*?!#~ \t\n\r=-%a/".to_vec());
    let word = prop::collection::vec(prop_oneof![3 => shellish, 1 => 1u8..=255], 0..30);
    prop::collection::vec(word, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_word_reaches_the_program_as_it_is(words in words()) {
        for shell in shells() {
            let line = printf(&words).line();
            let output = std::process::Command::new(&shell).arg("-c").arg(OsStr::from_bytes(&line)).output().unwrap();
            prop_assert_eq!(output.stdout, printed(&words), "{}", shell.display());
        }
    }
}

#[test]
fn words_survive_the_way_to_a_phone_too() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1);
        let words = [
            &b"$(touch /data/local/tmp/broken)"[..],
            b"`reboot`",
            b"it's; exit 9 #",
            b"",
            b"a\nb\r\n",
            b"\xff\xfe\x80",
            b"-n",
        ];
        let words = words.map(<[u8]>::to_vec);
        assert_eq!(phone.shell(&printf(&words), LIMIT).unwrap().stdout, printed(&words));
        let value =
            phone.ask(&Command::new("printenv").word("NAME").variable("NAME", "$(id) 'quoted'"), LIMIT).unwrap();
        assert_eq!(value, "$(id) 'quoted'");
        assert_eq!(phone.stat("/data/local/tmp/broken", LIMIT).unwrap(), None);
    });
}

#[test]
fn what_cannot_be_said_to_a_shell_is_refused_before_it_is_said() {
    let phone = crate::pretender::phone_that_says(Vec::new());
    let long = "x".repeat(70_000);
    let commands = [echo().word("a\0b"), echo().variable("NOT A NAME", "1"), echo().word(long)];
    for (command, part) in commands.iter().zip(["zero byte", "whose name is not", "longer than 64 KiB"]) {
        let error = phone.shell(command, LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Unsendable { .. }) && error.to_string().contains(part), "{error}");
    }
    for path in ["relative", "", "/zero\0byte"] {
        let error = phone.remove(path, LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Unsendable { .. }) && error.serial() == Some("liar"), "{error}");
    }
}

#[test]
fn output_errors_and_exit_codes_arrive_apart() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1);
        let output = phone.shell(&Command::script("echo out; echo err >&2; exit $1").word("5"), LIMIT).unwrap();
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice(), output.exit),
            (&b"out\n"[..], &b"err\n"[..], 5)
        );
        assert!(!output.success() && phone.shell(&Command::new("true"), LIMIT).unwrap().success());
        let error = phone.ask(&Command::new("ls").word("/nowhere"), LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Failed { exit: 1, .. }), "{error}");
        assert!(error.to_string().contains("'ls /nowhere' ended with 1: ls: /nowhere: No such file"), "{error}");
        let error = phone.ask(&Command::new("no-such-program"), LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Failed { exit: 126 | 127, .. }), "{error}");
        // Nobody types: a program that reads finds the end at once.
        assert_eq!(phone.ask(&Command::new("wc").word("-c"), LIMIT).unwrap(), "0");
        let megabytes = phone.shell(&Command::script("head -c 5000000 /dev/zero"), LIMIT).unwrap();
        assert!(megabytes.stdout.len() == 5_000_000 && megabytes.stdout.iter().all(|&byte| byte == 0));
    });
}

#[test]
fn messages_name_a_command_on_one_line() {
    assert_eq!(Command::new("rm").word("-f").word("a b").to_string(), "rm -f 'a b'");
    let script = Command::script("\nfirst line\n  second line that goes on and on and on and on and on").word("x");
    assert_eq!(script.to_string(), "sh -c 'first line   second line that goes on and on and on and on a…' sh x");
}

#[test]
fn one_limit_holds_for_a_phone_that_always_says_a_little_more() {
    inside(Needs::Phones, |lab| {
        let error = give_up(&lab.link(1), &Command::script("while true; do echo $1; sleep 0.1; done").word("6666"));
        assert!(matches!(error, AdbError::TimedOut { leftovers: Leftovers::Killed, .. }), "{error}");
        until("it is quiet", || processes("6666").is_empty());
    });
}

/// Starts two sleeping processes, one a child of the other, the number of seconds telling them from others'.
fn sleepers(seconds: &str) -> Command {
    Command::script("sleep $1 & sleep $1; wait").word(seconds)
}

/// Runs a command that is expected to be given up, and gives the error.
fn give_up(phone: &Phone, command: &Command) -> AdbError {
    phone.shell(command, std::time::Duration::from_secs(1)).unwrap_err()
}

#[test]
fn a_command_that_never_ends_is_ended_with_its_children_and_on_that_phone_only() {
    inside(Needs::Phones, |lab| {
        let (first, second) = (lab.link(1), lab.link(2));
        let bystander = std::thread::spawn(move || second.shell(&sleepers("3.125"), LIMIT));
        until("the bystander sleeps", || processes("3.125").len() >= 3);
        let error = give_up(&first, &sleepers("7777"));
        let AdbError::TimedOut { leftovers, .. } = &error else { panic!("{error}") };
        assert_eq!((*leftovers, error.serial()), (Leftovers::Killed, Some(first.serial())));
        assert!(!error.retryable() && error.to_string().contains("was not over after 1 s"), "{error}");
        until("the sleepers are gone", || processes("7777").is_empty());
        assert!(bystander.join().unwrap().unwrap().success(), "the other phone's command came to its own end");
    });
}

#[test]
fn a_command_that_never_stops_talking_is_ended_at_the_limit() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1).with_output_limit(100_000);
        let error = phone.shell(&Command::new("yes").word("8888"), LIMIT).unwrap_err();
        let AdbError::TooMuch { limit_bytes: 100_000, leftovers: Leftovers::Killed, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(error.serial(), Some(phone.serial()));
        until("it is quiet", || processes("8888").is_empty());
        assert_eq!(phone.ask(&echo(), LIMIT).unwrap(), "hello");
    });
}

#[test]
fn a_phone_that_stops_moving_is_given_up_in_time_and_swept_when_it_goes_on() {
    inside(Needs::Phones, |lab| {
        let (first, second) = (lab.link(1), lab.link(2));
        let sleeping = first.clone();
        let call = std::thread::spawn(move || give_up(&sleeping, &sleepers("9999")));
        until("the sleepers run", || processes("9999").len() >= 3);
        lab.phone(1).freeze_adbd();
        let error = call.join().unwrap();
        let AdbError::TimedOut { leftovers: Leftovers::Unknown, .. } = &error else { panic!("{error}") };
        assert_eq!(error.serial(), Some(first.serial()));
        assert_eq!(second.ask(&echo(), LIMIT).unwrap(), "hello", "the other phone moves");
        assert!(!processes("9999").is_empty());
        lab.phone(1).thaw_adbd();
        // What was to end them may still have been on its way, and arrive first.
        first.sweep(LIMIT).unwrap();
        until("the sleepers are gone", || processes("9999").is_empty());
    });
}
