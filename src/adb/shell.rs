//! Running a command: the shell protocol, and a way for phones older than it.
//!
//! `shell,v2,raw:LINE` answers with packets of one byte of kind, four of length (little-endian) and that many of data:
//!
//! | kind | data |
//! |---|---|
//! | 1, 2 | a piece of stdout, of stderr |
//! | 3 | one byte, the exit code; nothing follows |
//!
//! Phones before Android 7 have only `exec:LINE`, which mixes stdout and stderr and tells no exit code; there the line
//! prints one itself, after a marker that no program can know. Either way an output without its end is a lost connection,
//! never a success.
//!
//! Source: `packages/modules/adb`, `shell_protocol.h` and `daemon/shell_service.cpp`.

use super::Command;
use super::leftovers::VARIABLE;
use super::wire::{Connection, WireError};

/// What a command wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Standard output; on a phone without `shell_v2` with standard error in between.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub exit: u8,
}

impl Output {
    /// Whether the command ended with 0.
    pub fn success(&self) -> bool {
        self.exit == 0
    }

    /// Standard output as text, without the line end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const EXIT: u8 = 3;

/// Runs `command` on a phone with `shell_v2`.
pub(super) fn run(
    connection: &mut Connection,
    command: &Command,
    token: &str,
    limit_bytes: u64,
) -> Result<Output, WireError> {
    connection.request(&[b"shell,v2,raw:", line(command, token).as_slice()].concat())?;
    let mut output = Output::default();
    loop {
        let [kind] = connection.exact()?;
        let length = connection.number()?;
        let so_far = output.stdout.len() + output.stderr.len();
        if so_far as u64 + u64::from(length) > limit_bytes {
            return Err(WireError::TooMuch);
        }
        let data = connection.bytes(length as usize)?;
        match (kind, data.as_slice()) {
            (STDOUT, data) => output.stdout.extend_from_slice(data),
            (STDERR, data) => output.stderr.extend_from_slice(data),
            (EXIT, &[exit]) => return Ok(Output { exit, ..output }),
            (kind, data) => {
                return Err(WireError::garbage("a packet of stdout, stderr or exit", &[&[kind], data].concat()));
            }
        }
    }
}

/// Runs `command` on a phone without `shell_v2`.
pub(super) fn run_marked(
    connection: &mut Connection,
    command: &Command,
    token: &str,
    limit_bytes: u64,
) -> Result<Output, WireError> {
    let line = line(command, token);
    connection.request(&[b"exec:( ", line.as_slice(), b" ); echo ", token.as_bytes(), b" $?"].concat())?;
    let mut stdout = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match connection.some(&mut buffer)? {
            0 => break,
            read => stdout.extend_from_slice(&buffer[..read]),
        }
        if stdout.len() as u64 > limit_bytes {
            return Err(WireError::TooMuch);
        }
    }
    let marker = format!("{token} ");
    let start = last_position(&stdout, marker.as_bytes()).ok_or(WireError::Closed)?;
    let digits = stdout[start + marker.len()..].strip_suffix(b"\n").ok_or(WireError::Closed)?;
    let exit = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    let exit = exit.ok_or_else(|| WireError::garbage("an exit code", digits))?;
    stdout.truncate(start);
    Ok(Output { stdout, stderr: Vec::new(), exit })
}

/// The longest line that still fits the server's request.
pub(super) const LONGEST_LINE: usize = super::wire::LONGEST_REQUEST - 64;

/// The shell's line: it marks its processes with `token` and becomes the command. The phone's own `timeout` has no part in
/// it, since that of toybox 0.8.9 tells 127 for most commands that end at once.
pub(super) fn line(command: &Command, token: &str) -> Vec<u8> {
    let mark = format!("export {VARIABLE}={token}; ");
    [mark.as_bytes(), &command.exports(), b"exec ", &command.line(), b" </dev/null"].concat()
}

fn last_position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).rposition(|window| window == part)
}
