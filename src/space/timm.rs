//! Block strings of timm, as far as they mean a network of ours.
//!
//! ```text
//! [['ds_r1_k3_s1_e1_c16_noskip'], ['ir_r2_k3_s2_e6_c24'], ['ir_r3_k5_s2_e3_c40_se0.25_nre'], ['cn_r1_k1_s1_c960']]
//! ```
//! Source: `_decode_block_str` and `EfficientNetBuilder` in huggingface/pytorch-image-models,
//! `timm/models/_efficientnet_builder.py`, and the layers in `_efficientnet_blocks.py`.
//!
//! | in a string | means | here |
//! |---|---|---|
//! | `ds` | depthwise convolution, 1x1 projection; `e` says nothing | `e1` |
//! | `dsa` | the same with its projection activated and no skip | `e1`, `_noskip_act` |
//! | `ir` | 1x1 expansion (also for `e1`), depthwise, projection | `eN`; of `e1` without a skip a `k1` `_conv` before an `e1` |
//! | `cn` | convolution, norm, activation; no skip unless `_skip` | `_conv` |
//! | `r`, `k`, `c` | repeats, kernel, output channels, these rounded to multiples of 8 | `r`, `k`, `o`; other channels are refused |
//! | `s` | stride of the first repeat; within a list only the first string's counts | `s11` or `s22` |
//! | `se` | width of the gate as a part of the block's input | `se` |
//! | `nre`, `nr6` | activation | `act=relu`, `act=relu6` of the whole network |
//! | `noskip` | no skip | `_noskip` |
//!
//! Anything else (`er`, hard-swish, mixed kernels, …) is refused by name.

use super::architecture::{Activation, Block, Operator, Skip};
use super::notation::{NotationError, kernel, number, once, squeeze_ratio};
use super::reference::round_channels;

/// Whether a word is a block string of timm: it begins with letters, where ours begin with a letter and a number.
pub(super) fn is_timm(word: &str) -> bool {
    let kind = word.split('_').next().unwrap_or_default();
    word.contains('_') && kind.len() > 1 && kind.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// What a string says.
#[derive(Default)]
struct Parts {
    layers: Option<usize>,
    kernel: Option<usize>,
    stride: Option<usize>,
    expansion: Option<usize>,
    filters: Option<usize>,
    squeeze_ratio: Option<f64>,
    skip: Option<bool>,
    activation: Option<Activation>,
}

/// The blocks of a string behind `input` channels, and its activation; `first` where it begins a list.
pub(super) fn read(
    word: &str,
    column: usize,
    input: usize,
    first: bool,
) -> Result<(Vec<Block>, Option<Activation>), NotationError> {
    let (kind, rest) = word.split_once('_').unwrap_or((word, ""));
    if !["ds", "dsa", "ir", "cn"].contains(&kind) {
        let problem =
            format!("'{word}': blocks of kind '{kind}' cannot be expressed; known of timm's are ds, dsa, ir and cn");
        return Err(NotationError::new(column, problem));
    }
    let mut parts = Parts::default();
    let mut at = column + kind.len() + 1;
    for part in rest.split('_') {
        parts.read(word, part, at)?;
        at += part.chars().count() + 1;
    }
    let activation = parts.activation;
    Ok((parts.blocks(kind, word, column, input, first)?, activation))
}

impl Parts {
    fn read(&mut self, word: &str, part: &str, column: usize) -> Result<(), NotationError> {
        let refused = |why: &str| Err(NotationError::new(column, format!("'{part}' in '{word}' {why}")));
        let digits = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
        let (name, rest) = part.split_at(digits);
        let at = column + name.len();
        match (name, rest) {
            ("skip" | "noskip", "") => once(&mut self.skip, name == "skip", part, column),
            ("nre", "") => once(&mut self.activation, Activation::Relu, part, column),
            ("nr", "6") => once(&mut self.activation, Activation::Relu6, part, column),
            ("nhs" | "nsw" | "nmi", "") => refused("is an activation that cannot be expressed; known are nre and nr6"),
            ("r", _) => once(&mut self.layers, number(rest, at, "repeats", 1)?, part, column),
            ("k", _) if rest.contains('.') => refused("mixes kernels, which cannot be expressed"),
            ("k", _) => once(&mut self.kernel, kernel(rest, at)?, part, column),
            ("s", "1" | "2") => once(&mut self.stride, usize::from(rest == "2") + 1, part, column),
            ("s", _) => refused("is no stride of timm's: expected s1 or s2"),
            ("se", _) => once(&mut self.squeeze_ratio, squeeze_ratio(rest, at)?, part, column),
            ("e", _) => match rest.parse::<f64>().ok().filter(|expansion| expansion.fract() == 0.0) {
                Some(expansion) => {
                    let expansion = number(&expansion.to_string(), at, "the expansion", 1)?;
                    once(&mut self.expansion, expansion, part, column)
                }
                None => refused("is no whole expansion, which cannot be expressed"),
            },
            ("c", _) => {
                let filters = number(rest, at, "output channels", 1)?;
                let rounded = round_channels(filters, 1.0);
                if filters != rounded {
                    return refused(&format!(
                        "is ambiguous: timm rounds channels to multiples of 8; write c{rounded} if you mean that"
                    ));
                }
                once(&mut self.filters, filters, part, column)
            }
            // The defaults of what else there is.
            ("a" | "p", "1") | ("d" | "cc" | "g", "0") => Ok(()),
            _ => refused("cannot be expressed; known are r, k, s, e, c, se, nre, nr6, skip and noskip"),
        }
    }

    fn blocks(
        &self,
        kind: &str,
        word: &str,
        column: usize,
        input: usize,
        first: bool,
    ) -> Result<Vec<Block>, NotationError> {
        let missing = |part: &str| NotationError::new(column, format!("block '{word}' lacks its {part}"));
        let refused = |why: String| Err(NotationError::new(column, format!("'{word}' {why}")));
        let filters = self.filters.ok_or_else(|| missing("output channels (c)"))?;
        let stride = self.stride.ok_or_else(|| missing("stride (s)"))?;
        let expansion = self.expansion.unwrap_or(1);
        if kind != "ir" && expansion != 1 {
            return refused(format!("says e{expansion}, and blocks of kind '{kind}' have no expansion"));
        }
        let ratio = self.squeeze_ratio.unwrap_or(0.0);
        let block = Block {
            operator: if kind == "cn" { Operator::Conv } else { Operator::with_expansion(expansion) },
            kernel: self.kernel.ok_or_else(|| missing("kernel (k)"))?,
            stride: if first { stride } else { 1 },
            squeeze_ratio: ratio,
            skip: match (kind, self.skip) {
                ("dsa", _) | ("cn", None) | (_, Some(false)) => Skip::None,
                _ => Skip::Identity,
            },
            filters,
            layers: self.layers.ok_or_else(|| missing("repeats (r)"))?,
            activate_projection: kind == "dsa",
        };
        if kind == "cn" && ratio > 0.0 {
            return refused("says se, and blocks of kind 'cn' have no gate".to_owned());
        }
        let gate = [input, filters].map(|channels| channels as f64 * ratio);
        if gate.iter().any(|width| (width - width.round()).abs() > 1e-6) {
            return refused(format!(
                "has a gate of {ratio} of {input} channels, no whole number: timm rounds otherwise"
            ));
        }
        if kind == "ir" && !(input * expansion).is_multiple_of(8) {
            return refused(format!(
                "expands {input} channels, of which timm makes a multiple of 8: cannot be expressed"
            ));
        }
        if kind == "ir" && self.expansion.is_none() {
            return Err(missing("expansion (e)"));
        }
        if kind == "ir" && expansion == 1 { unexpanded(block, input, word, column) } else { Ok(vec![block]) }
    }
}

/// timm's `ir` with `e1`: the convolution before the depthwise one is there all the same, and so a block of its own. A
/// skip around both cannot be expressed.
fn unexpanded(block: Block, input: usize, word: &str, column: usize) -> Result<Vec<Block>, NotationError> {
    let mut blocks = Vec::new();
    let (mut arriving, mut stride) = (input, block.stride);
    for _ in 0..block.layers {
        if block.skip == Skip::Identity && stride == 1 && arriving == block.filters {
            let problem = format!(
                "'{word}' has a skip around an expansion to as many channels, which cannot be expressed; without one (ds) or \
                 with _noskip it can"
            );
            return Err(NotationError::new(column, problem));
        }
        let plain = Block { skip: Skip::None, layers: 1, squeeze_ratio: 0.0, ..block.clone() };
        blocks.push(Block { operator: Operator::Conv, kernel: 1, stride: 1, filters: arriving, ..plain.clone() });
        blocks.push(Block { stride, squeeze_ratio: block.squeeze_ratio, ..plain });
        (arriving, stride) = (block.filters, 1);
    }
    Ok(blocks)
}
