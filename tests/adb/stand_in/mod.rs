//! A stand-in for a phone: the phone's side of adb's transport protocol, acting out a script, for the real adb server.
//!
//! It plays what a real adbd cannot: a key not accepted yet, a stall in the middle, a cut after so many bytes, an adbd
//! from before the shell protocol, and every kind of nonsense. What it does depends on nothing but its script.

mod message;

use std::collections::{HashMap, VecDeque};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use message::{AUTH, CLSE, CNXN, Message, OKAY, OPEN, WRTE};

/// What phones of today can do, as far as the client asks.
pub const FEATURES: &str = "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir";

/// One thing the stand-in does on a stream, after all that came before it.
#[derive(Debug, Clone)]
pub enum Step {
    /// Writes bytes.
    Say(Vec<u8>),
    /// Waits until so many more bytes have come.
    Hear(usize),
    /// Closes the stream.
    Close,
    /// Drops the whole connection, as an unplugged cable does.
    Unplug,
}

/// Makes a script from a service's name. What follows its last step never comes: that is a stall.
type Script = Box<dyn Fn(&str) -> Vec<Step> + Send>;

/// A phone that is none.
pub struct StandIn {
    port: u16,
    role: Arc<Mutex<Role>>,
}

struct Role {
    features: String,
    authorized: bool,
    script: Script,
    /// Services opened, in order.
    opened: Vec<String>,
    /// The connection under way, for words that come on no request.
    connection: Option<TcpStream>,
}

impl StandIn {
    /// A stand-in at a port, with `features` (see [`FEATURES`]) and a script.
    pub fn play(port: u16, features: &str, script: impl Fn(&str) -> Vec<Step> + Send + 'static) -> Self {
        Self::start(port, features, true, Box::new(script))
    }

    /// One that does not accept the computer's key before [`StandIn::authorize`].
    pub fn suspicious(port: u16, script: impl Fn(&str) -> Vec<Step> + Send + 'static) -> Self {
        Self::start(port, FEATURES, false, Box::new(script))
    }

    fn start(port: u16, features: &str, authorized: bool, script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let role = Role { features: features.into(), authorized, script, opened: Vec::new(), connection: None };
        let role = Arc::new(Mutex::new(role));
        let acting = Arc::clone(&role);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let role = Arc::clone(&acting);
                // A connection that ends is part of the play.
                std::thread::spawn(move || drop(Actor::new(stream.unwrap(), role).act()));
            }
        });
        Self { port, role }
    }

    /// `HOST:PORT`.
    pub fn serial(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Accepts the computer's key, as a tap on the phone's dialog does.
    pub fn authorize(&self) {
        let mut role = self.role.lock().unwrap();
        role.authorized = true;
        let greeting = role.greeting();
        if let Some(connection) = &mut role.connection {
            greeting.write(connection).unwrap();
        }
    }

    /// The services that were opened so far.
    pub fn opened(&self) -> Vec<String> {
        self.role.lock().unwrap().opened.clone()
    }
}

impl Role {
    fn greeting(&self) -> Message {
        let banner = format!("device::ro.product.name=stand_in;ro.product.model=Stand-in;features={}", self.features);
        Message::new(CNXN, message::VERSION, message::LARGEST, banner.into_bytes())
    }
}

/// One stream from the phone's side.
struct Stream {
    theirs: u32,
    steps: VecDeque<Step>,
    heard: usize,
    /// A piece is under way; the next may follow its OKAY.
    waiting: bool,
}

struct Actor {
    connection: TcpStream,
    role: Arc<Mutex<Role>>,
    streams: HashMap<u32, Stream>,
    next: u32,
}

impl Actor {
    fn new(connection: TcpStream, role: Arc<Mutex<Role>>) -> Self {
        Self { connection, role, streams: HashMap::new(), next: 1 }
    }

    fn act(mut self) -> std::io::Result<()> {
        loop {
            let message = Message::read(&mut self.connection)?;
            match message.command {
                CNXN => self.greet()?,
                // A signature with a key we do not trust, then the key itself, which waits for a tap.
                AUTH if message.first == message::SIGNATURE => self.ask_for_key()?,
                OPEN => self.open(&message)?,
                OKAY => self.go_on(message.second, |stream| stream.waiting = false)?,
                WRTE => {
                    self.say(OKAY, message.second, message.first, Vec::new())?;
                    self.go_on(message.second, |stream| stream.heard += message.data.len())?;
                }
                CLSE => drop(self.streams.remove(&message.second)),
                _ => {}
            }
        }
    }

    fn greet(&mut self) -> std::io::Result<()> {
        let mut role = self.role.lock().unwrap();
        role.connection = Some(self.connection.try_clone()?);
        match role.authorized {
            true => role.greeting().write(&mut self.connection),
            false => {
                drop(role);
                self.ask_for_key()
            }
        }
    }

    fn ask_for_key(&mut self) -> std::io::Result<()> {
        self.say(AUTH, message::TOKEN, 0, vec![7; 20])
    }

    fn open(&mut self, message: &Message) -> std::io::Result<()> {
        let service = String::from_utf8_lossy(&message.data).trim_end_matches('\0').to_owned();
        let mut role = self.role.lock().unwrap();
        let steps = (role.script)(&service).into();
        role.opened.push(service);
        drop(role);
        let (ours, theirs) = (self.next, message.first);
        self.next += 1;
        self.streams.insert(ours, Stream { theirs, steps, heard: 0, waiting: false });
        self.say(OKAY, ours, theirs, Vec::new())?;
        self.go_on(ours, |_| ())
    }

    /// Tells a stream the news, then does what its script has next, as far as that goes.
    fn go_on(&mut self, ours: u32, news: impl FnOnce(&mut Stream)) -> std::io::Result<()> {
        let Some(stream) = self.streams.get_mut(&ours) else { return Ok(()) };
        news(stream);
        let theirs = stream.theirs;
        while !stream.waiting {
            match stream.steps.pop_front() {
                Some(Step::Say(bytes)) if bytes.is_empty() => {}
                Some(Step::Say(mut bytes)) => {
                    let rest = bytes.split_off(bytes.len().min(message::LARGEST as usize));
                    if !rest.is_empty() {
                        stream.steps.push_front(Step::Say(rest));
                    }
                    stream.waiting = true;
                    return self.say(WRTE, ours, theirs, bytes);
                }
                Some(Step::Hear(bytes)) if stream.heard >= bytes => stream.heard -= bytes,
                Some(step @ Step::Hear(_)) => {
                    stream.steps.push_front(step);
                    return Ok(());
                }
                Some(Step::Close) => return self.say(CLSE, ours, theirs, Vec::new()),
                Some(Step::Unplug) => return self.connection.shutdown(std::net::Shutdown::Both),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn say(&mut self, command: u32, first: u32, second: u32, data: Vec<u8>) -> std::io::Result<()> {
        Message::new(command, first, second, data).write(&mut self.connection)
    }
}
