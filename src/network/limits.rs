//! Limits on what a network may cost: parameters, multiply-adds, peak activation memory.
//!
//! ```
//! use mnas::{network::{Limits, Network, Resource}, space};
//! let limits = Limits { params: Some(4e6), madds: Some(300e6), memory_mb: None };
//! let network = Network::expand(&space::parse("mnasnet-a1")?)?;
//! assert_eq!(limits.exceeded(&network), Some(Resource::Madds), "it has 312 M, and 3.9 M parameters");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde::{Deserialize, Serialize};

use super::Network;
use crate::space::{Space, TokenError};

/// Random starts of the descent in [`Limits::nearest`].
const STARTS: u64 = 12;
/// What a network counts for that cannot be deployed at all: more than any excess over a limit.
const UNDEPLOYABLE: f64 = 1e9;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Learnt values.
    Params,
    /// Multiply-adds for one image.
    Madds,
    /// [`Network::peak_activation_bytes`], in megabytes of 10^6 bytes.
    MemoryMb,
}

impl Resource {
    /// Everything that can be limited, in the order in which it is looked at.
    pub const ALL: [Self; 3] = [Self::Params, Self::Madds, Self::MemoryMb];

    /// As the search file names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Madds => "madds",
            Self::MemoryMb => "memory_mb",
        }
    }

    /// How much of it a network needs.
    pub fn of(self, network: &Network) -> f64 {
        match self {
            Self::Params => network.parameters() as f64,
            Self::Madds => network.madds() as f64,
            Self::MemoryMb => network.peak_activation_bytes() as f64 / 1e6,
        }
    }
}

/// `[limits]` of a search file; what is left out is not limited.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `params` | none | most parameters, as in `4e6` | above 0 |
/// | `madds` | none | most multiply-adds for one image | above 0 |
/// | `memory_mb` | none | most fp32 activation memory at once, in megabytes of 10^6 bytes | above 0 |
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<f64>,
    /// Most multiply-adds for one image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub madds: Option<f64>,
    /// Most activation memory at once, in megabytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<f64>,
}

/// Why limits are refused.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// A number that limits nothing, or everything.
    #[error("{name} must be a number above 0, but is {found}")]
    Number {
        /// As in the search file.
        name: &'static str,
        /// What came.
        found: f64,
    },
    /// Nothing of the space is small enough.
    #[error(
        "no network of the space '{space}' keeps to them: the nearest found, {architecture}, has {excess}; raise the \
         limits or give the space smaller choices"
    )]
    Empty {
        /// The space's name.
        space: String,
        /// The nearest network's line.
        architecture: String,
        /// What it has too much of, and the limits.
        excess: String,
    },
    /// A space that cannot decode its own samples.
    #[error(transparent)]
    Tokens(#[from] TokenError),
}

impl Limits {
    /// The limit of one resource.
    pub fn of(&self, resource: Resource) -> Option<f64> {
        match resource {
            Resource::Params => self.params,
            Resource::Madds => self.madds,
            Resource::MemoryMb => self.memory_mb,
        }
    }

    /// Whether anything is limited.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// The first resource of which a network needs more than allowed.
    pub fn exceeded(&self, network: &Network) -> Option<Resource> {
        Resource::ALL.into_iter().find(|resource| self.of(*resource).is_some_and(|limit| resource.of(network) > limit))
    }

    /// Checks the numbers, and that some network of the space keeps to them.
    ///
    /// # Errors
    /// [`LimitError`]: the number that is no limit, or the nearest network and what it has too much of.
    pub fn check(&self, space: &Space) -> Result<(), LimitError> {
        for resource in Resource::ALL {
            if let Some(found) = self.of(resource).filter(|limit| !(*limit > 0.0 && limit.is_finite())) {
                return Err(LimitError::Number { name: resource.name(), found });
            }
        }
        if !self.any() {
            return Ok(());
        }
        let nearest = self.nearest(space)?;
        let architecture = space.decode(&nearest)?;
        let excess = match Network::expand(&architecture) {
            Ok(network) => self.excess_in_words(&network),
            Err(error) => error.to_string(),
        };
        if excess.is_empty() {
            return Ok(());
        }
        Err(LimitError::Empty { space: space.name.clone(), architecture: architecture.to_string(), excess })
    }

    /// Tokens of a network of the space that keeps to the limits or, if none is found, of the nearest.
    fn nearest(&self, space: &Space) -> Result<Vec<usize>, TokenError> {
        let mut best = self.shrunk(space, space.sample(&mut crate::seeded(0)))?;
        for start in 1..STARTS {
            if best.0 == 0.0 {
                break;
            }
            let other = self.shrunk(space, space.sample(&mut crate::seeded(start)))?;
            if other.0 < best.0 {
                best = other;
            }
        }
        Ok(best.1)
    }

    /// Makes a network smaller until it keeps to the limits: one token after the other takes the value of least
    /// excess, until there is no excess or none helps any more. Returns what is left of the excess, 0 if it worked,
    /// and the tokens. Costs grow with every number of a block, so the descent seldom ends away from the least.
    ///
    /// # Errors
    /// Tokens that are not of the space.
    pub fn shrunk(&self, space: &Space, mut tokens: Vec<usize>) -> Result<(f64, Vec<usize>), TokenError> {
        let sizes = space.token_sizes();
        let mut least = self.excess_of(space, &tokens)?;
        let mut fruitless = 0;
        for (position, &size) in sizes.iter().enumerate().cycle() {
            if least == 0.0 || fruitless == sizes.len() {
                break;
            }
            fruitless += 1;
            for value in 0..size {
                let before = std::mem::replace(&mut tokens[position], value);
                let excess = self.excess_of(space, &tokens)?;
                if excess < least {
                    (least, fruitless) = (excess, 0);
                } else {
                    tokens[position] = before;
                }
            }
        }
        Ok((least, tokens))
    }

    /// How far beyond the limits a network is: the sum of ln(needed / allowed) over what is exceeded.
    fn excess_of(&self, space: &Space, tokens: &[usize]) -> Result<f64, TokenError> {
        let Ok(network) = Network::expand(&space.decode(tokens)?) else { return Ok(UNDEPLOYABLE) };
        let beyond = |resource: Resource| self.of(resource).map(|limit| (resource.of(&network) / limit).ln().max(0.0));
        Ok(Resource::ALL.into_iter().filter_map(beyond).sum())
    }

    fn excess_in_words(&self, network: &Network) -> String {
        let beyond = Resource::ALL.into_iter().filter_map(|resource| {
            let (needed, limit) = (resource.of(network), self.of(resource)?);
            (needed > limit).then(|| format!("{} = {needed} (limit {limit})", resource.name()))
        });
        beyond.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Small enough to look at every network.
    fn space() -> Space {
        let block = "[[block]]\nstride = 2\nop = [\"conv\", \"sepconv\", \"mbconv3\"]\nkernel = [3, 5]\nse_ratio = [0.0, 0.25]\nskip = [\"identity\", \"pool\"]\nfilters = [8, 16]\nlayers = [1, 2]\n";
        let head = "name = \"small\"\ninput_size = 32\nstem = 8\nhead = 0\nclasses = 10\n";
        Space::from_toml(&format!("{head}{block}[[block]]\nstride = 1\nop = [\"conv\", \"mbconv6\"]\nkernel = [3]\nfilters = [8, 12]\nlayers = [1, 2]\n"), "test").unwrap()
    }

    fn networks(space: &Space) -> Vec<Network> {
        let mut all = vec![Vec::new()];
        for size in space.token_sizes() {
            all =
                all.iter().flat_map(|head| (0..size).map(move |token| [head.as_slice(), &[token]].concat())).collect();
        }
        all.iter().map(|tokens| Network::expand(&space.decode(tokens).unwrap()).unwrap()).collect()
    }

    #[test]
    fn limits_are_refused_exactly_where_no_network_of_the_space_keeps_to_them() {
        let space = space();
        let all = networks(&space);
        for resource in Resource::ALL {
            let least = all.iter().map(|network| resource.of(network)).fold(f64::INFINITY, f64::min);
            let limit = |value| match resource {
                Resource::Params => Limits { params: Some(value), ..Limits::default() },
                Resource::Madds => Limits { madds: Some(value), ..Limits::default() },
                Resource::MemoryMb => Limits { memory_mb: Some(value), ..Limits::default() },
            };
            limit(least).check(&space).unwrap();
            let message = limit(0.999 * least).check(&space).unwrap_err().to_string();
            assert!(message.contains(&format!("{} = {least} (limit", resource.name())), "{message}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn several_limits_at_once_are_met_by_one_network_or_refused(
            params in 0.9..2.0_f64, madds in 0.9..2.0_f64, memory in 0.9..2.0_f64,
        ) {
            let space = space();
            let all = networks(&space);
            let least = |resource: Resource| all.iter().map(|n| resource.of(n)).fold(f64::INFINITY, f64::min);
            let limits = Limits {
                params: Some(params * least(Resource::Params)),
                madds: Some(madds * least(Resource::Madds)),
                memory_mb: Some(memory * least(Resource::MemoryMb)),
            };
            let any = all.iter().any(|network| limits.exceeded(network).is_none());
            prop_assert_eq!(limits.check(&space).is_ok(), any);
        }
    }

    #[test]
    fn a_limit_that_is_no_number_above_0_is_refused() {
        for (text, message) in [
            ("params = 0", "params must be a number above 0, but is 0"),
            ("madds = -1", "madds must be a number above 0, but is -1"),
            ("memory_mb = nan", "memory_mb must be"),
        ] {
            let error = toml::from_str::<Limits>(text).unwrap().check(&space()).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        assert!(toml::from_str::<Limits>("parameters = 5").is_err());
        assert!(toml::from_str::<Limits>("params = 4e6").unwrap().any());
    }
}
