//! The generators behind every random choice of a run.

/// The generator of one purpose in one step: its stream depends on nothing else.
pub(super) fn generator(seed: u64, step: u64, purpose: &str) -> crate::Random {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&step.to_le_bytes()).update(purpose.as_bytes());
    rand::SeedableRng::from_seed(*hasher.finalize().as_bytes())
}

/// Seed of a network's training: the same whenever and in whatever order it is trained.
pub(super) fn training_seed(seed: u64, digest: &str) -> u64 {
    rand::Rng::r#gen(&mut generator(seed, 0, digest))
}
