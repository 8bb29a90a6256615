//! The published networks that everything is compared with, by name.
//!
//! `NAME[@WIDTH][/INPUT]`, e.g. `mnasnet-a1@0.75/192`. Case and separators do not matter: `MobileNet_V2` is
//! `mobilenet-v2`, and `mobilenet_v2_0.75_160`, as TensorFlow's model files are called, is `mobilenet-v2@0.75/160`. Block strings and scaling rules: tensorflow/tpu
//! `models/official/mnasnet/mnasnet_models.py` and `models/official/efficientnet/lite`; MobileNetV1 (arXiv 1704.04861)
//! table 1; MobileNetV2 (arXiv 1801.04381) table 2.

use super::architecture::Architecture;

/// Which channels a width multiplier scales.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scaling {
    /// Stem and blocks; the head stays (MnasNet).
    StemAndBlocks,
    /// Stem, blocks, and the head from 1 upwards (MobileNetV2).
    HeadFromOne,
    /// Blocks only (EfficientNet-Lite).
    Blocks,
}

struct Reference {
    name: &'static str,
    line: &'static str,
    scaling: Scaling,
}

static REFERENCES: [Reference; 6] = [
    Reference {
        name: "mnasnet-a1",
        line: "r1_k3_s11_e1_i32_o16_noskip r2_k3_s22_e6_i16_o24 r3_k5_s22_e3_i24_o40_se0.25 r4_k3_s22_e6_i40_o80 \
               r2_k3_s11_e6_i80_o112_se0.25 r3_k5_s22_e6_i112_o160_se0.25 r1_k3_s11_e6_i160_o320",
        scaling: Scaling::StemAndBlocks,
    },
    Reference {
        name: "mnasnet-b1",
        line: "r1_k3_s11_e1_i32_o16_noskip r3_k3_s22_e3_i16_o24 r3_k5_s22_e3_i24_o40 r3_k5_s22_e6_i40_o80 \
               r2_k3_s11_e6_i80_o96 r4_k5_s22_e6_i96_o192 r1_k3_s11_e6_i192_o320_noskip",
        scaling: Scaling::StemAndBlocks,
    },
    Reference {
        name: "mnasnet-small",
        line: "stem=8 r1_k3_s11_e1_i8_o8_noskip r1_k3_s22_e3_i8_o16 r2_k3_s22_e6_i16_o16 r4_k5_s22_e6_i16_o32_se0.25 \
               r3_k3_s11_e6_i32_o32_se0.25 r3_k5_s22_e6_i32_o88_se0.25 r1_k3_s11_e6_i88_o144",
        scaling: Scaling::StemAndBlocks,
    },
    Reference {
        name: "mobilenet-v1",
        line: "r1_k3_s11_e1_i32_o64_noskip_act r1_k3_s22_e1_i64_o128_noskip_act r1_k3_s11_e1_i128_o128_noskip_act \
               r1_k3_s22_e1_i128_o256_noskip_act r1_k3_s11_e1_i256_o256_noskip_act r1_k3_s22_e1_i256_o512_noskip_act \
               r5_k3_s11_e1_i512_o512_noskip_act r1_k3_s22_e1_i512_o1024_noskip_act r1_k3_s11_e1_i1024_o1024_noskip_act head=0",
        scaling: Scaling::StemAndBlocks,
    },
    Reference {
        name: "mobilenet-v2",
        line: "act=relu6 r1_k3_s11_e1_i32_o16 r2_k3_s22_e6_i16_o24 r3_k3_s22_e6_i24_o32 r4_k3_s22_e6_i32_o64 \
               r3_k3_s11_e6_i64_o96 r3_k3_s22_e6_i96_o160 r1_k3_s11_e6_i160_o320",
        scaling: Scaling::HeadFromOne,
    },
    Reference {
        name: "efficientnet-lite0",
        line: "act=relu6 r1_k3_s11_e1_i32_o16 r2_k3_s22_e6_i16_o24 r2_k5_s22_e6_i24_o40 r3_k3_s22_e6_i40_o80 \
               r3_k5_s11_e6_i80_o112 r4_k5_s22_e6_i112_o192 r1_k3_s11_e6_i192_o320",
        scaling: Scaling::Blocks,
    },
];

/// Why a reference name was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No network of that name.
    #[error("no reference network '{name}'; known are {}", names().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name as given, without width and input.
        name: String,
    },
    /// The part behind `@` or `/` is not a usable number.
    #[error(
        "'{text}': the {what} must be {expected}, found '{found}' (write NAME@WIDTH/INPUT, as in mnasnet-a1@0.75/192)"
    )]
    Number {
        /// The whole word.
        text: String,
        /// `width multiplier` or `input size`.
        what: &'static str,
        /// The accepted range.
        expected: &'static str,
        /// What stood there.
        found: String,
    },
}

/// The names of all reference networks, in a fixed order.
pub fn names() -> impl Iterator<Item = &'static str> {
    REFERENCES.iter().map(|reference| reference.name)
}

/// The network called `NAME[@WIDTH][/INPUT]`.
///
/// # Errors
/// An unknown name (the message lists the known ones) or a width outside (0, 8] or an input outside 1..=4096.
pub fn reference(text: &str) -> Result<Architecture, ReferenceError> {
    let (name, width, input) = parts(text);
    let found = named(name).ok_or_else(|| ReferenceError::Unknown { name: name.to_owned() })?;
    let mut architecture: Architecture = found.line.parse().expect("the table's block strings are valid");
    if let Some(width) = width {
        let multiplier = width.parse().ok().filter(|width| *width > 0.0 && *width <= 8.0);
        let multiplier = multiplier.ok_or_else(|| ReferenceError::Number {
            text: text.to_owned(),
            what: "width multiplier",
            expected: "above 0 and at most 8",
            found: width.to_owned(),
        })?;
        scale(&mut architecture, multiplier, found.scaling);
    }
    if let Some(input) = input {
        let size = input.parse().ok().filter(|size| (1..=4096).contains(size));
        architecture.input_size = size.ok_or_else(|| ReferenceError::Number {
            text: text.to_owned(),
            what: "input size",
            expected: "a whole number from 1 to 4096",
            found: input.to_owned(),
        })?;
    }
    Ok(architecture)
}

/// Whether the text is the name of a reference network, whatever its width and input.
pub(super) fn is_named(text: &str) -> bool {
    named(parts(text).0).is_some()
}

/// Name, width multiplier and input size.
fn parts(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, input) = split_suffix(text, '/');
    let (name, width) = split_suffix(rest, '@');
    if (width, input) == (None, None) {
        let numbers = name.rsplit_once('_').and_then(|(rest, input)| Some((rest.rsplit_once('_')?, input)));
        match numbers {
            Some(((name, width), input)) if named(name).is_some() && width.contains('.') => {
                return (name, Some(width), Some(input));
            }
            _ => {}
        }
    }
    (name, width, input)
}

/// The network of that name.
fn named(name: &str) -> Option<&'static Reference> {
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| !matches!(c, '-' | '_' | ' '));
        letters.flat_map(char::to_lowercase).collect::<String>()
    };
    let wanted = plain(name);
    REFERENCES.iter().find(|reference| plain(reference.name) == wanted)
}

fn split_suffix(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((name, suffix)) => (name, Some(suffix)),
        None => (text, None),
    }
}

fn scale(architecture: &mut Architecture, multiplier: f64, scaling: Scaling) {
    if scaling != Scaling::Blocks {
        architecture.stem = round_channels(architecture.stem, multiplier);
    }
    for block in &mut architecture.blocks {
        block.filters = round_channels(block.filters, multiplier);
    }
    if scaling == Scaling::HeadFromOne {
        architecture.head = round_channels(architecture.head, multiplier.max(1.0));
    }
}

/// Channels scaled and rounded to a multiple of 8, never more than a tenth below the exact product
/// (`_round_filters` in the official code).
pub fn round_channels(channels: usize, multiplier: f64) -> usize {
    let exact = channels as f64 * multiplier;
    let rounded = ((exact + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * exact { rounded + 8 } else { rounded }
}
