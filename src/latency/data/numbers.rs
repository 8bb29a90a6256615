//! Latencies as people write them in cells: with units, decimal commas, and separators of thousands.
//!
//! Whether a comma is a decimal sign or separates thousands is one decision for a whole column, and never a silent guess:
//!
//! | seen | means |
//! |---|---|
//! | `1,234.5`, `1,234,567`, `1234.5`, `0.5` | the point is the decimal sign |
//! | `1.234,5`, `1234,5`, `39,56`, `0,5`, or `se0,25` in an architecture | the comma is the decimal sign |
//! | only cells like `39,566`, columns separated by semicolons, tabs or bars | the comma is: that is how such files come about |
//! | only cells like `39,566`, columns separated by commas | refused |

use serde::{Deserialize, Serialize};

/// What a number of a latency counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 4] = [Self::Nanoseconds, Self::Microseconds, Self::Milliseconds, Self::Seconds];

    /// `ns`, `us`, `ms` or `s`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }

    /// Milliseconds of one.
    pub fn in_ms(self) -> f64 {
        match self {
            Self::Nanoseconds => 1e-6,
            Self::Microseconds => 1e-3,
            Self::Milliseconds => 1.0,
            Self::Seconds => 1e3,
        }
    }

    /// The unit that a word names, in any of the usual ways.
    pub fn of_word(word: &str) -> Option<Self> {
        match word.to_lowercase().as_str() {
            "ns" | "nsec" | "nanos" | "nanosecond" | "nanoseconds" => Some(Self::Nanoseconds),
            "us" | "\u{b5}s" | "\u{3bc}s" | "usec" | "usecs" | "micros" | "microsec" | "microsecond"
            | "microseconds" => Some(Self::Microseconds),
            "ms" | "msec" | "msecs" | "millis" | "millisec" | "millisecond" | "milliseconds" => {
                Some(Self::Milliseconds)
            }
            "s" | "sec" | "secs" | "second" | "seconds" => Some(Self::Seconds),
            _ => None,
        }
    }
}

impl std::str::FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::of_word(text).ok_or_else(|| format!("'{text}' is no unit of time; expected us, ms or s (or ns)"))
    }
}

/// The sign before the fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decimal {
    Point,
    Comma,
}

/// A cell's number, still as text, and the unit that stands behind it.
fn split(cell: &str) -> (&str, Option<Unit>) {
    let cell = cell.trim();
    let letters = |c: char| c.is_alphabetic() || c == '\u{b5}';
    let number = cell.trim_end_matches(letters);
    match Unit::of_word(&cell[number.len()..]) {
        Some(unit) => (number.trim_end(), Some(unit)),
        None => (cell, None),
    }
}

/// Characters that separate thousands and never are a decimal sign.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '\u{2019}')
}

/// The decimal sign that a cell must have; `None` where either is possible.
pub(super) fn evidence(cell: &str) -> Option<Decimal> {
    let number: String = split(cell).0.chars().filter(|c| !is_space(*c)).collect();
    let number = number.split(['e', 'E']).next().unwrap_or_default();
    let (points, commas) = (number.matches('.').count(), number.matches(',').count());
    match (points, commas) {
        (0, 0) => None,
        (1.., 1..) => Some(if number.rfind('.') > number.rfind(',') { Decimal::Point } else { Decimal::Comma }),
        (0, 2..) => Some(Decimal::Point),
        (2.., 0) => Some(Decimal::Comma),
        (1, 0) => (!is_group(number, '.')).then_some(Decimal::Point),
        _ => (!is_group(number, ',')).then_some(Decimal::Comma),
    }
}

/// Whether what stands behind the sign may be three more digits of a whole number.
fn is_group(number: &str, sign: char) -> bool {
    let number = number.trim_start_matches(['+', '-']);
    let (whole, rest) = number.split_once(sign).unwrap_or((number, ""));
    rest.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0')
}

/// The milliseconds of a cell whose number is in `unit` unless the cell names its own; `None` for what is no positive
/// number.
pub(super) fn milliseconds(cell: &str, decimal: Decimal, unit: Unit) -> Option<f64> {
    let (number, own) = split(cell);
    let (sign, group) = match decimal {
        Decimal::Point => ('.', ','),
        Decimal::Comma => (',', '.'),
    };
    let (whole, rest) = number.split_once(sign).map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let mut groups = whole.split(|c: char| c == group || is_space(c));
    let first = groups.next().unwrap_or_default();
    let others: Vec<&str> = groups.collect();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let grouped = others.iter().all(|group| group.len() == 3 && digits(group)) && (1..=3).contains(&first.len());
    if !others.is_empty() && !grouped {
        return None;
    }
    let plain = format!("{first}{}{}", others.concat(), rest.map_or_else(String::new, |rest| format!(".{rest}")));
    let value: f64 = plain.parse().ok()?;
    let ms = value * own.unwrap_or(unit).in_ms();
    (ms.is_finite() && ms > 0.0).then_some(ms)
}

/// The text of an architecture with decimal points: `se0,25` becomes `se0.25`.
pub(super) fn with_points(architecture: &str) -> String {
    let characters: Vec<char> = architecture.chars().collect();
    let digit = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(char::is_ascii_digit);
    let point = |(at, c): (usize, &char)| match c {
        ',' if digit(at.checked_sub(1)) && digit(Some(at + 1)) => '.',
        c => *c,
    };
    characters.iter().enumerate().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_they_are_meant() {
        use Decimal::{Comma, Point};
        for (cell, decimal, expected) in [
            ("12.3", Point, 12.3),
            ("12,3", Comma, 12.3),
            ("1,234.5", Point, 1234.5),
            ("1.234,5", Comma, 1234.5),
            ("1 234,5", Comma, 1234.5),
            ("1\u{a0}234\u{202f}567", Point, 1_234_567.0),
            ("1'234.5", Point, 1234.5),
            ("1.2e1", Point, 12.0),
            ("1,2E+01", Comma, 12.0),
            ("12.3 ms", Point, 12.3),
            ("12300us", Point, 12.3),
            ("12300 \u{b5}s", Point, 12.3),
            ("0.0123 s", Point, 12.3),
            ("+7", Point, 7.0),
        ] {
            let found = milliseconds(cell, decimal, Unit::Milliseconds).unwrap_or(f64::NAN);
            assert!((found / expected - 1.0).abs() < 1e-9, "{cell}: {found}");
        }
        for cell in ["0", "-3", "nan", "inf", "", "fast", "12.3 kg", "1,23,4", "12.3.4", "12 3", "~5", "5\u{b1}1"] {
            assert_eq!(milliseconds(cell, Point, Unit::Milliseconds), None, "{cell}");
        }
    }

    #[test]
    fn a_decimal_sign_shows_in_some_cells_and_not_in_others() {
        for (cell, expected) in [
            ("39,56", Some(Decimal::Comma)),
            ("39,566", None),
            ("0,566", Some(Decimal::Comma)),
            ("1234,567", Some(Decimal::Comma)),
            ("1.234,5", Some(Decimal::Comma)),
            ("1,234.5", Some(Decimal::Point)),
            ("39.566", None),
            ("39.5", Some(Decimal::Point)),
            ("39", None),
            ("1,234,567", Some(Decimal::Point)),
        ] {
            assert_eq!(evidence(cell), expected, "{cell}");
        }
    }
}
