//! The factorized hierarchical search space as data (MnasNet, section 4.1).
//!
//! A [`Space`] is a skeleton of blocks, each with its own short lists of choices; a token sequence picks one entry
//! of every list that has more than one, and decodes to an [`Architecture`]. Tokens and architectures correspond
//! one to one, which [`Space::encode`] and [`Space::decode`] witness.
//!
//! ```
//! use mnas::space::Space;
//! let space = Space::preset("mnasnet")?;
//! let tokens = space.sample(&mut mnas::seeded(7));
//! let architecture = space.decode(&tokens)?;
//! assert_eq!(space.encode(&architecture)?, tokens);
//! # Ok::<(), mnas::space::SpaceError>(())
//! ```

mod architecture;
pub mod choices;
pub mod notation;
pub mod reference;
mod timm;
mod tokens;

pub use architecture::{Activation, Architecture, Block, Operator, Skip};
pub use choices::{BlockChoices, OperatorChoice, Space, SpaceError};
pub use notation::NotationError;
pub use reference::ReferenceError;
pub use tokens::TokenError;

/// Why a word given as an architecture could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchitectureError {
    /// It looks like a reference name and is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// It looks like an architecture line and does not parse.
    #[error("architecture '{line}': {error}")]
    Notation {
        /// The line as given.
        line: String,
        /// What is wrong, and where.
        error: NotationError,
    },
}

/// Reads an architecture line or the name of a reference network, as every command accepts them.
///
/// # Errors
/// What is neither a reference name nor looks like one is read as notation; the error is that reader's.
///
/// ```
/// let small = mnas::space::parse("mnasnet-a1@0.75/192").unwrap();
/// assert_eq!((small.input_size, small.stem), (192, 24));
/// assert!(mnas::space::parse("mnasnet-z9").unwrap_err().to_string().contains("known are mnasnet-a1"));
/// ```
pub fn parse(text: &str) -> Result<Architecture, ArchitectureError> {
    let text = text.trim();
    if reference::is_named(text) || !looks_like_notation(text) {
        return Ok(reference::reference(text)?);
    }
    text.parse().map_err(|error| ArchitectureError::Notation { line: text.to_owned(), error })
}

/// Whether there are settings, several words, or a block string; `resnet_50` is a name.
fn looks_like_notation(text: &str) -> bool {
    let of_block = |part: &str| part.len() > 1 && part[1..].starts_with(|c: char| c.is_ascii_digit());
    let is_block =
        |word: &str| word.split('_').filter(|part| part.is_ascii()).filter(|part| of_block(part)).count() > 1;
    text.contains(['=', '[']) || text.contains(char::is_whitespace) || is_block(text)
}
