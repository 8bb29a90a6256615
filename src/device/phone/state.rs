//! What a phone reports about itself: its properties once, its state again and again.
//!
//! Both come from one shell script each, so that a look costs one round trip; the scripts use the shell's own `read`,
//! since a hundred processes for a hundred small files would warm the phone. They print lines `word rest`, and after a
//! line `@name` the output of another program:
//!
//! ```text
//! property ro.product.model Pixel 4       core 4 1958400 2419200 schedutil      zone 12 38900 cpu-1-0-usr
//! load 0.81 0.92 1.07 1/2215 9921         @battery …                            @thermal …
//! ```

use mnas_runner::machine::{Core, Moment, Zone};
use serde::{Deserialize, Serialize};

use crate::adb::Command;

/// What does not change while a phone runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Properties {
    /// `ro.product.manufacturer`.
    pub manufacturer: String,
    /// `ro.product.model`.
    pub model: String,
    /// `ro.soc.model`, or the board's platform.
    pub soc: String,
    /// `ro.product.cpu.abi`, as in `arm64-v8a`.
    pub abi: String,
    /// `ro.build.version.release`.
    pub android: String,
    /// `ro.build.fingerprint`: exactly which system.
    pub fingerprint: String,
    /// Whether it has the program `taskset`.
    pub taskset: bool,
}

/// A phone at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// Clocks, temperatures, load.
    #[serde(flatten)]
    pub moment: Moment,
    /// Android's thermal status, 0 none to 6 shutdown; `None` before Android 10.
    pub thermal_status: Option<u32>,
    /// The battery.
    pub battery: Battery,
    /// Whether the screen is on; `None` where the phone does not report it.
    pub awake: Option<bool>,
    /// Whether the battery saver is on.
    pub battery_saver: Option<bool>,
    /// Free kilobytes in the phone's folder for us.
    pub free_kb: Option<u64>,
}

/// The battery; `None` is what the phone does not tell.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Battery {
    /// Charge.
    pub percent: Option<u32>,
    /// Degrees Celsius.
    pub celsius: Option<f64>,
    /// Whether power comes in.
    pub charging: Option<bool>,
}

const PROPERTIES: &str = r#"
for name in ro.product.manufacturer ro.product.model ro.soc.model ro.board.platform ro.product.cpu.abi \
    ro.build.version.release ro.build.fingerprint; do
  echo "property $name $(getprop $name)"
done
command -v taskset >/dev/null 2>&1 && echo "taskset yes"
exit 0"#;

const STATE: &str = r#"
cd /sys/devices/system/cpu && for core in cpu[0-9]*; do
  now=; most=; governor=
  read now < $core/cpufreq/scaling_cur_freq
  read most < $core/cpufreq/cpuinfo_max_freq
  read governor < $core/cpufreq/scaling_governor
  echo "core ${core#cpu} ${now:-?} ${most:-?} ${governor:-?}"
done 2>/dev/null
cd /sys/class/thermal && for zone in thermal_zone[0-9]*; do
  name=; temp=
  read name < $zone/type
  read temp < $zone/temp
  echo "zone ${zone#thermal_zone} ${temp:-?} ${name:-?}"
done 2>/dev/null
read load < /proc/loadavg && echo "load $load"
echo "saver $(settings get global low_power 2>/dev/null)"
echo @free; df -k /data/local/tmp 2>/dev/null
echo @battery; dumpsys battery 2>/dev/null
echo @thermal; dumpsys thermalservice 2>/dev/null
echo @power; dumpsys power 2>/dev/null | grep mWakefulness=
exit 0"#;

impl Properties {
    /// The command that prints them.
    pub fn command() -> Command {
        Command::script(PROPERTIES)
    }

    /// Reads what it printed.
    pub fn parse(text: &str) -> Self {
        let property = |name: &str| {
            let value =
                text.lines().find_map(|line| line.strip_prefix("property ")?.strip_prefix(name)?.strip_prefix(' '));
            value.unwrap_or_default().trim().to_owned()
        };
        let soc = Some(property("ro.soc.model")).filter(|name| !name.is_empty() && name != "unknown");
        Self {
            manufacturer: property("ro.product.manufacturer"),
            model: property("ro.product.model"),
            soc: soc.unwrap_or_else(|| property("ro.board.platform")),
            abi: property("ro.product.cpu.abi"),
            android: property("ro.build.version.release"),
            fingerprint: property("ro.build.fingerprint"),
            taskset: text.lines().any(|line| line.trim() == "taskset yes"),
        }
    }
}

impl State {
    /// The command that prints it.
    pub fn command() -> Command {
        Command::script(STATE)
    }

    /// Reads what it printed; what is not there or not understood is left out.
    pub fn parse(text: &str) -> Self {
        let section = |name: &'static str| {
            let mut lines = text.lines().skip_while(move |line| line.trim() != name);
            lines.next();
            lines.take_while(|line| !line.starts_with('@'))
        };
        let value = |name: &'static str, key: &str| {
            section(name).find_map(|line| line.trim().strip_prefix(key)).map(|value| value.trim().to_owned())
        };
        let battery = |key| value("@battery", key);
        let power: Vec<bool> = section("@battery")
            .filter_map(|line| line.split_once(" powered:").map(|(_, value)| value.trim() == "true"))
            .collect();
        let awake = value("@power", "mWakefulness=").map(|state| state == "Awake");
        Self {
            moment: moment(text),
            thermal_status: value("@thermal", "Thermal Status:").and_then(|status| status.parse().ok()),
            battery: Battery {
                percent: battery("level:").and_then(|level| level.parse().ok()),
                celsius: battery("temperature:").and_then(|tenths| tenths.parse::<f64>().ok()).map(|t| t / 10.0),
                charging: (!power.is_empty()).then(|| power.contains(&true)),
            },
            awake,
            battery_saver: text.lines().find_map(|line| match line.strip_prefix("saver ")?.trim() {
                "1" => Some(true),
                "0" => Some(false),
                _ => None,
            }),
            free_kb: section("@free").filter_map(|line| line.split_whitespace().nth(3)?.parse().ok()).last(),
        }
    }

    /// The hottest of the processor's sensors: those named after it, or all where none is. Values no chip can have are
    /// a sensor's way to say that it is off.
    pub fn hottest(&self) -> Option<&Zone> {
        let plausible = || self.moment.zones.iter().filter(|zone| (0.0..150.0).contains(&zone.celsius));
        let of_processor = |zone: &&Zone| {
            let name = zone.name.to_lowercase();
            ["cpu", "soc", "cluster", "big", "little", "apc", "gold", "silver"].iter().any(|part| name.contains(part))
        };
        let hotter = |a: &&Zone, b: &&Zone| a.celsius.total_cmp(&b.celsius);
        plausible().filter(of_processor).max_by(hotter).or_else(|| plausible().max_by(hotter))
    }

    /// The cores with the highest clock; empty where no clock is told.
    pub fn biggest_cores(&self) -> Vec<usize> {
        let most = self.moment.cores.iter().filter_map(|core| core.max_khz).max();
        let cores = self.moment.cores.iter().filter(|core| most.is_some() && core.max_khz == most);
        cores.map(|core| core.core).collect()
    }
}

/// The lines `core`, `zone` and `load`.
fn moment(text: &str) -> Moment {
    let mut moment = Moment::default();
    for line in text.lines().take_while(|line| !line.starts_with('@')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["core", number, khz, most, governor] => moment.cores.extend(number.parse().ok().map(|core| Core {
                core,
                khz: khz.parse().unwrap_or(0),
                max_khz: most.parse().ok(),
                governor: Some((*governor).to_owned()).filter(|name| name != "?"),
            })),
            ["zone", _, millidegrees, name @ ..] => moment.zones.extend(
                millidegrees.parse::<f64>().ok().map(|value| Zone { name: name.join(" "), celsius: value / 1000.0 }),
            ),
            ["load", one_minute, ..] => moment.load_average = one_minute.parse().ok(),
            _ => {}
        }
    }
    moment.cores.sort_by_key(|core| core.core);
    moment
}
