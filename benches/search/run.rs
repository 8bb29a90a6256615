//! One search on the oracle, and the true reward of what it would return.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mnas::device::Device;
use mnas::search::Progress;
use mnas::search::internals::{Guide, Latencies};
use mnas::search::{Control, RewardKind, Search, SearchFile, Settings};
use mnas::space::Architecture;
use mnas::store::{Beginning, Ledger};

use super::Problem;
use super::changing::{Change, ChangingDevice, Noticed};
use super::oracle::{Noise, Oracle, OracleAccuracy, OracleDevice};

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
    /// How the device changes, if it does.
    pub change: Option<Change>,
}

/// What a run came to.
pub struct Score {
    /// True reward of what it would return at each budget.
    pub rewards: Vec<f64>,
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
        let settings = self.settings(seed)?;
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
        let mut ledger = Ledger::create(&folder.path().join("run"), Beginning::default())?;
        let (oracle, noise) = (self.oracle.clone(), self.noise);
        let accuracy = OracleAccuracy { oracle: oracle.clone(), noise, seed };
        let device = OracleDevice { oracle, noise, seed };
        let mut devices: [Box<dyn Device>; 1] = match self.change {
            None => [Box::new(device)],
            Some(change) => [Box::new(ChangingDevice::new(device, change))],
        };
        let control = Control {
            interrupted: Arc::new(AtomicBool::new(false)),
            stop_file: folder.path().join("stop"),
            deadline: None,
            progress: Progress::new("evaluations", settings.evaluations, 0, false),
        };
        Search { settings: &settings, ledger: &mut ledger, accuracy: &accuracy, devices: &mut devices }
            .run(&control)?;
        let seconds = start.elapsed().as_secs_f64();
        let rewards = self.budgets.iter().map(|budget| self.reward_at(&settings, &ledger, *budget));
        let rewards = rewards.collect::<Result<_, Problem>>()?;
        let steps = ledger.steps()?;
        let sum = |value: fn(&mnas::store::Step) -> usize| steps.iter().map(value).sum::<usize>() as f64;
        let sampled = sum(|step| step.sampled).max(1.0);
        Ok(Score {
            rewards,
            timed: steps.iter().map(|step| step.timed).sum(),
            entropy: steps.last().and_then(|step| step.entropy).unwrap_or(f64::NAN),
            fresh: 1.0 - sum(|step| step.duplicates) / sampled,
            own: sum(|step| step.own) / sum(|step| step.trained).max(1.0),
            seconds,
            noticed: self.change.map(|change| Noticed::read(&ledger, change)).transpose()?,
        })
    }

    fn settings(&self, seed: u64) -> Result<Settings, Problem> {
        let Self { algorithm, reward, target_ms, search, measurements, .. } = self;
        let evaluations = self.budgets.last().copied().unwrap_or(1);
        // Evolution as published: one child at a time; nothing but the proposer decides in either baseline.
        let search = match algorithm.as_str() {
            "ppo" => search,
            _ => "sampled_per_step = 1\ntrained_per_step = 1\ntiming = \"all\"",
        };
        let text = format!(
            "seed = {seed}\n[space]\nfile = {:?}\n[target]\nlatency_ms = {target_ms}\nreward = \"{}\"\n\
             [device]\nid = \"simulated\"\nloads = 1\n[accuracy]\nkind = \"simulated\"\n\
             [budget]\nevaluations = {evaluations}\n[search]\nalgorithm = \"{algorithm}\"\n\
             warm_up_measurements = {measurements}\nfinal_loads = 3\npatience = 100000\n{search}\n",
            self.space,
            reward.name(),
        );
        Ok(SearchFile::parse(&text, "the benchmark's search")?.check(&PathBuf::from("."), "the benchmark's search")?)
    }

    /// True reward of the network that leads after so many evaluations and the timings made until then.
    fn reward_at(&self, settings: &Settings, ledger: &Ledger, evaluations: u64) -> Result<f64, Problem> {
        let done = ledger.evaluations()?;
        let step = done.iter().filter(|e| e.id <= evaluations).map(|e| e.step).max().unwrap_or(0);
        let latencies = Latencies::read_until(ledger, settings, step)?;
        let mut guide = Guide::new(settings);
        let known: Vec<_> = done.into_iter().filter(|e| e.id <= evaluations).collect();
        guide.learn(&known, &latencies)?;
        let standings = guide.standings(&latencies);
        let leader = standings.first().ok_or("nothing was evaluated")?;
        let architecture: Architecture = leader.architecture.parse()?;
        let (accuracy, latency_ms) = self.oracle.exact(&architecture).ok_or("a network of another space")?;
        Ok(settings.target.reward(accuracy, latency_ms).value)
    }
}
