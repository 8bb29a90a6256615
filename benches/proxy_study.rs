//! Does the demo's proxy rank networks? Repeats the study behind the table in `train::proxy`.
//!
//! Trains random networks of a space with two seeds, and again for several times as many epochs with two seeds, and
//! prints the spread of the accuracies, how well two seeds agree, and Kendall's tau between short and long training
//! beside that between the two long ones and that of plain multiply-adds.

use std::path::PathBuf;

use clap::Parser;
use mnas::network::Network;
use mnas::space::{Architecture, Space};
use mnas::train::draw::DrawOptions;
use mnas::train::proxy::{Proxy, ProxyOptions};
use mnas::train::{Accuracy, Request};

#[derive(Parser)]
struct Arguments {
    /// A preset or a file.
    #[arg(long, default_value = "demo")]
    space: String,
    #[arg(long, default_value_t = 16)]
    networks: usize,
    /// Networks left out first: to study others than those the settings were chosen on.
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// How many times as many epochs a long training has; 0: no long training.
    #[arg(long, default_value_t = 5)]
    long: usize,
    #[arg(long, default_value_t = 2)]
    seeds: u64,
    /// Options of the drawn images as `name = value`, one per flag, in TOML.
    #[arg(long)]
    draw: Vec<String>,
    /// Options of the proxy as `name = value`, one per flag, in TOML.
    #[arg(long, default_value = "epochs = 2")]
    proxy: Vec<String>,
    /// `cargo bench` passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

struct Row {
    architecture: Architecture,
    madds: f64,
    short: Vec<f64>,
    long: Vec<f64>,
    seconds: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let draw: DrawOptions = toml::from_str(&arguments.draw.join("\n"))?;
    let options: ProxyOptions = toml::from_str(&arguments.proxy.join("\n"))?;
    let folder: PathBuf = std::env::temp_dir().join(format!("mnas-proxy-study-{}", std::process::id()));
    draw.check()?.draw(&folder)?;
    let options = ProxyOptions { data: folder.clone(), ..options };
    let short = Proxy::load(options.clone())?;
    fs_err::remove_dir_all(&folder)?;
    let mut longer = options;
    longer.recipe.epochs *= arguments.long.max(1);
    longer.runs = 1;
    let long = Proxy::over(longer, short.data().clone())?;
    println!("{}", short.describe());
    let mut rows = Vec::new();
    for (index, architecture) in networks(&arguments)?.into_iter().enumerate() {
        let row = study(index as u64, architecture, &short, &long, &arguments)?;
        println!("{}", line(&row));
        rows.push(row);
    }
    summary(&rows);
    Ok(())
}

fn networks(arguments: &Arguments) -> Result<Vec<Architecture>, Box<dyn std::error::Error>> {
    let space = Space::named(&arguments.space)?;
    let mut random = mnas::seeded(2024);
    let mut all = Vec::new();
    for index in 0..arguments.skip + arguments.networks {
        let architecture = space.decode(&space.sample(&mut random))?;
        all.extend((index >= arguments.skip).then_some(architecture));
    }
    Ok(all)
}

fn study(
    id: u64,
    architecture: Architecture,
    short: &Proxy,
    long: &Proxy,
    arguments: &Arguments,
) -> Result<Row, Box<dyn std::error::Error>> {
    let madds = Network::expand(&architecture)?.madds() as f64;
    let start = thread_seconds();
    let request = |seed| Request { id, architecture: architecture.clone(), seed };
    let short = (0..arguments.seeds).map(|seed| short.evaluate(&request(seed))).collect::<Result<Vec<_>, _>>()?;
    let seconds = (thread_seconds() - start) / arguments.seeds as f64;
    let seeds = if arguments.long > 0 { arguments.seeds } else { 0 };
    let long = (0..seeds).map(|seed| long.evaluate(&request(1000 + seed))).collect::<Result<Vec<_>, _>>()?;
    Ok(Row { architecture, madds, short, long, seconds })
}

/// Processor time of this thread: steady on a busy machine.
fn thread_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn line(row: &Row) -> String {
    let list = |values: &[f64]| values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(" ");
    format!(
        "{:5.1} s | short {} | long {} | {:6.1}M | {}",
        row.seconds,
        list(&row.short),
        list(&row.long),
        row.madds / 1e6,
        row.architecture
    )
}

fn summary(rows: &[Row]) {
    let column = |values: fn(&Row) -> &[f64], seed: usize| {
        rows.iter().filter_map(|row| values(row).get(seed).copied()).collect::<Vec<f64>>()
    };
    let mean = |values: fn(&Row) -> &[f64]| {
        rows.iter().map(|row| values(row).iter().sum::<f64>() / values(row).len().max(1) as f64).collect::<Vec<f64>>()
    };
    let (first, second) = (column(|row| &row.short, 0), column(|row| &row.short, 1));
    let seconds: Vec<f64> = rows.iter().map(|row| row.seconds).collect();
    let range = |values: &[f64]| {
        (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(f64::MIN, f64::max))
    };
    println!("processor seconds per training: mean {:.1}, largest {:.1}", average(&seconds), range(&seconds).1);
    println!("short accuracies: {:.3} to {:.3}, sd {:.3}", range(&first).0, range(&first).1, deviation(&first));
    let madds: Vec<f64> = rows.iter().map(|row| row.madds).collect();
    if first.len() == second.len() {
        let noise = first.iter().zip(&second).map(|(a, b)| (a - b).powi(2) / 2.0).sum::<f64>() / first.len() as f64;
        println!(
            "two seeds: Pearson {:.2}, tau {:.2}, noise sd {:.3}",
            pearson(&first, &second),
            tau(&first, &second),
            noise.sqrt()
        );
    }
    println!("tau of multiply-adds with short {:.2}", tau(&madds, &first));
    let (third, fourth, long) = (column(|row| &row.long, 0), column(|row| &row.long, 1), mean(|row| &row.long));
    if third.is_empty() {
        return;
    }
    println!("long accuracies: {:.3} to {:.3}, sd {:.3}", range(&long).0, range(&long).1, deviation(&long));
    println!(
        "tau with long: one seed {:.2} and {:.2}, mean of seeds {:.2}",
        tau(&first, &long),
        tau(&second, &long),
        tau(&mean(|row| &row.short), &long)
    );
    println!(
        "tau of multiply-adds with long {:.2}; tau between two long seeds {:.2}",
        tau(&madds, &long),
        tau(&third, &fourth)
    );
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = average(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)).sqrt()
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (average(a), average(b));
    let products: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    products / (a.len() as f64 - 1.0) / deviation(a) / deviation(b)
}

/// Kendall's tau-a: concordant less discordant pairs, over all pairs.
fn tau(a: &[f64], b: &[f64]) -> f64 {
    let mut score = 0.0;
    for i in 0..a.len() {
        for j in 0..i {
            let product = (a[i] - a[j]) * (b[i] - b[j]);
            score += if product == 0.0 { 0.0 } else { product.signum() };
        }
    }
    score / (a.len() * (a.len() - 1) / 2) as f64
}
