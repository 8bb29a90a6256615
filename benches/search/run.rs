//! One search on the oracle, and the true reward of what it would return.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mnas::device::Device;
use mnas::search::Progress;
use mnas::search::internals::{Guide, Latencies, time_finalists};
use mnas::search::{Control, RewardKind, RunContext, Search, SearchFile, Settings, start};
use mnas::space::Architecture;
use mnas::store::{Beginning, Ledger};

use super::changing::{Change, ChangingDevice, Noticed};
use super::oracle::{Noise, Oracle, OracleAccuracy, OracleDevice};
use super::{Problem, protocol};

/// Everything about a run but its seed.
pub struct Cell {
    /// What answers.
    pub oracle: Arc<Oracle>,
    /// The oracle's space.
    pub space: PathBuf,
    /// As `[search] algorithm`.
    pub algorithm: String,
    /// As `[target] reward`.
    pub reward: RewardKind,
    /// As `[target] latency_ms`.
    pub target_ms: f64,
    /// Of the observations.
    pub noise: Noise,
    /// More lines of `[search]` of the default algorithm.
    pub search: String,
    /// Networks timed before the first step.
    pub measurements: u64,
    /// Evaluations after which the search is scored, ascending.
    pub budgets: Vec<u64>,
    /// Whether trainer and device are processes of their own.
    pub protocol: bool,
    /// How the device changes, if it does.
    pub change: Option<Change>,
}

/// Loads behind one timing.
pub const LOADS: usize = 5;

/// What a search would return after so many evaluations, by true values.
#[derive(Debug, Clone, Copy)]
pub struct Returned {
    /// True reward.
    pub reward: f64,
    /// The same of the best network that it had trained.
    pub best_trained: f64,
    /// True latency over the target.
    pub latency: f64,
    /// Reported latency over the true one, less 1.
    pub bias: f64,
}

/// What a run came to.
pub struct Score {
    /// What it would return at each budget.
    pub returned: Vec<Returned>,
    /// Networks timed inside the loop.
    pub timed: usize,
    /// The policy's entropy at the end; not a number where there is no policy.
    pub entropy: f64,
    /// Share of new networks among those sampled, over the whole run.
    pub fresh: f64,
    /// Share of the trained networks that the proposer itself sampled.
    pub own: f64,
    /// Wall time.
    pub seconds: f64,
    /// What the search made of a device that changes.
    pub noticed: Option<Noticed>,
}

impl Cell {
    /// One search of that seed.
    pub fn run(&self, seed: u64) -> Result<Score, Problem> {
        let start = Instant::now();
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
        let run = folder.path().join("run");
        let control = Control {
            interrupted: Arc::new(AtomicBool::new(false)),
            stop_file: folder.path().join("stop"),
            deadline: None,
            progress: Progress::new("evaluations", 1, 0, false),
        };
        let settings = self.settings(seed)?;
        let ledger = match self.protocol {
            true => self.over_the_protocol(&run, seed)?,
            false => self.in_this_process(&settings, &run, seed, &control)?,
        };
        let seconds = start.elapsed().as_secs_f64();
        let returned = self.budgets.iter().map(|budget| self.returned_at(&settings, &ledger, *budget, seed, &control));
        let returned = returned.collect::<Result<_, Problem>>()?;
        let steps = ledger.steps()?;
        let sum = |value: fn(&mnas::store::Step) -> usize| steps.iter().map(value).sum::<usize>() as f64;
        let sampled = sum(|step| step.sampled).max(1.0);
        Ok(Score {
            returned,
            timed: steps.iter().map(|step| step.timed).sum(),
            entropy: steps.last().and_then(|step| step.entropy).unwrap_or(f64::NAN),
            fresh: 1.0 - sum(|step| step.duplicates) / sampled,
            own: sum(|step| step.own) / sum(|step| step.trained).max(1.0),
            seconds,
            noticed: self.change.map(|change| Noticed::read(&ledger, change)).transpose()?,
        })
    }

    fn in_this_process(
        &self,
        settings: &Settings,
        run: &Path,
        seed: u64,
        control: &Control,
    ) -> Result<Ledger, Problem> {
        let mut ledger = Ledger::create(run, Beginning::default())?;
        let accuracy = OracleAccuracy { oracle: self.oracle.clone(), noise: self.noise, seed };
        let mut devices = [self.device(seed)];
        Search { settings, ledger: &mut ledger, accuracy: &accuracy, devices: &mut devices }.run(control)?;
        Ok(ledger)
    }

    /// With a trainer and a device that are processes of their own, as a user's are.
    fn over_the_protocol(&self, run: &Path, seed: u64) -> Result<Ledger, Problem> {
        let file = run.with_extension("toml");
        let program = std::env::current_exe()?;
        let command = |what: &str| format!("command = {:?}", protocol::command(&program, what, self.noise, seed));
        let device = format!("{}\nwait_seconds = 0", command("device"));
        let accuracy = format!("kind = \"command\"\n{}", command("accuracy"));
        fs_err::write(&file, self.text(seed, &device, &accuracy))?;
        let surroundings = RunContext { interrupted: Arc::new(AtomicBool::new(false)), bars: false };
        start(&file, run, &surroundings)?;
        Ok(Ledger::read(run)?)
    }

    fn device(&self, seed: u64) -> Box<dyn Device> {
        let device = OracleDevice::new(self.oracle.clone(), self.noise, seed);
        match self.change {
            None => Box::new(device),
            Some(change) => Box::new(ChangingDevice::new(device, change)),
        }
    }

    fn settings(&self, seed: u64) -> Result<Settings, Problem> {
        let device = "id = \"simulated\"\nwait_seconds = 0";
        let text = self.text(seed, device, "kind = \"simulated\"");
        Ok(SearchFile::parse(&text, "the benchmark's search")?.check(&PathBuf::from("."), "the benchmark's search")?)
    }

    fn text(&self, seed: u64, device: &str, accuracy: &str) -> String {
        let Self { algorithm, reward, target_ms, search, measurements, .. } = self;
        let evaluations = self.budgets.last().copied().unwrap_or(1);
        // Evolution as published: one child at a time; nothing but the proposer decides in either baseline.
        let search = match algorithm.as_str() {
            "ppo" => search,
            _ => "sampled_per_step = 1\ntrained_per_step = 1\ntiming = \"all\"",
        };
        format!(
            "seed = {seed}\n[space]\nfile = {:?}\n[target]\nlatency_ms = {target_ms}\nreward = \"{}\"\n\
             [device]\n{device}\nloads = {LOADS}\n[accuracy]\n{accuracy}\n\
             [budget]\nevaluations = {evaluations}\n[search]\nalgorithm = \"{algorithm}\"\n\
             warm_up_measurements = {measurements}\npatience = 100000\n{search}\n",
            self.space,
            reward.name(),
        )
    }

    /// The network that would be returned after so many evaluations and the timings made until then: the final session is
    /// held then and there.
    fn returned_at(
        &self,
        settings: &Settings,
        ledger: &Ledger,
        evaluations: u64,
        seed: u64,
        control: &Control,
    ) -> Result<Returned, Problem> {
        let done = ledger.evaluations()?;
        let step = done.iter().filter(|e| e.id <= evaluations).map(|e| e.step).max().unwrap_or(0);
        let mut latencies = Latencies::read_until(ledger, settings, step)?;
        latencies.forget_finals();
        let mut guide = Guide::new(settings);
        let known: Vec<_> = done.into_iter().filter(|e| e.id <= evaluations).collect();
        guide.learn(&known, &latencies)?;
        let mut devices = [self.device(seed ^ (evaluations << 32))];
        time_finalists(settings, &guide, &mut latencies, &mut devices, HashSet::new(), control)?;
        let standings = guide.standings(&latencies);
        let leader = standings.first().ok_or("nothing was evaluated")?;
        let exact = |line: &str| -> Result<(f64, f64), Problem> {
            let architecture: Architecture = line.parse()?;
            let (accuracy, latency_ms) = self.oracle.exact(&architecture).ok_or("a network of another space")?;
            Ok((settings.target.reward(accuracy, latency_ms).value, latency_ms))
        };
        let (reward, latency_ms) = exact(&leader.architecture)?;
        let trained = known.iter().map(|evaluation| Ok(exact(&evaluation.architecture)?.0));
        let trained = trained.collect::<Result<Vec<f64>, Problem>>()?;
        Ok(Returned {
            reward,
            best_trained: trained.into_iter().fold(f64::MIN, f64::max),
            latency: latency_ms / self.target_ms,
            bias: leader.posterior.ln_latency.mean.exp() / latency_ms - 1.0,
        })
    }
}
