//! Measured latencies: reading them from CSV files, ours and other people's.
//!
//! | column | holds |
//! |---|---|
//! | `architecture` | an architecture line or a reference name (see [`crate::space::parse`]) |
//! | `latency_ms` | milliseconds, positive; `--latency-column` names another column |
//! | `source` | optional: where the number comes from, where one file holds several (runtimes, papers) |
//! | `samples` | optional: runs behind the number |
//!
//! The log of a calibration has `part` and `round`, too; its rows are freed of the device's pace
//! ([`crate::latency::data::pace`]). A file without `architecture` may name published networks by `model` (`_` reads as `-`), `width_multiplier` and
//! `input_size` instead.
//! Several rows of one architecture and source are repeated measurements. Whatever else a machine does can only add
//! time, so the fastest counts, not their median (see [`crate::latency::calibrate::measure`] for what that gains). A row whose latency is empty was not measured; such rows are counted, not guessed.
//!
//! ```
//! use mnas::latency::DataSet;
//! let text = "architecture,latency_ms\nmobilenet-v2,75\nmnasnet-a1,78\nmnasnet-a1,80\n";
//! let data = DataSet::from_csv(text.as_bytes(), "phone.csv", "latency_ms")?;
//! assert_eq!((data.len(), data.measurements()[1].latency_ms), (2, 78.0));
//! # Ok::<(), mnas::latency::DataError>(())
//! ```

pub mod features;
pub mod pace;

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::device::session::Statistic;
use crate::latency::metrics::quantile;
use crate::network::{ExpandError, Network};
use crate::space::{self, Architecture, ArchitectureError};
use features::Features;
use pace::{TimedLoad, paces};

/// The column of latencies unless another is named.
pub const LATENCY_COLUMN: &str = "latency_ms";
/// The quantile of repeated measurements that counts.
pub const REPEATS_QUANTILE: f64 = Statistic::Fastest.quantile_over_loads();

/// Why measurements cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// Not CSV.
    #[error("{origin}: {error}")]
    Csv {
        /// The file.
        origin: String,
        /// The reader's message, with the line.
        error: csv::Error,
    },
    /// A column is missing.
    #[error("{origin}: no column '{column}'; the header has {found}")]
    Column {
        /// The file.
        origin: String,
        /// What was looked for.
        column: String,
        /// The header's columns.
        found: String,
    },
    /// An architecture that cannot be understood.
    #[error("{origin}, line {line}: {error}")]
    Architecture {
        /// The file.
        origin: String,
        /// Counted from 1, header included.
        line: u64,
        /// What is wrong with it.
        error: ArchitectureError,
    },
    /// An architecture without a network.
    #[error("{origin}, line {line}: {error}")]
    Network {
        /// The file.
        origin: String,
        /// Counted from 1, header included.
        line: u64,
        /// What is wrong with it.
        error: ExpandError,
    },
    /// A value that is no positive number.
    #[error("{origin}, line {line}, column '{column}': expected {expected}, found '{found}'")]
    Value {
        /// The file.
        origin: String,
        /// Counted from 1, header included.
        line: u64,
        /// Name of the column.
        column: String,
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
}

/// One network's latency.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The network.
    pub architecture: Architecture,
    /// Its features.
    pub features: Features,
    /// The fastest of its rows, in milliseconds.
    pub latency_ms: f64,
    /// Where the number comes from; empty where nothing was said.
    pub source: String,
    /// Every row's latency, in order.
    pub repeats_ms: Vec<f64>,
}

/// Latencies of distinct networks, in the order of their first rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataSet {
    measurements: Vec<Measurement>,
    /// Index by architecture line and source.
    index: HashMap<(String, String), usize>,
    unmeasured: usize,
}

impl DataSet {
    /// Reads a CSV file.
    ///
    /// # Errors
    /// [`DataError`], with file, line and column.
    pub fn read(path: &Path, latency_column: &str) -> Result<Self, DataError> {
        Self::from_csv(fs_err::File::open(path)?, &path.display().to_string(), latency_column)
    }

    /// Reads CSV text; `origin` names it in messages.
    ///
    /// # Errors
    /// [`DataError`], with origin, line and column.
    pub fn from_csv(text: impl Read, origin: &str, latency_column: &str) -> Result<Self, DataError> {
        let failed = |error| DataError::Csv { origin: origin.to_owned(), error };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
        let columns = Columns::find(reader.headers().map_err(failed)?, origin, latency_column)?;
        let mut data = Self::default();
        let mut loads = Vec::new();
        for record in reader.records() {
            let record = record.map_err(failed)?;
            match columns.latency(&record)? {
                None => data.unmeasured += 1,
                Some(latency_ms) => loads.push((columns.architecture(&record)?, latency_ms, record)),
            }
        }
        let paces = columns.paces(&loads.iter().map(|(_, ms, record)| (record, *ms)).collect::<Vec<_>>());
        for (((architecture, network), latency_ms, record), pace) in loads.into_iter().zip(paces) {
            data.add(architecture, Features::of(&network), latency_ms / pace, columns.source(&record));
        }
        Ok(data)
    }

    /// Adds one latency; a second one of the same architecture and source makes the first more certain.
    ///
    /// # Errors
    /// [`ExpandError`] for an architecture without a network.
    ///
    /// # Panics
    /// If the latency is not a positive number.
    pub fn push(&mut self, architecture: &Architecture, latency_ms: f64, source: &str) -> Result<(), ExpandError> {
        assert!(latency_ms.is_finite() && latency_ms > 0.0, "a latency must be positive, found {latency_ms}");
        let features = Features::of(&Network::expand(architecture)?);
        self.add(architecture.clone(), features, latency_ms, source);
        Ok(())
    }

    fn add(&mut self, architecture: Architecture, features: Features, latency_ms: f64, source: &str) {
        let key = (architecture.to_string(), source.to_owned());
        let at = *self.index.entry(key).or_insert(self.measurements.len());
        if at == self.measurements.len() {
            let source = source.to_owned();
            self.measurements.push(Measurement { architecture, features, latency_ms, source, repeats_ms: Vec::new() });
        }
        let measurement = &mut self.measurements[at];
        measurement.repeats_ms.push(latency_ms);
        measurement.latency_ms = quantile(&measurement.repeats_ms, REPEATS_QUANTILE).unwrap_or(latency_ms);
    }

    /// The measurements.
    pub fn measurements(&self) -> &[Measurement] {
        &self.measurements
    }

    /// Number of distinct networks (counted once per source).
    pub fn len(&self) -> usize {
        self.measurements.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.measurements.is_empty()
    }

    /// Rows whose latency was empty.
    pub fn unmeasured(&self) -> usize {
        self.unmeasured
    }

    /// The measured latencies.
    pub fn latencies_ms(&self) -> Vec<f64> {
        self.measurements.iter().map(|measurement| measurement.latency_ms).collect()
    }

    /// The measurements with these indices, as a data set of their own.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut part = Self::default();
        for &index in indices {
            let measurement = self.measurements[index].clone();
            part.index.insert((measurement.architecture.to_string(), measurement.source.clone()), part.len());
            part.measurements.push(measurement);
        }
        part
    }

    /// The indices of the measurements in an order of their own: by architecture line, then by source.
    pub fn sorted(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_cached_key(|&index| {
            let row = &self.measurements[index];
            (row.architecture.to_string(), row.source.clone())
        });
        order
    }

    /// Digest (blake3, hexadecimal) of architectures, sources and latencies.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for row in &self.measurements {
            hasher.update(format!("{},{},{}\n", row.architecture, row.source, row.latency_ms).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The sources, sorted by name, with their numbers of measurements.
    pub fn sources(&self) -> Vec<SourceCount> {
        let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
        self.measurements.iter().for_each(|row| *counts.entry(&row.source).or_default() += 1);
        counts.into_iter().map(|(source, networks)| SourceCount { source: source.to_owned(), networks }).collect()
    }
}

/// How many measurements a source gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCount {
    /// The source's name.
    pub source: String,
    /// Its networks.
    pub networks: usize,
}

/// Where the columns are.
struct Columns<'a> {
    origin: &'a str,
    latency: usize,
    latency_name: &'a str,
    source: Option<usize>,
    log: Option<LogColumns>,
    network: NetworkColumns,
}

/// The columns that only a calibration's own log has.
struct LogColumns {
    architecture: usize,
    part: usize,
    batch: Option<usize>,
}

enum NetworkColumns {
    Line(usize),
    Published { model: usize, width_multiplier: Option<usize>, input_size: Option<usize> },
}

impl<'a> Columns<'a> {
    fn find(header: &csv::StringRecord, origin: &'a str, latency_name: &'a str) -> Result<Self, DataError> {
        let position = |name: &str| header.iter().position(|column| column == name);
        let missing = |column: &str| DataError::Column {
            origin: origin.to_owned(),
            column: column.to_owned(),
            found: header.iter().map(|column| format!("'{column}'")).collect::<Vec<_>>().join(", "),
        };
        let network = match (position("architecture"), position("model")) {
            (Some(line), _) => NetworkColumns::Line(line),
            (None, Some(model)) => NetworkColumns::Published {
                model,
                width_multiplier: position("width_multiplier"),
                input_size: position("input_size"),
            },
            (None, None) => return Err(missing("architecture")),
        };
        let latency = position(latency_name).ok_or_else(|| missing(latency_name))?;
        let log = match (position("architecture"), position("part"), position("round")) {
            (Some(architecture), Some(part), Some(_)) => {
                Some(LogColumns { architecture, part, batch: position("batch") })
            }
            _ => None,
        };
        Ok(Self { origin, latency, latency_name, source: position("source"), log, network })
    }

    fn latency(&self, record: &csv::StringRecord) -> Result<Option<f64>, DataError> {
        let text = &record[self.latency];
        match text.parse::<f64>() {
            _ if text.is_empty() => Ok(None),
            Ok(value) if value.is_finite() && value > 0.0 => Ok(Some(value)),
            _ => Err(DataError::Value {
                origin: self.origin.to_owned(),
                line: line_of(record),
                column: self.latency_name.to_owned(),
                expected: "a positive number of milliseconds",
                found: text.to_owned(),
            }),
        }
    }

    /// The device's pace at every row: 1 for all but a calibration's log, whose rows stand in the order of their timing.
    fn paces(&self, loads: &[(&csv::StringRecord, f64)]) -> Vec<f64> {
        let Some(&LogColumns { architecture, part, batch }) = self.log.as_ref() else { return vec![1.0; loads.len()] };
        let load = |(record, latency_ms): &(&'_ csv::StringRecord, f64)| {
            // A file without batches is one batch.
            let batch = batch.and_then(|column| record[column].parse().ok()).unwrap_or(0);
            (record[architecture].to_owned(), record[part].to_owned(), batch, *latency_ms)
        };
        let loads: Vec<(String, String, usize, f64)> = loads.iter().map(load).collect();
        let timed = loads.iter().map(|(architecture, part, batch, latency_ms)| TimedLoad {
            architecture,
            part,
            batch: *batch,
            latency_ms: *latency_ms,
        });
        paces(&timed.collect::<Vec<_>>())
    }

    fn source<'r>(&self, record: &'r csv::StringRecord) -> &'r str {
        self.source.map_or("", |column| &record[column])
    }

    fn architecture(&self, record: &csv::StringRecord) -> Result<(Architecture, Network), DataError> {
        let (origin, line) = (self.origin.to_owned(), line_of(record));
        let architecture = match space::parse(&self.network_text(record)) {
            Ok(architecture) => architecture,
            Err(error) => return Err(DataError::Architecture { origin, line, error }),
        };
        match Network::expand(&architecture) {
            Ok(network) => Ok((architecture, network)),
            Err(error) => Err(DataError::Network { origin, line, error }),
        }
    }

    fn network_text(&self, record: &csv::StringRecord) -> String {
        let cell = |sign: &str, column: Option<usize>| {
            column.map(|column| &record[column]).filter(|text| !text.is_empty()).map(|text| format!("{sign}{text}"))
        };
        match self.network {
            NetworkColumns::Line(line) => record[line].to_owned(),
            NetworkColumns::Published { model, width_multiplier, input_size } => {
                [Some(record[model].replace('_', "-")), cell("@", width_multiplier), cell("/", input_size)]
                    .into_iter()
                    .flatten()
                    .collect()
            }
        }
    }
}

fn line_of(record: &csv::StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}
