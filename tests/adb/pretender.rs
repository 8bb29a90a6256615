//! Something that listens where an adb server should be, and says whatever a test wants.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use mnas::adb::{Address, Phone, Server};

/// What a pretender does when asked for a service.
pub enum Reply {
    /// Says this, and hears the next request.
    Say(Vec<u8>),
    /// Says this and hangs up.
    Last(Vec<u8>),
    /// Says this and nothing more, but stays.
    Silence(Vec<u8>),
}

/// A text after its length, as the server gives them.
pub fn block(text: &str) -> Vec<u8> {
    format!("OKAY{:04x}{text}", text.len()).into_bytes()
}

/// A pretended server.
pub fn pretend(reply: impl Fn(&str) -> Reply + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            // A connection that ends is part of the play.
            if let Ok(Some(stream)) = serve(stream.unwrap(), &reply) {
                silent.push(stream);
            }
        }
    });
    Server::at(Address { host: "127.0.0.1".into(), port })
}

/// A phone `liar` behind a pretended server, which answers a command with these bytes and hangs up.
pub fn phone_that_says(packets: Vec<u8>) -> Phone {
    let server = pretend(move |request| match request {
        "host:devices-l" => Reply::Say(block("liar device transport_id:1\n")),
        "host-serial:liar:features" => Reply::Say(block("shell_v2,stat_v2")),
        "host:transport:liar" => Reply::Say(b"OKAY".to_vec()),
        _ => Reply::Last([b"OKAY", packets.as_slice()].concat()),
    });
    server.phone(None, Duration::from_secs(20)).unwrap()
}

/// Serves one connection; gives it back if it must stay open in silence.
fn serve(mut stream: TcpStream, reply: &impl Fn(&str) -> Reply) -> std::io::Result<Option<TcpStream>> {
    loop {
        let mut digits = [0; 4];
        stream.read_exact(&mut digits)?;
        let length = usize::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap();
        let mut request = vec![0; length];
        stream.read_exact(&mut request)?;
        match reply(&String::from_utf8_lossy(&request)) {
            Reply::Say(bytes) => stream.write_all(&bytes)?,
            Reply::Silence(bytes) => {
                stream.write_all(&bytes)?;
                return Ok(Some(stream));
            }
            Reply::Last(bytes) => {
                stream.write_all(&bytes)?;
                stream.shutdown(Shutdown::Write)?;
                // What the client still says is read, so that it sees an end and no reset.
                return std::io::copy(&mut stream, &mut std::io::sink()).map(|_| None);
            }
        }
    }
}
