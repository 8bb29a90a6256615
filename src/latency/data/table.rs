//! A table of text, whoever wrote it: the separator is found, comments and blank lines are skipped, lines keep their
//! numbers.
//!
//! Separators are commas, semicolons, tabs or bars: the one that splits the header into most columns. A first line
//! `sep=;`, as Excel writes it, says so itself. A line that begins with `#` is a comment; where the header itself does
//! (NumPy's `savetxt`), it is the header. A header that is repeated between rows is skipped.

use super::error::DataError;
use crate::space;

/// Header and rows.
pub(super) struct Table {
    pub separator: char,
    pub header: csv::StringRecord,
    pub rows: Vec<csv::StringRecord>,
}

const SEPARATORS: [char; 4] = ['\t', ';', ',', '|'];

impl Table {
    /// Reads text; `origin` names it in messages.
    pub fn read(text: &str, origin: &str) -> Result<Self, DataError> {
        let (text, said) = cleaned(text);
        let header = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
        let columns = |separator: &char| record_of(header, *separator).map_or(0, |record| record.len());
        let found = SEPARATORS.into_iter().rev().max_by_key(columns).unwrap_or(',');
        let separator = said.unwrap_or(found);
        let lines: Vec<&str> = text.lines().collect();
        // The reader counts a row from the blank lines before it.
        let line_of = |position: &csv::Position| {
            let blank = lines.iter().skip(position.line() as usize - 1).take_while(|line| line.is_empty()).count();
            position.line() + blank as u64
        };
        let failed = |error: csv::Error| match error.kind() {
            csv::ErrorKind::UnequalLengths { pos: Some(position), expected_len, len } => DataError::Cells {
                origin: origin.to_owned(),
                line: line_of(position),
                expected: *expected_len,
                found: *len,
            },
            _ => DataError::Csv { origin: origin.to_owned(), error },
        };
        let mut reader = builder(separator).from_reader(text.as_bytes());
        let header = reader.headers().map_err(failed)?.clone();
        let mut rows = Vec::new();
        for record in reader.records() {
            let mut record = record.map_err(failed)?;
            if let Some(mut position) = record.position().cloned() {
                position.set_line(line_of(&position));
                record.set_position(Some(position));
            }
            if record != header && record.iter().any(|cell| !cell.is_empty()) {
                rows.push(record);
            }
        }
        Ok(Self { separator, header, rows })
    }
}

fn builder(separator: char) -> csv::ReaderBuilder {
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(separator as u8).trim(csv::Trim::All);
    builder
}

fn record_of(line: &str, separator: char) -> Option<csv::StringRecord> {
    builder(separator).from_reader(line.as_bytes()).headers().ok().cloned()
}

/// The text with comments and lines of blanks emptied, so that every line keeps its number, and the separator that its
/// first line names.
fn cleaned(text: &str) -> (String, Option<char>) {
    let text = if text.contains('\n') { text.to_owned() } else { text.replace('\r', "\n") };
    let mut lines: Vec<&str> = text.lines().collect();
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    let mut said = None;
    if let Some(first) = lines.iter_mut().find(|line| !line.trim().is_empty()) {
        said = first.trim().to_lowercase().strip_prefix("sep=").and_then(|rest| rest.chars().next());
        if said.is_some() || first.trim_end().to_lowercase() == "sep=\t" {
            *first = "";
        }
    }
    let data = lines.iter().position(|line| !line.trim().is_empty() && !is_comment(line));
    // A header in a comment: the first other line already holds a network.
    let header = data.filter(|at| *at > 0 && holds_a_network(lines[*at])).map(|at| at - 1);
    for (at, line) in lines.iter_mut().enumerate() {
        if Some(at) == header {
            *line = line.trim_start().trim_start_matches('#').trim_start();
        } else if is_comment(line) || line.trim().is_empty() {
            *line = "";
        }
    }
    (lines.join("\n") + "\n", said)
}

/// Whether any cell of a line is an architecture.
pub(super) fn holds_a_network(line: &str) -> bool {
    let cells = |separator: char| record_of(line, separator).unwrap_or_default();
    let is_network =
        |record: csv::StringRecord| record.iter().any(|cell| !cell.is_empty() && space::parse(cell).is_ok());
    SEPARATORS.into_iter().any(|separator| is_network(cells(separator)))
}
