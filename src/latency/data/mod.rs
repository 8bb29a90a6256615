//! Measured latencies: reading them from CSV files, ours and other people's.
//!
//! | column | holds |
//! |---|---|
//! | `architecture` | an architecture line or a reference name (see [`crate::space::parse`]) |
//! | `latency_ms` | milliseconds, positive; `--latency-column` names another column |
//! | `source` | optional: where the number comes from, where one file holds several (runtimes, papers) |
//! | `samples` | optional: runs behind the number |
//!
//! Rows with a `round` are a log of loads in the order of their timing, as a calibration writes it
//! ([`crate::latency::calibrate::measure`]); its latencies and the device's pace are worked out together ([`pace`]). A file without `architecture` may name published networks by `model` (`_` reads as `-`), `width_multiplier` and
//! `input_size` instead.
//! Several rows of one architecture and source are repeated measurements, of which the median counts. A row whose latency is empty was not measured; such rows are counted, not guessed.
//!
//! ```
//! use mnas::latency::DataSet;
//! let text = "architecture,latency_ms\nmobilenet-v2,75\nmnasnet-a1,78\nmnasnet-a1,80\n";
//! let data = DataSet::from_csv(text.as_bytes(), "phone.csv", "latency_ms")?;
//! assert_eq!((data.len(), data.measurements()[1].latency_ms), (2, 79.0));
//! # Ok::<(), mnas::latency::DataError>(())
//! ```

pub mod features;
pub mod pace;

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::device::noise::DeviceNoise;
use crate::network::{ExpandError, Network};
use crate::space::{self, Architecture, ArchitectureError};
use crate::statistics::median;
use features::Features;
use pace::{TimedLoad, logged};

/// The column of latencies unless another is named.
pub const LATENCY_COLUMN: &str = "latency_ms";

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
    /// The median of its rows, in milliseconds.
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
    noise: Option<DeviceNoise>,
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
        let CsvLatencies { networks, noise } = columns.latencies(&loads)?;
        data.noise = noise;
        for (first, latency_ms) in networks {
            let ((architecture, network), _, record) = &loads[first];
            data.add(architecture.clone(), Features::of(network), latency_ms, columns.source(record));
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
        measurement.latency_ms = median(&measurement.repeats_ms);
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

    /// The device's noise, where the rows are a log of its loads.
    pub fn noise(&self) -> Option<DeviceNoise> {
        self.noise
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

/// The columns of a log of loads.
struct LogColumns {
    part: Option<usize>,
    batch: Option<usize>,
    runs: Option<usize>,
    /// Only there where `latency_ms` is the fastest run ([`crate::latency::calibrate::measure`]).
    median: Option<usize>,
}

/// A row: its network, its latency in ms, and all of its cells.
type CsvLoad = ((Architecture, Network), f64, csv::StringRecord);

/// What the rows of a file say.
struct CsvLatencies {
    /// Index of a row that names the network, and its latency in ms.
    networks: Vec<(usize, f64)>,
    /// The device's noise, where a log tells it.
    noise: Option<DeviceNoise>,
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
        let log = position("round").filter(|_| latency_name == LATENCY_COLUMN).map(|_| LogColumns {
            part: position("part"),
            batch: position("batch"),
            runs: position("runs_ms"),
            median: position("median_ms"),
        });
        Ok(Self { origin, latency, latency_name, source: position("source"), log, network })
    }

    fn latency(&self, record: &csv::StringRecord) -> Result<Option<f64>, DataError> {
        let text = &record[self.latency];
        if text.is_empty() { Ok(None) } else { self.positive(self.latency_name, text, record).map(Some) }
    }

    /// The latencies: of a log worked out from all its loads, else one for each row.
    fn latencies(&self, loads: &[CsvLoad]) -> Result<CsvLatencies, DataError> {
        let Some(log) = &self.log else {
            return Ok(CsvLatencies {
                networks: loads.iter().map(|(_, ms, _)| *ms).enumerate().collect(),
                noise: None,
            });
        };
        let lines: Vec<String> = loads.iter().map(|((architecture, _), ..)| architecture.to_string()).collect();
        let runs: Vec<Vec<f64>> =
            loads.iter().map(|(_, ms, record)| self.runs(log, *ms, record)).collect::<Result<_, _>>()?;
        let timed = loads.iter().zip(&lines).zip(&runs).map(|(((_, _, record), architecture), runs_ms)| TimedLoad {
            architecture,
            part: log.part.map_or("", |column| &record[column]),
            // A file without batches is one batch.
            batch: log.batch.and_then(|column| record[column].parse().ok()).unwrap_or(0),
            runs_ms,
        });
        let logged = logged(&timed.collect::<Vec<_>>());
        let networks = logged.networks.iter().map(|network| (network.first, network.ln_ms.mean.exp())).collect();
        Ok(CsvLatencies { networks, noise: Some(logged.noise) })
    }

    /// Every run of a load, or its one latency.
    fn runs(&self, log: &LogColumns, latency_ms: f64, record: &csv::StringRecord) -> Result<Vec<f64>, DataError> {
        let runs = log.runs.map_or("", |column| &record[column]);
        if !runs.is_empty() {
            return runs.split_whitespace().map(|text| self.positive("runs_ms", text, record)).collect();
        }
        match log.median {
            Some(column) => Ok(vec![self.positive("median_ms", &record[column], record)?]),
            None => Ok(vec![latency_ms]),
        }
    }

    fn positive(&self, column: &str, text: &str, record: &csv::StringRecord) -> Result<f64, DataError> {
        text.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0).ok_or_else(|| DataError::Value {
            origin: self.origin.to_owned(),
            line: line_of(record),
            column: column.to_owned(),
            expected: "a positive number of milliseconds",
            found: text.to_owned(),
        })
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
