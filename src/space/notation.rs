//! Architectures as one line of text, in MnasNet's block strings.
//!
//! ```text
//! input=224 stem=32 act=relu r2_k3_s22_e6_i16_o24_se0.25_noskip … head=1280 classes=1000
//!                            │  │  ││  │  │   │   │       └ skip: _noskip, _pool, or nothing for identity
//!                            │  │  ││  │  │   │   └ squeeze ratio (absent: none)
//!                            │  │  ││  │  │   └ output channels        └ extensions: _conv (regular convolution,
//!                            │  │  ││  │  └ input channels               e1), _act (projection activated)
//!                            │  │  ││  └ expansion (1: no expansion convolution)
//!                            │  │  └┴ strides of the first repeat, both the same
//!                            │  └ kernel
//!                            └ repeats
//! ```
//! Source: `MnasNetDecoder` in tensorflow/tpu, `models/official/mnasnet/mnasnet_models.py`; `_conv`, `_pool`, `_act`
//! and the `name=value` words are ours. Block strings of timm (`timm.rs` beside this file) may stand for ours, and the strings of
//! either in Python's lists.

use std::fmt;
use std::str::FromStr;

use super::architecture::{Activation, Architecture, Block, Operator, Skip};
use super::timm;

/// What is wrong with an architecture line, and the column (1 is the first character) where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct NotationError {
    /// Column of the offending word or part, counted in characters from 1.
    pub column: usize,
    /// What was expected and what came.
    pub problem: String,
}

impl NotationError {
    pub(super) fn new(column: usize, problem: impl Into<String>) -> Self {
        Self { column, problem: problem.into() }
    }
}

/// Largest value any number of the notation may have; keeps every product far from overflow.
const LARGEST: usize = 65_536;

impl fmt::Display for Architecture {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "input={} stem={}", self.input_size, self.stem)?;
        if self.activation != Activation::Relu {
            write!(out, " act={}", self.activation.name())?;
        }
        for (block, input) in self.blocks.iter().zip(self.block_inputs()) {
            write!(out, " {}", block.notation(input))?;
        }
        write!(out, " head={} classes={}", self.head, self.classes)
    }
}

impl Block {
    /// The block string of this block behind `input` channels, e.g. `r2_k3_s22_e6_i16_o24_se0.25`.
    pub fn notation(&self, input: usize) -> String {
        let mut text = format!(
            "r{}_k{}_s{stride}{stride}_e{}_i{input}_o{}",
            self.layers,
            self.kernel,
            self.operator.expansion(),
            self.filters,
            stride = self.stride,
        );
        if self.squeeze_ratio > 0.0 {
            text += &format!("_se{}", self.squeeze_ratio);
        }
        match self.skip {
            Skip::None => text += "_noskip",
            Skip::Identity => {}
            Skip::Pool => text += "_pool",
        }
        if self.operator == Operator::Conv {
            text += "_conv";
        }
        if self.activate_projection {
            text += "_act";
        }
        text
    }
}

impl FromStr for Architecture {
    type Err = NotationError;

    fn from_str(line: &str) -> Result<Self, NotationError> {
        let mut reading = Reading::default();
        for word in words(line)? {
            reading.word(word)?;
        }
        reading.finish()
    }
}

/// A word of a line.
struct Word<'a> {
    text: &'a str,
    /// Where it starts, in characters from 1.
    column: usize,
    /// Whether it is the first of its list; a word in no inner list is.
    first: bool,
}

/// The words of a line: between blanks, or strings of a list of lists as Python writes it, `arch = [['…', '…'], ['…']]`.
/// What follows a `#` is a comment.
fn words(line: &str) -> Result<Vec<Word<'_>>, NotationError> {
    let mut words = Vec::new();
    let (mut depth, mut first, mut start, mut comment) = (0_usize, true, None, false);
    let skipped = line.split_once('[').map_or("", |(before, _)| before);
    // The name that a list is given.
    let name = skipped.trim_end().strip_suffix('=').map(str::trim);
    let skipped = if name.is_some_and(|name| !name.contains(char::is_whitespace)) { skipped.len() } else { 0 };
    let ends = line.char_indices().chain([(line.len(), ' ')]);
    for (column, (at, character)) in (1..).zip(ends).filter(|(_, (at, _))| *at >= skipped) {
        let bracket = |problem: &str| NotationError::new(column, problem);
        if !comment && !character.is_whitespace() && !"[](),'\"#".contains(character) {
            start = start.or(Some((at, column)));
            continue;
        }
        if let Some((from, column)) = start.take() {
            words.push(Word { text: &line[from..at], column, first: first || depth < 2 });
            first = false;
        }
        match character {
            '\n' => comment = false,
            _ if comment => {}
            '#' => comment = true,
            '[' | '(' => (depth, first) = (depth + 1, true),
            ']' | ')' => depth = depth.checked_sub(1).ok_or_else(|| bracket("this bracket closes nothing"))?,
            _ => {}
        }
    }
    match depth {
        0 => Ok(words),
        _ => Err(NotationError::new(line.chars().count(), "a bracket is not closed")),
    }
}

/// A line as it is read.
#[derive(Default)]
struct Reading {
    architecture: Architecture,
    /// The input channels that each block declares, with its column; `None` where it does not.
    declared: Vec<(usize, Option<usize>)>,
    settings: Vec<String>,
    /// The activations that single blocks ask for.
    activations: Vec<(usize, Activation)>,
    /// Whether there are blocks that ask for none.
    unasked: bool,
}

impl Reading {
    fn word(&mut self, Word { text, column, first }: Word<'_>) -> Result<(), NotationError> {
        if let Some((name, value)) = text.split_once('=') {
            if self.settings.iter().any(|said| said == name) {
                return Err(NotationError::new(column, format!("'{name}' is set twice; say it once")));
            }
            self.settings.push(name.to_owned());
            return setting(&mut self.architecture, column, name, value);
        }
        let mut asked = None;
        if timm::is_timm(text) {
            let input = self.architecture.block_inputs().last().unwrap_or(self.architecture.stem);
            let (blocks, activation) = timm::read(text, column, input, first)?;
            self.declared.extend(blocks.iter().map(|_| (column, None)));
            self.architecture.blocks.extend(blocks);
            asked = activation;
        } else {
            let (block, input) = parse_block(text, column)?;
            self.architecture.blocks.push(block);
            self.declared.push((column, Some(input)));
        }
        match asked {
            Some(activation) => self.activations.push((column, activation)),
            None => self.unasked = true,
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Architecture, NotationError> {
        if self.declared.is_empty() {
            return Err(NotationError::new(
                1,
                "no block string (like r2_k3_s22_e6_i16_o24) and no reference network of this name",
            ));
        }
        self.agree_on_activation()?;
        reconcile_inputs(&mut self.architecture, &self.declared)?;
        Ok(self.architecture)
    }

    /// The network has one activation: all blocks that ask for one ask for that.
    fn agree_on_activation(&mut self) -> Result<(), NotationError> {
        let said = self.settings.iter().any(|name| name == "act");
        if let (false, false, Some((_, first))) = (said, self.unasked, self.activations.first()) {
            self.architecture.activation = *first;
        }
        let throughout = self.architecture.activation;
        match self.activations.iter().find(|(_, activation)| *activation != throughout) {
            None => Ok(()),
            Some((column, _)) => {
                let problem = format!(
                    "this block asks for another activation than act={}, which the rest of the network has; a network \
                     has one activation throughout",
                    throughout.name()
                );
                Err(NotationError::new(*column, problem))
            }
        }
    }
}

fn setting(architecture: &mut Architecture, column: usize, name: &str, value: &str) -> Result<(), NotationError> {
    let at = column + name.chars().count() + 1;
    match name {
        "input" => architecture.input_size = number(value, at, "input size", 1)?,
        "stem" => architecture.stem = number(value, at, "stem channels", 1)?,
        "head" => architecture.head = number(value, at, "head channels", 0)?,
        "classes" => architecture.classes = number(value, at, "classes", 1)?,
        "act" => {
            architecture.activation = match value {
                "relu" => Activation::Relu,
                "relu6" => Activation::Relu6,
                other => return Err(NotationError::new(at, format!("act is relu or relu6, not '{other}'"))),
            }
        }
        other => {
            return Err(NotationError::new(
                column,
                format!("unknown setting '{other}'; known are input, stem, head, classes and act"),
            ));
        }
    }
    Ok(())
}

pub(super) fn number(text: &str, column: usize, what: &str, least: usize) -> Result<usize, NotationError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<usize>() {
        Ok(value) if digits && (least..=LARGEST).contains(&value) => Ok(value),
        _ => Err(NotationError::new(
            column,
            format!("{what} must be a whole number from {least} to {LARGEST}, found '{text}'"),
        )),
    }
}

/// The parts of a block string as they are read; `None` is "not said yet".
#[derive(Default)]
struct BlockParts {
    layers: Option<usize>,
    kernel: Option<usize>,
    stride: Option<usize>,
    expansion: Option<usize>,
    input: Option<usize>,
    filters: Option<usize>,
    squeeze_ratio: Option<f64>,
    skip: Option<Skip>,
    conv: Option<()>,
    activate_projection: Option<()>,
}

fn parse_block(word: &str, start: usize) -> Result<(Block, usize), NotationError> {
    let mut parts = BlockParts::default();
    let mut column = start;
    for part in word.split('_') {
        parts.read(part, column)?;
        column += part.chars().count() + 1;
    }
    parts.finish(word, start)
}

/// Stores a part once; a second mention is an error.
pub(super) fn once<T>(slot: &mut Option<T>, value: T, part: &str, column: usize) -> Result<(), NotationError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(NotationError::new(column, format!("'{part}' says something the block already said"))),
    }
}

impl BlockParts {
    fn read(&mut self, part: &str, column: usize) -> Result<(), NotationError> {
        match part {
            "noskip" => return once(&mut self.skip, Skip::None, part, column),
            "pool" => return once(&mut self.skip, Skip::Pool, part, column),
            "conv" => return once(&mut self.conv, (), part, column),
            "act" => return once(&mut self.activate_projection, (), part, column),
            _ => {}
        }
        if let Some(text) = part.strip_prefix("se") {
            return once(&mut self.squeeze_ratio, squeeze_ratio(text, column + 2)?, part, column);
        }
        let mut characters = part.chars();
        let letter = characters.next().unwrap_or(' ');
        let rest = characters.as_str();
        let value = |what: &str| number(rest, column + 1, what, 1);
        match letter {
            'r' => once(&mut self.layers, value("repeats")?, part, column),
            'k' => once(&mut self.kernel, kernel(rest, column + 1)?, part, column),
            's' => once(&mut self.stride, stride(rest, column + 1)?, part, column),
            'e' => once(&mut self.expansion, value("the expansion")?, part, column),
            'i' => once(&mut self.input, value("input channels")?, part, column),
            'o' => once(&mut self.filters, value("output channels")?, part, column),
            _ => Err(NotationError::new(
                column,
                format!(
                    "unknown part '{part}'; a block is like r2_k3_s22_e6_i16_o24_se0.25, with _noskip, _pool, _conv or _act"
                ),
            )),
        }
    }

    fn finish(self, word: &str, column: usize) -> Result<(Block, usize), NotationError> {
        let missing = |part: &str| NotationError::new(column, format!("block '{word}' lacks its {part}"));
        let expansion = self.expansion.ok_or_else(|| missing("expansion (e)"))?;
        if self.conv.is_some() && expansion != 1 {
            return Err(NotationError::new(
                column,
                format!("a regular convolution has no expansion: _conv needs e1, found e{expansion}"),
            ));
        }
        if self.conv.is_some() && self.activate_projection.is_some() {
            return Err(NotationError::new(
                column,
                "a regular convolution has no projection: _conv and _act exclude each other",
            ));
        }
        let block = Block {
            operator: if self.conv.is_some() { Operator::Conv } else { Operator::with_expansion(expansion) },
            kernel: self.kernel.ok_or_else(|| missing("kernel (k)"))?,
            stride: self.stride.ok_or_else(|| missing("stride (s)"))?,
            squeeze_ratio: self.squeeze_ratio.unwrap_or(0.0),
            skip: self.skip.unwrap_or(Skip::Identity),
            filters: self.filters.ok_or_else(|| missing("output channels (o)"))?,
            layers: self.layers.ok_or_else(|| missing("repeats (r)"))?,
            activate_projection: self.activate_projection.is_some(),
        };
        Ok((block, self.input.ok_or_else(|| missing("input channels (i)"))?))
    }
}

pub(super) fn kernel(text: &str, column: usize) -> Result<usize, NotationError> {
    match number(text, column, "the kernel", 1)? {
        odd if odd % 2 == 1 && odd <= 31 => Ok(odd),
        other => Err(NotationError::new(column, format!("the kernel must be odd and at most 31, found {other}"))),
    }
}

/// Reads `11`, `22`, …: the two strides must be one digit each and equal.
fn stride(text: &str, column: usize) -> Result<usize, NotationError> {
    let digits: Vec<char> = text.chars().collect();
    match digits[..] {
        [a, b] if a == b && ('1'..='4').contains(&a) => Ok(a as usize - '0' as usize),
        _ => Err(NotationError::new(column, format!("strides are 11, 22, 33 or 44, found '{text}'"))),
    }
}

pub(super) fn squeeze_ratio(text: &str, column: usize) -> Result<f64, NotationError> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(NotationError::new(column, format!("the squeeze ratio is a number from 0 to 1, found '{text}'"))),
    }
}

/// Checks each block's `i` against what really arrives there.
///
/// The published MnasNet-small says `i16_o8` behind a stem of 8, and since 16 ≠ 8 the official code makes no residual
/// there; so on a first block of one layer an `i` that is neither is read as `_noskip`, and a warning says so. Anywhere
/// else a wrong `i` is an error.
fn reconcile_inputs(architecture: &mut Architecture, declared: &[(usize, Option<usize>)]) -> Result<(), NotationError> {
    let arriving: Vec<usize> = architecture.block_inputs().collect();
    for (index, (&(column, said), arrives)) in declared.iter().zip(arriving).enumerate() {
        let Some(said) = said.filter(|said| *said != arrives) else { continue };
        let block = &mut architecture.blocks[index];
        if index == 0 && block.layers == 1 && said != block.filters {
            tracing::warn!(
                "column {column}: the first block says i{said}, but the stem gives {arrives} channels; read as {arrives} \
                 channels and _noskip, as MnasNet's code reads it"
            );
            block.skip = Skip::None;
            continue;
        }
        let (before, remedy) = match index {
            0 => ("the stem", format!(" (stem={said} would)")),
            _ => ("the block before", String::new()),
        };
        return Err(NotationError::new(
            column,
            format!("the block says i{said}, but {before} gives {arrives} channels{remedy}"),
        ));
    }
    Ok(())
}
