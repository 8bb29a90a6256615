//! What every Gaussian process of this crate shares: the Cholesky factor of its covariance, the weights of its posterior,
//! the likelihood of its hyper-parameters and the search for them.
//!
//! There are two processes, with kernels of their own: over the tokens of networks (`search::model::process`) and over the
//! layers of networks (`latency::predict::process`). Both observe y = c + f(x) + noise at n points. With K the n × n
//! covariance of the observations, noise on its diagonal, and k the n covariances of f at a new point with f at the
//! observed ones (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 2.1):
//!
//! | what | formula | shape | where |
//! |---|---|---|---|
//! | factor | K = L Lᵀ | n rows of 1 to n entries | [`CholeskyFactor`] |
//! | whitened values | L⁻¹ y | n | [`CholeskyFactor::whiten`] |
//! | weights | w = K⁻¹ (y − c) | n | [`CholeskyFactor::unwhiten`], [`Solution`] |
//! | mean at a new point | c + kᵀ w | 1 | [`dot`] |
//! | variance of f there | k(x, x) − ‖L⁻¹ k‖² | 1 | [`CholeskyFactor::whiten`] |
//! | ln marginal likelihood | −½ (y − c)ᵀ w − Σ ln Lᵢᵢ, up to a constant | 1 | [`ln_likelihood`] |
//!
//! # Why not a library
//! The factor grows by one row for every observation, at a cost of n², and a process rebuilt from a ledger must equal the
//! one that grew to the last bit, on every machine. Of the libraries of the field:
//!
//! - `faer` 0.24 (79 crates) factors and solves n = 300 in 0.16 ms and n = 1000 in 3.8 ms on one core, where these rows take
//!   0.7 and 22 ms (and `linfa-linalg` 0.2, used before, 1.6 and 73 ms). It gets there with instructions chosen at run time,
//!   so its last bits depend on the processor. At most 200 observations are factored again and again to learn
//!   hyper-parameters, 0.25 ms each: a minute of training per step hides it.
//! - `egobox-gp` 0.37 (90 crates) has four correlation functions of real vectors, `friedrich` 0.6 (35 crates) a trait for such;
//!   the kernels over token sequences and over the layers of a network would have to be written all the same. Both learn
//!   hyper-parameters by maximum likelihood, without the prior that keeps thirty observations from being taken for noise.
//! - `argmin` 0.11 (23 crates) has Nelder and Mead's simplex and others for real numbers without bounds. Here five positive
//!   numbers within bounds are wanted to a factor of two; [`coordinate_ascent`] needs some forty likelihoods for that.

mod factor;
mod likelihood;
mod solution;

pub use factor::{CholeskyFactor, dot};
pub use likelihood::{coordinate_ascent, ln_likelihood, ln_log_normal};
pub use solution::Solution;
