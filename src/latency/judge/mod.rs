//! How good a predictor is, beside far simpler ones, and whether it still fits.

pub mod baseline;
pub mod drift;
pub mod misfit;
pub(super) mod page;
pub mod validation;
