//! Phones that stall, break off, are old, or say what is not so: a stand-in plays them for the real server, and where
//! the server adds nothing, a pretender plays both.

use mnas::adb::{AdbError, Command, Output, Phone, Pushed};
use proptest::prelude::*;

use crate::commands::echo;
use crate::files::{REMOTE, content, push};
use crate::lab::stand_in::{FEATURES, StandIn, Step};
use crate::lab::{Lab, Needs, inside};
use crate::pretender::phone_that_says;
use crate::{LIMIT, SHORT};

/// A packet of the shell protocol.
fn packet(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[kind], (data.len() as u32).to_le_bytes().as_slice(), data].concat()
}

fn shell_output(stdout: &[u8], exit: u8) -> Vec<u8> {
    [packet(1, stdout), packet(3, &[exit])].concat()
}

/// The script of an honest command.
pub fn says(stdout: &[u8], exit: u8) -> Vec<Step> {
    vec![Step::Say(shell_output(stdout, exit)), Step::Close]
}

/// Ending leftovers is itself a command; every stand-in here does it, so that it is only the lie that is judged.
fn is_cleaning(service: &str) -> bool {
    service.contains("/environ")
}

/// A stand-in at a port of its own, connected.
fn cast(lab: &Lab, port: u16, features: &str, script: impl Fn(&str) -> Vec<Step> + Send + 'static) -> (StandIn, Phone) {
    let play = move |service: &str| if is_cleaning(service) { says(b"1\n", 0) } else { script(service) };
    let stand_in = StandIn::play(port, features, play);
    lab.server().connect_phone(&stand_in.serial(), LIMIT).unwrap();
    let phone = lab.server().wait_for(&stand_in.serial(), LIMIT).unwrap();
    (stand_in, phone.with_output_limit(1_000_000))
}

/// The errors of one command on each of several stand-ins, which follow one script each. An honest one works beside
/// them; every error must be about its own phone, and no command may come twice.
fn errors(lab: &Lab, scripts: Vec<Vec<Step>>, limit: std::time::Duration) -> Vec<AdbError> {
    let (_honest, other) = cast(lab, 7000, FEATURES, |_| says(b"hello\n", 0));
    let calls: Vec<_> = (7001..)
        .zip(scripts)
        .map(|(port, steps)| {
            let (stand_in, phone) = cast(lab, port, FEATURES, move |_| steps.clone());
            std::thread::spawn(move || (phone.shell(&echo(), limit), stand_in))
        })
        .collect();
    assert_eq!(other.ask(&echo(), LIMIT).unwrap(), "hello");
    let judge = |(result, stand_in): (Result<Output, AdbError>, StandIn)| {
        let error = result.unwrap_err();
        assert_eq!(error.serial(), Some(stand_in.serial().as_str()), "{error}");
        let commands = stand_in.opened().iter().filter(|service| service.contains("'echo' 'hello'")).count();
        assert_eq!(commands, 1, "a command is never repeated");
        error
    };
    calls.into_iter().map(|call| judge(call.join().unwrap())).collect()
}

#[test]
fn a_stall_anywhere_ends_at_the_limit() {
    inside(Needs::Server, |lab| {
        let whole = shell_output(b"hello\n", 0);
        let scripts = [0, 3, 5, 8, 12].map(|length| vec![Step::Say(whole[..length].to_vec())]);
        for error in errors(lab, scripts.to_vec(), SHORT) {
            assert!(matches!(error, AdbError::TimedOut { .. }) && !error.retryable(), "{error}");
        }
    });
}

#[test]
fn a_cable_pulled_anywhere_is_a_lost_connection() {
    inside(Needs::Server, |lab| {
        let whole = shell_output(b"hello\n", 0);
        let scripts = [0, 3, 5, 8, 12, 16].map(|length| vec![Step::Say(whole[..length].to_vec()), Step::Unplug]);
        for error in errors(lab, scripts.to_vec(), LIMIT) {
            assert!(matches!(error, AdbError::Lost { .. }) && error.retryable(), "{error}");
        }
    });
}

#[test]
fn an_end_without_an_exit_code_is_no_success() {
    inside(Needs::Server, |lab| {
        let scripts = vec![vec![Step::Close], vec![Step::Say(packet(1, b"hello\n")), Step::Close]];
        for error in errors(lab, scripts, LIMIT) {
            assert!(matches!(error, AdbError::Lost { .. }), "{error}");
        }
    });
}

#[test]
fn nonsense_is_named_and_endless_talk_is_cut_off() {
    inside(Needs::Server, |lab| {
        let nonsense = [packet(9, b"what"), packet(3, b"\0\0"), packet(3, b""), b"HTTP/1.1 200 OK".to_vec()];
        let mut scripts: Vec<_> = nonsense.map(|bytes| vec![Step::Say(bytes)]).to_vec();
        // As the length of a packet, "TP/1" is 800 million.
        let huge = [b"\x01".as_slice(), &u32::MAX.to_le_bytes(), b"a little"].concat();
        scripts.push(vec![Step::Say(huge)]);
        scripts.push(vec![Step::Say(packet(1, &[b'x'; 300_000])); 5]);
        let found = errors(lab, scripts, LIMIT);
        for error in &found[..3] {
            assert!(matches!(error, AdbError::Protocol { .. }), "{error}");
        }
        for error in &found[3..] {
            assert!(matches!(error, AdbError::TooMuch { limit_bytes: 1_000_000, .. }), "{error}");
        }
    });
}

/// What a phone without the shell protocol answers: everything in one stream, and nothing of the exit code.
fn old_shell(service: &str) -> Vec<u8> {
    let line = service.strip_prefix("exec:").expect("no other service is there");
    let output = std::process::Command::new("sh").arg("-c").arg(format!("exec 2>&1; {line}")).output();
    output.unwrap().stdout
}

#[test]
fn a_phone_from_before_the_shell_protocol_tells_its_exit_code_all_the_same() {
    inside(Needs::Server, |lab| {
        let (_old, phone) = cast(lab, 7001, "cmd", |service| vec![Step::Say(old_shell(service)), Step::Close]);
        let output = phone.shell(&Command::script("printf 'no line end'; exit $1").word("7"), LIMIT).unwrap();
        assert_eq!(output, Output { stdout: b"no line end".to_vec(), stderr: Vec::new(), exit: 7 });
        assert_eq!(phone.ask(&echo(), LIMIT).unwrap(), "hello");
        let error = phone.ask(&Command::new("no-such-program"), LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Failed { exit: 126 | 127, .. }), "{error}");

        let cut = |keep: fn(usize) -> usize| {
            move |service: &str| {
                let mut said = old_shell(service);
                said.truncate(keep(said.len()));
                vec![Step::Say(said), Step::Close]
            }
        };
        let (_cut, phone) = cast(lab, 7002, "cmd", cut(|_| 6));
        let error = phone.shell(&echo(), LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Lost { .. }) && error.serial() == Some(phone.serial()), "{error}");
        let (_cut, phone) = cast(lab, 7003, "cmd", cut(|length| length - 1));
        let error = phone.shell(&echo(), LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Lost { .. }), "an exit code of 1 may be the start of 127: {error}");
    });
}

#[test]
fn a_phone_from_before_the_second_stat_tells_sizes_too() {
    inside(Needs::Server, |lab| {
        let number = |value: u32| value.to_le_bytes();
        let there = [b"STAT".as_slice(), &number(0o100_644), &number(1234), &number(99)].concat();
        let (_old, phone) = cast(lab, 7001, "shell_v2", move |_| vec![Step::Hear(9), Step::Say(there.clone())]);
        let stat = phone.stat("/", LIMIT).unwrap().unwrap();
        assert_eq!((stat.is_file(), stat.size, stat.modified), (true, 1234, 99));
        let absent = [b"STAT".as_slice(), &[0; 12]].concat();
        let (_old, phone) = cast(lab, 7002, "shell_v2", move |_| vec![Step::Hear(9), Step::Say(absent.clone())]);
        assert_eq!(phone.stat("/", LIMIT).unwrap(), None);
    });
}

/// The file service's answer that there is no such file.
fn absent() -> Vec<Step> {
    vec![Step::Hear(8 + REMOTE.len()), Step::Say([b"STA2".as_slice(), &2u32.to_le_bytes(), &[0; 64]].concat())]
}

/// A stand-in whose file service follows one script after the other, and whose shell says one thing.
fn files(lab: &Lab, port: u16, scripts: Vec<Vec<Step>>, shell: Vec<u8>) -> (StandIn, Phone) {
    let turn = std::cell::Cell::new(0);
    cast(lab, port, FEATURES, move |service| match service {
        "sync:" => scripts[turn.replace(turn.get() + 1)].clone(),
        _ => vec![Step::Say(shell.clone()), Step::Close],
    })
}

#[test]
fn a_file_that_breaks_off_or_arrives_damaged_is_not_taken_for_whole() {
    inside(Needs::Server, |lab| {
        let bytes = content(300_000, 1);
        let (_unplugged, phone) = files(lab, 7001, vec![absent(), vec![Step::Hear(100_000), Step::Unplug]], Vec::new());
        let error = push(&phone, &bytes).unwrap_err();
        assert!(matches!(error, AdbError::Lost { .. }) && error.serial() == Some(phone.serial()), "{error}");

        let taken = vec![Step::Hear(300_000), Step::Say(b"OKAY\0\0\0\0".to_vec())];
        let (_damaging, phone) = files(lab, 7002, vec![absent(), taken.clone()], shell_output(b"0123abcd\n", 3));
        let error = push(&phone, &bytes).unwrap_err();
        assert!(matches!(error, AdbError::Protocol { .. }) && error.serial() == Some(phone.serial()), "{error}");
        assert!(error.to_string().contains("found 0123abcd"), "{error}");

        let (honest, phone) = files(lab, 7003, vec![absent(), taken], shell_output(b"", 0));
        assert_eq!(push(&phone, &bytes).unwrap(), Pushed::Sent);
        assert!(honest.opened().last().unwrap().contains(REMOTE), "the last thing is that it gets its name");

        let full = b"write failed: No space left on device";
        let refusal = [b"FAIL".as_slice(), &(full.len() as u32).to_le_bytes(), full].concat();
        let (_full, phone) =
            files(lab, 7004, vec![absent(), vec![Step::Say(refusal), Step::Close]], shell_output(b"", 0));
        let error = push(&phone, &content(8_000_000, 1)).unwrap_err();
        assert!(matches!(error, AdbError::NoSpace { .. }), "what it said before it hung up is heard: {error}");
    });
}

#[test]
fn a_file_service_that_talks_nonsense_is_told_from_one_that_stalls() {
    inside(Needs::Server, |lab| {
        let pull = |port, steps| {
            let (_liar, phone) = files(lab, port, vec![absent(), steps], Vec::new());
            phone.pull(REMOTE, SHORT, &mut |_, _| ()).unwrap_err()
        };
        let pieces: [&[u8]; 4] =
            [b"DATA\xff\xff\xff\x7f", b"WHAT\0\0\0\0", b"FAIL\xff\xff\xff\x7f", b"DATA\x01\0\0\0x<!--"];
        for (port, said) in (7001..).zip(pieces) {
            let error = pull(port, vec![Step::Say(said.to_vec())]);
            assert!(matches!(error, AdbError::Protocol { .. }) && error.serial().is_some(), "{error}");
        }
        let error = pull(7005, vec![Step::Say(b"DATA\x05\0\0\0abc".to_vec())]);
        assert!(matches!(error, AdbError::TimedOut { .. }), "{error}");
        let error = pull(7006, vec![Step::Say(b"DATA\x05\0\0\0abc".to_vec()), Step::Close]);
        assert!(matches!(error, AdbError::Lost { .. }), "{error}");
        let (_liar, phone) = files(lab, 7007, vec![vec![Step::Say(b"STAT".to_vec())]], Vec::new());
        let error = phone.stat(REMOTE, LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Protocol { .. }), "{error}");
    });
}

/// Pieces of stdout and stderr in any order.
fn pieces() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    prop::collection::vec((1u8..=2, prop::collection::vec(any::<u8>(), 0..40)), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_order_of_its_pieces_an_output_is_put_together_and_a_part_of_it_is_lost(
        pieces in pieces(), exit: u8, cut in 0.0..1.0,
    ) {
        let of = |wanted| pieces.iter().filter(move |(kind, _)| *kind == wanted).flat_map(|(_, data)| data.clone()).collect();
        let mut whole: Vec<u8> = pieces.iter().flat_map(|(kind, data)| packet(*kind, data)).collect();
        whole.extend(packet(3, &[exit]));
        let part = whole[..(whole.len() as f64 * cut) as usize].to_vec();
        let output = phone_that_says(whole).shell(&echo(), LIMIT).unwrap();
        prop_assert_eq!(output, Output { stdout: of(1), stderr: of(2), exit });
        let error = phone_that_says(part).shell(&echo(), LIMIT).unwrap_err();
        prop_assert!(matches!(error, AdbError::Lost { .. }), "{}", error);
    }

    #[test]
    fn random_bytes_are_never_a_success(bytes in prop::collection::vec(4u8..=255, 0..200)) {
        let phone = phone_that_says(bytes);
        prop_assert!(phone.shell(&echo(), LIMIT).is_err());
        prop_assert!(phone.stat("/x", LIMIT).is_err() && phone.pull("/x", LIMIT, &mut |_, _| ()).is_err());
        prop_assert!(phone.push(b"x", "/x", 0o644, LIMIT, &mut |_, _| ()).is_err());
    }
}
