//! The user's own trainer or device: a program that speaks JSON lines on stdin and stdout.
//!
//! | line | form |
//! |---|---|
//! | request | `{"id":17,"architecture":"input=224 …","blocks":[{"op":"mbconv","expansion":6,…}],"tflite":"path or null"}` |
//! | answer of a trainer | `{"id":17,"accuracy":0.6512}`, a fraction |
//! | answer of a device | `{"id":17,"latency_ms":[5.11,5.08]}` |
//! | either | `{"id":17,"error":"…"}` |
//!
//! The program is started once and kept; one request is under way at a time. An answer may take as long as it likes,
//! unless a timeout is set; whoever waits is told so after a minute, and again at growing intervals. Its stderr goes to
//! the log. Further fields of an answer are ignored.
//!
//! | what happens | what follows |
//! |---|---|
//! | the answer is an error | the network has failed |
//! | the program ends, or writes what is no answer to the request | it is started again, and asked once more |
//! | no answer within the timeout | it is made to end, started again, and asked once more |
//! | the answer is of no use: NaN, an accuracy outside 0 to 1, no times | it is asked once more |
//! | that happens once more | the network has failed |
//! | so many different networks fail in a row ([`Failures`]) | it is the program, and nothing more is asked |
//! | the program cannot be started | nothing can be asked any more |
//!
//! A program never outlives whoever started it, and nothing that it has started does: see `supervisor`.

mod ending;
mod failures;
mod process;
mod protocol;
mod supervisor;

use std::time::Duration;

pub use ending::describe;
pub use failures::{FAILED_IN_A_ROW, Failure, Failures, UNANSWERED_IN_A_ROW};
use process::{Heard, Process};
use protocol::Wrong;
pub use protocol::{Answer, BlockRequest, Request};

/// How often a request is sent before it has failed.
const TRIES: usize = 2;

/// After which silence it is said that an answer is waited for.
const FIRST_HINT: Duration = Duration::from_secs(60);

/// Longest piece of what a program wrote within a reason, in characters.
const LONGEST_QUOTE: usize = 200;

/// A running program that answers requests.
///
/// ```
/// use mnas::external::{Answer, Program, Request};
/// let command = ["sh", "-c", r#"while read line; do echo '{"id":1,"accuracy":0.5}'; done"#].map(str::to_owned);
/// let mut program = Program::start(&command)?;
/// let request = Request::new(1, Some(&mnas::space::parse("mnasnet-a1")?), None);
/// assert_eq!(program.ask(&request)?, Answer::Accuracy(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Program {
    command: Vec<String>,
    process: Option<Process>,
    timeout: Option<Duration>,
    first_hint: Duration,
}

/// Why an external program gave no answer. In full an error holds several lines; [`ExternalError::reason`] is one.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// No program is named.
    #[error("the command of an external program is empty; give it as a list: command = [\"./train.py\"]")]
    NoCommand,
    /// It cannot be started.
    #[error("cannot start '{command}': {problem}; is the path right and the file executable?")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        problem: std::io::Error,
    },
    /// It ended over a request.
    #[error("'{command}' ended without answering request {id} ({status}){}", all(last_words))]
    Died {
        /// The command line.
        command: String,
        /// The request.
        id: u64,
        /// Exit status or signal, with its usual cause.
        status: String,
        /// Its last lines on stderr.
        last_words: Vec<String>,
    },
    /// It did not answer in time, and was made to end.
    #[error("'{command}' did not answer request {id} within the timeout of {} s{}", seconds(timeout), all(last_words))]
    Expired {
        /// The command line.
        command: String,
        /// The request.
        id: u64,
        /// The timeout.
        timeout: Duration,
        /// Its last lines on stderr.
        last_words: Vec<String>,
    },
    /// It wrote something that is no answer to the request, or one of no use.
    #[error("'{command}', line {line} of its output: {problem}: {text}{}", some(last_words))]
    Line {
        /// The command line.
        command: String,
        /// Counted from 1 since the program's start.
        line: usize,
        /// What was expected.
        problem: String,
        /// The line, shortened if long.
        text: String,
        /// Its last lines on stderr, if it was made to end.
        last_words: Vec<String>,
    },
}

impl ExternalError {
    /// The error in one line: of what the program said last only the end, which is where the cause stands.
    pub fn reason(&self) -> String {
        match self {
            Self::Died { command, status, last_words, .. } => {
                format!("'{command}' ended without an answer ({status}){}", last(last_words))
            }
            Self::Expired { command, timeout, last_words, .. } => {
                format!("'{command}' gave no answer within the timeout of {} s{}", seconds(timeout), last(last_words))
            }
            Self::Line { command, line, problem, text, .. } => {
                format!("'{command}', line {line} of its output: {problem}: {text}")
            }
            Self::NoCommand | Self::Start { .. } => self.to_string(),
        }
    }

    /// Whether no other request would be answered, either.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NoCommand | Self::Start { .. })
    }
}

impl Program {
    /// Starts the program: the first word is looked up as a shell would, the others are its arguments. It finds
    /// `PYTHONUNBUFFERED=1` in its environment, so that a Python program need not flush.
    ///
    /// # Errors
    /// [`ExternalError::NoCommand`] and [`ExternalError::Start`].
    pub fn start(command: &[String]) -> Result<Self, ExternalError> {
        let process = Process::start(command)?;
        Ok(Self { command: command.to_vec(), process: Some(process), timeout: None, first_hint: FIRST_HINT })
    }

    /// The same with a time within which every request must be answered; none: as long as it takes.
    #[must_use]
    pub fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Self { timeout, ..self }
    }

    /// The same with another silence than a minute after which a warning says that an answer is waited for.
    #[must_use]
    pub fn with_first_hint(self, first_hint: Duration) -> Self {
        Self { first_hint, ..self }
    }

    /// Sends a request and waits for its answer; once more if none comes that is of use.
    ///
    /// # Errors
    /// What became of the second try: [`ExternalError::Died`], [`ExternalError::Expired`], [`ExternalError::Line`];
    /// other requests may be answered all the same. [`ExternalError::Start`] if the program could not be started again.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ExternalError> {
        for _ in 1..TRIES {
            match self.ask_once(request) {
                Err(error) if !error.is_final() => tracing::warn!("{error}\nrequest {} is sent once more", request.id),
                other => return other,
            }
        }
        self.ask_once(request)
    }

    fn ask_once(&mut self, request: &Request) -> Result<Answer, ExternalError> {
        // One that ended after its last answer has not failed at this request.
        let running = self.process.take().and_then(|mut process| (!process.is_over()).then_some(process));
        let mut process = running.map_or_else(|| Process::start(&self.command), Ok)?;
        let (command, id) = (self.command.join(" "), request.id);
        let remind = &mut |silence| self.remind(request, silence);
        let line = match process.exchange(&request.to_line(), self.timeout, self.first_hint, remind) {
            Heard::Line(line) => line,
            Heard::Ended => {
                let end = process.end();
                return Err(ExternalError::Died { command, id, status: end.status, last_words: end.last_words });
            }
            Heard::Expired => {
                let (timeout, last_words) = (self.timeout.unwrap_or_default(), process.abort());
                return Err(ExternalError::Expired { command, id, timeout, last_words });
            }
        };
        let lines = process.lines();
        let (problem, last_words) = match request.read_answer(&line) {
            Ok(answer) => {
                self.process = Some(process);
                return Ok(answer);
            }
            Err(Wrong::Value(problem)) => {
                self.process = Some(process);
                (problem, Vec::new())
            }
            // What else it may write belongs to no request.
            Err(Wrong::Line(problem)) => (problem, process.abort()),
        };
        let text = format!("{:?}", String::from_utf8_lossy(&line).trim_end());
        Err(ExternalError::Line { command, line: lines, problem, text: shortened(&text), last_words })
    }

    fn remind(&self, request: &Request, silence: Duration) {
        let model = request.architecture.as_ref().or(request.tflite.as_ref());
        tracing::warn!(
            "'{}' has not answered request {} for {} s. If it should have by now: an answer is one line on stdout, \
             which must be flushed; `timeout = SECONDS` beside its `command` limits the waiting. The network: {}",
            self.command.join(" "),
            request.id,
            seconds(&silence),
            model.map_or("none", String::as_str),
        );
    }
}

/// A timeout from what a user wrote.
///
/// # Errors
/// Says what is expected if it is no number of seconds above 0, or beyond 10⁹ (thirty years).
pub fn timeout_of(seconds: f64) -> Result<Duration, String> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if !timeout.is_zero() && seconds <= 1e9 => Ok(timeout),
        _ => Err(format!("must be a number of seconds above 0, up to 1e9, found {seconds}")),
    }
}

/// The last lines on stderr, ready to follow a message.
fn all(last_words: &[String]) -> String {
    if last_words.is_empty() { "; it wrote nothing to stderr".to_owned() } else { some(last_words) }
}

/// The same, and nothing if there are none.
fn some(last_words: &[String]) -> String {
    let lines: String = last_words.iter().map(|line| format!("\n  {line}")).collect();
    if lines.is_empty() { lines } else { format!("; its last lines on stderr:{lines}") }
}

/// The last line on stderr that says something, ready to follow a message.
fn last(last_words: &[String]) -> String {
    let line = last_words.iter().map(|line| line.trim()).rfind(|line| !line.is_empty());
    line.map_or_else(String::new, |line| format!(": {}", shortened(line)))
}

fn seconds(duration: &Duration) -> f64 {
    duration.as_secs_f64()
}

/// At most so much of a text as a message bears.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}
