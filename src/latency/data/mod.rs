//! Measured latencies: reading them from CSV files, ours and other people's.
//!
//! | column | holds |
//! |---|---|
//! | `architecture` | an architecture line or a reference name (see [`crate::space::parse`]) |
//! | `latency_ms` | positive; `--latency-column` names another column, `--unit` another unit |
//! | `source` | optional: where the number comes from, where one file holds several (runtimes, papers) |
//! | `samples` | optional: runs behind the number |
//!
//! Other names, units, separators, decimal signs and encodings are understood where they are clear: `columns`,
//! [`numbers`], `table` and [`crate::text`] say which. Several rows of one architecture and source are repeated
//! measurements ([`repeats`]). A row whose latency is empty was not measured; such rows are counted, not guessed. Instead
//! of `architecture`, a `model` with `width_multiplier` and `input_size` may name a published network.
//!
//! Rows with a `round` are a log of loads in the order of their timing, as a calibration writes it
//! ([`crate::latency::calibrate::measure`]); its latencies and the device's pace are worked out together ([`pace`]).
//!
//! ```
//! use mnas::latency::DataSet;
//! let text = "architecture;Latency (us)\nmobilenet_v2;75.000,5\nmnasnet-a1;78000\nmnasnet-a1;80000\n";
//! let data = DataSet::from_csv(text.as_bytes(), "phone.csv", "latency_ms")?;
//! assert_eq!((data.len(), data.measurements()[0].latency_ms), (2, 75.0005));
//! assert!((data.measurements()[1].latency_ms - 79.0).abs() < 0.5);
//! # Ok::<(), mnas::latency::DataError>(())
//! ```

mod columns;
pub mod error;
pub mod features;
pub mod numbers;
pub mod pace;
pub mod reading;
pub mod repeats;
mod table;

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::device::noise::DeviceNoise;
use crate::network::{ExpandError, Network};
use crate::space::Architecture;
use crate::statistics::median;
pub use error::{DataError, LATENCY_COLUMN};
use features::Features;
use reading::{ReadOptions, Reading};

/// One network's latency.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The network.
    pub architecture: Architecture,
    /// Its features.
    pub features: Features,
    /// What its rows say together, in milliseconds.
    pub latency_ms: f64,
    /// Where the number comes from; empty where nothing was said.
    pub source: String,
    /// Every row's latency, in order.
    pub repeats_ms: Vec<f64>,
    /// What it is for, where the file says that.
    pub part: Option<RowPart>,
}

/// What a file says that a network is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowPart {
    /// To be fitted.
    Fit,
    /// To judge the fit.
    Validation,
}

impl RowPart {
    /// As files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Validation => "validation",
        }
    }
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
    /// Reads a CSV file; [`Reading`] has more options, and says more about the file.
    ///
    /// # Errors
    /// [`DataError`], with file, line and column.
    pub fn read(path: &Path, latency_column: &str) -> Result<Self, DataError> {
        let options = ReadOptions { latency_column: latency_column.to_owned(), ..ReadOptions::default() };
        Ok(Reading::of_file(path, &options)?.data)
    }

    /// Reads CSV text; `origin` names it in messages.
    ///
    /// # Errors
    /// [`DataError`], with origin, line and column.
    pub fn from_csv(text: impl Read, origin: &str, latency_column: &str) -> Result<Self, DataError> {
        let options = ReadOptions { latency_column: latency_column.to_owned(), ..ReadOptions::default() };
        Ok(Reading::of(text, origin, &options)?.data)
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
        match self.index.get(&(architecture.to_string(), source.to_owned())) {
            None => self.insert(architecture, features, latency_ms, source, vec![latency_ms], None),
            Some(&at) => {
                let measurement = &mut self.measurements[at];
                measurement.repeats_ms.push(latency_ms);
                measurement.latency_ms = median(&measurement.repeats_ms);
            }
        }
    }

    /// Adds a network that is not there yet.
    fn insert(
        &mut self,
        architecture: Architecture,
        features: Features,
        latency_ms: f64,
        source: &str,
        repeats_ms: Vec<f64>,
        part: Option<RowPart>,
    ) {
        let source = source.to_owned();
        self.index.insert((architecture.to_string(), source.clone()), self.measurements.len());
        self.measurements.push(Measurement { architecture, features, latency_ms, source, repeats_ms, part });
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

    /// The device's noise, where the rows are a log of its loads, or enough networks were measured repeatedly.
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
