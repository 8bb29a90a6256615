//! Measuring planned networks, one fresh load after the other, each written down before the next begins.
//!
//! Every round loads every network once, in an order of its own (see [`crate::device::session::Plan`]). What the loads
//! say of the networks' latencies is worked out when the file is read ([`crate::latency::data::pace`]): on file is what was measured.
//!
//! `measurements.csv`, one row per load:
//!
//! | column | holds |
//! |---|---|
//! | `architecture` | the network's line |
//! | `latency_ms` | median of the load's runs, on the device's clock |
//! | `samples` | runs of the load |
//! | `runs_ms` | every run, in order, separated by spaces |
//! | `source` | the device's id |
//! | `part` | `fit`, `validation`, `repeat` or `anchor` |
//! | `round` | from 1 in every batch |
//! | `batch` | from 0 |
//! | `seconds` | what the load cost, writing the model and warm-up included |
//!
//! A row is appended in one piece and synced. After a crash the rows on disk are the loads that need not be repeated; a row
//! cut short is removed. Logs made before had the fastest run as `latency_ms` and the median as `median_ms`, and no
//! `runs_ms`: they are read by their medians, and written anew in today's form when a calibration goes on.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use super::plan::{Part, Planned};
use crate::device::session::{Plan, Turn};
use crate::device::{Device, DeviceError, Model, Timing};
use crate::latency::data::DataSet;
use crate::latency::data::pace::{TimedLoad, logged};
use crate::latency::error::CalibrationError;
use crate::network::{Network, Role, Weights};
use crate::space::Architecture;
use crate::statistics::median;

/// How far a calibration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Loads done.
    pub done: usize,
    /// Loads in all.
    pub total: usize,
}

/// One load of one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The network's line.
    pub architecture: String,
    /// Median of the runs.
    pub latency_ms: f64,
    /// Number of runs.
    pub samples: usize,
    /// Every run, in order; empty in logs made before, which have the median alone.
    #[serde(with = "spaced", default)]
    pub runs_ms: Vec<f64>,
    /// Only in logs made before, where `latency_ms` is the fastest run.
    #[serde(default, skip_serializing)]
    median_ms: Option<f64>,
    /// The device's id.
    pub source: String,
    /// What it is for.
    pub part: Part,
    /// From 1.
    pub round: usize,
    /// From 0.
    #[serde(default)]
    pub batch: usize,
    /// What the load cost.
    #[serde(default)]
    pub seconds: f64,
}

impl Row {
    fn converted(self) -> Self {
        Self { latency_ms: self.median_ms.unwrap_or(self.latency_ms), median_ms: None, ..self }
    }

    /// As [`crate::latency::data::pace`] takes it.
    pub fn timed(&self) -> TimedLoad<'_> {
        let Self { architecture, latency_ms, runs_ms, part, batch, .. } = self;
        let runs_ms = if runs_ms.is_empty() { std::slice::from_ref(latency_ms) } else { runs_ms.as_slice() };
        TimedLoad { architecture, part: part.name(), batch: *batch, runs_ms }
    }
}

/// Numbers in one cell of a CSV file.
mod spaced {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = |word: &str| match word.parse::<f64>() {
            Ok(ms) if ms > 0.0 && ms.is_finite() => Ok(ms),
            _ => Err(serde::de::Error::custom(format!("runs_ms: expected positive milliseconds, found '{word}'"))),
        };
        text.split_whitespace().map(number).collect()
    }
}

/// A .tflite of an architecture for timing only. The weights are a fixed pattern of the size trained ones have: what
/// they are does not change how long a network takes, and drawing millions of random numbers would.
///
/// # Errors
/// An architecture without a network, or one that cannot be written.
pub fn timing_model(architecture: &Architecture) -> Result<Model, CalibrationError> {
    let network = Network::expand(architecture)?;
    let bytes = crate::tflite::write(&network, &pattern_weights(&network))?;
    Ok(Model {
        name: architecture.to_string(),
        architecture: Some(architecture.clone()),
        network: Some(network),
        bytes,
    })
}

/// [`timing_model`], without the file for a device that does not read it.
///
/// # Errors
/// As [`timing_model`].
pub fn model_for(device: &dyn Device, architecture: &Architecture) -> Result<Model, CalibrationError> {
    if device.reads_files() {
        return timing_model(architecture);
    }
    Ok(Model {
        name: architecture.to_string(),
        architecture: Some(architecture.clone()),
        network: Some(Network::expand(architecture)?),
        bytes: Vec::new(),
    })
}

/// Seven values of zero mean and about unit variance, repeated; seven divides no usual number of channels.
const PATTERN: [f32; 7] = [0.6, -1.2, 1.5, -0.3, -1.1, 1.0, -0.5];

fn pattern_weights(network: &Network) -> Weights {
    let array = |(name, shape): (String, Vec<usize>)| {
        let dimensions = IxDyn(&shape);
        let values = match Role::of(&name, &shape) {
            Role::Kernel { he } => {
                let mut pattern = PATTERN.iter().cycle();
                ArrayD::from_shape_simple_fn(dimensions, || he * pattern.next().unwrap_or(&1.0))
            }
            Role::Factor => ArrayD::from_elem(dimensions, 1.0),
            Role::Offset => ArrayD::from_elem(dimensions, 0.05),
        };
        (name, values)
    };
    Weights(network.weight_shapes().into_iter().map(array).collect())
}

/// All runs of one load on the device's clock, in ms.
///
/// # Errors
/// [`DeviceError`] if the model does not run, or the device gave a time that is not positive, or none.
pub fn time_load(device: &mut dyn Device, model: &Model) -> Result<Vec<f64>, DeviceError> {
    let timing: Timing = device.time(model)?;
    let description = device.description();
    let runs = timing.of(description.clock);
    if runs.is_empty() || runs.iter().any(|ms| !(*ms > 0.0 && ms.is_finite())) {
        let problem = format!("expected positive times, found {runs:?}");
        return Err(DeviceError::Model { device: description.id, model: model.name.clone(), problem });
    }
    Ok(runs.to_vec())
}

/// One batch's networks and how often each is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The networks.
    pub planned: &'a [Planned],
    /// Rounds and order.
    pub schedule: Plan,
    /// From 0.
    pub index: usize,
}

impl Batch<'_> {
    fn turns(&self) -> Vec<Turn> {
        let seed = self.schedule.seed.wrapping_add(self.index as u64);
        Plan { seed, ..self.schedule }.turns(self.planned.len())
    }

    fn is_of(&self, row: &Row, turn: Turn) -> bool {
        let expected = &self.planned[turn.model];
        row.architecture == expected.architecture.to_string()
            && (row.part, row.round, row.batch) == (expected.part, turn.round + 1, self.index)
            && row.latency_ms > 0.0
            && row.latency_ms.is_finite()
    }
}

/// The file of measurements, continued batch by batch.
pub struct Measuring {
    log: Log,
    path: PathBuf,
    /// Rows on file that a batch has claimed.
    claimed: usize,
}

impl Measuring {
    /// Opens the file, or makes it; a row that was cut short is removed.
    ///
    /// # Errors
    /// A file that cannot be read, or rows that are not a calibration's.
    pub fn open(path: &Path) -> Result<Self, CalibrationError> {
        Ok(Self { log: Log::open(path)?, path: path.to_owned(), claimed: 0 })
    }

    /// The rows of the batches so far.
    pub fn rows(&self) -> &[Row] {
        &self.log.rows[..self.claimed]
    }

    /// How many rows are on file, whether or not a batch has claimed them.
    pub fn on_file(&self) -> usize {
        self.log.rows.len()
    }

    /// Checks that no rows are left that no batch has claimed.
    ///
    /// # Errors
    /// [`CalibrationError::OtherRows`].
    pub fn finish(&self) -> Result<(), CalibrationError> {
        if self.log.rows.len() > self.claimed { Err(self.foreign(self.claimed)) } else { Ok(()) }
    }

    fn foreign(&self, index: usize) -> CalibrationError {
        CalibrationError::OtherRows { path: self.path.display().to_string(), line: index + 2 }
    }

    /// Measures a batch, or what the file lacks of it. `total` is the number of loads that may be measured in all.
    ///
    /// # Errors
    /// A failing device, file errors, [`CalibrationError::OtherRows`] if the file does not go on with this very batch,
    /// and [`CalibrationError::Interrupted`] when `progress` says so. Rows on disk stay.
    pub fn batch(
        &mut self,
        device: &mut dyn Device,
        batch: Batch<'_>,
        total: usize,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), CalibrationError> {
        let source = device.description().id;
        for turn in batch.turns() {
            if let Some(row) = self.log.rows.get(self.claimed) {
                if !batch.is_of(row, turn) {
                    return Err(self.foreign(self.claimed));
                }
            } else {
                if progress(Progress { done: self.claimed, total }).is_break() {
                    return Err(CalibrationError::Interrupted { done: self.claimed, total });
                }
                let Planned { architecture, part } = &batch.planned[turn.model];
                let start = Instant::now();
                let model = model_for(device, architecture)?;
                let runs_ms = time_load(device, &model)?;
                let (latency_ms, samples) = (median(&runs_ms), runs_ms.len());
                let (architecture, source, round) = (architecture.to_string(), source.clone(), turn.round + 1);
                let (part, batch, seconds) = (*part, batch.index, start.elapsed().as_secs_f64());
                self.log.append(Row {
                    architecture,
                    latency_ms,
                    samples,
                    runs_ms,
                    median_ms: None,
                    source,
                    part,
                    round,
                    batch,
                    seconds,
                })?;
            }
            self.claimed += 1;
        }
        // The last load is done whether or not the observer wants more.
        let _ = progress(Progress { done: self.claimed, total });
        Ok(())
    }
}

/// All rows of a calibration's file of measurements; one that was cut short at the end is left out.
///
/// # Errors
/// A file that cannot be read, or rows that are not a calibration's.
pub fn read(path: &Path) -> Result<Vec<Row>, CalibrationError> {
    let text = fs_err::read_to_string(path)?;
    parse(&text[..whole(&text)], path)
}

/// Length of the text up to its last whole row.
fn whole(text: &str) -> usize {
    text.rfind('\n').map_or(0, |end| end + 1)
}

fn parse(text: &str, path: &Path) -> Result<Vec<Row>, CalibrationError> {
    let rows = csv::Reader::from_reader(text.as_bytes()).into_deserialize();
    let rows = rows.map(|row| row.map(Row::converted)).collect::<Result<Vec<Row>, _>>();
    rows.map_err(|error| CalibrationError::Rows { path: path.display().to_string(), error })
}

/// Whether the log has the columns of before.
fn is_old(text: &str) -> bool {
    text.lines().next().is_some_and(|header| header.split(',').any(|column| column == "median_ms"))
}

/// The networks of some parts with their latencies on the undisturbed device. One that stands in two of the parts has the
/// median of its latencies there.
///
/// # Errors
/// An architecture that cannot be read.
pub fn data_of(rows: &[Row], parts: &[Part]) -> Result<DataSet, CalibrationError> {
    let loads: Vec<TimedLoad<'_>> = rows.iter().map(Row::timed).collect();
    let mut data = DataSet::default();
    for network in logged(&loads).networks {
        let Row { part, source, .. } = &rows[network.first];
        if parts.contains(part) {
            data.push(&crate::space::parse(network.architecture)?, network.ln_ms.mean.exp(), source)?;
        }
    }
    Ok(data)
}

/// The error in percent that a perfect predictor would be charged with, since what it is compared with is noisy:
/// two measurements a and b of one network differ √2 times as much as one differs from the truth, so the mean of
/// abs(a − b) / mean(a, b) is divided by √2. `None` if nothing was repeated.
///
/// # Errors
/// As [`data_of`].
pub fn noise_floor(rows: &[Row]) -> Result<Option<f64>, CalibrationError> {
    let (first, again) = (data_of(rows, &[Part::Validation])?, data_of(rows, &[Part::Repeat])?);
    let differences: Vec<f64> = (again.measurements().iter())
        .filter_map(|repeat| {
            let twin = first.measurements().iter().find(|row| row.architecture == repeat.architecture)?;
            let mean = (twin.latency_ms + repeat.latency_ms) / 2.0;
            Some((twin.latency_ms - repeat.latency_ms).abs() / mean)
        })
        .collect();
    let count = differences.len() as f64;
    Ok((count > 0.0).then(|| 100.0 * differences.iter().sum::<f64>() / count / std::f64::consts::SQRT_2))
}

/// The file of measurements, open for appending.
struct Log {
    file: fs_err::File,
    rows: Vec<Row>,
}

impl Log {
    fn open(path: &Path) -> Result<Self, CalibrationError> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let mut file = fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = whole(&text);
        let rows = parse(&text[..whole], path)?;
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let mut log = Self { file, rows: Vec::new() };
        if is_old(&text) {
            let mut anew = Vec::new();
            for (index, row) in rows.iter().enumerate() {
                anew.extend(line(row, index == 0)?);
            }
            crate::files::write_atomically(path, &anew)?;
            log.file = fs_err::OpenOptions::new().append(true).open(path)?;
        }
        log.rows = rows;
        Ok(log)
    }

    fn append(&mut self, row: Row) -> Result<(), CalibrationError> {
        self.file.write_all(&line(&row, self.rows.is_empty())?)?;
        self.file.sync_data()?;
        self.rows.push(row);
        Ok(())
    }
}

/// A row as text, below the header if it is the first.
fn line(row: &Row, first: bool) -> Result<Vec<u8>, std::io::Error> {
    let mut writer = csv::WriterBuilder::new().has_headers(first).from_writer(Vec::new());
    writer.serialize(row).map_err(std::io::Error::from)?;
    writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
}
