//! What the adb server says of the phones it sees: `host:devices-l`.

use std::fmt::{Display, Formatter};

/// What a phone is ready for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Ready.
    Device,
    /// Its dialog about this computer's key is not accepted.
    Unauthorized,
    /// Connected, but it does not answer.
    Offline,
    /// In its recovery system.
    Recovery,
    /// This user may not use the USB device.
    NoPermissions,
    /// `bootloader`, `sideload`, `authorizing`, …
    Other(String),
}

impl State {
    fn parse(word: &str) -> Self {
        match word {
            "device" => Self::Device,
            "unauthorized" => Self::Unauthorized,
            "offline" => Self::Offline,
            "recovery" => Self::Recovery,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Display for State {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Device => "device",
            Self::Unauthorized => "unauthorized",
            Self::Offline => "offline",
            Self::Recovery => "recovery",
            Self::NoPermissions => "no permissions",
            Self::Other(word) => word,
        })
    }
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The serial number, or `HOST:PORT` of a phone on the network.
    pub serial: String,
    /// What it is ready for.
    pub state: State,
    /// Name of the product, where known; a phone that is not ready does not tell.
    pub product: Option<String>,
    /// Model name, with `_` for spaces.
    pub model: Option<String>,
    /// Code name of the hardware.
    pub device: Option<String>,
    /// Number of the connection; another one after every reconnection.
    pub transport_id: Option<u64>,
}

impl Listed {
    /// Reads the whole list: per line the serial number, the state, and `key:value` words.
    ///
    /// # Errors
    /// The line that has not even a state.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| parse_line(line).ok_or(line.into())).collect()
    }
}

/// How the server writes an empty serial number.
const NO_SERIAL: &str = "(no serial number)";

/// How it begins the one state that is a sentence.
const NO_PERMISSIONS: &str = "no permissions";

fn parse_line(line: &str) -> Option<Listed> {
    let (serial, rest) = match line.strip_prefix(NO_SERIAL) {
        Some(rest) => (NO_SERIAL, rest),
        None => line.split_once(char::is_whitespace).filter(|(serial, _)| !serial.is_empty())?,
    };
    let rest = rest.trim_start();
    let state = match rest.starts_with(NO_PERMISSIONS) {
        true => State::NoPermissions,
        false => State::parse(rest.split_whitespace().next()?),
    };
    let value = |key: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix(':'));
    Some(Listed {
        serial: serial.to_owned(),
        state,
        product: value("product").map(str::to_owned),
        model: value("model").map(str::to_owned),
        device: value("device").map(str::to_owned),
        transport_id: value("transport_id").and_then(|number| number.parse().ok()),
    })
}
