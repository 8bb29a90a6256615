//! A search space: the skeleton and each block's lists of choices, from a preset or a TOML file.
//!
//! ```toml
//! name = "small-example"
//! input_size = 224
//! stem = 32
//! head = 1280
//! classes = 1000
//!
//! [[block]]
//! stride = 2
//! op = ["conv", "sepconv", "mbconv3", "mbconv6"]   # the number is the expansion
//! kernel = [3, 5]
//! se_ratio = [0.0, 0.25]
//! skip = ["none", "identity", "pool"]
//! filters = [24, 32, 40]
//! layers = [1, 2, 3]
//! ```
//! A block whose only operator is the inverted bottleneck may say `op = ["mbconv"]` and `expansion = [1, 4, 6]`.

use std::path::{Path, PathBuf};

use num_bigint::BigUint;
use serde::{Deserialize, Serialize};

use super::architecture::{Activation, Operator, Skip};

/// One entry of a block's `op` list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum OperatorChoice {
    /// `conv`, `sepconv` or `mbconvN`: the operator with its expansion.
    Fixed(Operator),
    /// `mbconv`: the expansion is a choice of its own.
    Bottleneck,
}

impl TryFrom<String> for OperatorChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "conv" => Ok(Self::Fixed(Operator::Conv)),
            "sepconv" => Ok(Self::Fixed(Operator::SeparableConv)),
            "mbconv" => Ok(Self::Bottleneck),
            other => match other.strip_prefix("mbconv").and_then(|digits| digits.parse().ok()) {
                Some(expansion @ 2..=64) => Ok(Self::Fixed(Operator::InvertedBottleneck { expansion })),
                _ => Err(format!(
                    "unknown operator '{other}'; known are conv, sepconv, mbconvN with N from 2 to 64 (mbconv3, mbconv6), \
                     and mbconv together with an expansion list"
                )),
            },
        }
    }
}

impl From<OperatorChoice> for String {
    fn from(choice: OperatorChoice) -> Self {
        match choice {
            OperatorChoice::Fixed(Operator::InvertedBottleneck { expansion }) => format!("mbconv{expansion}"),
            OperatorChoice::Fixed(operator) => operator.name().to_owned(),
            OperatorChoice::Bottleneck => "mbconv".to_owned(),
        }
    }
}

/// The choices of one block; every list has at least one entry and no entry twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockChoices {
    /// Stride of the first repeat: 1 to 4.
    pub stride: usize,
    /// Operators.
    #[serde(rename = "op")]
    pub operators: Vec<OperatorChoice>,
    /// Expansions of an `mbconv` block; empty (and absent) otherwise.
    #[serde(default, rename = "expansion", skip_serializing_if = "Vec::is_empty")]
    pub expansions: Vec<usize>,
    /// Kernel sides, odd.
    #[serde(rename = "kernel")]
    pub kernels: Vec<usize>,
    /// Squeeze ratios, 0 for none.
    #[serde(default = "no_squeeze", rename = "se_ratio")]
    pub squeeze_ratios: Vec<f64>,
    /// Skip operations.
    #[serde(default = "identity_skip", rename = "skip")]
    pub skips: Vec<Skip>,
    /// Output channels.
    pub filters: Vec<usize>,
    /// Repeats.
    pub layers: Vec<usize>,
}

fn no_squeeze() -> Vec<f64> {
    vec![0.0]
}

fn identity_skip() -> Vec<Skip> {
    vec![Skip::Identity]
}

impl BlockChoices {
    /// Lengths of the block's lists in token order: op, expansion, kernel, squeeze ratio, skip, filters, layers.
    pub fn lengths(&self) -> [usize; 7] {
        [
            self.operators.len(),
            self.expansions.len().max(1),
            self.kernels.len(),
            self.squeeze_ratios.len(),
            self.skips.len(),
            self.filters.len(),
            self.layers.len(),
        ]
    }
}

/// The unchecked form a TOML file is read into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpaceFile {
    name: String,
    input_size: usize,
    stem: usize,
    head: usize,
    classes: usize,
    #[serde(default, rename = "act", skip_serializing_if = "is_relu")]
    activation: Activation,
    #[serde(rename = "block")]
    blocks: Vec<BlockChoices>,
}

fn is_relu(activation: &Activation) -> bool {
    *activation == Activation::Relu
}

/// A checked search space; see the module's text for its file form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Space {
    /// For people; part of every provenance record.
    pub name: String,
    /// Side of the square RGB input of the deployed networks.
    pub input_size: usize,
    /// Channels of the stem convolution.
    pub stem: usize,
    /// Channels of the head convolution, 0 for none.
    pub head: usize,
    /// Outputs.
    pub classes: usize,
    /// Activation throughout.
    pub activation: Activation,
    /// The blocks' choices.
    pub blocks: Vec<BlockChoices>,
}

/// What is wrong with a space or with tokens for it.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// No preset of that name.
    #[error("no preset space '{name}'; known are {}", PRESETS.map(|preset| preset.0).join(", "))]
    UnknownPreset {
        /// As given.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the space: {0}")]
    Read(#[from] std::io::Error),
    /// Not TOML, or not the fields of a space.
    #[error("{origin}: at '{path}': {message}")]
    Format {
        /// File or preset.
        origin: String,
        /// Where in the document, as in `block[2].kernel`.
        path: String,
        /// The reader's message.
        message: String,
    },
    /// A list or number outside what it may be.
    #[error("{origin}: {place}: {problem}")]
    Invalid {
        /// File or preset.
        origin: String,
        /// As in `block 3, kernel`.
        place: String,
        /// What was expected and what came.
        problem: String,
    },
    /// Tokens or an architecture that do not belong to the space.
    #[error(transparent)]
    Token(#[from] super::tokens::TokenError),
}

/// The spaces that come with the program.
const PRESETS: [(&str, &str); 3] = [
    ("mnasnet", include_str!("presets/mnasnet.toml")),
    ("mnasnet-small", include_str!("presets/mnasnet-small.toml")),
    ("demo", include_str!("presets/demo.toml")),
];

impl Space {
    /// A space by preset name.
    ///
    /// # Errors
    /// [`SpaceError::UnknownPreset`], which lists the names.
    pub fn preset(name: &str) -> Result<Self, SpaceError> {
        match PRESETS.iter().find(|preset| preset.0 == name) {
            Some((name, text)) => Self::from_toml(text, name),
            None => Err(SpaceError::UnknownPreset { name: name.to_owned() }),
        }
    }

    /// A space from a TOML file.
    ///
    /// # Errors
    /// Every variant but [`SpaceError::UnknownPreset`]; messages name the file and the place in it.
    pub fn from_file(path: &Path) -> Result<Self, SpaceError> {
        Self::from_toml(&crate::text::read(path)?, &path.display().to_string())
    }

    /// A preset name, or else the path of a TOML file (anything with a `.` or `/`).
    ///
    /// # Errors
    /// As [`Space::preset`] and [`Space::from_file`].
    pub fn named(text: &str) -> Result<Self, SpaceError> {
        if text.contains(['.', '/']) { Self::from_file(&PathBuf::from(text)) } else { Self::preset(text) }
    }

    /// A space from TOML text; `origin` names it in messages.
    ///
    /// # Errors
    /// [`SpaceError::Format`] and [`SpaceError::Invalid`].
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, SpaceError> {
        let file: SpaceFile = crate::documents::read_toml(text).map_err(|problem| SpaceError::Format {
            origin: origin.to_owned(),
            path: problem.place,
            message: problem.message,
        })?;
        let space = Self {
            name: file.name,
            input_size: file.input_size,
            stem: file.stem,
            head: file.head,
            classes: file.classes,
            activation: file.activation,
            blocks: file.blocks,
        };
        space.check().map_err(|(place, problem)| SpaceError::Invalid { origin: origin.to_owned(), place, problem })?;
        Ok(space)
    }

    /// The exact number of architectures: the product of all list lengths.
    ///
    /// ```
    /// let space = mnas::space::Space::preset("mnasnet")?;
    /// assert_eq!(space.size().to_string(), "1247968747541495808");
    /// # Ok::<(), mnas::space::SpaceError>(())
    /// ```
    pub fn size(&self) -> BigUint {
        self.blocks.iter().flat_map(BlockChoices::lengths).map(BigUint::from).product()
    }

    fn check(&self) -> Result<(), (String, String)> {
        let top = |place: &str, problem: String| Err((place.to_owned(), problem));
        for (place, value, least) in [
            ("input_size", self.input_size, 1),
            ("stem", self.stem, 1),
            ("head", self.head, 0),
            ("classes", self.classes, 1),
        ] {
            if !(least..=65_536).contains(&value) {
                return top(place, format!("must be from {least} to 65536, found {value}"));
            }
        }
        if self.blocks.is_empty() {
            return top("block", "a space needs at least one [[block]]".to_owned());
        }
        for (index, block) in self.blocks.iter().enumerate() {
            block.check().map_err(|(field, problem)| (format!("block {}, {field}", index + 1), problem))?;
        }
        Ok(())
    }
}

type FieldProblem = (&'static str, String);

impl BlockChoices {
    fn check(&self) -> Result<(), FieldProblem> {
        if !(1..=4).contains(&self.stride) {
            return Err(("stride", format!("must be from 1 to 4, found {}", self.stride)));
        }
        let bottleneck = self.operators.contains(&OperatorChoice::Bottleneck);
        if bottleneck && self.operators.len() > 1 {
            return Err((
                "op",
                "mbconv with an expansion list must be the block's only operator; name others as mbconv3, mbconv6"
                    .to_owned(),
            ));
        }
        if bottleneck == self.expansions.is_empty() {
            let problem =
                if bottleneck { "op = [\"mbconv\"] needs this list" } else { "only goes with op = [\"mbconv\"]" };
            return Err(("expansion", problem.to_owned()));
        }
        check_list("op", &self.operators, |_| None)?;
        if bottleneck {
            check_list("expansion", &self.expansions, |&e| {
                (!(1..=64).contains(&e)).then(|| "from 1 to 64".to_owned())
            })?;
        }
        check_list("kernel", &self.kernels, |&k| (k % 2 == 0 || k > 31).then(|| "odd and at most 31".to_owned()))?;
        check_list("se_ratio", &self.squeeze_ratios, |r| (!(0.0..=1.0).contains(r)).then(|| "from 0 to 1".to_owned()))?;
        check_list("skip", &self.skips, |_| None)?;
        check_list("filters", &self.filters, |&f| (!(1..=65_536).contains(&f)).then(|| "from 1 to 65536".to_owned()))?;
        check_list("layers", &self.layers, |&l| (!(1..=100).contains(&l)).then(|| "from 1 to 100".to_owned()))
    }
}

/// Rejects an empty list, a repeated entry (two token sequences would mean one network) and entries out of range.
fn check_list<T: PartialEq + std::fmt::Debug>(
    field: &'static str,
    list: &[T],
    out_of_range: impl Fn(&T) -> Option<String>,
) -> Result<(), FieldProblem> {
    if list.is_empty() {
        return Err((field, "the list of choices is empty; give at least one".to_owned()));
    }
    for (index, value) in list.iter().enumerate() {
        if list[..index].contains(value) {
            return Err((field, format!("{value:?} stands twice; every choice must differ")));
        }
        if let Some(range) = out_of_range(value) {
            return Err((field, format!("must be {range}, found {value:?}")));
        }
    }
    Ok(())
}
