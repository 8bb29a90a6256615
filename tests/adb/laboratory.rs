//! The lab: one adb server, and as many phones as a story needs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mnas::adb::{Phone, Server};

use super::LabPhone;
use super::tools::Tools;

/// What no healthy call in a test comes near.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One private network with an adb server, started when it is first asked, and phones.
pub struct Lab {
    folder: PathBuf,
    tools: Tools,
    phones: RefCell<BTreeMap<u16, Rc<LabPhone>>>,
}

impl Lab {
    /// Inside fresh namespaces only.
    pub(super) fn new(folder: &Path, tools: Tools) -> Self {
        raise_loopback();
        mount(&["-t", "tmpfs", "-o", "mode=755", "lab"], folder);
        if Path::new("/dev/bus/usb").exists() {
            // The server must not take hold of real phones.
            mount(&["-t", "tmpfs", "none"], Path::new("/dev/bus/usb"));
        }
        Self { folder: folder.to_owned(), tools, phones: RefCell::default() }
    }

    /// A folder that ends with the lab.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server, as every program of this process would find it.
    pub fn server(&self) -> Server {
        Server::from_environment().unwrap()
    }

    /// Phone number `number`, from 1, booted when it is first asked for; the server does not know it yet.
    pub fn phone(&self, number: u16) -> Rc<LabPhone> {
        let mut phones = self.phones.borrow_mut();
        let boot = || Rc::new(LabPhone::boot(number, &self.folder.join(format!("phone-{number}")), &self.tools));
        Rc::clone(phones.entry(number).or_insert_with(boot))
    }

    /// The link to phone number `number`, connected.
    pub fn link(&self, number: u16) -> Phone {
        let serial = self.phone(number).serial();
        self.server().connect_phone(&serial, PATIENCE).unwrap();
        self.server().wait_for(&serial, PATIENCE).unwrap()
    }

    /// Kills the adb server with -9, if it runs.
    pub fn kill_server(&self) {
        let servers = processes("fork-server");
        for &process in &servers {
            signal(process, libc::SIGKILL);
        }
        // Another may have been started meanwhile by whoever missed it.
        until("the adb server is gone", || servers.iter().all(|&process| has_ended(process)));
    }
}

/// Waits for what comes soon.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process has closed its sockets. It loses its arguments before those, and its first thread may end before the
/// others, which hold them too.
fn has_ended(process: i32) -> bool {
    let threads = fs_err::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut stats = threads.filter_map(|thread| fs_err::read_to_string(thread.path().join("stat")).ok());
    stats.all(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X'])))
}

/// Living processes of this namespace one of whose arguments contains `part`.
pub fn processes(part: &str) -> Vec<i32> {
    let numbers = fs_err::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter(|number| {
            // One that has ended meanwhile, or is a zombie, has no arguments.
            let line = fs_err::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
            *number != std::process::id() as i32 && String::from_utf8_lossy(&line).contains(part)
        })
        .collect()
}

pub fn signal(process: i32, signal: i32) {
    // SAFETY: a plain system call; the process is one of this namespace.
    let _ = unsafe { libc::kill(process, signal) };
}

/// Runs `mount OPTIONS… PLACE`.
pub fn mount(options: &[&str], place: &Path) {
    let status = std::process::Command::new("mount").args(options).arg(place).status().unwrap();
    assert!(status.success(), "mount {options:?} {}: {status}", place.display());
}

/// A new network namespace has its loopback interface down.
fn raise_loopback() {
    // SAFETY: a zeroed request is a valid one, the name is shorter than its field, and the socket is closed again.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        assert_eq!(libc::ioctl(socket, libc::SIOCSIFFLAGS, &request), 0, "{}", std::io::Error::last_os_error());
        libc::close(socket);
    }
}
