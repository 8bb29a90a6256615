//! Measuring planned networks, one fresh load after the other, each written down before the next begins.
//!
//! Every round loads every network once, in an order of its own (see [`crate::device::session::Plan`]). Other work on
//! the machine only ever adds time, so a load's latency is the *fastest* of its runs, and a network's the lower
//! quartile over its loads. On a host with seven busy processes on two cores, halves of four loads of one network
//! differed by 5.8 % when medians were taken of medians, and by 3.4 % like this. The load's median stands beside it.
//!
//! `measurements.csv`, one row per load:
//!
//! | column | holds |
//! |---|---|
//! | `architecture` | the network's line |
//! | `latency_ms` | fastest run of the load, on the device's clock |
//! | `median_ms` | median of the load's runs |
//! | `samples` | runs of the load |
//! | `source` | the device's id |
//! | `part` | `fit`, `validation` or `repeat` |
//! | `round` | from 1 |
//!
//! A row is appended in one piece and synced. After a crash the rows on disk are the loads that need not be repeated;
//! a row cut short is removed.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use super::CalibrationError;
use super::data::DataSet;
use super::metrics::median;
use super::plan::{Part, Planned};
use crate::device::session::{Plan, Statistic, Turn};
use crate::device::{Device, DeviceError, Model, Timing};
use crate::network::{Network, Weights};
use crate::space::Architecture;

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
    /// Fastest run.
    pub latency_ms: f64,
    /// Median of the runs.
    pub median_ms: f64,
    /// Number of runs.
    pub samples: usize,
    /// The device's id.
    pub source: String,
    /// What it is for.
    pub part: Part,
    /// From 1.
    pub round: usize,
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
        let inputs = shape[1..].iter().product::<usize>().max(1) as f32;
        let scale = (2.0 / inputs).sqrt();
        let mut pattern = PATTERN.iter().cycle();
        let mut value = || match name.rsplit_once('.').map(|(_, last)| last) {
            Some("weight") if shape.len() > 1 => scale * pattern.next().unwrap_or(&1.0),
            Some("weight" | "running_var") => 1.0,
            _ => 0.05,
        };
        let values = ArrayD::from_shape_simple_fn(IxDyn(&shape), &mut value);
        (name, values)
    };
    Weights(network.weight_shapes().into_iter().map(array).collect())
}

/// The latency of one load: its fastest run on the device's clock.
///
/// # Errors
/// [`DeviceError`] if the model does not run, or the device gave no positive time.
pub fn time_load(device: &mut dyn Device, model: &Model) -> Result<Load, DeviceError> {
    let timing: Timing = device.time(model)?;
    let description = device.description();
    let runs = timing.of(description.clock);
    let fastest = timing.statistic_ms(description.clock, Statistic::Fastest).unwrap_or(f64::NAN);
    if !(fastest > 0.0 && fastest.is_finite()) {
        let problem = format!("expected positive times, found {runs:?}");
        return Err(DeviceError::Model { device: description.id, model: model.name.clone(), problem });
    }
    Ok(Load { latency_ms: fastest, median_ms: median(runs).unwrap_or(fastest), samples: runs.len() })
}

/// What a load gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Fastest run.
    pub latency_ms: f64,
    /// Median run.
    pub median_ms: f64,
    /// Number of runs.
    pub samples: usize,
}

/// Measures `planned` in rounds, continuing the file at `path` if there is one, and gives all rows in order.
///
/// # Errors
/// A failing device, file errors, [`CalibrationError::OtherRows`] if the file is not the beginning of this very plan,
/// and [`CalibrationError::Interrupted`] when `progress` says so. Rows on disk stay.
pub fn measure(
    device: &mut dyn Device,
    planned: &[Planned],
    schedule: Plan,
    path: &Path,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<Row>, CalibrationError> {
    let turns = schedule.turns(planned.len());
    let mut log = Log::open(path)?;
    let source = device.description().id;
    for (index, (row, turn)) in log.rows.iter().zip(&turns).enumerate() {
        let expected = &planned[turn.model];
        if row.architecture != expected.architecture.to_string()
            || (row.part, row.round) != (expected.part, turn.round + 1)
            || !(row.latency_ms > 0.0 && row.latency_ms.is_finite())
        {
            return Err(CalibrationError::OtherRows { path: path.display().to_string(), line: index + 2 });
        }
    }
    if log.rows.len() > turns.len() {
        return Err(CalibrationError::OtherRows { path: path.display().to_string(), line: turns.len() + 2 });
    }
    for Turn { round, model } in turns.iter().skip(log.rows.len()) {
        let at = Progress { done: log.rows.len(), total: turns.len() };
        if progress(at).is_break() {
            return Err(CalibrationError::Interrupted { done: at.done, total: at.total });
        }
        let Planned { architecture, part } = &planned[*model];
        let Load { latency_ms, median_ms, samples } = time_load(device, &timing_model(architecture)?)?;
        let architecture = architecture.to_string();
        let source = source.clone();
        log.append(Row { architecture, latency_ms, median_ms, samples, source, part: *part, round: round + 1 })?;
    }
    // The last load is done whether or not the observer wants more.
    let _ = progress(Progress { done: turns.len(), total: turns.len() });
    Ok(log.rows)
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
    let rows = csv::Reader::from_reader(text.as_bytes()).deserialize().collect::<Result<Vec<Row>, _>>();
    rows.map_err(|error| CalibrationError::Rows { path: path.display().to_string(), error })
}

/// The rows of some part as measurements.
///
/// # Errors
/// An architecture that cannot be read.
pub fn data_of(rows: &[Row], parts: &[Part]) -> Result<DataSet, CalibrationError> {
    let mut data = DataSet::default();
    for row in rows.iter().filter(|row| parts.contains(&row.part)) {
        data.push(&crate::space::parse(&row.architecture)?, row.latency_ms, &row.source)?;
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
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, rows: parse(&text[..whole], path)? })
    }

    fn append(&mut self, row: Row) -> Result<(), CalibrationError> {
        let first = self.file.stream_position()? == 0;
        let mut writer = csv::WriterBuilder::new().has_headers(first).from_writer(Vec::new());
        let text = writer
            .serialize(&row)
            .map_err(std::io::Error::from)
            .and_then(|()| writer.into_inner().map_err(|error| std::io::Error::other(error.to_string())))?;
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        self.rows.push(row);
        Ok(())
    }
}
