//! How a program ended, in words: which signal killed it, and what usually is the cause.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

/// Exit codes above this are how a shell says that what it ran was killed by a signal.
const KILLED: i32 = 128;

/// The status in words, with the name of the signal that killed the program and the usual cause of that.
///
/// ```
/// use std::os::unix::process::ExitStatusExt;
/// let killed = |raw| mnas::external::describe(std::process::ExitStatus::from_raw(raw));
/// assert!(killed(9).starts_with("signal: 9 (SIGKILL): usually the system was out of memory"));
/// assert!(killed(139 << 8).starts_with("exit status: 139, a shell's word for signal 11 (SIGSEGV): usually a crash"));
/// assert_eq!(killed(3 << 8), "exit status: 3");
/// ```
pub fn describe(status: ExitStatus) -> String {
    let shell = status.code().filter(|code| *code > KILLED).map(|code| code - KILLED);
    let named = |signal: i32| Signal::try_from(signal).ok();
    match (status.signal(), shell.and_then(named)) {
        (Some(signal), _) => format!("{status}{}", named(signal).map_or("", cause)),
        (None, Some(signal)) => {
            let (number, name) = (signal as i32, signal.as_str());
            format!("{status}, a shell's word for signal {number} ({name}){}", cause(signal))
        }
        (None, None) => status.to_string(),
    }
}

/// What usually sends this signal, ready to follow its name.
fn cause(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGKILL => ": usually the system was out of memory and killed it (`dmesg` or the journal says so)",
        Signal::SIGSEGV => ": usually a crash in native code: a library, its driver, or one built for another version",
        Signal::SIGABRT => ": it gave itself up: a failed check in native code, or memory that it could not get",
        Signal::SIGBUS => ": usually shared memory (/dev/shm) or a disk is full, or a file was cut while it was in use",
        Signal::SIGILL => ": usually a library built for a processor with more instructions than this one",
        Signal::SIGFPE => ": a division by zero, or the like, in native code",
        Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP => ": somebody, or the system, asked it to end",
        Signal::SIGXCPU => ": the limit on processor time (`ulimit -t`) was reached",
        Signal::SIGXFSZ => ": the limit on the size of files (`ulimit -f`) was reached",
        Signal::SIGPIPE => ": it wrote to something that nobody read any more",
        _ => "",
    }
}
