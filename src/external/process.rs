//! One running process: its pipes, its last words, its end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ExternalError;

/// A longer line is cut, and so no answer.
const LONGEST_LINE: u64 = 1 << 20;

/// Lines of stderr that an error shows.
const LAST_WORDS: usize = 10;

/// What a process that is told to end, by the end of its input, gets before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// How a process ended.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Exit status or signal.
    pub status: String,
    /// Its last lines on stderr, with an introduction, or nothing.
    pub stderr: String,
}

pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    stderr_closed: Receiver<()>,
    lines: usize,
}

impl Process {
    pub fn start(command: &[String]) -> Result<Self, ExternalError> {
        let (program, arguments) = command.split_first().ok_or(ExternalError::NoCommand)?;
        let failed = |problem| ExternalError::Start { command: command.join(" "), problem };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C asks the search to stop after this program's answer, not the program to die.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed(std::io::Error::other("its output could not be captured")));
        };
        let (lines, stderr_closed) = follow(stderr, program.clone());
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), stderr: lines, stderr_closed, lines: 0 })
    }

    /// Lines read so far.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Writes a line and reads one; nothing if the process has ended or ends before a whole line.
    pub fn exchange(&mut self, request: &str) -> Option<Vec<u8>> {
        let stdin = self.stdin.as_mut()?;
        stdin.write_all(request.as_bytes()).and_then(|()| stdin.flush()).ok()?;
        let mut line = Vec::new();
        (&mut self.stdout).take(LONGEST_LINE).read_until(b'\n', &mut line).ok()?;
        self.lines += 1;
        let whole = line.ends_with(b"\n") || line.len() as u64 == LONGEST_LINE;
        whole.then_some(line)
    }

    /// Waits for the process, kills it if it lives on, and collects what it said last.
    pub fn end(mut self) -> End {
        let status = self.stop();
        // A grandchild may hold the pipe open, so not for ever.
        let _ = self.stderr_closed.recv_timeout(GRACE);
        let lines = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = match lines.is_empty() {
            true => "; it wrote nothing to stderr".to_owned(),
            false => lines.iter().fold("; its last lines on stderr:".to_owned(), |text, line| text + "\n  " + line),
        };
        End { status, stderr }
    }

    fn stop(&mut self) -> String {
        self.stdin = None;
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(status)) => return status.to_string(),
                Err(_) => break,
            }
        }
        // It may end in this very moment: then there is nothing left to kill.
        let _ = self.child.kill();
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
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
