//! What a run found, as its report tells it.

pub mod known;
mod phases;
pub mod summary;
