//! The predictor: a rate for each kind of work, a Gaussian process over layers for what these get wrong, and an
//! interval.

mod model;
pub(super) mod predictor;
pub(super) mod process;
pub(super) mod rates;
pub(super) mod selection;
