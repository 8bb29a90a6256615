//! The adb server: which phones there are, and the way to them.

use std::time::Duration;

use super::circumstances::Circumstances;
use super::error::Party;
use super::tracker::{Tracker, listing_error};
use super::wire::{Connection, Deadline, WireError};
use super::{AdbError, Address, Listed, Phone, start};

/// First and longest pause between two looks for a phone that is not there.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// An adb server, here or elsewhere.
#[derive(Debug, Clone)]
pub struct Server {
    address: Address,
    preferred: Option<String>,
    start: Start,
}

/// What to do when nobody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    WhereLocal,
    Never,
}

impl Server {
    /// The server that the environment names (see [`super`]), by default that of this machine, which is started when
    /// it does not run. Nothing is connected yet.
    ///
    /// # Errors
    /// [`AdbError::Address`].
    pub fn from_environment() -> Result<Self, AdbError> {
        let preferred = std::env::var("ANDROID_SERIAL").ok().filter(|serial| !serial.is_empty());
        Ok(Self { address: Address::from_environment()?, preferred, start: Start::WhereLocal })
    }

    /// The server at an address, which is never started from here.
    pub fn at(address: Address) -> Self {
        Self { address, preferred: None, start: Start::Never }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The server's internal version, for example 41.
    ///
    /// # Errors
    /// [`AdbError::Refused`], [`AdbError::Start`], [`AdbError::TimedOut`], [`AdbError::Lost`], [`AdbError::Protocol`].
    pub fn version(&self, limit: Duration) -> Result<u32, AdbError> {
        let circumstances = self.circumstances("telling its version", limit);
        let answer = self.query("host:version", &circumstances)?;
        u32::from_str_radix(&answer, 16)
            .map_err(|_| circumstances.error(WireError::garbage("a hexadecimal version", answer.as_bytes())))
    }

    /// Every phone the server sees, whatever its state.
    ///
    /// # Errors
    /// As [`Server::version`].
    pub fn devices(&self, limit: Duration) -> Result<Vec<Listed>, AdbError> {
        let circumstances = self.circumstances("listing phones", limit);
        let text = self.query("host:devices-l", &circumstances)?;
        Listed::parse(&text).map_err(|line| circumstances.error(listing_error(&line)))
    }

    /// Follows the list: [`Tracker::next`] gives it at once, and then again whenever it changes.
    ///
    /// # Errors
    /// As [`Server::version`]; [`AdbError::Remote`] from servers before platform tools 29.
    pub fn track(&self, limit: Duration) -> Result<Tracker, AdbError> {
        let circumstances = self.circumstances("following the list of phones", limit);
        let deadline = Deadline::after(limit);
        let mut connection = self.connect(deadline)?;
        connection.request(b"host:track-devices-l").map_err(|problem| circumstances.error(problem))?;
        Ok(Tracker::new(connection, circumstances))
    }

    /// The phone with this serial number, else that of `ANDROID_SERIAL`, else the only one there is; it must be ready.
    ///
    /// # Errors
    /// [`AdbError::NoPhone`], [`AdbError::Several`], [`AdbError::Unknown`], [`AdbError::Unauthorized`],
    /// [`AdbError::Offline`], [`AdbError::NotReady`], and those of [`Server::version`].
    pub fn phone(&self, serial: Option<&str>, limit: Duration) -> Result<Phone, AdbError> {
        let deadline = Deadline::after(limit);
        let listed = choose(self.devices(limit)?, serial.or(self.preferred.as_deref()))?;
        if let Some(error) = AdbError::of_state(&listed.serial, &listed.state) {
            return Err(error);
        }
        let circumstances = self.of_phone(&listed.serial, "telling its features", limit);
        let features =
            self.query_until(&format!("host-serial:{}:features", listed.serial), &circumstances, deadline)?;
        Ok(Phone::new(self.clone(), listed, features.split(',').map(str::to_owned).collect()))
    }

    /// Waits until the phone is ready, looking again after pauses that double; a phone on the network is connected anew.
    ///
    /// # Errors
    /// When the limit passes, that of the last look; at once what no waiting can help.
    pub fn wait_for(&self, serial: &str, limit: Duration) -> Result<Phone, AdbError> {
        let deadline = Deadline::after(limit);
        let mut pause = PAUSES.0;
        let mut left = limit;
        loop {
            let error = match self.phone(Some(serial), left) {
                Err(error) if error.may_pass() => error,
                other => return other,
            };
            tracing::debug!("{error}; looking again in {pause:?}");
            let Some(rest) = deadline.left() else { return Err(error) };
            if is_network(serial) {
                self.reconnect(serial, &error, rest);
            }
            std::thread::sleep(pause.min(rest));
            pause = (pause * 2).min(PAUSES.1);
            left = match deadline.left() {
                Some(left) => left,
                None => return Err(error),
            };
        }
    }

    /// Connects a phone on the network, given as `HOST:PORT`: what `adb connect` does.
    ///
    /// # Errors
    /// [`AdbError::Remote`] with the server's words if there is no phone, and those of [`Server::version`].
    pub fn connect_phone(&self, place: &str, limit: Duration) -> Result<(), AdbError> {
        let circumstances = self.of_phone(place, "connecting", limit);
        let message = self.query(&format!("host:connect:{place}"), &circumstances)?;
        // The server grants the request either way and tells the outcome in words.
        match message.starts_with("connected to") || message.starts_with("already connected to") {
            true => Ok(()),
            false => Err(AdbError::Remote { party: circumstances.party, doing: circumstances.doing, message }),
        }
    }

    /// Sees to it that a phone on the network is looked for now: the server itself tries again only every few seconds.
    fn reconnect(&self, serial: &str, error: &AdbError, limit: Duration) {
        let offline = matches!(error, AdbError::Offline { .. });
        if offline {
            let circumstances = self.of_phone(serial, "disconnecting", limit);
            // The server may have forgotten it meanwhile, which is as good.
            let _ = self.query(&format!("host:disconnect:{serial}"), &circumstances);
        }
        if offline || matches!(error, AdbError::Unknown { .. }) {
            // That it is not there yet is what the caller waits for.
            let _ = self.connect_phone(serial, limit);
        }
    }

    /// A connection that speaks to the phone.
    pub(super) fn transport(&self, circumstances: &Circumstances, deadline: Deadline) -> Result<Connection, AdbError> {
        let Party::Phone(serial) = &circumstances.party else {
            return Err(circumstances.error(WireError::garbage("a phone to speak to", b"none")));
        };
        let mut connection = self.connect(deadline)?;
        connection
            .request(format!("host:transport:{serial}").as_bytes())
            .map_err(|problem| circumstances.error(problem))?;
        Ok(connection)
    }

    pub(super) fn of_phone(&self, serial: &str, doing: &str, limit: Duration) -> Circumstances {
        let party = Party::Phone(serial.to_owned());
        Circumstances { party, doing: doing.to_owned(), limit, limit_bytes: 0 }
    }

    fn circumstances(&self, doing: &str, limit: Duration) -> Circumstances {
        let party = Party::Server(self.address.clone());
        Circumstances { party, doing: doing.to_owned(), limit, limit_bytes: 0 }
    }

    fn query(&self, service: &str, circumstances: &Circumstances) -> Result<String, AdbError> {
        self.query_until(service, circumstances, Deadline::after(circumstances.limit))
    }

    fn query_until(
        &self,
        service: &str,
        circumstances: &Circumstances,
        deadline: Deadline,
    ) -> Result<String, AdbError> {
        let mut connection = self.connect(deadline)?;
        let answer = connection.request(service.as_bytes()).and_then(|()| connection.block());
        Ok(String::from_utf8_lossy(&answer.map_err(|problem| circumstances.error(problem))?).trim_end().to_owned())
    }

    fn connect(&self, deadline: Deadline) -> Result<Connection, AdbError> {
        match Connection::open(&self.address, deadline) {
            Err(problem) if self.should_start(&problem) => {
                start::start(&self.address, deadline)?;
                Connection::open(&self.address, deadline).map_err(|problem| self.unreachable(problem, deadline))
            }
            other => other.map_err(|problem| self.unreachable(problem, deadline)),
        }
    }

    fn should_start(&self, problem: &std::io::Error) -> bool {
        let refused = problem.kind() == std::io::ErrorKind::ConnectionRefused;
        refused && self.start == Start::WhereLocal && self.address.is_local()
    }

    fn unreachable(&self, problem: std::io::Error, deadline: Deadline) -> AdbError {
        match problem.kind() {
            std::io::ErrorKind::TimedOut => {
                self.circumstances("connecting", deadline.limit()).error(WireError::TimedOut)
            }
            _ => AdbError::Refused { address: self.address.clone(), problem },
        }
    }
}

fn choose(mut listed: Vec<Listed>, serial: Option<&str>) -> Result<Listed, AdbError> {
    let names = |listed: &[Listed]| listed.iter().map(|one| one.serial.clone()).collect::<Vec<_>>();
    match serial {
        Some(serial) => match listed.iter().position(|one| one.serial == serial) {
            Some(index) => Ok(listed.swap_remove(index)),
            None => Err(AdbError::Unknown { serial: serial.to_owned(), listed: names(&listed) }),
        },
        None if listed.len() > 1 => Err(AdbError::Several(names(&listed))),
        None => listed.pop().ok_or(AdbError::NoPhone),
    }
}

/// `HOST:PORT` and nothing else, as the server names phones on the network.
fn is_network(serial: &str) -> bool {
    serial.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
