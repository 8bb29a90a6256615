//! Whether timings on a device can be trusted: what `mnas doctor` looks at.
//!
//! Each [`Check`] says what was found and what to do about it. A phone is looked at in three steps, each only if the one
//! before allows it: is it there, is its state good, do repeated timings agree.

use std::path::Path;
use std::time::Duration;

use mnas_runner::machine::{Core, Moment, Zone};
use serde::{Deserialize, Serialize};

use super::host::{HostDevice, HostSettings};
use super::noise::Noise;
use super::phone::files::Runner;
use super::phone::link::Link;
use super::phone::lock::Lock;
use super::phone::state::State;
use super::phone::{PhoneDevice, health, reference};
use super::profile::{Kind, Profile};
use super::{Device, DeviceError};
use crate::adb::Server;

/// Loads behind the check of repeatability, and the largest coefficient of variation of their fastest runs. Medians of
/// fresh loads vary by 4 % on a shared host; the fastest runs of a quiet device by about 1 %.
const LOADS: usize = 8;
const MAX_VARIATION_PERCENT: f64 = 5.0;
/// Largest share of all cores that others may keep busy.
const MAX_BUSY_PERCENT: f64 = 25.0;
/// How long the share of busy cores is watched.
const WATCH: Duration = Duration::from_secs(1);
/// A core below this share of its highest clock while it works is throttled.
const CLOCK_SHARE: f64 = 0.9;
/// Least free space on a phone: a model, the runner and LiteRT.
const MIN_FREE_KB: u64 = 64 << 10;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What is the case.
    pub found: String,
    /// What to do; empty if nothing.
    pub advice: String,
}

fn check(name: &str, ok: bool, found: impl Into<String>, advice: &str) -> Check {
    let advice = if ok { String::new() } else { advice.to_owned() };
    Check { name: name.into(), ok, found: found.into(), advice }
}

/// Looks at this machine.
pub fn host(settings: &HostSettings, profile: &Profile) -> Vec<Check> {
    let moment = Moment::now();
    let mut checks = vec![busy_host()];
    checks.extend(moment.cores.first().map(governor));
    let state = State { moment, ..State::default() };
    checks.push(temperature(&state, profile));
    match HostDevice::new(settings.clone()) {
        Ok(mut device) => {
            checks.push(check("runtime", true, device.description().runtime, ""));
            checks.push(repeatability(&mut device));
        }
        Err(error) => checks.push(check("runtime", false, error.to_string(), "run `make setup`")),
    }
    checks
}

/// Looks at a phone.
pub fn phone(server: Server, serial: &str, profile: &Profile) -> Vec<Check> {
    let link = match Link::open(server.clone(), serial) {
        Ok(link) => link,
        Err(error) => {
            return vec![check("connection", false, error.to_string(), "do what the message says, then ask again")];
        }
    };
    let mut checks = vec![check("connection", true, format!("{serial} answers and trusts this computer"), "")];
    match state_of(&link, profile) {
        Ok(found) => checks.extend(found),
        Err(error) => checks.push(check("connection", false, error.to_string(), "check the cable, then ask again")),
    }
    match checks.iter().find(|check| !check.ok && check.name != "screen") {
        None => checks.extend(speed(server, serial, profile)),
        Some(first) => checks.push(check(
            "repeatability",
            false,
            format!("not tried, because of {}", first.name),
            "see to the other checks first",
        )),
    }
    checks
}

/// Everything that can be read without timing.
fn state_of(link: &Link, profile: &Profile) -> Result<Vec<Check>, DeviceError> {
    let (properties, state) = (link.properties()?, link.state()?);
    let complaints = health::complaints(&state, &profile.limits);
    let limit = |name: &str, limits: &[&str], good: String| {
        let broken: Vec<_> = complaints.iter().filter(|one| limits.contains(&one.limit)).collect();
        match broken.first() {
            Some(first) => {
                let found = broken.iter().map(|one| one.found.as_str()).collect::<Vec<_>>().join("; ");
                check(name, false, found, first.advice)
            }
            None => check(name, true, good, ""),
        }
    };
    let unknown = || "not reported".to_owned();
    let battery = &state.battery;
    let charge = battery.percent.map_or_else(unknown, |percent| format!("{percent} %"));
    let warmth = battery.celsius.map_or_else(unknown, |celsius| format!("{celsius:.1} °C"));
    let power = battery.charging.map_or("not reported", |charging| if charging { "charging" } else { "not charging" });
    let mut checks = vec![
        limit("thermal status", &["max_thermal_status"], state.thermal_status.map_or_else(unknown, |s| s.to_string())),
        temperature(&state, profile),
        limit(
            "battery",
            &["min_battery_percent", "max_battery_temperature_c", "charging"],
            format!("{charge}, {warmth}, {power}"),
        ),
        busy_phone(link)?,
        battery_saver(&state),
        screen(&state),
        free_space(&state),
    ];
    checks.extend(state.moment.cores.iter().max_by_key(|core| core.max_khz).map(governor));
    checks.push(match Runner::find(&profile.run, &properties.abi) {
        Ok(runner) => check("runner", true, runner.name(), ""),
        Err(error) => check("runner", false, error.to_string(), "see devices/README.md"),
    });
    checks.push(match Lock::take(link.serial()) {
        Ok(_) => check("lock", true, "nobody else measures it", ""),
        Err(error) => check("lock", false, error.to_string(), "wait for the other session's end"),
    });
    Ok(checks)
}

fn temperature(state: &State, profile: &Profile) -> Check {
    let limit = profile.limits.max_temperature_c;
    match state.hottest() {
        Some(Zone { name, celsius }) => {
            let found = format!("{celsius:.1} °C at {name}, limit {limit} °C");
            check("temperature", *celsius <= limit, found, "let it cool down")
        }
        None => check("temperature", true, "not reported", ""),
    }
}

fn governor(core: &Core) -> Check {
    let name = core.governor.as_deref().unwrap_or("not reported");
    let advice = "choose another governor: this one keeps clocks low";
    check("governor", name != "powersave", format!("{name} on core {}", core.core), advice)
}

fn battery_saver(state: &State) -> Check {
    let found = state.battery_saver.map_or("not reported", |on| if on { "on" } else { "off" });
    check("battery saver", state.battery_saver != Some(true), found, "switch the battery saver off")
}

fn screen(state: &State) -> Check {
    let found = state.awake.map_or("not reported", |on| if on { "on" } else { "off" });
    // Some phones move everything to their small cores then.
    check("screen", state.awake != Some(false), found, "switch the screen on and let it stay on (Developer options)")
}

fn free_space(state: &State) -> Check {
    let found = state.free_kb.map_or_else(|| "not reported".into(), |kb| format!("{} MB in /data/local/tmp", kb >> 10));
    check("free space", state.free_kb.is_none_or(|kb| kb >= MIN_FREE_KB), found, "remove what is not needed there")
}

fn busy_host() -> Check {
    let line = || mnas_runner::machine::read(Path::new("/proc/stat"))?.lines().next().map(str::to_owned);
    let before = line();
    std::thread::sleep(WATCH);
    busy(before.zip(line()), String::new())
}

fn busy_phone(link: &Link) -> Result<Check, DeviceError> {
    let (before, after) = link.ticks()?;
    let check = busy(Some((before, after)), String::new());
    match check.ok {
        true => Ok(check),
        false => Ok(Check {
            found: format!("{}: {}", check.found, link.busiest()?.lines().collect::<Vec<_>>().join(", ")),
            ..check
        }),
    }
}

/// From the first line of `/proc/stat` at two moments.
fn busy(ticks: Option<(String, String)>, by: String) -> Check {
    let share = ticks.and_then(|(before, after)| busy_percent(&before, &after));
    let found = share.map_or_else(|| "not reported".into(), |share| format!("{share:.0} % of all cores busy{by}"));
    let advice = "end what runs beside the measurement, or wait until it is done";
    check("load", share.is_none_or(|share| share <= MAX_BUSY_PERCENT), found, advice)
}

/// `cpu user nice system idle iowait …` in ticks; the share in percent that was neither idle nor waiting. `None` if the
/// lines are something else, or no time passed between them.
pub fn busy_percent(before: &str, after: &str) -> Option<f64> {
    let ticks = |line: &str| -> Option<Vec<u64>> {
        line.strip_prefix("cpu")?.split_whitespace().map(|word| word.parse().ok()).collect()
    };
    let (before, after) = (ticks(before)?, ticks(after)?);
    let passed: Vec<u64> = before.iter().zip(&after).map(|(a, b)| b.saturating_sub(*a)).collect();
    let (all, idle): (u64, u64) = (passed.iter().sum(), passed.iter().skip(3).take(2).sum());
    (all > 0 && passed.len() > 4).then(|| 100.0 * (all - idle) as f64 / all as f64)
}

/// Times on the phone, with no patience for heat.
fn speed(server: Server, serial: &str, profile: &Profile) -> Vec<Check> {
    let mut profile = profile.clone();
    profile.limits.max_wait_s = 0;
    // The loads are the reference's own.
    profile.run.reference = false;
    let mut device = match PhoneDevice::open(server, serial, &profile, LOADS) {
        Ok(device) => device,
        Err(error) => return vec![check("repeatability", false, error.to_string(), "see the message")],
    };
    let repeats = repeatability(&mut device);
    let fixed = device.has_fixed_performance();
    let mode = if fixed {
        "offered, and used while it is measured"
    } else {
        "not offered; the phone sets its clocks as it likes"
    };
    let mut checks = vec![check("fixed performance", true, mode, ""), repeats];
    checks.extend(clocks(&device));
    checks
}

/// The clocks right after a load, when the core that worked was still at it.
fn clocks(device: &PhoneDevice) -> Option<Check> {
    let report = device.last_report()?;
    let cores = report.after.cores.iter().filter(|core| report.affinity.contains(&core.core));
    let fastest = cores.max_by_key(|core| core.khz)?;
    let max_khz = fastest.max_khz?;
    let found = format!("core {} worked at {} of {} MHz", fastest.core, fastest.khz / 1000, max_khz / 1000);
    let advice = "it is throttled: let it cool down, and see that no battery saver is on";
    Some(check("clocks", fastest.khz as f64 >= CLOCK_SHARE * max_khz as f64, found, advice))
}

/// Times the reference network again and again.
fn repeatability(device: &mut dyn Device) -> Check {
    let advice =
        "end what runs beside it, let it cool down, give it cores of its own (--cores of the commands that time)";
    match variation_percent(device) {
        Ok((mean_ms, percent)) => {
            let found = format!(
                "{LOADS} loads of a small network: {mean_ms:.3} ms ± {percent:.1} %, limit {MAX_VARIATION_PERCENT} %"
            );
            check("repeatability", percent <= MAX_VARIATION_PERCENT, found, advice)
        }
        Err(error) => check("repeatability", false, error.to_string(), "see the message"),
    }
}

/// Mean and coefficient of variation of the loads' latencies.
fn variation_percent(device: &mut dyn Device) -> Result<(f64, f64), DeviceError> {
    let (model, clock) = (reference()?, device.description().clock);
    let mut loads = Vec::new();
    for _ in 0..LOADS {
        loads.extend(device.time(&model)?.ln_ms(clock, &Noise::RUNS).map(f64::exp));
    }
    let mean = loads.iter().sum::<f64>() / loads.len() as f64;
    let variance = loads.iter().map(|ms| (ms - mean).powi(2)).sum::<f64>() / loads.len() as f64;
    Ok((mean, 100.0 * variance.sqrt() / mean))
}

/// The limits that apply where no profile says otherwise.
pub fn default_profile() -> Profile {
    Profile::new("this-machine", Kind::Host)
}
