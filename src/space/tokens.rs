//! Token sequences: indices into a space's lists, block by block, in the order op, expansion, kernel, squeeze ratio,
//! skip, filters, layers. A list of one entry takes no token.

use rand::Rng;

use super::architecture::{Architecture, Block, Operator};
use super::choices::{BlockChoices, OperatorChoice, Space};

/// Why tokens and a space, or an architecture and a space, do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too few or too many tokens.
    #[error("space '{space}' takes {expected} tokens, found {found}")]
    Length {
        /// The space's name.
        space: String,
        /// Tokens the space takes.
        expected: usize,
        /// Tokens that came.
        found: usize,
    },
    /// A token beyond its list.
    #[error("token {position} must be below {choices}, found {found}")]
    Range {
        /// Counted from 1.
        position: usize,
        /// Length of the list it indexes.
        choices: usize,
        /// The token.
        found: usize,
    },
    /// The architecture is not in the space.
    #[error("space '{space}' does not hold this architecture: {place}: {problem}")]
    Outside {
        /// The space's name.
        space: String,
        /// As in `block 3, filters`.
        place: String,
        /// What the space offers and what the architecture has.
        problem: String,
    },
}

impl Space {
    /// Number of choices behind each token, so also the length of a token sequence.
    pub fn token_sizes(&self) -> Vec<usize> {
        self.blocks.iter().flat_map(BlockChoices::lengths).filter(|&length| length > 1).collect()
    }

    /// A uniformly drawn token sequence.
    pub fn sample(&self, random: &mut impl Rng) -> Vec<usize> {
        self.token_sizes().into_iter().map(|size| random.gen_range(0..size)).collect()
    }

    /// The architecture that `tokens` pick.
    ///
    /// # Errors
    /// [`TokenError::Length`] and [`TokenError::Range`].
    pub fn decode(&self, tokens: &[usize]) -> Result<Architecture, TokenError> {
        self.check_tokens(tokens)?;
        let mut rest = tokens.iter().copied();
        let blocks = self.blocks.iter().map(|choices| choices.pick(&mut rest)).collect();
        Ok(Architecture {
            input_size: self.input_size,
            stem: self.stem,
            blocks,
            head: self.head,
            classes: self.classes,
            activation: self.activation,
        })
    }

    /// The tokens that pick `architecture`: the inverse of [`Space::decode`].
    ///
    /// # Errors
    /// [`TokenError::Outside`] names the first thing the space does not offer.
    pub fn encode(&self, architecture: &Architecture) -> Result<Vec<usize>, TokenError> {
        self.check_skeleton(architecture)?;
        let mut tokens = Vec::new();
        for (index, (choices, block)) in self.blocks.iter().zip(&architecture.blocks).enumerate() {
            let place = |field: &str| format!("block {}, {field}", index + 1);
            let picked = choices.find(block).map_err(|(field, problem)| self.outside(place(field), problem))?;
            tokens.extend(
                picked.iter().zip(choices.lengths()).filter(|(_, length)| *length > 1).map(|(token, _)| *token),
            );
        }
        Ok(tokens)
    }

    fn check_tokens(&self, tokens: &[usize]) -> Result<(), TokenError> {
        let sizes = self.token_sizes();
        if sizes.len() != tokens.len() {
            return Err(TokenError::Length { space: self.name.clone(), expected: sizes.len(), found: tokens.len() });
        }
        match tokens.iter().zip(&sizes).position(|(token, size)| token >= size) {
            Some(at) => Err(TokenError::Range { position: at + 1, choices: sizes[at], found: tokens[at] }),
            None => Ok(()),
        }
    }

    fn outside(&self, place: String, problem: String) -> TokenError {
        TokenError::Outside { space: self.name.clone(), place, problem }
    }

    fn check_skeleton(&self, architecture: &Architecture) -> Result<(), TokenError> {
        for (place, offers, has) in [
            ("input", self.input_size, architecture.input_size),
            ("stem", self.stem, architecture.stem),
            ("head", self.head, architecture.head),
            ("classes", self.classes, architecture.classes),
            ("number of blocks", self.blocks.len(), architecture.blocks.len()),
        ] {
            if offers != has {
                return Err(self.outside(place.to_owned(), format!("the space has {offers}, the architecture {has}")));
            }
        }
        if self.activation != architecture.activation {
            let problem =
                format!("the space has {:?}, the architecture {:?}", self.activation, architecture.activation);
            return Err(self.outside("activation".to_owned(), problem));
        }
        Ok(())
    }
}

impl BlockChoices {
    fn pick(&self, tokens: &mut impl Iterator<Item = usize>) -> Block {
        let picked = self.lengths().map(|length| if length > 1 { tokens.next().unwrap_or(0) } else { 0 });
        let [operator, expansion, kernel, squeeze_ratio, skip, filters, layers] = picked;
        Block {
            operator: match self.operators[operator] {
                OperatorChoice::Fixed(operator) => operator,
                OperatorChoice::Bottleneck => Operator::with_expansion(self.expansions[expansion]),
            },
            kernel: self.kernels[kernel],
            stride: self.stride,
            squeeze_ratio: self.squeeze_ratios[squeeze_ratio],
            skip: self.skips[skip],
            filters: self.filters[filters],
            layers: self.layers[layers],
            activate_projection: false,
        }
    }

    /// Indices of the block's values in the seven lists, or the field that does not offer its value.
    fn find(&self, block: &Block) -> Result<[usize; 7], (&'static str, String)> {
        if block.activate_projection {
            return Err(("projection", "no space activates the projection".to_owned()));
        }
        if self.stride != block.stride {
            return Err(("stride", format!("the space has {}, the architecture {}", self.stride, block.stride)));
        }
        let (operator, expansion) = self.find_operator(block.operator)?;
        Ok([
            operator,
            expansion,
            position("kernel", &self.kernels, &block.kernel)?,
            position("se_ratio", &self.squeeze_ratios, &block.squeeze_ratio)?,
            position("skip", &self.skips, &block.skip)?,
            position("filters", &self.filters, &block.filters)?,
            position("layers", &self.layers, &block.layers)?,
        ])
    }

    fn find_operator(&self, operator: Operator) -> Result<(usize, usize), (&'static str, String)> {
        if self.operators == [OperatorChoice::Bottleneck] && operator != Operator::Conv {
            return Ok((0, position("expansion", &self.expansions, &operator.expansion())?));
        }
        Ok((position("op", &self.operators, &OperatorChoice::Fixed(operator))?, 0))
    }
}

fn position<T: PartialEq + std::fmt::Debug>(
    field: &'static str,
    list: &[T],
    value: &T,
) -> Result<usize, (&'static str, String)> {
    list.iter()
        .position(|entry| entry == value)
        .ok_or_else(|| (field, format!("the space offers {list:?}, the architecture has {value:?}")))
}
