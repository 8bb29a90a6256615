//! `mnas` finds a convolutional network for one particular phone.
//!
//! MnasNet (Tan et al., CVPR 2019) with one addition: a latency predictor, learnt from timings on that very device,
//! screens the candidates, so that only the promising ones are trained and only the best are timed, inside the
//! reinforcement-learning reward loop. The library does what the program `mnas` does; three jobs show it.
//!
//! # Calibrate a device
//! Measure some networks there, fit a predictor, and state its error on networks that the fit never saw. Anything that
//! implements [`device::Device`] can be calibrated: a phone over adb, this machine, a program of yours.
//! ```
//! use std::ops::ControlFlow;
//! use mnas::device::simulated::SimulatedDevice;
//! use mnas::latency::{CalibrationSettings, calibrate};
//! use mnas::space::Space;
//!
//! let mut settings = CalibrationSettings::new(Space::preset("demo")?);
//! (settings.networks, settings.validation, settings.repeats) = (30, 20, 3);
//! let out = tempfile::tempdir()?;
//! let mut device = SimulatedDevice::new(1);
//! let found = calibrate(&mut device, &settings, out.path(), &mut |_| ControlFlow::Continue(()))?;
//! assert!(found.mape < 10.0, "{} % mean error", found.mape);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Search
//! A search file says what is wanted; the run folder holds everything that finished, and [`search::resume`] goes on from
//! it as if nothing had happened.
//! ```
//! use mnas::search::{RunContext, start, summarise};
//! use mnas::store::Ledger;
//!
//! let folder = tempfile::tempdir()?;
//! let (file, run) = (folder.path().join("search.toml"), folder.path().join("run"));
//! std::fs::write(&file, r#"
//!     space = { preset = "demo" }
//!     target = { latency_ms = 5.0 }
//!     device = { id = "simulated" }
//!     accuracy = { kind = "simulated" }
//!     budget = { evaluations = 12 }
//!     search = { algorithm = "evolution", warm_up_measurements = 20 }
//! "#)?;
//! start(&file, &run, &RunContext::default())?;
//! let report = summarise(&Ledger::read(&run)?)?;
//! let best = report.pick.best.expect("something was evaluated");
//! assert!(report.evaluations == 12 && best.latency_ms > 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Sign off
//! Check that the device computes what the model says, then time it beside a baseline in interleaved rounds of fresh
//! loads.
//! ```
//! use std::ops::ControlFlow;
//! use mnas::device::session::{Plan, measure};
//! use mnas::statistics::median;
//! use mnas::device::verify::verify;
//! use mnas::device::{Choice, open};
//! use mnas::latency::timing_model;
//!
//! // LiteRT where it is installed, else tract.
//! let mut device = open(&Choice { fallback: true, runs: 2, ..Choice::of("host") })?;
//! let line = "input=32 stem=8 r1_k3_s22_e3_i8_o16 head=0 classes=4";
//! let models = [timing_model(&mnas::space::parse(line)?)?, timing_model(&mnas::space::parse(&line.replace("k3", "k5"))?)?];
//! assert!(verify(&mut *device, &models[0], None)?.is_verified());
//! let plan = Plan { rounds: 3, seed: 1 };
//! let session = measure(&mut *device, &models, &plan, Vec::new(), &mut |_| ControlFlow::Continue(()))?;
//! let ratio = median(&session.samples_ms(0)) / median(&session.samples_ms(1));
//! assert!(ratio > 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Inside
//! ```text
//! space ──► network ──► tflite ──► device ──► latency ┐
//!               └─────► train ───────────► accuracy ──┴─► search (reward, controller) ──► report
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`space`] | the factorized hierarchical search space as data, tokens ↔ architecture, block strings, reference networks |
//! | [`network`] | the one expansion into layers; parameters, multiply-adds, memory, weights |
//! | [`tflite`] | the .tflite writer, and a reader for checks |
//! | [`adb`] | the link to phones: the adb server's socket, commands, files |
//! | [`device`] | what can time a model, measurement sessions and their statistics |
//! | [`latency`] | features, measured data, regressors, intervals, calibration |
//! | [`train`] | data sets, the torch model of a network, proxy training, other sources of accuracy |
//! | [`controller`] | the LSTM policy and PPO (feature `torch`) |
//! | [`search`] | reward, models, acquisition, the loop, the Pareto front |
//! | [`store`] | the run directory and its SQLite ledger |
//! | [`report`] | tables, SVG and HTML |
//! | [`external`] | the user's own trainer or device as a program |
//! | [`statistics`] | medians, quantiles, normal distributions |
//! | `gaussian_process` | the linear algebra behind both Gaussian processes |
//! | `documents`, [`text`], [`files`] | reading TOML with one-line errors, text in the encodings people have, writing files whole or not at all |
//! | [`cli`] | the command line |
//!
//! Each uses only those before it in the order `statistics`, `documents`, `text`, `files`, `gaussian_process` < `space` < `external`, `network`, `controller`,
//! `store` < `tflite`, `train`, `report`, `adb` < `device` < `latency` < `search` < `cli`.

pub mod adb;
pub mod cli;
#[cfg(feature = "torch")]
pub mod controller;
pub mod device;
mod documents;
pub mod external;
pub mod files;
mod gaussian_process;
pub mod latency;
pub mod network;
pub mod report;
pub mod search;
pub mod space;
pub mod statistics;
pub mod store;
pub mod text;
pub mod tflite;
pub mod train;

use rand::SeedableRng;

/// The random generator behind every random choice: same seed, same run, on every machine.
pub type Random = rand_chacha::ChaCha8Rng;

/// A generator from a seed.
pub fn seeded(seed: u64) -> Random {
    Random::seed_from_u64(seed)
}

/// The indices of `count` rows, or `most` of them evenly spread.
pub(crate) fn spread(count: usize, most: usize) -> Vec<usize> {
    let kept = count.min(most);
    (0..kept).map(|row| row * count / kept).collect()
}
