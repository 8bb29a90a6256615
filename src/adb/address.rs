//! Where the adb server is.

use std::fmt::{Display, Formatter};

use super::AdbError;

const HOST: &str = "127.0.0.1";
const PORT: u16 = 5037;

/// Host and port of an adb server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// By default 5037.
    pub port: u16,
}

impl Address {
    /// From `ADB_SERVER_SOCKET`, else `ANDROID_ADB_SERVER_ADDRESS` and `ANDROID_ADB_SERVER_PORT`, else 127.0.0.1:5037.
    ///
    /// # Errors
    /// [`AdbError::Address`] with the variable and what it should be.
    pub fn from_environment() -> Result<Self, AdbError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// As [`Address::from_environment`], the variables given by a function; an empty one counts as not set.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use mnas::adb::Address;
    /// let address = Address::from_variables(|name| (name == "ADB_SERVER_SOCKET").then(|| "tcp:lab:5038".into()))?;
    /// assert_eq!(address.to_string(), "lab:5038");
    /// # Ok::<(), mnas::adb::AdbError>(())
    /// ```
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, AdbError> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(socket) = variable("ADB_SERVER_SOCKET") {
            return parse_socket(&socket).ok_or(AdbError::Address {
                variable: "ADB_SERVER_SOCKET",
                expected: "tcp:HOST:PORT or tcp:PORT",
                found: socket,
            });
        }
        let port = match variable("ANDROID_ADB_SERVER_PORT") {
            Some(text) => parse_port(&text).ok_or(AdbError::Address {
                variable: "ANDROID_ADB_SERVER_PORT",
                expected: "a port number from 1 to 65535",
                found: text,
            })?,
            None => PORT,
        };
        Ok(Self { host: variable("ANDROID_ADB_SERVER_ADDRESS").unwrap_or_else(|| HOST.into()), port })
    }

    /// Whether the server is on this machine, and so can be started from here.
    pub fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl Display for Address {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

fn parse_socket(text: &str) -> Option<Address> {
    let place = text.strip_prefix("tcp:")?;
    let (host, port) = place.rsplit_once(':').unwrap_or((HOST, place));
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some(Address { host: host.to_owned(), port: parse_port(port)? })
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&port| port != 0)
}
