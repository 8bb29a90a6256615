//! What the networks of a run tell about those that were never tried: a Gaussian process over token sequences.
//!
//! A few dozen accuracies say little about a space of 10¹⁸ networks unless it is known which networks are similar. The
//! [`kernel`] says so from the space alone; the [`process`] gives for any token sequence a posterior mean and standard
//! deviation. It is only ever given what was observed, never what it predicted itself. One process learns accuracies,
//! another what the timings of the loop say beyond the calibrated latency predictor.
//!
//! Method: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapters 2 and 5.

pub(super) mod calibration;
pub mod device_latencies;
pub mod kernel;
pub mod latencies;
pub mod process;

pub use device_latencies::DeviceLatencies;
pub use kernel::{KernelPrior, Layout};
pub use latencies::{Latencies, Prior};
pub use process::GaussianProcess;
