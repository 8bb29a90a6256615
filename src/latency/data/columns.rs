//! Which column holds what, by names that people give them.
//!
//! | wanted | found by |
//! |---|---|
//! | network | `architecture` or `arch`; else the first column whose first cell is an architecture or the name of one |
//! | latency | the name asked for, in any case; where that is the default, a name with `latency`, else one that speaks of time (`mean_time`, `inference [us]`), else one that ends in a unit |
//! | unit | the name's: `latency_us`, `Latency (ms)`, `time[s]`; `--unit` overrules it |
//!
//! Names of spreads, extremes and counts (`latency_std_ms`, `max`, `warmup_ms`) are not taken for latencies. Two columns
//! that suit equally well, or that have one name, are refused by name.

use super::error::{DataError, LATENCY_COLUMN};
use super::numbers::Unit;
use crate::space;

/// Names of the column of networks.
const ARCHITECTURE: [&str; 2] = ["architecture", "arch"];
/// Words that speak of how long something takes.
const OF_TIME: [&str; 11] =
    ["time", "duration", "runtime", "inference", "elapsed", "median", "mean", "avg", "average", "wall", "zeit"];
/// Words of what is no latency.
const NOT_LATENCY: [&str; 30] = [
    "std",
    "stddev",
    "stdev",
    "sd",
    "var",
    "variance",
    "err",
    "error",
    "ci",
    "cv",
    "min",
    "max",
    "minimum",
    "maximum",
    "low",
    "high",
    "lower",
    "upper",
    "count",
    "samples",
    "runs",
    "iterations",
    "warmup",
    "warm",
    "init",
    "load",
    "loading",
    "compile",
    "date",
    "deviation",
];

/// Places of the columns that are read.
pub(super) struct Places {
    pub network: usize,
    /// Whether the network may be split over columns, as published tables have it.
    pub width_multiplier: Option<usize>,
    pub input_size: Option<usize>,
    pub latency: usize,
    pub source: Option<usize>,
    pub part: Option<usize>,
}

/// A header, for looking things up.
pub(super) struct Header<'a> {
    pub names: Vec<&'a str>,
    pub origin: &'a str,
}

impl<'a> Header<'a> {
    pub fn new(header: &'a csv::StringRecord, origin: &'a str) -> Self {
        Self { names: header.iter().collect(), origin }
    }

    /// Finds the columns; `first` is the first row.
    pub fn places(
        &self,
        first: Option<&csv::StringRecord>,
        latency: &str,
        part: Option<&str>,
    ) -> Result<Places, DataError> {
        let network = self.network(first)?;
        let named = ARCHITECTURE.contains(&key(self.names[network]).as_str());
        let beside = |name: &str| if named { Ok(None) } else { self.position(name) };
        Ok(Places {
            network,
            width_multiplier: beside("width_multiplier")?,
            input_size: beside("input_size")?,
            latency: self.latency(latency, network)?,
            source: self.position("source")?,
            part: part.map(|name| self.position(name)?.ok_or_else(|| self.missing(name))).transpose()?,
        })
    }

    /// The column of a name, in the same case or any; `None` without one.
    pub fn position(&self, name: &str) -> Result<Option<usize>, DataError> {
        let of = |same: &dyn Fn(&str) -> bool| -> Vec<usize> {
            self.names.iter().enumerate().filter(|(_, found)| same(found)).map(|(at, _)| at).collect()
        };
        let wanted = key(name);
        match of(&|found| key(found) == wanted)[..] {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            ref several => Err(self.several(name, several, "rename or remove one of them")),
        }
    }

    fn network(&self, first: Option<&csv::StringRecord>) -> Result<usize, DataError> {
        for name in ARCHITECTURE {
            if let Some(place) = self.position(name)? {
                return Ok(place);
            }
        }
        let holds_one = |cell: &str| !cell.is_empty() && space::parse(&super::numbers::with_points(cell)).is_ok();
        let by_content = first.and_then(|row| row.iter().position(holds_one));
        match (by_content, self.position("model")?) {
            (Some(place), _) | (None, Some(place)) => Ok(place),
            (None, None) => Err(self.missing(ARCHITECTURE[0])),
        }
    }

    fn latency(&self, wanted: &str, network: usize) -> Result<usize, DataError> {
        if let Some(place) = self.position(wanted)? {
            return Ok(place);
        }
        if wanted != LATENCY_COLUMN {
            return Err(self.missing(wanted));
        }
        let words: Vec<Vec<String>> = self.names.iter().map(|name| words(name)).collect();
        let suits = |of: &dyn Fn(&[String]) -> bool| -> Vec<usize> {
            let columns = words.iter().enumerate().filter(|(at, words)| *at != network && of(words));
            columns.filter(|(_, words)| !words.iter().any(|word| is_no_latency(word))).map(|(at, _)| at).collect()
        };
        let with_unit = |words: &[String]| words.iter().any(|word| Unit::of_word(word).is_some());
        let of_time = |words: &[String]| words.iter().any(|word| OF_TIME.contains(&word.as_str()));
        for found in [
            suits(&|words| words.iter().any(|word| word.starts_with("laten"))),
            suits(&|words| of_time(words) && with_unit(words)),
            suits(&of_time),
            suits(&|words| words.len() > 1 && with_unit(words)),
        ] {
            match found[..] {
                [] => {}
                [only] => return Ok(only),
                ref several => return Err(self.several(wanted, several, "say which with --latency-column NAME")),
            }
        }
        Err(self.missing(wanted))
    }

    fn missing(&self, column: &str) -> DataError {
        let found = self.names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        DataError::Column { origin: self.origin.to_owned(), column: column.to_owned(), found }
    }

    fn several(&self, column: &str, places: &[usize], remedy: &'static str) -> DataError {
        let found = places.iter().map(|at| format!("column {} '{}'", at + 1, self.names[*at]));
        DataError::SeveralColumns {
            origin: self.origin.to_owned(),
            column: column.to_owned(),
            found: found.collect::<Vec<_>>().join(" and "),
            remedy,
        }
    }
}

/// The unit that a column's name says.
pub(super) fn unit_of(name: &str) -> Option<Unit> {
    words(name).iter().rev().find_map(|word| Unit::of_word(word))
}

fn is_no_latency(word: &str) -> bool {
    NOT_LATENCY.contains(&word) || percentile(word).is_some_and(|percent| percent != 50)
}

fn percentile(word: &str) -> Option<u32> {
    word.strip_prefix('p')?.parse().ok()
}

/// A name for comparison.
fn key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The words of a name in lower case: `latencyMs`, `latency_ms` and `Latency (ms)` have the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || (before.is_lowercase() && c.is_uppercase()) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().into_iter().for_each(|word| word.extend(c.to_lowercase()));
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}
