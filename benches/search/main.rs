//! How good a network a search finds for N trained candidates and M timings: the real loop (controller, models,
//! predictor, ledger) on the Accel-NASBench oracle, over many seeds.
//!
//! `make bench-search`, or `cargo bench --bench search -- KEY=VALUE …`:
//!
//! | key | default | meaning |
//! |---|---|---|
//! | `seeds` | 20 | runs of each kind, seeds from `first_seed` |
//! | `first_seed` | 1 | |
//! | `budgets` | 50,100,200,500,1000,2000 | evaluations after which the network that would be returned is scored |
//! | `algorithms` | random,evolution,ppo | names of `[search] algorithm` |
//! | `rewards` | soft,hard | |
//! | `noise` | exact,noisy | noisy: accuracies with a deviation of 0.27 points, latencies of 2 % |
//! | `targets` | oracle | `oracle`: the file's target; or percentiles of the space's latencies, as in 25,50,75 |
//! | `search` | | TOML of `[search]` of `ppo`, as in `timing = "all"` (`;` for a line's end) |
//! | `change` | none | `AFTER:BY`, as in `70:0.4`: the device becomes another one (`changing.rs`) after so many timings, those first ones included; `70:0` shows false alarms |
//! | `measurements` | 50 | networks timed first, for the predictor |
//! | `protocol` | no | `yes`: trainer and device are processes of their own, as a user's |
//! | `svg` | none | where to write the plot |
//!
//! A run goes to the largest budget; nothing in a search depends on its budget but its end, so the smaller ones are
//! read off the same run: with what was known after so many evaluations the final session is held, and the network that
//! would be returned is scored by its true reward. Noise enters with every load, through the session, the statistics and
//! the final timing that real devices have. Beside it, for the largest budget: how much better the best of all trained
//! networks is by true values (regret), how far the reported latency is from the true one (bias), and how many returned
//! networks are slower than the target by more than 1 %.

mod changing;
mod oracle;
mod plot;
mod protocol;
mod run;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use changing::{Change, Noticed};
use mnas::search::RewardKind;
use oracle::{Noise, Oracle};
use rayon::prelude::*;
use run::{Cell, Returned, Score};

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The keys of the command line.
struct Arguments(BTreeMap<String, String>);

impl Arguments {
    fn read() -> Result<Self, Problem> {
        let mut read = BTreeMap::new();
        // Cargo adds a flag of its own.
        for argument in std::env::args().skip(1).filter(|argument| argument != "--bench") {
            let (key, value) = argument.split_once('=').ok_or(format!("expected KEY=VALUE, found '{argument}'"))?;
            read.insert(key.to_owned(), value.to_owned());
        }
        const KEYS: [&str; 12] = [
            "seeds",
            "first_seed",
            "budgets",
            "algorithms",
            "rewards",
            "noise",
            "targets",
            "search",
            "measurements",
            "change",
            "protocol",
            "svg",
        ];
        match read.keys().find(|key| !KEYS.contains(&key.as_str())) {
            Some(key) => Err(format!("unknown key '{key}'; known are {}", KEYS.join(", ")).into()),
            None => Ok(Self(read)),
        }
    }

    fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.0.get(key).map_or(default, String::as_str)
    }

    fn list(&self, key: &str, default: &str) -> Vec<String> {
        self.text(key, default).split(',').map(|entry| entry.trim().to_owned()).collect()
    }

    fn number(&self, key: &str, default: &str) -> Result<u64, Problem> {
        self.text(key, default).parse().map_err(|_| format!("{key} must be a whole number").into())
    }
}

fn main() -> Result<(), Problem> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/data");
    let oracle = Arc::new(Oracle::load(&data.join("accel_nasbench_trees.json"))?);
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((protocol::ANSWER, words)) = words.split_first().map(|(first, others)| (first.as_str(), others)) {
        return protocol::answer(words, oracle);
    }
    let arguments = Arguments::read()?;
    let budgets: Vec<u64> = arguments
        .list("budgets", "50,100,200,500,1000,2000")
        .iter()
        .map(|budget| budget.parse().map_err(|_| format!("'{budget}' is no budget")))
        .collect::<Result<_, _>>()?;
    let (first, seeds) = (arguments.number("first_seed", "1")?, arguments.number("seeds", "20")?);
    let change = arguments.0.get("change").map(|text| text.parse::<Change>()).transpose()?;
    let mut lines = Vec::new();
    println!("{}", heading(&budgets));
    for (name, target_ms) in targets(&arguments.list("targets", "oracle"), &oracle, &data)? {
        for reward in arguments.list("rewards", "soft,hard") {
            for noise in arguments.list("noise", "exact,noisy") {
                for algorithm in arguments.list("algorithms", "random,evolution,ppo") {
                    let cell = Cell {
                        oracle: oracle.clone(),
                        space: data.join("accel_nasbench.toml"),
                        algorithm: algorithm.clone(),
                        reward: reward_kind(&reward)?,
                        target_ms,
                        noise: noise_named(&noise)?,
                        search: arguments.text("search", "").replace(';', "\n"),
                        measurements: arguments.number("measurements", "50")?,
                        budgets: budgets.clone(),
                        protocol: arguments.text("protocol", "no") == "yes",
                        change,
                    };
                    let seeds: Vec<u64> = (first..first + seeds).collect();
                    let scores =
                        seeds.par_iter().map(|seed| cell.run(*seed)).collect::<Result<Vec<Score>, Problem>>()?;
                    let line = Line { label: format!("{name} {reward} {noise} {algorithm}"), scores };
                    println!("{}", line.row(&budgets));
                    let noticed: Vec<Noticed> = line.scores.iter().filter_map(|score| score.noticed).collect();
                    if !noticed.is_empty() {
                        println!("{}", Noticed::summary(&noticed));
                    }
                    lines.push(line);
                }
            }
        }
    }
    if let Some(path) = arguments.0.get("svg") {
        plot::draw(Path::new(path), &budgets, &lines)?;
    }
    Ok(())
}

/// The runs of one kind.
pub struct Line {
    /// Target, reward, noise and algorithm.
    pub label: String,
    scores: Vec<Score>,
}

impl Line {
    /// Mean and standard deviation over the seeds at each budget.
    pub fn statistics(&self) -> Vec<(f64, f64)> {
        let budgets = self.scores.first().map_or(0, |score| score.returned.len());
        let at = |budget: usize| mean_and_deviation(self.scores.iter().map(|score| score.returned[budget].reward));
        (0..budgets).map(at).collect()
    }

    fn row(&self, budgets: &[u64]) -> String {
        let cells = self.statistics().into_iter().map(|(mean, deviation)| format!("{mean:.4} ± {deviation:.4}"));
        let mean = |value: fn(&Score) -> f64| mean_and_deviation(self.scores.iter().map(value)).0;
        let timed = 100.0 * mean(|score| score.timed as f64) / *budgets.last().unwrap_or(&1) as f64;
        let cells: Vec<String> = cells.collect();
        let last = |value: fn(&Returned) -> f64| {
            mean_and_deviation(self.scores.iter().filter_map(|score| score.returned.last()).map(value)).0
        };
        let slow = |score: &&Score| score.returned.last().is_some_and(|returned| returned.latency > 1.01);
        let entropy = Some(mean(|score| score.entropy)).filter(|entropy| entropy.is_finite());
        format!(
            "| {} | {} | {:.4} | {:+.2} % | {} | {timed:.0} % | {} | {:.0} % | {:.0} % | {:.1} |",
            self.label,
            cells.join(" | "),
            last(|returned| returned.best_trained - returned.reward),
            100.0 * last(|returned| returned.bias),
            self.scores.iter().filter(slow).count(),
            entropy.map_or("–".to_owned(), |entropy| format!("{entropy:.2}")),
            100.0 * mean(|score| score.fresh),
            100.0 * mean(|score| score.own),
            mean(|score| score.seconds),
        )
    }
}

fn heading(budgets: &[u64]) -> String {
    let columns: Vec<String> = budgets.iter().map(u64::to_string).collect();
    format!(
        "| target reward observations algorithm | {} | regret | bias | too slow | timed | entropy | new | sampled by the proposer | s per run |\n|{}",
        columns.join(" | "),
        "---|".repeat(budgets.len() + 9)
    )
}

fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

fn reward_kind(name: &str) -> Result<RewardKind, Problem> {
    match name {
        "soft" => Ok(RewardKind::Soft),
        "hard" => Ok(RewardKind::Hard),
        "absolute" => Ok(RewardKind::Absolute),
        other => Err(format!("no reward '{other}'").into()),
    }
}

fn noise_named(name: &str) -> Result<Noise, Problem> {
    match name {
        "exact" => Ok(Noise { accuracy: 0.0, latency: 0.0 }),
        "noisy" => Ok(Noise { accuracy: 0.0027, latency: 0.02 }),
        other => Err(format!("noise must be exact or noisy, found '{other}'").into()),
    }
}

/// Names and latencies of the targets.
fn targets(names: &[String], oracle: &Oracle, data: &Path) -> Result<Vec<(String, f64)>, Problem> {
    const SAMPLES: usize = 4000;
    let space = mnas::space::Space::from_file(&data.join("accel_nasbench.toml"))?;
    let random = &mut mnas::seeded(1);
    let mut latencies = Vec::new();
    for _ in 0..SAMPLES {
        let architecture = space.decode(&space.sample(random))?;
        latencies.extend(oracle.exact(&architecture).map(|(_, latency_ms)| latency_ms));
    }
    latencies.sort_by(f64::total_cmp);
    let target = |name: &String| match name.as_str() {
        "oracle" => Ok((name.clone(), oracle.target_ms)),
        percentile => {
            let percentile: usize = percentile.parse().map_err(|_| format!("no target '{percentile}'"))?;
            let position = (percentile * latencies.len() / 100).min(latencies.len().saturating_sub(1));
            Ok((format!("{percentile} %: {:.3} ms", latencies[position]), latencies[position]))
        }
    };
    names.iter().map(target).collect()
}
