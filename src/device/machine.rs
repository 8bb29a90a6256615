//! This machine, as far as Linux describes it.

/// Model of the processor, or its architecture where Linux does not say.
pub(super) fn processor() -> String {
    let model = read("/proc/cpuinfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    model.unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// How the clock of the first core is governed, where Linux says so.
pub(super) fn governor() -> Option<String> {
    read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
}

/// The load average over one minute.
pub(super) fn load_average() -> Option<f64> {
    read("/proc/loadavg")?.split(' ').next()?.parse().ok()
}

/// The trimmed text of a file of the system, if it is there.
fn read(path: &str) -> Option<String> {
    fs_err::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
