//! Runs until counts and seconds are met, each timed on two clocks.
//!
//! As in `benchmark_model`, runs go on until both the least number and the least time are reached, and stop anyway
//! after the most time. A [`Steady`] condition prolongs a warm-up until neighbouring windows of runs agree: a Pixel 4a's
//! first 30 runs were seven times slower than the rest (google-ai-edge/LiteRT#67).

use std::time::{Duration, Instant};

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Runs at least.
    pub least_runs: usize,
    /// Time at least, pauses included.
    pub least: Duration,
    /// Time after which no further run begins, whatever else is asked for.
    pub most: Duration,
    /// Pause before each run but the first.
    pub pause: Duration,
    /// Go on until the times are steady.
    pub steady: Option<Steady>,
}

/// Times are steady once the medians of the last three windows differ by no more than the tolerance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steady {
    /// Runs in a window.
    pub window: usize,
    /// Largest over smallest median, less one.
    pub tolerance: f64,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Elapsed time.
    pub wall: Duration,
    /// Processor time of the calling thread.
    pub cpu: Duration,
}

/// Calls `run` as scheduled.
///
/// # Errors
/// The first run that fails ends the series with its error.
pub fn sample(schedule: &Schedule, run: &mut dyn FnMut() -> Result<(), String>) -> Result<Vec<Sample>, String> {
    let (start, mut samples) = (Instant::now(), Vec::new());
    while goes_on(schedule, start.elapsed(), &samples) {
        if !samples.is_empty() && !schedule.pause.is_zero() {
            std::thread::sleep(schedule.pause);
        }
        let (cpu, wall) = (thread_cpu_time(), Instant::now());
        run()?;
        samples.push(Sample { wall: wall.elapsed(), cpu: thread_cpu_time().saturating_sub(cpu) });
    }
    Ok(samples)
}

fn goes_on(schedule: &Schedule, elapsed: Duration, samples: &[Sample]) -> bool {
    let wanted = samples.len() < schedule.least_runs
        || elapsed < schedule.least
        || schedule.steady.is_some_and(|steady| !steady.holds(samples));
    wanted && elapsed < schedule.most
}

impl Steady {
    /// Whether the last three windows agree.
    pub fn holds(&self, samples: &[Sample]) -> bool {
        let runs = 3 * self.window;
        let Some(start) = samples.len().checked_sub(runs).filter(|_| runs > 0) else { return false };
        let medians = samples[start..].chunks(self.window).map(|window| {
            let mut sorted: Vec<Duration> = window.iter().map(|sample| sample.wall).collect();
            sorted.sort_unstable();
            sorted[sorted.len() / 2].as_secs_f64()
        });
        let (low, high) = medians.fold((f64::MAX, 0.0_f64), |(low, high), median| (low.min(median), high.max(median)));
        high <= low * (1.0 + self.tolerance)
    }
}

/// Processor time of the calling thread so far.
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local; the call fails for unknown clocks only, and Linux has had this one since 2.6.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
