//! One connection to the adb server, with one deadline for all that is read and written on it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::Address;

/// The longest text after four hexadecimal digits of length.
pub(super) const LONGEST_REQUEST: usize = 0xffff;

/// When a call must be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    end: Instant,
    limit: Duration,
}

impl Deadline {
    pub fn after(limit: Duration) -> Self {
        // A limit beyond the clock's range is no limit worth the name.
        let limit = limit.min(Duration::from_secs(365 * 86400));
        Self { end: Instant::now() + limit, limit }
    }

    /// The whole limit, for messages.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What is left of it, or nothing.
    pub fn left(&self) -> Option<Duration> {
        self.end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

/// What went wrong on a connection, not yet knowing whose it was.
#[derive(Debug)]
pub(super) enum WireError {
    /// The deadline passed.
    TimedOut,
    /// The other end is gone.
    Closed,
    /// It said `FAIL`, and why.
    Fail(String),
    /// It said what the protocol does not know.
    Garbage {
        /// What should have come.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// It said more than it may.
    TooMuch,
}

impl WireError {
    pub fn garbage(expected: &'static str, found: &[u8]) -> Self {
        let shown = String::from_utf8_lossy(&found[..found.len().min(40)]).into_owned();
        Self::Garbage { expected, found: format!("{shown:?}") }
    }
}

impl From<std::io::Error> for WireError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::TimedOut,
            // Whatever else befalls a local socket, nobody will answer on it any more.
            _ => Self::Closed,
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Deadline,
}

impl Connection {
    /// Connects; the first address that answers is taken.
    pub fn open(address: &Address, deadline: Deadline) -> std::io::Result<Self> {
        let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
        for place in (address.host.as_str(), address.port).to_socket_addrs()? {
            let left = deadline.left().ok_or(ErrorKind::TimedOut)?;
            match TcpStream::connect_timeout(&place, left) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self { stream, deadline });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The same connection with another deadline.
    pub fn until(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Asks for a service and reads whether it is granted.
    pub fn request(&mut self, service: &[u8]) -> Result<(), WireError> {
        self.send(&[format!("{:04x}", service.len()).as_bytes(), service].concat())?;
        match &self.exact()? {
            b"OKAY" => Ok(()),
            b"FAIL" => Err(WireError::Fail(String::from_utf8_lossy(&self.block()?).trim().to_owned())),
            other => Err(WireError::garbage("OKAY or FAIL", other)),
        }
    }

    /// A text after four hexadecimal digits of length.
    pub fn block(&mut self) -> Result<Vec<u8>, WireError> {
        let digits: [u8; 4] = self.exact()?;
        let length = std::str::from_utf8(&digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        self.bytes(length.ok_or_else(|| WireError::garbage("four hexadecimal digits of length", &digits))?)
    }

    /// Writes everything.
    pub fn send(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(self.deadline.left().ok_or(WireError::TimedOut)?))?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(WireError::Closed),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads what there is, at least one byte; 0 at the end of the stream.
    pub fn some(&mut self, buffer: &mut [u8]) -> Result<usize, WireError> {
        loop {
            self.stream.set_read_timeout(Some(self.deadline.left().ok_or(WireError::TimedOut)?))?;
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return Ok(other?),
            }
        }
    }

    /// Reads exactly `length` bytes; the caller has checked that so many are acceptable.
    pub fn bytes(&mut self, length: usize) -> Result<Vec<u8>, WireError> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads exactly `N` bytes.
    pub fn exact<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a little-endian number, as the phone's own protocols have them.
    pub fn number(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.exact()?))
    }

    fn fill(&mut self, mut bytes: &mut [u8]) -> Result<(), WireError> {
        while !bytes.is_empty() {
            match self.some(bytes)? {
                0 => return Err(WireError::Closed),
                read => bytes = &mut bytes[read..],
            }
        }
        Ok(())
    }
}
