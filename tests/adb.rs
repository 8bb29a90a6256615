//! The link to phones, against the real adb server.

#[path = "adb/mod.rs"]
mod lab;

use std::time::Duration;

use lab::{Needs, inside};
use mnas::adb::{Command, Pushed, State};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_phone_is_listed_answers_and_tells_its_exit_code() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1);
        let listed = lab.server().devices(LIMIT).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].serial.as_str(), &listed[0].state), ("127.0.0.1:6001", &State::Device));
        let output = phone.shell(&Command::script("echo out; echo err >&2; exit 5"), LIMIT).unwrap();
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice(), output.exit),
            (&b"out\n"[..], &b"err\n"[..], 5)
        );
        assert_eq!(phone.ask(&Command::new("getprop").word("ro.product.model"), LIMIT).unwrap(), "Lab Phone 1");
        let content = vec![7; 300_000];
        let push = |bytes: &[u8]| phone.push(bytes, "/data/local/tmp/model", 0o755, LIMIT, &mut |_, _| ()).unwrap();
        assert_eq!(push(&content), Pushed::Sent);
        assert_eq!(push(&content), Pushed::AlreadyThere);
        assert_eq!(phone.pull("/data/local/tmp/model", LIMIT, &mut |_, _| ()).unwrap(), content);
    });
}
