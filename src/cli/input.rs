//! Architectures from the command line or stdin.

use std::io::BufRead;

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

/// The lines of stdin that are not blank, with their numbers from 1.
pub fn stdin_lines() -> Result<Vec<(usize, String)>, Error> {
    let lines = std::io::stdin().lock().lines().collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|error| Error::new(format!("stdin: {error}")))?;
    Ok((1..).zip(lines).filter(|(_, line)| !line.trim().is_empty()).collect())
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
