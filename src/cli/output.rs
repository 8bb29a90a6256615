//! Printing results, and the error every command returns.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::report::columns;
use crate::report::tables::Align;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// One JSON document instead of text.
    pub json: bool,
}

impl Output {
    /// Prints `value` as JSON, or `text()` where text is wanted.
    pub fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Error> {
        let mut content = if self.json {
            serde_json::to_string_pretty(value)
                .map_err(|error| Error::new(format!("cannot print the result: {error}")))?
        } else {
            text()
        };
        if !content.ends_with('\n') {
            content.push('\n');
        }
        match std::io::stdout().write_all(content.as_bytes()) {
            // The reader had enough (`mnas … | head`): that is no failure.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Error::new(format!("cannot write to stdout: {error}"))),
            Ok(()) => Ok(()),
        }
    }
}

/// Whether stderr takes colours.
pub fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether progress bars are wanted.
pub fn bars() -> bool {
    std::io::stderr().is_terminal()
}

/// A flag that the first Ctrl-C raises, for a command that stops after what it is at; the second ends the process,
/// which everything that is stored bears.
pub fn interruption() -> Result<Arc<AtomicBool>, Error> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(super::Ending::Interrupted.code()));
        }
        eprintln!("\nstopping after what is under way; press Ctrl-C again to stop at once");
    })?;
    Ok(interrupted)
}

/// A command's failure: the message of whatever failed below, with all its causes.
#[derive(Debug)]
pub struct Error {
    message: String,
}

impl Error {
    /// An error of the command line itself.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            // Transparent errors repeat their cause.
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = inner.source();
        }
        Self { message }
    }
}

/// A table with aligned columns, no wider than the screen: the first and architectures left, the others right aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let align = |(column, name): (usize, &&str)| match column == 0 || *name == "architecture" {
        true => Align::Left,
        false => Align::Right,
    };
    let alignments: Vec<Align> = header.iter().enumerate().map(align).collect();
    let header = header.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows.iter().cloned()).collect();
    columns::aligned(&alignments, &rows, columns::room()).join("\n") + "\n"
}
