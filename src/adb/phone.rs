//! One phone: commands and files, each call on a connection and with a deadline of its own.

use std::time::Duration;

use super::circumstances::Circumstances;
use super::error::Leftovers;
use super::wire::{Connection, Deadline, WireError};
use super::{AdbError, Command, Listed, Output, Server, Stat, leftovers, shell, sync, token};

/// What a command may write, and a pulled file hold, unless [`Phone::with_output_limit`] says otherwise.
const OUTPUT_LIMIT: u64 = 64 << 20;

/// What ending a command's leftovers may take.
const CLEANING: Duration = Duration::from_secs(5);

/// A phone that was ready when it was looked for. It keeps no connection: after a lost one, the same value works again
/// as soon as the phone does.
///
/// Every call can fail with [`AdbError::Unauthorized`], [`AdbError::Offline`], [`AdbError::Unknown`],
/// [`AdbError::Lost`], [`AdbError::TimedOut`], [`AdbError::Protocol`] and [`AdbError::Refused`], which name the phone.
#[derive(Debug, Clone)]
pub struct Phone {
    server: Server,
    listed: Listed,
    features: Vec<String>,
    output_limit: u64,
}

/// A path on the phone and what is being done with it.
pub(super) struct File<'a> {
    pub path: &'a str,
    pub circumstances: Circumstances,
}

impl Phone {
    pub(super) fn new(server: Server, listed: Listed, features: Vec<String>) -> Self {
        Self { server, listed, features, output_limit: OUTPUT_LIMIT }
    }

    /// The same phone with another limit, in bytes, on what a command writes and a pulled file holds.
    #[must_use]
    pub fn with_output_limit(self, bytes: u64) -> Self {
        Self { output_limit: bytes, ..self }
    }

    /// The serial number, or `HOST:PORT` of a phone on the network.
    pub fn serial(&self) -> &str {
        &self.listed.serial
    }

    /// As the server listed it.
    pub fn listed(&self) -> &Listed {
        &self.listed
    }

    /// The server that leads to it.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What phone and server can both do: `shell_v2`, `stat_v2`, …
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// Runs a command to its end, with empty input. An exit code other than 0 is no error here. When the limit passes or
    /// the output is too long, whatever the command started is ended; it is never repeated.
    ///
    /// # Errors
    /// [`AdbError::TooMuch`], [`AdbError::Unsendable`], and those of every call.
    pub fn shell(&self, command: &Command, limit: Duration) -> Result<Output, AdbError> {
        self.shell_until(command, Deadline::after(limit))
    }

    /// Standard output, as text, of a command that must end with 0.
    ///
    /// # Errors
    /// [`AdbError::Failed`] with what it wrote to stderr, and those of [`Phone::shell`].
    pub fn ask(&self, command: &Command, limit: Duration) -> Result<String, AdbError> {
        self.ask_until(command, Deadline::after(limit))
    }

    /// Reads a file. `progress` hears how many bytes have come, and of how many.
    ///
    /// # Errors
    /// [`AdbError::Remote`] with the phone's words, [`AdbError::TooMuch`], and those of every call.
    pub fn pull(&self, remote: &str, limit: Duration, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<u8>, AdbError> {
        let deadline = Deadline::after(limit);
        let file = self.file("reading", remote, limit)?;
        let total = self.stat_until(&file, deadline)?.map_or(0, |stat| stat.size);
        self.sync(&file, deadline, |connection| {
            sync::receive(connection, remote, self.output_limit, &mut |come| progress(come, total.max(come)))
        })
    }

    /// What a path is; none if it is not there.
    ///
    /// # Errors
    /// [`AdbError::Remote`] with the phone's words, and those of every call.
    pub fn stat(&self, remote: &str, limit: Duration) -> Result<Option<Stat>, AdbError> {
        self.stat_until(&self.file("looking at", remote, limit)?, Deadline::after(limit))
    }

    /// Removes a file or a folder with all it holds, if it is there.
    ///
    /// # Errors
    /// [`AdbError::Failed`] with the phone's words, and those of every call.
    pub fn remove(&self, remote: &str, limit: Duration) -> Result<(), AdbError> {
        self.file("removing", remote, limit)?;
        self.ask(&Command::new("rm").word("-rf").word(remote), limit).map(|_| ())
    }

    /// Ends whatever calls of this or other processes left running on the phone, and tells how many processes that were.
    /// It ends calls under way too: whoever calls it must have the phone for itself.
    ///
    /// # Errors
    /// Those of [`Phone::ask`].
    pub fn sweep(&self, limit: Duration) -> Result<usize, AdbError> {
        let ended = self.ask(&leftovers::of_all_calls(self.serial()), limit)?;
        let number = ended.parse().map_err(|_| WireError::garbage("a number of processes", ended.as_bytes()));
        number.map_err(|problem| self.circumstances("ending leftovers", limit).error(problem))
    }

    pub(super) fn shell_until(&self, command: &Command, deadline: Deadline) -> Result<Output, AdbError> {
        let circumstances = self.circumstances(&format!("running '{command}'"), deadline.limit());
        let token = token(self.serial());
        let unsendable = |problem: &str| AdbError::Unsendable {
            serial: self.serial().into(),
            doing: circumstances.doing.clone(),
            problem: problem.into(),
        };
        if let Some(problem) = command.problem() {
            return Err(unsendable(problem));
        }
        if shell::line(command, &token).len() > shell::LONGEST_LINE {
            return Err(unsendable("a line longer than 64 KiB"));
        }
        let mut connection = self.server.transport(&circumstances, deadline)?;
        let run = if self.has("shell_v2") { shell::run } else { shell::run_marked };
        let result = run(&mut connection, command, &token, self.output_limit);
        // Closed before the leftovers are looked for, so that nothing of the call can still begin.
        drop(connection);
        result.map_err(|problem| match problem {
            WireError::TimedOut | WireError::TooMuch => {
                circumstances.error(problem).with_leftovers(self.end_leftovers(&token))
            }
            other => circumstances.error(other),
        })
    }

    pub(super) fn ask_until(&self, command: &Command, deadline: Deadline) -> Result<String, AdbError> {
        let output = self.shell_until(command, deadline)?;
        match output.success() {
            true => Ok(output.text()),
            false => Err(self.failed(command, &output)),
        }
    }

    pub(super) fn failed(&self, command: &Command, output: &Output) -> AdbError {
        let said = [&output.stderr, &output.stdout].into_iter().find(|said| !said.trim_ascii().is_empty());
        let message = said.map_or("it said nothing".into(), |said| {
            String::from_utf8_lossy(&said[..said.len().min(500)]).trim().to_owned()
        });
        AdbError::Failed { serial: self.serial().into(), command: command.to_string(), exit: output.exit, message }
    }

    pub(super) fn stat_until(&self, file: &File, deadline: Deadline) -> Result<Option<Stat>, AdbError> {
        let stat = if self.has("stat_v2") { sync::stat } else { sync::old_stat };
        self.sync(file, deadline, |connection| stat(connection, file.path))
    }

    /// Runs `exchange` with the phone's file service.
    pub(super) fn sync<T>(
        &self,
        file: &File,
        deadline: Deadline,
        exchange: impl FnOnce(&mut Connection) -> Result<T, WireError>,
    ) -> Result<T, AdbError> {
        let mut connection = self.server.transport(&file.circumstances, deadline)?;
        connection.request(b"sync:").map_err(|problem| file.circumstances.error(problem))?;
        exchange(&mut connection).map_err(|problem| file.circumstances.file_error(problem))
    }

    /// Checks that the phone's file service and its shell will take `path` for one and the same file.
    pub(super) fn file<'a>(&self, doing: &str, path: &'a str, limit: Duration) -> Result<File<'a>, AdbError> {
        let circumstances = self.circumstances(&format!("{doing} {path}"), limit);
        let problem = match path {
            path if !path.starts_with('/') => "a path on a phone must begin with /",
            path if path.contains('\0') => "no path has a zero byte",
            // Room for the name under which a file is sent.
            path if path.len() > sync::LONGEST_PATH - 64 => "a path of more than 960 bytes",
            _ => return Ok(File { path, circumstances }),
        };
        Err(AdbError::Unsendable { serial: self.serial().into(), doing: circumstances.doing, problem: problem.into() })
    }

    fn circumstances(&self, doing: &str, limit: Duration) -> Circumstances {
        Circumstances { limit_bytes: self.output_limit, ..self.server.of_phone(self.serial(), doing, limit) }
    }

    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|one| one == feature)
    }

    fn end_leftovers(&self, call: &str) -> Leftovers {
        let circumstances = self.circumstances("ending leftovers", CLEANING);
        let deadline = Deadline::after(CLEANING);
        let ended = self.server.transport(&circumstances, deadline).ok().and_then(|mut connection| {
            let run = if self.has("shell_v2") { shell::run } else { shell::run_marked };
            let command = leftovers::of_call(call);
            run(&mut connection, &command, &token(self.serial()), OUTPUT_LIMIT).ok()
        });
        match ended {
            Some(output) if output.success() => Leftovers::Killed,
            _ => Leftovers::Unknown,
        }
    }
}
