//! Aging evolution (Real et al., AAAI 2019): a tournament among a population of the youngest, one token mutated.

use std::collections::VecDeque;

use rand::Rng;
use rand::seq::index;
use serde::{Deserialize, Serialize};

use super::proposer::{Learnt, Proposer};
use crate::Random;
use crate::search::candidate::Proposal;
use crate::search::error::ProposerError;
use crate::search::settings::EvolutionOptions;
use crate::space::Space;

/// A network of the population.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Member {
    tokens: Vec<usize>,
    reward: f64,
}

struct Evolution {
    options: EvolutionOptions,
    space: Space,
    population: VecDeque<Member>,
}

pub fn make(
    options: &EvolutionOptions,
    space: &Space,
    state: Option<&[u8]>,
) -> Result<Box<dyn Proposer>, ProposerError> {
    let population = match state {
        None => VecDeque::new(),
        Some(bytes) => serde_json::from_slice(bytes).map_err(problem)?,
    };
    Ok(Box::new(Evolution { options: *options, space: space.clone(), population }))
}

fn problem(error: serde_json::Error) -> ProposerError {
    ProposerError { algorithm: "evolution", problem: format!("its saved state is unreadable: {error}") }
}

impl Evolution {
    fn child(&self, random: &mut Random) -> Vec<usize> {
        if self.population.len() < self.options.population {
            return self.space.sample(random);
        }
        let contenders = index::sample(random, self.population.len(), self.options.tournament);
        let best = contenders.into_iter().max_by(|&a, &b| {
            let reward = |member: usize| self.population[member].reward;
            reward(a).total_cmp(&reward(b))
        });
        let mut tokens = self.population[best.unwrap_or(0)].tokens.clone();
        mutate(&mut tokens, &self.space.token_sizes(), random);
        tokens
    }
}

/// Sets one token to another of its values.
fn mutate(tokens: &mut [usize], sizes: &[usize], random: &mut Random) {
    if tokens.is_empty() {
        return;
    }
    let position = random.gen_range(0..tokens.len());
    let shift = random.gen_range(1..sizes[position]);
    tokens[position] = (tokens[position] + shift) % sizes[position];
}

impl Proposer for Evolution {
    fn propose(&mut self, count: usize, random: &mut Random) -> Result<Vec<Proposal>, ProposerError> {
        let draw = |_| Proposal { tokens: self.child(random), log_probabilities: Vec::new() };
        Ok((0..count).map(draw).collect())
    }

    fn learn(&mut self, batch: &[(Proposal, f64)]) -> Result<Learnt, ProposerError> {
        for (proposal, reward) in batch {
            self.population.push_back(Member { tokens: proposal.tokens.clone(), reward: *reward });
        }
        while self.population.len() > self.options.population {
            self.population.pop_front();
        }
        Ok(Learnt::default())
    }

    fn save(&self) -> Result<Vec<u8>, ProposerError> {
        serde_json::to_vec(&self.population).map_err(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_a_full_population_differs_from_its_parent_in_one_token() {
        let space = Space::preset("mnasnet").unwrap();
        let random = &mut crate::seeded(3);
        let mut evolution = make(&EvolutionOptions { population: 2, tournament: 2 }, &space, None).unwrap();
        let first = evolution.propose(2, random).unwrap();
        evolution.learn(&[(first[0].clone(), 0.2), (first[1].clone(), 0.9)]).unwrap();
        for child in evolution.propose(20, random).unwrap() {
            let changed = child.tokens.iter().zip(&first[1].tokens).filter(|(a, b)| a != b).count();
            assert_eq!(changed, 1);
        }
    }

    #[test]
    fn a_saved_population_proposes_what_the_live_one_does() {
        let space = Space::preset("demo").unwrap();
        let options = EvolutionOptions { population: 4, tournament: 2 };
        let mut live = make(&options, &space, None).unwrap();
        let random = &mut crate::seeded(5);
        let batch: Vec<_> = live.propose(6, random).unwrap().into_iter().zip([0.1, 0.5, 0.3, 0.2, 0.7, 0.6]).collect();
        live.learn(&batch).unwrap();
        let mut restored = make(&options, &space, Some(&live.save().unwrap())).unwrap();
        let (one, two) = (live.propose(9, &mut crate::seeded(8)), restored.propose(9, &mut crate::seeded(8)));
        assert_eq!(one.unwrap(), two.unwrap());
    }
}
