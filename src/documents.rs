//! Reading TOML so that a mistake is one line: where, and what.

use serde::de::DeserializeOwned;

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where in the document, as in `block[2].kernel`; `.` for the whole.
    pub place: String,
    /// The line, if it can be told, and what was expected.
    pub message: String,
}

/// Reads a TOML document.
///
/// # Errors
/// The first mistake, on one line.
pub fn read_toml<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let problem = |place: String, error: &toml::de::Error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let message = error.message().replace('\n', " ");
        Problem { place, message: line.map_or(message.clone(), |line| format!("line {line}: {message}")) }
    };
    let document = toml::Deserializer::parse(text).map_err(|error| problem(".".to_owned(), &error))?;
    serde_path_to_error::deserialize(document).map_err(|error| problem(error.path().to_string(), error.inner()))
}
