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

/// Reads one ARCH.
pub fn architecture(text: &str) -> Result<Named, Error> {
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
        for (number, line) in std::io::stdin().lock().lines().enumerate() {
            let line = line.map_err(|error| Error::new(format!("stdin: {error}")))?;
            if line.trim().is_empty() {
                continue;
            }
            all.push(architecture(&line).map_err(|error| Error::new(format!("stdin, line {}: {error}", number + 1)))?);
        }
    }
    if all.is_empty() {
        return Err(Error::new("no architecture given: stdin was empty"));
    }
    Ok(all)
}
