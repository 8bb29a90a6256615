//! The latency predictor.
pub mod features;
pub mod metrics;
pub use features::{Feature, Features};
pub use metrics::Metrics;
