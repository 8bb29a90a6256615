//! The user's own trainer or device: a program that speaks JSON lines on stdin and stdout.
//!
//! | line | form |
//! |---|---|
//! | request | `{"id":17,"architecture":"input=224 …","blocks":[{"op":"mbconv","expansion":6,…}],"tflite":"path or null"}` |
//! | answer of a trainer | `{"id":17,"accuracy":0.6512}`, a fraction |
//! | answer of a device | `{"id":17,"latency_ms":[5.11,5.08]}` |
//! | either | `{"id":17,"error":"…"}` |
//!
//! The program is started once and kept; one request is under way at a time, and an answer may take as long as it
//! likes. A program that dies is started again and its request repeated. Its stderr goes to the log. Further fields of
//! an answer are ignored.

mod process;
mod protocol;

use process::Process;
pub use protocol::{Answer, BlockRequest, Request};

/// Starts in a row, without an answer between them, before a dying program is given up.
const STARTS: usize = 4;

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
}

/// Why an external program gave no answer.
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
    /// It died again and again over one request.
    #[error("'{command}' ended {times} times in a row without answering request {id} (last: {status}){stderr}")]
    Died {
        /// The command line.
        command: String,
        /// How often it was started for the request.
        times: usize,
        /// The request.
        id: u64,
        /// Exit status or signal.
        status: String,
        /// Its last lines on stderr, ready to print.
        stderr: String,
    },
    /// It wrote something that is no answer to the request.
    #[error("'{command}', line {line} of its output: {problem}: {text}")]
    Line {
        /// The command line.
        command: String,
        /// Counted from 1 since the program's start.
        line: usize,
        /// What was expected.
        problem: String,
        /// The line, shortened if long.
        text: String,
    },
}

impl Program {
    /// Starts the program: the first word is looked up as a shell would, the others are its arguments.
    ///
    /// # Errors
    /// [`ExternalError::NoCommand`] and [`ExternalError::Start`].
    pub fn start(command: &[String]) -> Result<Self, ExternalError> {
        let process = Process::start(command)?;
        Ok(Self { command: command.to_vec(), process: Some(process) })
    }

    /// Sends a request and waits for its answer, however long that takes.
    ///
    /// # Errors
    /// [`ExternalError::Died`] after several starts, [`ExternalError::Line`] for a line that is not the answer. The
    /// program is then started afresh by the next request.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ExternalError> {
        let mut ended = None;
        for _ in 0..STARTS {
            let mut process = match self.process.take() {
                Some(process) => process,
                None => Process::start(&self.command)?,
            };
            let Some(line) = process.exchange(&request.to_line()) else {
                let end = process.end();
                tracing::warn!("'{}' ended ({}); it is started again", self.command.join(" "), end.status);
                ended = Some(end);
                continue;
            };
            // On an error the process is dropped here: what else it may write belongs to no request.
            let answer = request.read_answer(&line).map_err(|problem| ExternalError::Line {
                command: self.command.join(" "),
                line: process.lines(),
                problem,
                text: shortened(&line),
            })?;
            self.process = Some(process);
            return Ok(answer);
        }
        let end = ended.unwrap_or_default();
        Err(ExternalError::Died {
            command: self.command.join(" "),
            times: STARTS,
            id: request.id,
            status: end.status,
            stderr: end.stderr,
        })
    }
}

/// At most 200 characters of a line, in quotes.
fn shortened(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{:?} …", &text[..end]),
        None => format!("{text:?}"),
    }
}
