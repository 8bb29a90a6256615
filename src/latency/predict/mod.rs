//! The predictor: a rate for each kind of work, a Gaussian process over layers for what these get wrong, and an
//! interval.

mod model;
pub mod predictor;
pub mod process;
pub mod rates;
pub mod selection;
