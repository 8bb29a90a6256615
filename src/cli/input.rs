//! Architectures from the command line or stdin.

use super::Error;
use crate::network::Network;
use crate::space::{self, Architecture};

/// An architecture as it was asked for.
pub struct Named {
    /// The word or line as given.
    pub name: String,
    /// What it means.
    pub architecture: Architecture,
    /// Its expansion.
    pub network: Network,
}

/// Reads one ARCH; `-` stands for the one line of stdin.
pub fn architecture(text: &str) -> Result<Named, Error> {
    if text == "-" {
        let mut lines = architectures(&["-".to_owned()])?;
        return match lines.len() {
            1 => Ok(lines.remove(0)),
            found => Err(Error::new(format!("stdin must hold one architecture here, found {found}"))),
        };
    }
    let architecture = space::parse(text)?;
    let network = Network::expand(&architecture).map_err(|error| Error::new(format!("{text}: {error}")))?;
    Ok(Named { name: text.trim().to_owned(), architecture, network })
}

/// Reads every ARCH; `-` stands for the lines of stdin. Errors there name the line.
pub fn architectures(words: &[String]) -> Result<Vec<Named>, Error> {
    let mut all = Vec::new();
    for word in words {
        if word != "-" {
            all.push(architecture(word)?);
            continue;
        }
        for (number, line) in stdin_lines()? {
            all.push(architecture(&line).map_err(|error| Error::new(format!("stdin, line {number}: {error}")))?);
        }
    }
    if all.is_empty() {
        return Err(Error::new("no architecture given: stdin was empty"));
    }
    Ok(all)
}

/// The lines of stdin with their numbers from 1, without blank ones and without what follows a `#`. A list in brackets
/// is one line, however many it is written on.
pub fn stdin_lines() -> Result<Vec<(usize, String)>, Error> {
    let text = crate::text::read_from(std::io::stdin().lock(), "stdin")?;
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = 0_i64;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        match lines.last_mut().filter(|_| open > 0) {
            Some((_, list)) => *list = format!("{list} {line}"),
            None if line.is_empty() => continue,
            None => lines.push((number, line.to_owned())),
        }
        let count = |bracket: char| line.matches(bracket).count() as i64;
        open += count('[') - count(']');
    }
    Ok(lines)
}

/// Reads a positive number, for clap.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("expected a positive number".to_owned()),
    }
}

/// Reads a timeout in seconds, for clap.
pub fn timeout(text: &str) -> Result<std::time::Duration, String> {
    crate::external::timeout_of(positive(text)?)
}
