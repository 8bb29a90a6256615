//! Whether a device computes what the model says: its output for a seeded input against another runtime's.
//!
//! The other runtime is tract, which reads every file that mnas writes. Converters' files may hold operators that tract
//! lacks, or MEAN, which tract 0.23 computes wrongly in f32; for those it is LiteRT's own kernels, without XNNPACK.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::litert::{Kernels, Runtime};
use super::{Device, DeviceError, Model};

/// Largest deviation of a right output, relative to the range of the expected one. Runtimes add in different orders.
pub const TOLERANCE: f64 = 1e-4;
/// Seed of the input.
const SEED: u64 = 1;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Verification {
    /// The outputs agree.
    Verified {
        /// Largest difference relative to the range of the expected output.
        deviation: f64,
    },
    /// The outputs differ: what was timed is not this model.
    Wrong {
        /// Largest difference relative to the range of the expected output.
        deviation: f64,
    },
    /// Nothing could be compared.
    Unverified {
        /// Why.
        reason: String,
    },
}

impl Verification {
    /// Whether the outputs were compared and agree.
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Verified { .. })
    }
}

/// Runs `model` once on `device` and compares with `expected`, the output for [`input`], or with another runtime's if
/// `None`.
///
/// # Errors
/// If the device cannot run the model.
pub fn verify(device: &mut dyn Device, model: &Model, expected: Option<&[f32]>) -> Result<Verification, DeviceError> {
    let unverified = |reason: String| Ok(Verification::Unverified { reason });
    let image = match input(model) {
        Ok(image) => image,
        Err(reason) => return unverified(reason),
    };
    let Some(found) = device.infer(model, &image)? else {
        return unverified("the device does not return outputs".into());
    };
    let computed;
    let expected = match expected {
        Some(expected) => expected,
        None => match expect(&model.bytes, &image) {
            Ok(output) => {
                computed = output;
                &computed
            }
            Err(reason) => return unverified(reason),
        },
    };
    let deviation = deviation(&found, expected);
    Ok(if deviation <= TOLERANCE { Verification::Verified { deviation } } else { Verification::Wrong { deviation } })
}

/// The output that a device's is compared with.
fn expect(bytes: &[u8], image: &[f32]) -> Result<Vec<f32>, String> {
    let summary = crate::tflite::read(bytes).map_err(|error| error.to_string())?;
    if !summary.counts().contains_key("MEAN")
        && let Ok(output) = super::tract::infer(bytes, image)
    {
        return Ok(output);
    }
    let runtime = Runtime::shared().map_err(|error| error.to_string())?;
    let mut loaded = runtime.load(bytes, 1, Kernels::Builtin)?;
    loaded.set_input(image)?;
    loaded.run()?;
    loaded.output()
}

/// The input of a verification: values from −1 to 1 in the shape the model declares.
///
/// # Errors
/// If the model does not have exactly one f32 input, or is no .tflite file.
pub fn input(model: &Model) -> Result<Vec<f32>, String> {
    let summary = crate::tflite::read(&model.bytes).map_err(|error| error.to_string())?;
    match summary.inputs.as_slice() {
        [input] if input.element == "FLOAT32" => {
            let mut random = crate::seeded(SEED);
            let elements = input.shape.iter().map(|&side| side.max(1) as usize).product();
            Ok((0..elements).map(|_| random.gen_range(-1.0..1.0)).collect())
        }
        inputs => Err(format!("only models of one FLOAT32 input can be verified, this one has {inputs:?}")),
    }
}

/// Largest difference relative to the range of `expected`; infinite if the lengths differ or a value is not finite.
pub fn deviation(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() || found.iter().chain(expected).any(|value| !value.is_finite()) {
        return f64::INFINITY;
    }
    let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    let largest = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    // A constant output has no range; its size stands for it.
    let range = f64::from(high - low);
    let scale = if range > 0.0 { range } else { f64::from(high.abs()).max(f64::MIN_POSITIVE) };
    largest / scale
}
