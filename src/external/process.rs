//! One running process: its pipes, its last words, its end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, PipeWriter, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::libc;

use super::{ExternalError, ending, supervisor};

/// A longer line is cut, and so no answer.
const LONGEST_LINE: u64 = 1 << 20;

/// Lines of stderr that an error shows.
const LAST_WORDS: usize = 10;

/// Lines of stdout that are read ahead.
const AHEAD: usize = 16;

/// What a process that is told to end, by the end of its input, gets before it is told by a signal.
const GRACE: Duration = Duration::from_secs(2);

/// In place of a status: of a program that is there and no longer speaks.
const CLOSED: &str = "it closed its output, and had to be ended";

/// What came of a request.
pub(super) enum Heard {
    /// A line.
    Line(Vec<u8>),
    /// The process has ended, or closed its output, before a whole line.
    Ended,
    /// Nothing, for as long as was to be waited.
    Expired,
}

/// How a process ended.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Exit status or signal, in words.
    pub status: String,
    /// Its last lines on stderr.
    pub last_words: Vec<String>,
}

pub(super) struct Process {
    /// The supervisor, which ends as the program does.
    child: Child,
    /// Whoever lets it go ends the program and whatever that started.
    lifeline: Option<PipeWriter>,
    stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    stderr_closed: Receiver<()>,
    /// A line that came before it was asked for.
    early: Option<Vec<u8>>,
    lines: usize,
}

impl Process {
    pub fn start(command: &[String]) -> Result<Self, ExternalError> {
        let (program, arguments) = command.split_first().ok_or(ExternalError::NoCommand)?;
        let failed = |problem| ExternalError::Start { command: command.join(" "), problem };
        let mut start = Command::new(program);
        start.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Python keeps what it prints into a pipe to itself, else.
        start.env("PYTHONUNBUFFERED", "1");
        let (mut child, lifeline) = supervisor::spawn(&mut start).map_err(failed)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed(std::io::Error::other("its output could not be captured")));
        };
        let (lines, stderr_closed) = follow(stderr, program.clone());
        let stdin = child.stdin.take();
        let (stdout, lifeline) = (read(stdout), Some(lifeline));
        Ok(Self { child, lifeline, stdin, stdout, stderr: lines, stderr_closed, early: None, lines: 0 })
    }

    /// Lines read so far.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Whether it has closed its output, or ended, so that there is no use in asking it.
    pub fn is_over(&mut self) -> bool {
        if self.early.is_none() {
            match self.stdout.try_recv() {
                Ok(line) => self.early = Some(line),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Writes a line and reads one. `remind` is called when nothing was heard for `first_hint`, twice that, four times
    /// that, and so on, with how long that is.
    pub fn exchange(
        &mut self,
        request: &str,
        timeout: Option<Duration>,
        first_hint: Duration,
        remind: &mut dyn FnMut(Duration),
    ) -> Heard {
        let Some(stdin) = self.stdin.as_mut() else { return Heard::Ended };
        if stdin.write_all(request.as_bytes()).and_then(|()| stdin.flush()).is_err() {
            return Heard::Ended;
        }
        let (start, mut hint) = (Instant::now(), first_hint);
        loop {
            let next = timeout.map_or(hint, |timeout| timeout.min(hint));
            match self.line(next.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    self.lines += 1;
                    return Heard::Line(line);
                }
                Err(RecvTimeoutError::Disconnected) => return Heard::Ended,
                Err(RecvTimeoutError::Timeout) if timeout.is_some_and(|timeout| start.elapsed() >= timeout) => {
                    return Heard::Expired;
                }
                Err(RecvTimeoutError::Timeout) => {
                    remind(hint);
                    hint = hint.saturating_mul(2);
                }
            }
        }
    }

    fn line(&mut self, wait: Duration) -> Result<Vec<u8>, RecvTimeoutError> {
        match self.early.take() {
            Some(line) => Ok(line),
            None => self.stdout.recv_timeout(wait),
        }
    }

    /// Waits for the process, makes it end if it lives on, and collects what it said last.
    pub fn end(mut self) -> End {
        let status = self.leave(GRACE).or_else(|| self.cut());
        let was_signalled = |status: &ExitStatus| matches!(status.signal(), Some(libc::SIGTERM | libc::SIGKILL));
        let status = match status {
            // Of one that did not end by itself.
            Some(status) if self.lifeline.is_none() && was_signalled(&status) => CLOSED.to_owned(),
            Some(status) => ending::describe(status),
            None => CLOSED.to_owned(),
        };
        End { status, last_words: self.last_words() }
    }

    /// Makes the process end at once, and collects what it said last.
    pub fn abort(mut self) -> Vec<String> {
        self.stdin = None;
        self.cut();
        self.last_words()
    }

    fn last_words(&self) -> Vec<String> {
        // A descendant that cannot be killed may hold the pipe open, so not for ever.
        let _ = self.stderr_closed.recv_timeout(GRACE);
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Ends the input, which tells the process that nothing more will be asked; its status if it ends in time.
    fn leave(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.stdin = None;
        self.ended_within(patience)
    }

    fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                _ => return None,
            }
        }
    }

    /// Has the supervisor end the program and whatever that started; how it ended.
    fn cut(&mut self) -> Option<ExitStatus> {
        self.lifeline = None;
        self.ended_within(supervisor::GRACE + supervisor::KILLING + GRACE).or_else(|| {
            // It may end in this very moment: then there is nothing left to kill.
            let _ = self.child.kill();
            self.child.wait().ok()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.leave(GRACE).is_none() {
            self.cut();
        }
    }
}

/// Reads stdout line by line; the receiver hears of its end by the end of the channel.
fn read(stdout: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        loop {
            let mut line = Vec::new();
            let read = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line);
            let whole = line.ends_with(b"\n") || line.len() as u64 == LONGEST_LINE;
            // A line that the end of the process cut short is no line.
            if read.is_err() || !whole || sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Logs stderr line by line and keeps the last of them; the receiver hears when the pipe is closed.
fn follow(stderr: ChildStderr, name: String) -> (Arc<Mutex<VecDeque<String>>>, Receiver<()>) {
    let lines = Arc::new(Mutex::new(VecDeque::new()));
    let (closed, receiver) = channel();
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while matches!((&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            tracing::info!("{name}: {text}");
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(text);
            if kept.len() > LAST_WORDS {
                kept.pop_front();
            }
            line.clear();
        }
        // Nobody may be listening any more.
        let _ = closed.send(());
    });
    (lines, receiver)
}
