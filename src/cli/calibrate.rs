//! `mnas calibrate`: a device's latency predictor, with its error.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::device_arguments::{DeviceArguments, FileArguments};
use super::output::{Output, bars, interruption};
use super::{Ending, Error, input};
use crate::device;
use crate::latency::CalibrationError;
use crate::latency::calibrate::plan::{self, CalibrationSettings};
use crate::latency::calibrate::{self, Calibration, CsvSettings};
use crate::latency::data::reading::FileFacts;
use crate::search::Progress;
use crate::space::Space;

/// Arguments of `mnas calibrate`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("origin").required(true).args(["device", "command", "from"])))]
pub struct Arguments {
    #[command(flatten)]
    device: DeviceArguments,
    /// A CSV of other people's measurements instead: columns `architecture` and `latency_ms`, or others that say as much
    /// (`model`, `Latency (us)`); separated by commas, semicolons or tabs.
    #[arg(long, value_name = "CSV", conflicts_with_all = ["threads", "cores", "kernels", "fallback"])]
    from: Option<PathBuf>,
    /// The calibration folder to write; an interrupted calibration in it is continued. With --device it is
    /// calibration/ID unless given.
    #[arg(long, value_name = "DIR", required_unless_present = "device")]
    out: Option<PathBuf>,
    /// Another device's calibration to start from: this device's then takes far fewer networks (--networks 15; of a CSV
    /// as few as 3).
    #[arg(long, value_name = "DIR")]
    warm_start: Option<PathBuf>,
    /// Measure the networks to fit in batches of N, and judge the predictor after each (with --target-error or
    /// --minutes: 20 unless given).
    #[arg(long, value_name = "N", conflicts_with = "from")]
    batch: Option<usize>,
    /// Stop after the batch that makes the predictor's mean error surely less than this, in percent; exit code 3 if
    /// all --networks do not suffice.
    #[arg(long, value_name = "PERCENT", value_parser = input::positive, conflicts_with = "from")]
    target_error: Option<f64>,
    /// Begin no further batch that would make the measuring take longer than this.
    #[arg(long, value_name = "MINUTES", value_parser = input::positive, conflicts_with = "from")]
    minutes: Option<f64>,
    /// Networks to fit, at most: 100 unless given (with --from: networks of the file to fit, by default
    /// four fifths of them, the others judging the fit; with all of them, the error is that of cross-validation).
    #[arg(long, value_name = "N")]
    networks: Option<usize>,
    /// Further networks, drawn at random, that state the error.
    #[arg(long, value_name = "N", default_value_t = 30, conflicts_with = "from")]
    validation: usize,
    /// Validation networks measured twice, for the noise floor.
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "from")]
    repeats: usize,
    /// The space the networks come from: a preset or a space file.
    #[arg(long, default_value = "mnasnet", value_name = "NAME|FILE", conflicts_with = "from")]
    space: String,
    /// Fresh loads of each network. A noisy device needs more; the same command with more of them measures on, unless it
    /// measured in batches.
    #[arg(long, default_value_t = 5, value_name = "N", conflicts_with = "from")]
    rounds: usize,
    /// Timed runs per load.
    #[arg(long, default_value_t = 8, value_name = "N", conflicts_with = "from")]
    runs: usize,
    #[command(flatten)]
    file: FileArguments,
    /// A column of the CSV that says which networks to fit (fit or train) and which judge the fit (validation, val or test).
    #[arg(long, value_name = "NAME", requires = "from", conflicts_with = "networks")]
    part_column: Option<String>,
    /// Share of networks the predicted interval should hold.
    #[arg(long, default_value_t = 0.9)]
    level: f64,
    /// Largest mean error in percent that is good enough; above it the command ends with exit code 3.
    #[arg(long, value_name = "PERCENT")]
    max_error: Option<f64>,
    /// Seed of the networks, the order and the folds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Calibrates a device, or fits a file.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let calibration = match &arguments.from {
        None => match measure(arguments)? {
            Some(calibration) => calibration,
            None => return Ok(Ending::Interrupted),
        },
        Some(csv) => calibrate::calibrate_from_csv(
            &CsvSettings {
                latency_column: arguments.file.latency_column.clone(),
                unit: arguments.file.unit,
                part_column: arguments.part_column.clone(),
                networks: arguments.networks,
                level: arguments.level,
                seed: arguments.seed,
                warm_start: arguments.warm_start.clone(),
                ..CsvSettings::new(csv)
            },
            &out_folder(arguments, None)?,
        )?,
    };
    out.print(&calibration, || {
        text(&calibration, arguments.from.is_none() && arguments.networks_in_a_batch().is_none())
    })?;
    let missed = missed(arguments, &calibration);
    missed.iter().for_each(|limit| eprintln!("limit not met: {limit}"));
    Ok(if missed.is_empty() { Ending::Done } else { Ending::LimitNotMet })
}

/// The stated limits that the calibration does not keep to.
fn missed(arguments: &Arguments, found: &Calibration) -> Vec<String> {
    let most = arguments.max_error.filter(|most| found.mape > *most);
    let target = arguments.target_error.filter(|target| found.bound > *target);
    let most = most.map(|most| format!("the mean error of {:.2} % is above --max-error {most} %", found.mape));
    let target = target
        .map(|target| format!("the error is surely below {:.2} %, not below --target-error {target} %", found.bound));
    most.into_iter().chain(target).collect()
}

fn out_folder(arguments: &Arguments, device: Option<&str>) -> Result<PathBuf, Error> {
    let folder = arguments.out.clone().or_else(|| device.map(calibrate::folder_of));
    folder.ok_or_else(|| Error::new("give the folder to write with --out DIR"))
}

/// Networks of a batch where something is to be decided after each.
const BATCH: usize = 20;

impl Arguments {
    /// `None` where all networks are measured at once.
    fn networks_in_a_batch(&self) -> Option<usize> {
        let decides = self.target_error.is_some() || self.minutes.is_some();
        self.batch.or(decides.then_some(BATCH))
    }
}

/// Measures; `None` if it was interrupted.
fn measure(arguments: &Arguments) -> Result<Option<Calibration>, Error> {
    let mut settings = CalibrationSettings::new(Space::named(&arguments.space)?);
    settings.networks = arguments.networks.unwrap_or(settings.networks);
    settings.validation = arguments.validation;
    settings.repeats = arguments.repeats;
    settings.rounds = arguments.rounds;
    settings.level = arguments.level;
    settings.seed = arguments.seed;
    settings.warm_start.clone_from(&arguments.warm_start);
    (settings.target_error, settings.minutes) = (arguments.target_error, arguments.minutes);
    settings.batch = arguments.networks_in_a_batch();
    let mut device = device::open(&arguments.device.choice(arguments.runs, arguments.seed))?;
    let loads = settings.rounds * plan::plan(&settings)?.len();
    let bar = Progress::new("measuring", loads as u64, 0, bars());
    let interrupted = interruption()?;
    let out = out_folder(arguments, arguments.device.device.as_deref())?;
    let calibration = calibrate::calibrate(&mut *device, &settings, &out, &mut |progress| {
        bar.reach(progress.done as u64);
        if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish();
    match calibration {
        Ok(calibration) => Ok(Some(calibration)),
        Err(error @ CalibrationError::Interrupted { .. }) => {
            eprintln!("{error}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Noise floor in percent from which more loads are worth their time.
const NOISY: f64 = 2.0;
const MORE_ROUNDS: &str = "                  (the same command with more --rounds measures on, and lowers it)\n";

fn text(calibration: &Calibration, can_go_on: bool) -> String {
    let c = calibration;
    let noise = c.noise.map_or_else(String::new, |noise| {
        format!(
            "noise floor       {noise:.1} %: what a perfect predictor would be off by, since no measurement is exact\n{}",
            if noise > NOISY && can_go_on { MORE_ROUNDS } else { "" }
        )
    });
    let skipped = match c.unmeasured {
        0 => String::new(),
        rows => format!("left out          {rows} rows without a latency\n"),
    };
    let assessments = c.assessments.iter().map(|assessment| {
        format!(
            "after {:<4} networks {:.1} %, surely below {:.1} %\n",
            assessment.networks, assessment.mape, assessment.bound
        )
    });
    let ending = match c.ending {
        Some(ending) if !c.assessments.is_empty() => format!("ended             {}\n", ending.name()),
        _ => String::new(),
    };
    let checked = match c.cross_validated {
        true => "cross-validated (each network predicted by models that have not seen it)".to_owned(),
        false => format!("checked on {} others", c.validation),
    };
    let file = c.file.as_ref().map_or_else(String::new, file_text);
    format!(
        "{assessments}{file}fitted to {} networks, {checked} in {:.0} s\n\
         mean error        {:.1} % (by multiply-adds alone {:.1} %; with parameters and layers {:.1} %)\n\
         surely below      {:.1} % (99 times in a hundred)\n\
         {noise}\
         within 5 %, 10 %  {:.0} %, {:.0} % of the networks\n\
         ranks, tau        {:.3} (by multiply-adds alone {:.3}; with parameters and layers {:.3}); Spearman {:.3}\n\
         intervals         hold {:.0} % of the networks, {:.0} % nominal\n\
         {skipped}{ending}\
         written           {}\n",
        c.networks,
        c.seconds,
        c.mape,
        c.mape_by_madds,
        c.mape_by_counts,
        c.bound,
        c.within_5,
        c.within_10,
        c.kendall,
        c.kendall_by_madds,
        c.kendall_by_counts,
        c.spearman,
        c.coverage,
        c.level,
        c.folder.join(calibrate::REPORT).display(),
        assessments = assessments.collect::<String>(),
    )
}

/// How a file was understood.
fn file_text(facts: &FileFacts) -> String {
    let repeated = match facts.repeated {
        0 => String::new(),
        networks => format!(", {networks} networks in several rows"),
    };
    let contradicting = match facts.contradictions.len() {
        0 => String::new(),
        networks => format!(", {networks} of which contradict each other"),
    };
    format!("latencies         column '{}' in {}{repeated}{contradicting}\n", facts.latency_column, facts.unit.name())
}
