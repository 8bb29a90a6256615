//! What a search found, for people: pure functions from [`ReportData`] to text, SVG and one HTML page.
//!
//! [`ReportData`] is also, written as JSON, what `mnas report --json` prints. Text and page show the same [`tables`].

pub mod calibration;
pub mod columns;
pub mod data;
mod format;
pub mod html;
pub mod svg;
pub mod tables;
pub mod text;
mod words;

pub use data::{Candidate, DeviceSummary, Pick, ReportData, TargetSummary};
