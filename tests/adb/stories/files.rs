//! Files: there whole or not at all, and sent once.

use mnas::adb::{AdbError, Phone, Pushed};

use crate::LIMIT;
use crate::lab::{Needs, inside};

pub const REMOTE: &str = "/data/local/tmp/model.tflite";

pub fn push(phone: &Phone, bytes: &[u8]) -> Result<Pushed, AdbError> {
    phone.push(bytes, REMOTE, 0o644, LIMIT, &mut |_, _| ())
}

/// Bytes that no compression shortens.
pub fn content(length: usize, seed: u64) -> Vec<u8> {
    use rand::RngCore;
    let mut bytes = vec![0; length];
    mnas::seeded(seed).fill_bytes(&mut bytes);
    bytes
}

#[test]
fn files_go_and_come_back_with_progress_and_are_sent_once() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1);
        let bytes = content(1_000_000, 1);
        let mut heard = Vec::new();
        let pushed = phone.push(&bytes, REMOTE, 0o644, LIMIT, &mut |sent, total| heard.push((sent, total))).unwrap();
        assert_eq!((pushed, heard.last()), (Pushed::Sent, Some(&(1_000_000, 1_000_000))));
        assert!(heard.is_sorted() && heard.len() == 16);
        assert_eq!(push(&phone, &bytes).unwrap(), Pushed::AlreadyThere);

        let stat = phone.stat(REMOTE, LIMIT).unwrap().unwrap();
        assert!(stat.is_file() && stat.size == 1_000_000 && stat.mode & 0o700 == 0o600);
        assert_eq!(phone.push(&bytes, REMOTE, 0o755, LIMIT, &mut |_, _| ()).unwrap(), Pushed::AlreadyThere);
        assert_eq!(phone.stat(REMOTE, LIMIT).unwrap().unwrap().mode & 0o700, 0o700, "a runner must be executable");

        let mut heard = Vec::new();
        assert_eq!(phone.pull(REMOTE, LIMIT, &mut |come, total| heard.push((come, total))).unwrap(), bytes);
        assert_eq!(heard.last(), Some(&(1_000_000, 1_000_000)));
        assert_eq!(push(&phone, &[]).unwrap(), Pushed::Sent, "an empty file is a file");
        assert_eq!(phone.pull(REMOTE, LIMIT, &mut |_, _| ()).unwrap(), b"");
        phone.remove(REMOTE, LIMIT).unwrap();
        phone.remove(REMOTE, LIMIT).unwrap();
        assert_eq!(phone.stat(REMOTE, LIMIT).unwrap(), None);
    });
}

#[test]
fn a_file_of_the_same_size_with_other_bytes_is_sent_again() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1);
        push(&phone, &content(5000, 1)).unwrap();
        assert_eq!(push(&phone, &content(5000, 2)).unwrap(), Pushed::Sent);
        assert_eq!(phone.pull(REMOTE, LIMIT, &mut |_, _| ()).unwrap(), content(5000, 2));
    });
}

#[test]
fn a_phone_that_computes_no_hashes_gets_the_file_every_time_and_its_size_is_checked() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1);
        fs_err::remove_file(lab.phone(1).path("/system/bin/sha256sum")).unwrap();
        let bytes = content(100_000, 1);
        assert_eq!([push(&phone, &bytes).unwrap(), push(&phone, &bytes).unwrap()], [Pushed::Sent, Pushed::Sent]);
        assert_eq!(phone.pull(REMOTE, LIMIT, &mut |_, _| ()).unwrap(), bytes);
    });
}

#[test]
fn names_that_a_shell_would_run_are_names() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1);
        for name in ["$(touch x)", "it's", "a b;c", "-rf", "comma,0644", "new\nline", "*", "ümläut"] {
            let path = format!("/data/local/tmp/{name}");
            let send = || phone.push(name.as_bytes(), &path, 0o600, LIMIT, &mut |_, _| ()).unwrap();
            assert_eq!((send(), send()), (Pushed::Sent, Pushed::AlreadyThere), "{name}");
            assert_eq!(fs_err::read(lab.phone(1).path(&path)).unwrap(), name.as_bytes());
        }
        phone.remove("/data/local/tmp/*", LIMIT).unwrap();
        let left = fs_err::read_dir(lab.phone(1).path("/data/local/tmp")).unwrap().count();
        assert_eq!(left, 7, "only the file of that name was removed");
    });
}

#[test]
fn a_full_disk_is_told_leaves_nothing_behind_and_touches_no_other_phone() {
    inside(Needs::Phones, |lab| {
        let (full, roomy) = (lab.link(1), lab.link(2));
        lab.phone(1).fill(500_000);
        let bytes = content(2_000_000, 1);
        let error = push(&full, &bytes).unwrap_err();
        assert!(matches!(error, AdbError::NoSpace { .. }) && error.serial() == Some(full.serial()), "{error}");
        let left: Vec<_> = fs_err::read_dir(lab.phone(1).path("/data/local/tmp")).unwrap().collect();
        assert_eq!(left.len(), 1, "only the ballast: {left:?}");
        assert_eq!(push(&roomy, &bytes).unwrap(), Pushed::Sent);
        lab.phone(1).fill(10_000_000);
        assert_eq!(push(&full, &bytes).unwrap(), Pushed::Sent, "it works as soon as there is room");
    });
}

#[test]
fn the_phones_own_words_come_with_refusals() {
    inside(Needs::Phones, |lab| {
        let phone = lab.link(1);
        let error = phone.pull("/nowhere", LIMIT, &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, AdbError::Remote { .. }) && error.serial() == Some(phone.serial()), "{error}");
        assert!(
            error.to_string().contains("reading /nowhere failed") && error.to_string().contains("No such file"),
            "{error}"
        );
        let error = phone.push(b"x", "/proc/nowhere/x", 0o644, LIMIT, &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, AdbError::Remote { .. }), "{error}");
        let error = phone.with_output_limit(10).pull("/proc/cpuinfo", LIMIT, &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, AdbError::TooMuch { limit_bytes: 10, .. }), "{error}");
    });
}
