//! What `benchmark_model` prints, so that whoever reads its output can read ours.
//!
//! The forms are those of tensorflow/core/util/stats_calculator.h (`Stat::OutputToStream`) and
//! tensorflow/lite/tools/benchmark/benchmark_model.cc. Whole microseconds are integers; averages have six significant
//! digits and an exponent beyond that, as C++ streams print them.

use std::fmt;

/// The `count=…` line of a series in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct CountLine<'series>(pub &'series [u64]);

impl fmt::Display for CountLine<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return out.write_str("count=0") };
        let count = self.0.len();
        if self.0.iter().all(|sample| sample == first) {
            return write!(out, "count={count} curr={last}{}", if count > 1 { "(all same)" } else { "" });
        }
        let mut sorted = self.0.to_vec();
        sorted.sort_unstable();
        // As the original takes them: the order statistic at the fraction of the count, not interpolated.
        let percentile = |p: usize| sorted[(p * count / 100).min(count - 1)];
        let mean = mean(self.0);
        let variance = self.0.iter().map(|&us| (us as f64 - mean).powi(2)).sum::<f64>() / count as f64;
        write!(
            out,
            "count={count} first={first} curr={last} min={} max={} avg={} std={} p5={} median={} p95={}",
            sorted[0],
            sorted[count - 1],
            Stream(mean),
            variance.sqrt() as u64,
            percentile(5),
            percentile(50),
            percentile(95),
        )
    }
}

/// The `Inference timings in us: …` line.
#[derive(Debug, Clone, PartialEq)]
pub struct TimingsLine<'series> {
    /// Loading and compiling, microseconds.
    pub init: u64,
    /// The first run.
    pub first: u64,
    /// Runs before the timed ones.
    pub warmup: &'series [u64],
    /// The timed runs.
    pub runs: &'series [u64],
}

impl fmt::Display for TimingsLine<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (warmup, runs) = (Stream(mean(self.warmup)), Stream(mean(self.runs)));
        let Self { init, first, .. } = self;
        write!(
            out,
            "Inference timings in us: Init: {init}, First inference: {first}, Warmup (avg): {warmup}, Inference (avg): {runs}"
        )
    }
}

/// 0 for nothing.
fn mean(series: &[u64]) -> f64 {
    series.iter().sum::<u64>() as f64 / series.len().max(1) as f64
}

/// A number as a C++ stream prints it: six significant digits, `%g`.
struct Stream(f64);

impl fmt::Display for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scientific = format!("{:.5e}", self.0);
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let trimmed = |digits: &str| match digits.contains('.') {
            true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => digits.to_owned(),
        };
        match exponent {
            -4..6 => out.write_str(&trimmed(&format!("{:.*}", (5 - exponent) as usize, self.0))),
            _ => write!(out, "{}e{}{:02}", trimmed(digits), if exponent < 0 { '-' } else { '+' }, exponent.abs()),
        }
    }
}
