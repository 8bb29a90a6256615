//! A supervisor between this process and a program of the user's, so that nothing which the program started outlives it.
//!
//! ```text
//! this process ──lifeline (a pipe)──► supervisor ──► the program, in a group of its own ──► whatever it starts
//! ```
//! The supervisor is a fork that never executes another program: so it exists wherever this library runs, and costs no
//! second start of it. It leaves the group and terminal of this process and is the *subreaper* of everything below it
//! (`PR_SET_CHILD_SUBREAPER`): a descendant whose parent ends becomes its child, also one in a session of its own. Once
//! the program ends, or the lifeline closes, which the kernel does however this process ends, `kill -9` included, all of
//! them are told to end (`SIGTERM`), and after [`GRACE`] they are killed. Then the supervisor ends as the program did: with
//! its exit code, or by the signal that killed it. If somebody kills the supervisor, the program goes with it
//! (`PR_SET_PDEATHSIG`, which is tied to the parent's thread, and the supervisor has only one).
//!
//! The process that is forked may have other threads, which may hold any lock. So between the fork and its end the
//! supervisor calls nothing but what may be called in a signal handler: system calls. It never allocates, locks, prints
//! or panics.

use std::io::PipeWriter;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, c_int, c_uint, pid_t};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpgid, getpid, getppid, setpgid, setsid};

/// What a program and its descendants get to end, once they are told to, before they are killed.
pub(super) const GRACE: Duration = Duration::from_secs(3);
/// How long the supervisor goes on killing: whoever is not gone then hangs within the kernel.
pub(super) const KILLING: Duration = Duration::from_secs(5);
/// Between two looks at who is left to be killed.
const PAUSE: Duration = Duration::from_millis(20);
/// Shown by `ps` in place of this process's own name and arguments, so that `pkill` of those spares the supervisor.
const TITLE: &std::ffi::CStr = c"program-keeper";

/// Starts `command` under a supervisor: the child is the supervisor, which ends as the program does; the program and all
/// its descendants are made to end when the lifeline is dropped.
///
/// # Errors
/// As [`Command::spawn`].
pub(super) fn spawn(command: &mut Command) -> std::io::Result<(Child, PipeWriter)> {
    let (watched, lifeline) = std::io::pipe()?;
    let fd = watched.as_raw_fd();
    // SAFETY: `supervise` calls only what may be called between fork and exec, see the module's text; `watched` is open
    // until `spawn` returns.
    unsafe { command.pre_exec(move || supervise(fd)) };
    Ok((command.spawn()?, lifeline))
}

/// Makes a supervisor of the process it is called in, and returns in the one that is to become the program.
fn supervise(lifeline: RawFd) -> std::io::Result<()> {
    setsid()?;
    prctl::set_child_subreaper(true)?;
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    // SAFETY: the default action runs no code. A process that was started with the signal ignored could not wait.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&child_ended), None)?;
    let endings = SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let supervisor = getpid();
    // SAFETY: this process is a fork with one thread; both sides call system calls only.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => {
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&child_ended), None)?;
            // Otherwise the supervisor ended before it could be tied to.
            if getppid() == supervisor { Ok(()) } else { Err(Errno::ESRCH.into()) }
        }
        program => Supervisor { program: Pid::from_raw(program), status: None, endings }.run(lifeline),
    }
}

/// How far the end of the program's family is.
#[derive(Clone, Copy)]
enum Stage {
    /// The program runs.
    Watching,
    /// Everyone was told to end; they are killed at that moment.
    Told(Instant),
    /// Everyone is killed, again and again, until that moment.
    Killing(Instant),
}

struct Supervisor {
    program: Pid,
    /// Of the program, once it has ended.
    status: Option<c_int>,
    /// Readable when a child has ended.
    endings: SignalFd,
}

impl Supervisor {
    fn run(mut self, lifeline: RawFd) -> ! {
        // Both sides do it, since either may be first.
        let _ = setpgid(self.program, self.program);
        close_all_but(lifeline, self.endings.as_fd().as_raw_fd());
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            // SAFETY: ignoring runs no code.
            let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) };
        }
        retitle();
        // SAFETY: the descriptor was kept open, and nothing here closes it.
        let lifeline = unsafe { BorrowedFd::borrow_raw(lifeline) };
        let mut stage = Stage::Watching;
        while self.reap() {
            stage = self.next(stage, lifeline);
            if let Stage::Killing(until) = stage
                && Instant::now() >= until
            {
                break;
            }
            self.wait(stage, lifeline);
        }
        end_as(self.status.unwrap_or_default())
    }

    /// Takes note of every child that has ended; gives whether there are others.
    fn reap(&mut self) -> bool {
        loop {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            match unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } {
                0 => return true,
                -1 if Errno::last() == Errno::EINTR => {}
                -1 => return false,
                child if child == self.program.as_raw() => self.status = Some(status),
                _ => {}
            }
        }
    }

    fn next(&self, stage: Stage, lifeline: BorrowedFd<'_>) -> Stage {
        match stage {
            Stage::Watching if self.status.is_some() || is_closed(lifeline) => {
                let _ = killpg(self.program, Signal::SIGTERM);
                self.tell_others(Signal::SIGTERM);
                Stage::Told(Instant::now() + GRACE)
            }
            Stage::Watching => stage,
            Stage::Told(until) if Instant::now() < until => {
                // Whose parent has ended is a child of the supervisor only now.
                self.tell_others(Signal::SIGTERM);
                stage
            }
            Stage::Told(_) => self.next(Stage::Killing(Instant::now() + KILLING), lifeline),
            Stage::Killing(_) => {
                let _ = killpg(self.program, Signal::SIGKILL);
                self.tell_others(Signal::SIGKILL);
                stage
            }
        }
    }

    /// Sends a signal to the children that have left the program's group.
    fn tell_others(&self, signal: Signal) {
        each_child(|child| {
            if getpgid(Some(child)) != Ok(self.program) {
                let _ = kill(child, signal);
            }
        });
    }

    /// Waits for a child's end, or for what the stage waits for.
    fn wait(&self, stage: Stage, lifeline: BorrowedFd<'_>) {
        let timeout = match stage {
            Stage::Watching => PollTimeout::NONE,
            Stage::Told(until) => {
                let left = until.saturating_duration_since(Instant::now());
                // Rounded up: a wait of less than a millisecond would be none.
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO)
            }
            Stage::Killing(_) => PollTimeout::try_from(PAUSE).unwrap_or(PollTimeout::ZERO),
        };
        let mut fds = [PollFd::new(self.endings.as_fd(), PollFlags::POLLIN), PollFd::new(lifeline, PollFlags::POLLIN)];
        let watched = if matches!(stage, Stage::Watching) { 2 } else { 1 };
        // An interrupted wait is followed by another look at everything.
        let _ = poll(&mut fds[..watched], timeout);
        while let Ok(Some(_)) = self.endings.read_signal() {}
    }
}

/// Whether the other end is gone; nothing is ever written there.
fn is_closed(lifeline: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(lifeline, PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

/// Calls `act` with every child of this process, which has one thread.
fn each_child(mut act: impl FnMut(Pid)) {
    let mut child: pid_t = 0;
    read_file(c"/proc/thread-self/children", |byte| match byte {
        b'0'..=b'9' => child = child.wrapping_mul(10).wrapping_add(pid_t::from(byte - b'0')),
        _ if child > 1 => act(Pid::from_raw(std::mem::take(&mut child))),
        _ => child = 0,
    });
}

/// Calls `take` with every byte of a file; with none if it cannot be read.
fn read_file(path: &std::ffi::CStr, mut take: impl FnMut(u8)) {
    // SAFETY: the path ends with a zero.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return;
    }
    let mut buffer = [0_u8; 1024];
    loop {
        // SAFETY: the buffer outlives the call and is as long as stated.
        let read = unsafe { libc::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
        let Some(bytes) = usize::try_from(read).ok().and_then(|read| buffer.get(..read)) else { break };
        if bytes.is_empty() {
            break;
        }
        bytes.iter().for_each(|byte| take(*byte));
    }
    // SAFETY: it was opened above and is not used again.
    unsafe { libc::close(file) };
}

/// Closes every descriptor but these two: the program's pipes, of which this process must hold no end, and whatever else
/// the forked process had open, its locks included.
fn close_all_but(one: RawFd, other: RawFd) {
    let (low, high) = (one.min(other) as c_uint, one.max(other) as c_uint);
    close_range(0, low.wrapping_sub(1));
    close_range(low + 1, high.wrapping_sub(1));
    close_range(high + 1, c_uint::MAX);
}

/// Closes the descriptors from `first` to `last`.
fn close_range(first: c_uint, last: c_uint) {
    // Kernels before 5.9 lack the call; more descriptors than this are open nowhere near.
    const MOST: c_uint = 1 << 16;
    // SAFETY: nothing uses these descriptors any more.
    if first <= last && unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } != 0 {
        for fd in first..=last.min(MOST) {
            // SAFETY: as above.
            unsafe { libc::close(fd as c_int) };
        }
    }
}

/// Writes [`TITLE`] over the arguments that this process shares with the one it was forked from: it has a copy of them.
fn retitle() {
    let _ = prctl::set_name(TITLE);
    let (mut position, mut value) = (0_usize, 0_usize);
    let (mut start, mut end) = (0_usize, 0_usize);
    // `pid (name) state …`, where the name may hold anything; the state is the third field (proc_pid_stat(5)).
    read_file(c"/proc/self/stat", |byte| match byte {
        b')' => position = 2,
        b' ' if position > 0 => {
            match position {
                48 => start = value,
                49 => end = value,
                _ => {}
            }
            (position, value) = (position + 1, 0);
        }
        b'0'..=b'9' => value = value.wrapping_mul(10).wrapping_add(usize::from(byte - b'0')),
        _ => {}
    });
    let length = end.saturating_sub(start);
    if start == 0 || length == 0 {
        return;
    }
    let title = TITLE.to_bytes();
    let kept = title.len().min(length - 1);
    // SAFETY: the kernel says that the arguments lie from `start` to `end`, on the stack of this process, which reads
    // them nowhere.
    unsafe {
        std::ptr::write_bytes(start as *mut u8, 0, length);
        std::ptr::copy_nonoverlapping(title.as_ptr(), start as *mut u8, kept);
    }
}

/// Ends this process as one with that status ended.
fn end_as(status: c_int) -> ! {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        // The program has left its core already.
        let _ = prctl::set_dumpable(false);
        // SAFETY: the default action runs no code.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::kill(libc::getpid(), signal);
            libc::_exit(128 + signal)
        }
    }
    // SAFETY: nothing is to be cleaned up: everything belongs to the process that was forked.
    unsafe { libc::_exit(libc::WEXITSTATUS(status)) }
}
