//! The candidates a step chooses from: the proposer's own, and mutations of given networks, the parents.
//!
//! A mutation is, with equal chance, a parent with one to three tokens changed, or the child of two: each token, or each
//! whole block, from either, and every second child with one token changed as well. The parents are
//! chosen by their posterior ([`super::choose`]), not by their observed accuracy, which is partly noise.

use std::collections::HashSet;

use rand::Rng;

use crate::Random;
use crate::search::candidate::{Candidate, Proposal};
use crate::search::error::SearchError;
use crate::search::model::Layout;
use crate::search::settings::Settings;
use crate::store::BeyondLimits;

/// Networks whose mutations are tried at once.
pub const PARENTS: usize = 12;

/// Who proposed a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The proposer: the policy.
    Proposer,
    /// A mutation.
    Mutation,
}

/// Makes new candidates, each network once.
pub struct Pool<'a> {
    settings: &'a Settings,
    layout: &'a Layout,
    /// Mutations that no training may be spent on.
    pub beyond_limits: BeyondLimits,
    /// Networks that are tried already, or in the pool.
    seen: HashSet<String>,
    /// Sequences looked at, new or not: cheaper to know than their networks.
    looked_at: HashSet<Vec<usize>>,
}

impl<'a> Pool<'a> {
    /// An empty pool beside networks tried before.
    pub fn new(settings: &'a Settings, layout: &'a Layout, tried: impl Iterator<Item = String>) -> Self {
        let beyond_limits = BeyondLimits::default();
        Self { settings, layout, beyond_limits, seen: tried.collect(), looked_at: HashSet::new() }
    }

    /// Those of the candidates that are new.
    pub fn admit(&mut self, candidates: Vec<Candidate>) -> Vec<Candidate> {
        candidates
            .into_iter()
            .filter(|candidate| {
                self.looked_at.insert(candidate.proposal.tokens.clone());
                self.seen.insert(candidate.digest.clone())
            })
            .collect()
    }

    /// New ones among so many mutations of the parents.
    ///
    /// # Errors
    /// A sequence that is not of the space.
    pub fn mutations(
        &mut self,
        parents: &[Vec<usize>],
        count: usize,
        random: &mut Random,
    ) -> Result<Vec<Candidate>, SearchError> {
        if parents.is_empty() {
            return Ok(Vec::new());
        }
        let drawn: Vec<_> = (0..count).map(|_| self.mutant(parents, random)).collect();
        self.candidates(drawn)
    }

    fn candidates(&mut self, drawn: Vec<Vec<usize>>) -> Result<Vec<Candidate>, SearchError> {
        let mut made = Vec::new();
        for tokens in drawn {
            if self.looked_at.contains(&tokens) {
                continue;
            }
            let proposal = Proposal { tokens, log_probabilities: Vec::new() };
            let (space, limits) = (&self.settings.space, &self.settings.limits);
            made.extend(Candidate::within(proposal, space, limits, &mut self.beyond_limits)?);
        }
        Ok(self.admit(made))
    }

    fn mutant(&self, parents: &[Vec<usize>], random: &mut Random) -> Vec<usize> {
        let one = &parents[random.gen_range(0..parents.len())];
        if random.gen_bool(0.5) {
            let changes = random.gen_range(1..=3);
            return self.mutated(one.to_vec(), changes, random);
        }
        let other = &parents[random.gen_range(0..parents.len())];
        let child = self.crossover(one, other, random);
        let changes = usize::from(random.gen_bool(0.5));
        self.mutated(child, changes, random)
    }

    fn crossover(&self, one: &[usize], other: &[usize], random: &mut Random) -> Vec<usize> {
        let whole_blocks = random.gen_bool(0.5);
        let mut from_one = true;
        let mut block = None;
        let mut pick = |(token, (a, b)): (usize, (&usize, &usize))| {
            if !whole_blocks || block != Some(self.layout.blocks()[token]) {
                from_one = random.gen_bool(0.5);
                block = Some(self.layout.blocks()[token]);
            }
            if from_one { *a } else { *b }
        };
        one.iter().zip(other).enumerate().map(&mut pick).collect()
    }

    /// Sets so many tokens, perhaps one twice, to another of their values.
    fn mutated(&self, mut tokens: Vec<usize>, changes: usize, random: &mut Random) -> Vec<usize> {
        for _ in 0..changes.min(tokens.len()) {
            let position = random.gen_range(0..tokens.len());
            let size = self.layout.sizes()[position];
            tokens[position] = (tokens[position] + random.gen_range(1..size)) % size;
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::settings::SearchFile;
    use std::path::Path;

    #[test]
    fn mutations_are_new_networks_of_the_space_made_of_their_parents() {
        let text = "[space]\npreset = \"mnasnet\"\n[target]\nlatency_ms = 10\n[accuracy]\nkind = \"simulated\"\n\
                    [budget]\nevaluations = 1\n";
        let settings = SearchFile::parse(text, "test").unwrap().check(Path::new("."), "test").unwrap();
        let space = &settings.space;
        let (layout, random) = (Layout::of(space), &mut crate::seeded(1));
        let parents = [space.sample(random), space.sample(random)];
        let digest =
            |tokens: &[usize]| crate::network::Network::expand(&space.decode(tokens).unwrap()).unwrap().digest();
        let mut pool = Pool::new(&settings, &layout, parents.iter().map(|tokens| digest(tokens)));
        let children = pool.mutations(&parents, 128, random).unwrap();
        assert!(children.len() > 64, "{}", children.len());
        let mut digests: HashSet<String> = parents.iter().map(|tokens| digest(tokens)).collect();
        for child in &children {
            assert!(digests.insert(child.digest.clone()), "each network once");
            let tokens = child.proposal.tokens.iter().enumerate();
            let foreign = tokens.filter(|(t, token)| parents.iter().all(|parent| parent[*t] != **token)).count();
            assert!(foreign <= 3, "{foreign} tokens are of neither parent");
        }
        assert!(pool.admit(children).is_empty(), "none is new any more");
    }
}
