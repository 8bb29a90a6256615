//! Following the list of phones: `host:track-devices-l`.

use std::time::Duration;

use super::circumstances::Circumstances;
use super::wire::{Connection, Deadline, WireError};
use super::{AdbError, Listed};

/// The list of phones as it changes.
#[derive(Debug)]
pub struct Tracker {
    connection: Connection,
    received: Vec<u8>,
    circumstances: Circumstances,
}

impl Tracker {
    /// On a connection where the server has agreed to tell of changes.
    pub(super) fn new(connection: Connection, circumstances: Circumstances) -> Self {
        Self { connection, received: Vec::new(), circumstances }
    }

    /// The next list: the present one first, then one for every change.
    ///
    /// # Errors
    /// [`AdbError::TimedOut`] if nothing changes within the limit, after which it can be asked again;
    /// [`AdbError::Lost`] and [`AdbError::Protocol`], after which a new tracker is needed.
    pub fn next(&mut self, limit: Duration) -> Result<Vec<Listed>, AdbError> {
        let circumstances = Circumstances { limit, ..self.circumstances.clone() };
        self.connection.until(Deadline::after(limit));
        let text = self.read().map_err(|problem| circumstances.error(problem))?;
        Listed::parse(&text).map_err(|line| circumstances.error(listing_error(&line)))
    }

    /// Keeps what has come of a list when the time is up, so that the next call goes on there.
    fn read(&mut self) -> Result<String, WireError> {
        loop {
            if let Some(digits) = self.received.get(..4) {
                let length = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
                let end = 4 + length.ok_or_else(|| WireError::garbage("four hexadecimal digits of length", digits))?;
                if self.received.len() >= end {
                    let block: Vec<u8> = self.received.drain(..end).collect();
                    return Ok(String::from_utf8_lossy(&block[4..]).into_owned());
                }
            }
            let mut buffer = [0; 4096];
            match self.connection.some(&mut buffer)? {
                0 => return Err(WireError::Closed),
                read => self.received.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

/// For a line of the list that has not even a state.
pub(super) fn listing_error(line: &str) -> WireError {
    WireError::garbage("a serial number and a state on each line", line.as_bytes())
}
