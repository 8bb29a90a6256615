//! Why a call over adb failed, distinguished by what there is to do about it.

use std::fmt::{Display, Formatter};
use std::time::Duration;

use super::{Address, State};

/// Who did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// The adb server.
    Server(Address),
    /// The phone with this serial number.
    Phone(String),
}

impl Display for Party {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(address) => write!(formatter, "adb server at {address}"),
            Self::Phone(serial) => write!(formatter, "phone {serial}"),
        }
    }
}

/// What became of the processes that a call given up had started on the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// It had started none.
    None,
    /// They were ended.
    Killed,
    /// The phone could not be asked to end them; [`super::Phone::sweep`] ends them once it answers again.
    Unknown,
}

impl Display for Leftovers {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::None => "",
            Self::Killed => "; what it left running there was ended",
            Self::Unknown => "; what it left running there could not be ended",
        })
    }
}

/// Why a call over adb failed.
#[derive(Debug, thiserror::Error)]
pub enum AdbError {
    /// A variable that says where the server is says nonsense.
    #[error("{variable} must be {expected}, found '{found}'")]
    Address {
        /// The variable's name.
        variable: &'static str,
        /// Its form.
        expected: &'static str,
        /// Its value.
        found: String,
    },
    /// Nobody listens where the server should be.
    #[error(
        "no adb server at {address}: {problem}; start it there with 'adb start-server', or correct ADB_SERVER_SOCKET or \
         ANDROID_ADB_SERVER_PORT"
    )]
    Refused {
        /// Where it was looked for.
        address: Address,
        /// What the system said.
        problem: std::io::Error,
    },
    /// No server runs here, and none could be started.
    #[error(
        "no adb server runs at {address}, and 'adb start-server' did not start one: {problem}; install Android's platform \
         tools (Debian and Ubuntu: 'apt install adb') or run the command by hand to see what it says"
    )]
    Start {
        /// Where it should be.
        address: Address,
        /// Why not.
        problem: std::io::Error,
    },
    /// The list is empty.
    #[error(
        "adb sees no phone: plug one in with USB debugging on (Settings, Developer options), or 'adb connect HOST:PORT'"
    )]
    NoPhone,
    /// There is a choice, and none was made.
    #[error("adb sees {}: name one with --device or ANDROID_SERIAL", .0.join(", "))]
    Several(Vec<String>),
    /// No such serial number in the list.
    #[error(
        "adb does not see phone {serial}{}; check the cable, or 'adb connect' it if it is on the network",
        match .listed.as_slice() { [] => String::new(), listed => format!(" (it sees {})", listed.join(", ")) }
    )]
    Unknown {
        /// What was asked for.
        serial: String,
        /// What there is.
        listed: Vec<String>,
    },
    /// The phone does not trust this computer's key.
    #[error("phone {serial} does not trust this computer yet: unlock it and accept 'Allow USB debugging?'")]
    Unauthorized {
        /// Which phone.
        serial: String,
    },
    /// The phone is connected and does not answer.
    #[error("phone {serial} is offline: unlock it, replug it, or run 'adb reconnect'")]
    Offline {
        /// Which phone.
        serial: String,
    },
    /// The phone is in some other state.
    #[error("phone {serial} is not ready: its state is '{state}'{}", advice(.state))]
    NotReady {
        /// Which phone.
        serial: String,
        /// Its state.
        state: State,
    },
    /// The connection broke in the middle. What was asked for may or may not have been done.
    #[error("{party}: the connection was lost while {doing}; check the cable and that the phone is awake")]
    Lost {
        /// Whose connection.
        party: Party,
        /// What was under way.
        doing: String,
    },
    /// The answer did not come in time. What was asked for may or may not have been done.
    #[error("{party}: {doing} was not over after {} s{leftovers}", .limit.as_secs_f64())]
    TimedOut {
        /// Who was silent.
        party: Party,
        /// What was under way.
        doing: String,
        /// The call's limit.
        limit: Duration,
        /// What became of its processes.
        leftovers: Leftovers,
    },
    /// The phone's disk is full.
    #[error("phone {serial}: no space left while {doing}; free some, for example in /data/local/tmp")]
    NoSpace {
        /// Which phone.
        serial: String,
        /// What was under way.
        doing: String,
    },
    /// More came than the call takes.
    #[error("{party}: {doing} gave more than {limit_bytes} bytes{leftovers}")]
    TooMuch {
        /// Who talked so much.
        party: Party,
        /// What was under way.
        doing: String,
        /// What it may give.
        limit_bytes: u64,
        /// What became of its processes.
        leftovers: Leftovers,
    },
    /// The other side refused, in its own words.
    #[error("{party}: {doing} failed: {message}")]
    Remote {
        /// Who refused.
        party: Party,
        /// What was under way.
        doing: String,
        /// Its words.
        message: String,
    },
    /// A command ended with an exit code other than 0.
    #[error("phone {serial}: '{command}' ended with {exit}: {message}")]
    Failed {
        /// Which phone.
        serial: String,
        /// The command.
        command: String,
        /// Its exit code.
        exit: u8,
        /// What it wrote to stderr, or else to stdout, shortened.
        message: String,
    },
    /// What came is not adb's protocol, or not what was sent.
    #[error("{party}: while {doing}: expected {expected}, found {found}")]
    Protocol {
        /// Who said it.
        party: Party,
        /// What was under way.
        doing: String,
        /// What should have come.
        expected: String,
        /// What came.
        found: String,
    },
    /// What was asked cannot be sent over adb.
    #[error("phone {serial}: {doing} is impossible: {problem}")]
    Unsendable {
        /// Which phone it was for.
        serial: String,
        /// What was asked.
        doing: String,
        /// Why not.
        problem: String,
    },
}

impl AdbError {
    /// Which phone the error is about, where it is about one.
    pub fn serial(&self) -> Option<&str> {
        match self {
            Self::Unknown { serial, .. }
            | Self::Unauthorized { serial }
            | Self::Offline { serial }
            | Self::NotReady { serial, .. }
            | Self::NoSpace { serial, .. }
            | Self::Failed { serial, .. }
            | Self::Unsendable { serial, .. } => Some(serial),
            Self::Lost { party, .. }
            | Self::TimedOut { party, .. }
            | Self::TooMuch { party, .. }
            | Self::Remote { party, .. }
            | Self::Protocol { party, .. } => match party {
                Party::Phone(serial) => Some(serial),
                Party::Server(_) => None,
            },
            _ => None,
        }
    }

    /// Whether the same call may well succeed once [`super::Server::wait_for`] has the phone again. A call that timed out
    /// is no such case: it may have been carried out.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Offline { .. } | Self::Refused { .. })
    }

    /// Whether the state of things behind the error may end by itself, or by somebody's hand, while one waits.
    pub(super) fn may_pass(&self) -> bool {
        let server = matches!(self, Self::TimedOut { party: Party::Server(_), .. });
        let absent = matches!(self, Self::NoPhone | Self::Unknown { .. });
        let unready = matches!(self, Self::Unauthorized { .. } | Self::NotReady { .. });
        self.retryable() || server || absent || unready
    }

    /// Of a phone in this state; none if it is ready.
    pub(super) fn of_state(serial: &str, state: &State) -> Option<Self> {
        let serial = serial.to_owned();
        match state {
            State::Device => None,
            State::Unauthorized => Some(Self::Unauthorized { serial }),
            State::Offline => Some(Self::Offline { serial }),
            other => Some(Self::NotReady { serial, state: other.clone() }),
        }
    }

    /// The same, with what became of the call's processes.
    pub(super) fn with_leftovers(mut self, ended: Leftovers) -> Self {
        if let Self::TimedOut { leftovers, .. } | Self::TooMuch { leftovers, .. } = &mut self {
            *leftovers = ended;
        }
        self
    }
}

fn advice(state: &State) -> &'static str {
    match state {
        State::Recovery => "; start its normal system with 'adb reboot'",
        State::NoPermissions => {
            "; this user may not use the USB device: install your system's udev rules for Android (Debian and Ubuntu: 'apt \
             install android-sdk-platform-tools-common'), join the group plugdev, and replug it"
        }
        _ => "",
    }
}
