//! Everything that is said to one phone, in terms of what it is for. No decision is made here.

use std::time::Duration;

use super::state::{Properties, State};
use crate::adb::{AdbError, Command, Output, Phone, Server};

/// Folder on the phone that holds all of ours.
pub const FOLDER: &str = "/data/local/tmp/mnas";
/// Marks that fixed-performance mode was asked for and not undone.
const MARKER: &str = "/data/local/tmp/mnas/fixed-performance";
/// For what takes a phone no time.
const SOON: Duration = Duration::from_secs(20);
/// For a push: a large model over a slow cable.
const PUSH: Duration = Duration::from_secs(300);

/// A phone that can be reconnected.
#[derive(Debug)]
pub struct Link {
    server: Server,
    phone: Phone,
}

impl Link {
    /// The ready phone with that serial number.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(server: Server, serial: &str) -> Result<Self, AdbError> {
        let phone = server.phone(Some(serial), SOON)?;
        Ok(Self { server, phone })
    }

    /// Its serial number.
    pub fn serial(&self) -> &str {
        self.phone.serial()
    }

    /// Waits until the phone is back, and ends what was left running there.
    ///
    /// # Errors
    /// The last look's, once `limit` is over.
    pub fn reconnect(&mut self, limit: Duration) -> Result<(), AdbError> {
        self.phone = self.server.wait_for(self.phone.serial(), limit)?;
        self.phone.sweep(SOON).map(drop)
    }

    /// What does not change.
    ///
    /// # Errors
    /// The link's.
    pub fn properties(&self) -> Result<Properties, AdbError> {
        Ok(Properties::parse(&self.phone.ask(&Properties::command(), SOON)?))
    }

    /// The phone now.
    ///
    /// # Errors
    /// The link's.
    pub fn state(&self) -> Result<State, AdbError> {
        Ok(State::parse(&self.phone.ask(&State::command(), SOON)?))
    }

    /// The busiest processes, one per line, as far as the phone's `ps` tells.
    ///
    /// # Errors
    /// The link's.
    pub fn busiest(&self) -> Result<String, AdbError> {
        const SCRIPT: &str = "ps -A -o %CPU=,NAME= --sort=-%cpu 2>/dev/null | head -n 3; exit 0";
        self.phone.ask(&Command::script(SCRIPT), SOON)
    }

    /// The first line of `/proc/stat`, and again a second later.
    ///
    /// # Errors
    /// The link's.
    pub fn ticks(&self) -> Result<(String, String), AdbError> {
        const SCRIPT: &str = "read a < /proc/stat; sleep 1; read b < /proc/stat; echo \"$a\"; echo \"$b\"";
        let text = self.phone.ask(&Command::script(SCRIPT), SOON)?;
        let (before, after) = text.split_once('\n').unwrap_or((&text, ""));
        Ok((before.to_owned(), after.to_owned()))
    }

    /// Makes the folder, and removes models that an earlier session left.
    ///
    /// # Errors
    /// The link's.
    pub fn tidy(&self) -> Result<(), AdbError> {
        const SCRIPT: &str = r#"mkdir -p "$1" && rm -f "$1"/*.tflite "$1"/input-* "$1"/output-*"#;
        self.phone.ask(&Command::script(SCRIPT).word(FOLDER), SOON).map(drop)
    }

    /// Puts a file there, unless it is there already.
    ///
    /// # Errors
    /// The link's; [`AdbError::NoSpace`] if it does not fit.
    pub fn push(&self, bytes: &[u8], path: &str, mode: u32) -> Result<(), AdbError> {
        self.phone.push(bytes, path, mode, PUSH, &mut |_, _| {}).map(drop)
    }

    /// Gets a file.
    ///
    /// # Errors
    /// The link's.
    pub fn pull(&self, path: &str) -> Result<Vec<u8>, AdbError> {
        self.phone.pull(path, PUSH, &mut |_, _| {})
    }

    /// Removes files; those that are not there are no error.
    ///
    /// # Errors
    /// The link's.
    pub fn remove(&self, paths: &[&str]) -> Result<(), AdbError> {
        self.phone.ask(&Command::new("rm").word("-f").words(paths), SOON).map(drop)
    }

    /// Whether a file is there.
    ///
    /// # Errors
    /// The link's.
    pub fn has(&self, path: &str) -> Result<bool, AdbError> {
        Ok(self.phone.shell(&Command::new("test").word("-f").word(path), SOON)?.success())
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// The link's; that the program failed is none.
    pub fn run(&self, command: &Command, limit: Duration) -> Result<Output, AdbError> {
        self.phone.shell(command, limit)
    }

    /// Whether an earlier session left fixed-performance mode on.
    ///
    /// # Errors
    /// The link's.
    pub fn fixed_performance_left_on(&self) -> Result<bool, AdbError> {
        self.has(MARKER)
    }

    /// Asks for fixed-performance mode; `false` if the phone has none. The marker comes first, so that however this
    /// ends, the next session knows.
    ///
    /// # Errors
    /// The link's.
    pub fn fix_performance(&self) -> Result<bool, AdbError> {
        const SCRIPT: &str = r#"mkdir -p "$1" && : > "$2" && cmd power set-fixed-performance-mode-enabled true >/dev/null 2>&1 && exit 0
rm -f "$2"; exit 3"#;
        let command = Command::script(SCRIPT).word(FOLDER).word(MARKER);
        Ok(self.phone.shell(&command, SOON)?.success())
    }

    /// Undoes [`Link::fix_performance`]; the marker goes last.
    ///
    /// # Errors
    /// The link's.
    pub fn release_performance(&self) -> Result<(), AdbError> {
        const SCRIPT: &str = r#"cmd power set-fixed-performance-mode-enabled false >/dev/null 2>&1 && rm -f "$1""#;
        self.phone.ask(&Command::script(SCRIPT).word(MARKER), SOON).map(drop)
    }
}
