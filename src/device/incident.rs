//! What happened between and during loads that a reader of the numbers should know.

use serde::{Deserialize, Serialize};

/// Something that a device did about a measurement besides taking it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// When.
    pub time: jiff::Timestamp,
    /// What kind of thing.
    pub kind: IncidentKind,
    /// What exactly, with numbers.
    pub message: String,
}

/// Kinds of [`Incident`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// It was above a limit, and waited for.
    Waited,
    /// A load was thrown away and repeated.
    Repeated,
    /// It became slower for good: timings go on at its new speed.
    Slower,
    /// The connection was lost and found again.
    Reconnected,
    /// Something that an earlier session had left was undone.
    TidiedUp,
    /// Something asked for cannot be had there.
    Unavailable,
}

impl Incident {
    /// Of this moment.
    pub fn now(kind: IncidentKind, message: impl Into<String>) -> Self {
        Self { time: jiff::Timestamp::now(), kind, message: message.into() }
    }
}
