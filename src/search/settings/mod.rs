//! The search file: every option with its range, unchecked as it is read and checked as it is used.

pub mod accuracy;
pub mod devices;
mod evolution;
pub mod file;
mod guide;
mod range;
mod search;
pub mod stored;
mod target;

pub use accuracy::AccuracyOptions;
pub use devices::DeviceOptions;
pub use evolution::EvolutionOptions;
pub use file::{BudgetOptions, SearchFile, Settings, SpaceOptions};
pub use guide::GuideOptions;
pub use search::{Algorithm, SearchOptions, Timing, Window};
pub use target::TargetOptions;
