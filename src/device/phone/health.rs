//! Whether a phone may be measured now.

use std::time::Duration;

use super::state::State;
use crate::device::profile::{Charging, Limits};

/// First and longest pause between two looks at a phone that is above its limits.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// One limit that is not met.
#[derive(Debug, Clone, PartialEq)]
pub struct Complaint {
    /// As in the profile: `max_temperature_c`, …
    pub limit: &'static str,
    /// What is the case, with the limit.
    pub found: String,
    /// What to do.
    pub advice: &'static str,
    /// Whether it may pass if one waits.
    pub passes: bool,
}

/// Every limit that `state` does not meet. What a phone does not tell is no complaint.
pub fn complaints(state: &State, limits: &Limits) -> Vec<Complaint> {
    let battery = &state.battery;
    let hot = state.hottest().filter(|zone| zone.celsius > limits.max_temperature_c).map(|zone| Complaint {
        limit: "max_temperature_c",
        found: format!("sensor {} shows {:.1} °C, limit {} °C", zone.name, zone.celsius, limits.max_temperature_c),
        advice: "let it cool down, out of the sun and out of its case",
        passes: true,
    });
    let status = state.thermal_status.filter(|status| *status > limits.max_thermal_status).map(|status| Complaint {
        limit: "max_thermal_status",
        found: format!("Android's thermal status is {status}, limit {}", limits.max_thermal_status),
        advice: "let it cool down",
        passes: true,
    });
    let warm = battery.celsius.filter(|celsius| *celsius > limits.max_battery_temperature_c).map(|celsius| Complaint {
        limit: "max_battery_temperature_c",
        found: format!("the battery has {celsius:.1} °C, limit {} °C", limits.max_battery_temperature_c),
        advice: "unplug fast chargers and let it cool down",
        passes: true,
    });
    let empty = battery.percent.filter(|percent| *percent < limits.min_battery_percent).map(|percent| Complaint {
        limit: "min_battery_percent",
        found: format!("the battery is at {percent} %, limit {} %", limits.min_battery_percent),
        advice: "charge it: phones slow down to save the last of their battery",
        passes: battery.charging == Some(true),
    });
    let (wrong_power, advice) = match limits.charging {
        Charging::Required => (battery.charging == Some(false), "plug its charger in"),
        Charging::Forbidden => {
            (battery.charging == Some(true), "unplug its charger; use adb over Wi-Fi, or a cable without power")
        }
        Charging::Any => (false, ""),
    };
    let power = wrong_power.then(|| Complaint {
        limit: "charging",
        found: format!("charging is {}", if battery.charging == Some(true) { "on" } else { "off" }),
        advice,
        passes: false,
    });
    [hot, status, warm, empty, power].into_iter().flatten().collect()
}

/// Complaints on one line.
pub fn describe(complaints: &[Complaint]) -> String {
    complaints.iter().map(|one| format!("{} ({})", one.found, one.advice)).collect::<Vec<_>>().join("; ")
}

/// Pauses that double, until a deadline.
#[derive(Debug)]
pub struct Patience {
    next: Duration,
    left: Duration,
    waited: Duration,
}

impl Patience {
    /// With so much time in all.
    pub fn of(limit: Duration) -> Self {
        Self { next: PAUSES.0, left: limit, waited: Duration::ZERO }
    }

    /// Sleeps once; `false` if the time is used up.
    pub fn pause(&mut self) -> bool {
        let pause = self.next.min(self.left);
        if pause.is_zero() {
            return false;
        }
        std::thread::sleep(pause);
        self.left -= pause;
        self.waited += pause;
        self.next = (self.next * 2).min(PAUSES.1);
        true
    }

    /// How long it was so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}
