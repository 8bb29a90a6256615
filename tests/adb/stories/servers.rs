//! Finding the server, listing phones, choosing one.

use mnas::adb::{AdbError, Address, Listed, Server, State};
use proptest::prelude::*;

use crate::lab::stand_in::StandIn;
use crate::lab::{Needs, inside, until};
use crate::pretender::{Reply, block, pretend};
use crate::{LIMIT, SHORT};

fn address(variables: &[(&str, &str)]) -> Result<String, AdbError> {
    let value =
        |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.to_string());
    Address::from_variables(value).map(|address| address.to_string())
}

#[test]
fn variables_say_where_the_server_is_as_they_do_for_adb() {
    assert_eq!(address(&[]).unwrap(), "127.0.0.1:5037");
    assert_eq!(address(&[("ANDROID_ADB_SERVER_PORT", "5038")]).unwrap(), "127.0.0.1:5038");
    assert_eq!(address(&[("ANDROID_ADB_SERVER_ADDRESS", "lab")]).unwrap(), "lab:5037");
    let socket = |text| address(&[("ADB_SERVER_SOCKET", text), ("ANDROID_ADB_SERVER_PORT", "1")]);
    assert_eq!(socket("tcp:lab:5038").unwrap(), "lab:5038");
    assert_eq!(socket("tcp:5038").unwrap(), "127.0.0.1:5038");
    assert_eq!(socket("tcp:[::1]:5038").unwrap(), "[::1]:5038");
    for nonsense in ["lab:5038", "tcp:", "tcp:lab:", "tcp:lab:70000", "tcp::5038", "localabstract:adb"] {
        let error = socket(nonsense).unwrap_err();
        assert!(matches!(error, AdbError::Address { variable: "ADB_SERVER_SOCKET", .. }), "{error}");
    }
    let error = address(&[("ANDROID_ADB_SERVER_PORT", "0")]).unwrap_err().to_string();
    assert_eq!(error, "ANDROID_ADB_SERVER_PORT must be a port number from 1 to 65535, found '0'");
}

#[test]
fn every_form_of_a_listed_phone_is_read() {
    let text = "0a388e93               device usb:1-1 product:razor model:Nexus_7 device:flo transport_id:3\n\
                emulator-5554          offline transport_id:1\n\
                192.168.0.7:5555       unauthorized transport_id:12\n\
                (no serial number)     no permissions (user in plugdev group; are your udev rules wrong?); see [x] usb:1-2\n\
                R58M\trecovery\n\
                X1 sideload\n";
    let listed = Listed::parse(text).unwrap();
    let states: Vec<_> = listed.iter().map(|one| (one.serial.as_str(), one.state.to_string())).collect();
    let expected = [
        ("0a388e93", "device"),
        ("emulator-5554", "offline"),
        ("192.168.0.7:5555", "unauthorized"),
        ("(no serial number)", "no permissions"),
        ("R58M", "recovery"),
        ("X1", "sideload"),
    ];
    assert_eq!(states, expected.map(|(serial, state)| (serial, state.to_owned())));
    let first = &listed[0];
    let words = [&first.product, &first.model, &first.device].map(|word| word.as_deref().unwrap());
    assert_eq!((words, first.transport_id), (["razor", "Nexus_7", "flo"], Some(3)));
    assert_eq!(Listed::parse("lonely\n").unwrap_err(), "lonely");
}

proptest! {
    #[test]
    fn no_list_makes_the_reader_stumble(text in "\\PC{0,200}(\n\\PC{0,80}){0,3}") {
        let _ = Listed::parse(&text);
    }
}

#[test]
fn without_a_server_elsewhere_the_call_is_refused_with_advice() {
    let server = Server::at(Address { host: "127.0.0.1".into(), port: 1 });
    let error = server.devices(LIMIT).unwrap_err();
    assert!(matches!(error, AdbError::Refused { .. }) && error.retryable(), "{error}");
    assert!(error.to_string().starts_with("no adb server at 127.0.0.1:1: "), "{error}");
    assert!(error.to_string().contains("adb start-server"), "{error}");
}

#[test]
fn what_is_no_adb_server_is_told_from_one_that_is_silent_or_hangs_up() {
    let web = pretend(|_| Reply::Last(b"HTTP/1.1 400 Bad Request\r\n".to_vec()));
    let error = web.devices(LIMIT).unwrap_err();
    assert!(matches!(error, AdbError::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("expected OKAY or FAIL, found \"HTTP\""), "{error}");

    for said in ["", "OK", "OKAY", "OKAY00", "OKAY0010half"] {
        let silent = pretend(|_| Reply::Silence(said.into()));
        let error = silent.devices(SHORT).unwrap_err();
        assert!(matches!(error, AdbError::TimedOut { .. }) && error.serial().is_none(), "{said}: {error}");
        let leaving = pretend(|_| Reply::Last(said.into()));
        let error = leaving.devices(LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Lost { .. }) && error.serial().is_none(), "{said}: {error}");
    }

    for (service, answer) in [("list", block("lonely\n")), ("version", block("xyz")), ("length", b"OKAYwhat".to_vec())]
    {
        let liar = pretend(move |_| Reply::Last(answer.clone()));
        let result =
            if service == "version" { liar.version(LIMIT).map(|_| ()) } else { liar.devices(LIMIT).map(|_| ()) };
        let error = result.unwrap_err();
        assert!(matches!(error, AdbError::Protocol { .. }), "{service}: {error}");
    }
}

#[test]
fn the_servers_refusals_become_the_errors_of_the_phones_state() {
    let refusing = |words: &'static str| {
        let server = pretend(move |request| match request {
            "host:devices-l" => Reply::Say(block("p device\n")),
            _ => Reply::Last(format!("FAIL{:04x}{words}", words.len()).into_bytes()),
        });
        let error = server.phone(Some("p"), LIMIT).unwrap_err();
        assert_eq!(error.serial(), Some("p"), "{error}");
        error
    };
    assert!(matches!(refusing("device unauthorized.\nThis adb server's …"), AdbError::Unauthorized { .. }));
    assert!(matches!(refusing("device offline"), AdbError::Offline { .. }));
    assert!(matches!(refusing("device still authorizing"), AdbError::NotReady { .. }));
    assert!(matches!(refusing("insufficient permissions for device: …"), AdbError::NotReady { .. }));
    assert!(matches!(refusing("device 'p' not found"), AdbError::Unknown { .. }));
    assert!(matches!(refusing("closed"), AdbError::Lost { .. }));
    assert!(matches!(refusing("quite another reason"), AdbError::Remote { .. }));
}

#[test]
fn a_local_server_is_started_and_where_there_is_no_program_the_error_says_what_to_install() {
    inside(Needs::Server, |lab| {
        // The system may close a dead process's port a moment after its end.
        let kill_server = || {
            lab.kill_server();
            until("its port is closed", || std::net::TcpStream::connect(("127.0.0.1", 5037)).is_err());
        };
        assert!(lab.server().version(LIMIT).unwrap() >= 40);
        kill_server();
        assert_eq!(lab.server().devices(LIMIT).unwrap(), []);
        kill_server();
        // SAFETY: this process runs this one test, in one thread.
        unsafe { std::env::set_var("PATH", "/nowhere") };
        let error = lab.server().devices(LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Start { .. }), "{error}");
        assert!(error.to_string().contains("apt install adb"), "{error}");
    });
}

#[test]
fn one_phone_is_found_by_itself_several_must_be_named_and_strangers_are_unknown() {
    inside(Needs::Phones, |lab| {
        let server = lab.server();
        let error = server.phone(None, LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::NoPhone), "{error}");

        let first = lab.link(1);
        assert_eq!(server.phone(None, LIMIT).unwrap().serial(), first.serial());
        let second = lab.link(2);
        let error = server.phone(None, LIMIT).unwrap_err();
        let AdbError::Several(mut serials) = error else { panic!("{error}") };
        serials.sort();
        assert_eq!(serials, [first.serial(), second.serial()]);
        assert_eq!(server.phone(Some(second.serial()), LIMIT).unwrap().serial(), second.serial());

        // SAFETY: this process runs this one test, in one thread.
        unsafe { std::env::set_var("ANDROID_SERIAL", second.serial()) };
        assert_eq!(lab.server().phone(None, LIMIT).unwrap().serial(), second.serial());

        let error = server.phone(Some("127.0.0.1"), LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Unknown { .. }), "{error}");
        assert!(error.to_string().contains("adb does not see phone 127.0.0.1 (it sees 127.0.0.1:6"), "{error}");
        let error = server.wait_for("stranger", SHORT).unwrap_err();
        assert!(matches!(error, AdbError::Unknown { .. }) && error.serial() == Some("stranger"), "{error}");
        let error = server.connect_phone("127.0.0.1:6009", LIMIT).unwrap_err();
        assert!(matches!(error, AdbError::Remote { .. }) && error.serial() == Some("127.0.0.1:6009"), "{error}");
    });
}

#[test]
fn changes_of_the_list_are_followed_as_they_happen() {
    inside(Needs::Phones, |lab| {
        let mut tracker = lab.server().track(LIMIT).unwrap();
        assert_eq!(tracker.next(LIMIT).unwrap(), []);
        let error = tracker.next(SHORT).unwrap_err();
        assert!(matches!(error, AdbError::TimedOut { .. }), "{error}");
        let phone = lab.link(1);
        let mut next_state = |wanted: State| loop {
            let list = tracker.next(LIMIT).unwrap();
            if list.iter().any(|one| one.serial == phone.serial() && one.state == wanted) {
                break;
            }
        };
        next_state(State::Device);
        lab.phone(1).kill_adbd();
        next_state(State::Offline);
        lab.phone(1).restart_adbd();
        next_state(State::Device);
        lab.kill_server();
        let error = loop {
            if let Err(error) = tracker.next(LIMIT) {
                break error;
            }
        };
        assert!(matches!(error, AdbError::Lost { .. }), "{error}");
    });
}

#[test]
fn an_unauthorized_phone_says_what_to_tap_and_works_once_that_is_done() {
    inside(Needs::Server, |lab| {
        let suspicious = StandIn::suspicious(7001, |_| crate::lies::says(b"hello\n", 0));
        let trusting = StandIn::play(7002, crate::lab::stand_in::FEATURES, |_| crate::lies::says(b"hello\n", 0));
        let (server, serial) = (lab.server(), suspicious.serial());
        // The server's own words for it are of no use here; its list is.
        let _ = server.connect_phone(&serial, LIMIT);
        let other =
            server.connect_phone(&trusting.serial(), LIMIT).and_then(|()| server.wait_for(&trusting.serial(), LIMIT));

        let error = server.wait_for(&serial, SHORT).unwrap_err();
        assert!(matches!(error, AdbError::Unauthorized { .. }) && error.serial() == Some(&serial), "{error}");
        assert!(error.to_string().contains("accept 'Allow USB debugging?'"), "{error}");
        assert_eq!(other.unwrap().ask(&crate::commands::echo(), LIMIT).unwrap(), "hello");

        let tap = std::thread::spawn(move || {
            std::thread::sleep(SHORT);
            suspicious.authorize();
            suspicious
        });
        let phone = server.wait_for(&serial, LIMIT).unwrap();
        assert_eq!(phone.ask(&crate::commands::echo(), LIMIT).unwrap(), "hello");
        assert_eq!(tap.join().unwrap().opened().len(), 1);
    });
}
