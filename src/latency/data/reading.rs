//! From a file of measurements to a data set, with everything about the file that its user should know.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use super::columns::{Header, Places, unit_of};
use super::error::{DataError, LATENCY_COLUMN};
use super::features::Features;
use super::numbers::{self, Decimal, Unit};
use super::pace::{TimedLoad, logged};
use super::repeats::{Contradiction, Group, located};
use super::table::{Table, holds_a_network};
use super::{DataSet, RowPart};
use crate::network::Network;
use crate::space::{self, Architecture};
use crate::statistics::median;

/// How a file is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// The column of latencies; with the default, a column of another name is looked for where there is none of this.
    pub latency_column: String,
    /// The unit of latencies; `None` takes the one that the column's name says, else milliseconds.
    pub unit: Option<Unit>,
    /// A column that says which networks are to be fitted and which judge the fit.
    pub part_column: Option<String>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { latency_column: LATENCY_COLUMN.to_owned(), unit: None, part_column: None }
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The networks and their latencies.
    pub data: DataSet,
    /// How they were understood.
    pub facts: FileFacts,
}

/// How a file was understood.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileFacts {
    /// The column of latencies.
    pub latency_column: String,
    /// Their unit in the file.
    pub unit: Unit,
    /// Networks that stand in several rows.
    pub repeated: usize,
    /// Networks whose rows contradict each other.
    pub contradictions: Vec<Contradiction>,
    /// What is odd about the file, in words.
    pub warnings: Vec<String>,
}

/// Multiply-adds per second, in millions per millisecond, that no phone or server is likely to be below or above.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.02..=50_000.0;

impl Reading {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DataError`], with file, line and column.
    pub fn of_file(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        Self::of_text(&crate::text::read(path)?, &path.display().to_string(), options)
    }

    /// Reads bytes in any of the encodings of [`crate::text`]; `origin` names them in messages.
    ///
    /// # Errors
    /// As [`Reading::of_file`].
    pub fn of(bytes: impl Read, origin: &str, options: &ReadOptions) -> Result<Self, DataError> {
        Self::of_text(&crate::text::read_from(bytes, origin)?, origin, options)
    }

    fn of_text(text: &str, origin: &str, options: &ReadOptions) -> Result<Self, DataError> {
        let table = Table::read(text, origin)?;
        let header = Header::new(&table.header, origin);
        let places = header.places(table.rows.first(), &options.latency_column, options.part_column.as_deref());
        let places = places.map_err(|error| match holds_a_network(text.lines().next().unwrap_or_default()) {
            true => DataError::NoHeader { origin: origin.to_owned() },
            false => error,
        })?;
        let name = header.names[places.latency];
        let log = LogColumns::find(&header)?.filter(|_| name == LATENCY_COLUMN);
        let unit = options.unit.or_else(|| unit_of(name)).unwrap_or(Unit::Milliseconds);
        let decimal = decimal(&table, &places, unit, origin, name)?;
        let rows = Rows { table: &table, places: &places, origin, name, unit, decimal };
        let mut reading = match &log {
            Some(log) => rows.of_log(log)?,
            None => rows.of_measurements()?,
        };
        reading.facts.warnings.extend(doubts(&reading.data, name, unit, options));
        reading.facts.warnings.iter().for_each(|warning| tracing::warn!("{origin}: {warning}"));
        Ok(reading)
    }
}

/// What is odd about the unit.
fn doubts(data: &DataSet, name: &str, unit: Unit, options: &ReadOptions) -> Vec<String> {
    let mut doubts = Vec::new();
    match (options.unit, unit_of(name)) {
        (None, None) => {
            doubts.push(format!("column '{name}' says no unit: read as milliseconds (--unit us|ms|s says otherwise)"))
        }
        (Some(asked), Some(said)) if asked != said => doubts.push(format!(
            "column '{name}' is read in {}, as asked for, although its name says {}",
            asked.name(),
            said.name()
        )),
        _ => {}
    }
    let speeds: Vec<f64> = data.measurements().iter().map(|row| row.features.madds() / row.latency_ms).collect();
    let speed = median(&speeds);
    if !speeds.is_empty() && !PLAUSIBLE.contains(&speed) {
        let pace = if speed < 1.0 { "slow" } else { "fast" };
        doubts.push(format!(
            "the latencies, read in {}, mean {speed:.2e} billion multiply-adds a second, which is too {pace} to be likely; \
             if they are in another unit, say so with --unit us|ms|s",
            unit.name()
        ));
    }
    doubts
}

/// The decimal sign of the latencies.
fn decimal(table: &Table, places: &Places, unit: Unit, origin: &str, name: &str) -> Result<Decimal, DataError> {
    let mut found: Option<(Decimal, u64, &str)> = None;
    for row in &table.rows {
        let (cell, network) = (&row[places.latency], &row[places.network]);
        let of_network = (numbers::with_points(network) != network).then_some(Decimal::Comma);
        let Some(decimal) = numbers::evidence(cell).or(of_network) else { continue };
        match found {
            Some((other, line, before)) if other != decimal && numbers::evidence(cell).is_some() => {
                return Err(DataError::Value {
                    origin: origin.to_owned(),
                    line: line_of(row),
                    column: name.to_owned(),
                    expected: "one decimal sign throughout",
                    found: format!("{cell}' after '{before}' in line {line}, '.' in one and ',' in the other; '{cell}"),
                });
            }
            Some(_) => {}
            None => found = Some((decimal, line_of(row), cell)),
        }
    }
    let ambiguous = table.rows.iter().find(|row| row[places.latency].contains(','));
    match (found, ambiguous) {
        (Some((decimal, ..)), _) => Ok(decimal),
        (None, None) => Ok(Decimal::Point),
        (None, Some(_)) if table.separator != ',' && unit.in_ms() >= 1.0 => Ok(Decimal::Comma),
        (None, Some(row)) => Err(DataError::Value {
            origin: origin.to_owned(),
            line: line_of(row),
            column: name.to_owned(),
            expected: "a number of which it is clear whether its comma is a decimal sign or separates thousands",
            found: row[places.latency].to_owned(),
        }),
    }
}

/// The columns of a log of loads.
struct LogColumns {
    part: Option<usize>,
    batch: Option<usize>,
    runs: Option<usize>,
    /// Only there where `latency_ms` is the fastest run ([`crate::latency::calibrate::measure`]).
    median: Option<usize>,
}

impl LogColumns {
    fn find(header: &Header<'_>) -> Result<Option<Self>, DataError> {
        let Some(_) = header.position("round")? else { return Ok(None) };
        Ok(Some(Self {
            part: header.position("part")?,
            batch: header.position("batch")?,
            runs: header.position("runs_ms")?,
            median: header.position("median_ms")?,
        }))
    }
}

/// Rows with what is known of their columns.
struct Rows<'a> {
    table: &'a Table,
    places: &'a Places,
    origin: &'a str,
    name: &'a str,
    unit: Unit,
    decimal: Decimal,
}

/// A row: its network, its latency in ms, and all of its cells.
struct Timed<'a> {
    architecture: Architecture,
    network: Network,
    latency_ms: f64,
    record: &'a csv::StringRecord,
}

impl<'a> Rows<'a> {
    /// The rows with a latency, and how many have none.
    fn timed(&self) -> Result<(Vec<Timed<'a>>, usize), DataError> {
        let (mut timed, mut unmeasured) = (Vec::new(), 0);
        for record in &self.table.rows {
            let cell = &record[self.places.latency];
            if cell.is_empty() {
                unmeasured += 1;
                continue;
            }
            let latency_ms = self.positive(self.name, cell, self.unit, record)?;
            let (architecture, network) = self.architecture(record)?;
            timed.push(Timed { architecture, network, latency_ms, record });
        }
        Ok((timed, unmeasured))
    }

    fn facts(&self) -> FileFacts {
        FileFacts {
            latency_column: self.name.to_owned(),
            unit: self.unit,
            repeated: 0,
            contradictions: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Every row a measurement of its own; several of one network say together what its latency is.
    fn of_measurements(&self) -> Result<Reading, DataError> {
        let (timed, unmeasured) = self.timed()?;
        let mut groups: Vec<(usize, Group, Option<RowPart>)> = Vec::new();
        let mut index: HashMap<(String, &str), usize> = HashMap::new();
        for (first, row) in timed.iter().enumerate() {
            let key = (row.architecture.to_string(), self.source(row.record));
            let at = *index.entry(key).or_insert(groups.len());
            let part = self.part(row.record)?;
            if at == groups.len() {
                groups.push((first, Group { lines: Vec::new(), latencies_ms: Vec::new() }, part));
            }
            let (_, group, of_group) = &mut groups[at];
            if *of_group != part {
                return Err(self.two_parts(row.record, group.lines[0]));
            }
            group.lines.push(line_of(row.record));
            group.latencies_ms.push(row.latency_ms);
        }
        let mut facts = self.facts();
        facts.repeated = groups.iter().filter(|(_, group, _)| group.lines.len() > 1).count();
        let contradiction =
            |(first, group, _): &(usize, Group, _)| group.contradiction(&timed[*first].architecture.to_string());
        let contradictions: Vec<Option<Contradiction>> = groups.iter().map(contradiction).collect();
        let kept: Vec<&(usize, Group, Option<RowPart>)> = (groups.iter().zip(&contradictions))
            .filter(|(_, contradiction)| contradiction.as_ref().is_none_or(|contradiction| contradiction.settled))
            .map(|(group, _)| group)
            .collect();
        facts.contradictions = contradictions.into_iter().flatten().collect();
        self.check_contradictions(&mut facts, groups.len(), kept.len())?;
        let (latencies, noise) = located(&kept.iter().map(|(_, group, _)| group).collect::<Vec<_>>());
        let mut data = DataSet { unmeasured, noise, ..DataSet::default() };
        for ((first, group, part), latency_ms) in kept.into_iter().zip(latencies) {
            let Timed { architecture, network, record, .. } = &timed[*first];
            let (features, source) = (Features::of(network), self.source(record));
            data.insert(architecture.clone(), features, latency_ms, source, group.latencies_ms.clone(), *part);
        }
        Ok(Reading { data, facts })
    }

    /// Says what contradicts; where that is most of the file, nothing in it can be trusted.
    fn check_contradictions(&self, facts: &mut FileFacts, networks: usize, kept: usize) -> Result<(), DataError> {
        let Some(first) = facts.contradictions.first() else { return Ok(()) };
        let list = |values: Vec<String>| values.join(", ");
        let lines = list(first.lines.iter().map(u64::to_string).collect());
        let values = list(first.latencies_ms.iter().map(|ms| format!("{ms}")).collect());
        let (count, left_out) = (facts.contradictions.len(), networks - kept);
        if 2 * left_out > networks {
            let origin = self.origin.to_owned();
            return Err(DataError::Contradictory { origin, contradicting: left_out, networks, lines, values });
        }
        facts.warnings.push(format!(
            "the rows of {count} of {networks} networks contradict each other, as lines {lines} do ({values} ms for one \
             network): {left_out} left out, in {} the latency that most of their rows agree on",
            count - left_out
        ));
        Ok(())
    }

    /// A log, whose latencies are worked out from all its loads; and the device's noise.
    fn of_log(&self, log: &LogColumns) -> Result<Reading, DataError> {
        let (loads, unmeasured) = self.timed()?;
        let lines: Vec<String> = loads.iter().map(|load| load.architecture.to_string()).collect();
        let runs: Vec<Vec<f64>> = loads.iter().map(|load| self.runs(log, load)).collect::<Result<_, _>>()?;
        let timed = loads.iter().zip(&lines).zip(&runs).map(|((load, architecture), runs_ms)| TimedLoad {
            architecture,
            part: log.part.map_or("", |column| &load.record[column]),
            // A file without batches is one batch.
            batch: log.batch.and_then(|column| load.record[column].parse().ok()).unwrap_or(0),
            runs_ms,
        });
        let logged = logged(&timed.collect::<Vec<_>>());
        let mut data = DataSet { unmeasured, noise: Some(logged.noise), ..DataSet::default() };
        for network in &logged.networks {
            let Timed { architecture, network: expanded, record, .. } = &loads[network.first];
            let latency_ms = network.ln_ms.mean.exp();
            data.add(architecture.clone(), Features::of(expanded), latency_ms, self.source(record));
        }
        Ok(Reading { data, facts: self.facts() })
    }

    /// Every run of a load, or its one latency.
    fn runs(&self, log: &LogColumns, load: &Timed<'_>) -> Result<Vec<f64>, DataError> {
        let (record, unit) = (load.record, Unit::Milliseconds);
        let runs = log.runs.map_or("", |column| &record[column]);
        if !runs.is_empty() {
            return runs.split_whitespace().map(|text| self.positive("runs_ms", text, unit, record)).collect();
        }
        match log.median {
            Some(column) => Ok(vec![self.positive("median_ms", &record[column], unit, record)?]),
            None => Ok(vec![load.latency_ms]),
        }
    }

    fn positive(&self, column: &str, text: &str, unit: Unit, record: &csv::StringRecord) -> Result<f64, DataError> {
        let expected = match unit {
            Unit::Nanoseconds => "a positive number of nanoseconds (an empty cell where nothing was measured)",
            Unit::Microseconds => "a positive number of microseconds (an empty cell where nothing was measured)",
            Unit::Milliseconds => "a positive number of milliseconds (an empty cell where nothing was measured)",
            Unit::Seconds => "a positive number of seconds (an empty cell where nothing was measured)",
        };
        numbers::milliseconds(text, self.decimal, unit).ok_or_else(|| DataError::Value {
            origin: self.origin.to_owned(),
            line: line_of(record),
            column: column.to_owned(),
            expected,
            found: text.to_owned(),
        })
    }

    fn source(&self, record: &'a csv::StringRecord) -> &'a str {
        self.places.source.map_or("", |column| &record[column])
    }

    fn part(&self, record: &csv::StringRecord) -> Result<Option<RowPart>, DataError> {
        let Some(column) = self.places.part else { return Ok(None) };
        match record[column].to_lowercase().as_str() {
            "fit" | "train" | "training" => Ok(Some(RowPart::Fit)),
            "validation" | "valid" | "val" | "test" | "testing" | "held-out" | "held_out" => {
                Ok(Some(RowPart::Validation))
            }
            _ => Err(DataError::Value {
                origin: self.origin.to_owned(),
                line: line_of(record),
                column: self.table.header[column].to_owned(),
                expected: "fit or validation (or train, or val or test)",
                found: record[column].to_owned(),
            }),
        }
    }

    fn two_parts(&self, record: &csv::StringRecord, line: u64) -> DataError {
        let column = self.places.part.map_or("", |column| &self.table.header[column]);
        DataError::Value {
            origin: self.origin.to_owned(),
            line: line_of(record),
            column: column.to_owned(),
            expected: "the same part in every row of a network, since a network that is fitted cannot judge the fit",
            found: format!(
                "{}' here, another in line {line}; '{column}",
                self.places.part.map_or("", |at| &record[at])
            ),
        }
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
        let Places { network, width_multiplier, input_size, .. } = self.places;
        let parts = [Some(record[*network].to_owned()), cell("@", *width_multiplier), cell("/", *input_size)];
        numbers::with_points(&parts.into_iter().flatten().collect::<String>())
    }
}

fn line_of(record: &csv::StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}
