//! From what went wrong on a connection to the error that a caller gets: who, while doing what, within which limits.

use std::time::Duration;

use super::State;
use super::error::{AdbError, Leftovers, Party};
use super::wire::WireError;

/// The system's words for a full disk.
pub(super) const NO_SPACE: &str = "No space left on device";

/// What an error message needs beside the error itself.
#[derive(Debug, Clone)]
pub(super) struct Circumstances {
    pub party: Party,
    pub doing: String,
    pub limit: Duration,
    pub limit_bytes: u64,
}

impl Circumstances {
    /// The error of what went wrong on the connection. Refusals are the adb server's.
    pub fn error(&self, problem: WireError) -> AdbError {
        let Self { party, doing, limit, limit_bytes } = self.clone();
        let leftovers = Leftovers::None;
        match problem {
            WireError::TimedOut => AdbError::TimedOut { party, doing, limit, leftovers },
            WireError::Closed => AdbError::Lost { party, doing },
            WireError::TooMuch => AdbError::TooMuch { party, doing, limit_bytes, leftovers },
            WireError::Garbage { expected, found } => {
                AdbError::Protocol { party, doing, expected: expected.into(), found }
            }
            WireError::Fail(message) => self.refusal(message),
        }
    }

    /// The error of a phone's file service, whose refusals end with what the phone's system said.
    pub fn file_error(&self, problem: WireError) -> AdbError {
        match (problem, &self.party) {
            (WireError::Fail(message), Party::Phone(serial)) if message.ends_with(NO_SPACE) => {
                AdbError::NoSpace { serial: serial.clone(), doing: self.doing.clone() }
            }
            (WireError::Fail(message), party) => {
                AdbError::Remote { party: party.clone(), doing: self.doing.clone(), message }
            }
            (problem, _) => self.error(problem),
        }
    }

    /// The server's refusals are sentences; these are the ones of `transport.cpp` and `sockets.cpp`.
    fn refusal(&self, message: String) -> AdbError {
        let Self { party, doing, .. } = self.clone();
        let Party::Phone(serial) = &party else { return AdbError::Remote { party, doing, message } };
        let serial = serial.clone();
        let unready = |state: &str| AdbError::NotReady { serial: serial.clone(), state: State::Other(state.into()) };
        match message.as_str() {
            text if text.starts_with("device unauthorized") => AdbError::Unauthorized { serial },
            text if text.starts_with("device offline") => AdbError::Offline { serial },
            text if text.starts_with("device still ") => unready(&text["device still ".len()..]),
            text if text.starts_with("insufficient permissions") => {
                AdbError::NotReady { serial, state: State::NoPermissions }
            }
            text if text.ends_with("not found") || text.starts_with("no devices") => {
                AdbError::Unknown { serial, listed: Vec::new() }
            }
            "closed" => AdbError::Lost { party, doing },
            _ => AdbError::Remote { party, doing, message },
        }
    }
}
