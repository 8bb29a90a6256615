//! Which networks a calibration measures.
//!
//! The networks to *fit* cover the space: a Latin hypercube over the choices (McKay, Beckman and Conover 1979), in which
//! every entry of every choice list occurs equally often, and of several such designs the one whose networks lie
//! farthest from each other in standardised features. The networks to *validate* are drawn at random, as a search
//! draws them, so that the stated error is the error a search will see. Some of these are measured a second time,
//! as if they were other networks: how far the two results lie apart is the noise no predictor can undercut.

use std::collections::HashSet;

use ndarray::{Array2, Axis};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::CalibrationError;
use super::features::{COUNT, Features};
use super::selection::LEAST_NETWORKS;
use crate::network::{Limits, Network};
use crate::space::{Architecture, Space};

/// How to calibrate a device.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `networks` | 100 | networks the validated predictor is fitted to | 10 or more |
/// | `validation` | 30 | networks drawn at random that state its error | 1 or more |
/// | `repeats` | 10 | validation networks measured twice, for the noise floor | 0 to `validation` |
/// | `rounds` | 5 | fresh loads of each network | 1 or more |
/// | `level` | 0.9 | share of networks the interval should hold | above 0, below 1 |
/// | `seed` | 0 | networks, orders and folds | any |
/// | `limits` | none | networks beyond them are not measured | |
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationSettings {
    /// The space the networks come from.
    pub space: Space,
    /// Networks to fit.
    pub networks: usize,
    /// Networks to validate with.
    pub validation: usize,
    /// Validation networks measured twice.
    pub repeats: usize,
    /// Fresh loads of each network.
    pub rounds: usize,
    /// Nominal level of the interval.
    pub level: f64,
    /// Seed of every choice.
    pub seed: u64,
    /// What every network keeps to.
    pub limits: Limits,
}

impl CalibrationSettings {
    /// The defaults for a space.
    pub fn new(space: Space) -> Self {
        Self {
            space,
            networks: 100,
            validation: 30,
            repeats: 10,
            rounds: 5,
            level: 0.9,
            seed: 0,
            limits: Limits::default(),
        }
    }

    fn check(&self) -> Result<(), CalibrationError> {
        let wrong = |what, range: String, found: usize| Err(CalibrationError::Settings { what, range, found });
        match self {
            Self { networks: ..LEAST_NETWORKS, .. } => {
                wrong("networks", format!("at least {LEAST_NETWORKS}"), self.networks)
            }
            Self { validation: 0, .. } => wrong("validation networks", "at least 1".to_owned(), 0),
            Self { rounds: 0, .. } => wrong("rounds", "at least 1".to_owned(), 0),
            _ if self.repeats > self.validation => {
                wrong("repeats", format!("at most the {} validation networks", self.validation), self.repeats)
            }
            _ if !(self.level > 0.0 && self.level < 1.0) => Err(super::FitError::Level(self.level).into()),
            _ => Ok(()),
        }
    }
}

/// What a measured network is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// To fit the predictor that is validated.
    Fit,
    /// To state its error.
    Validation,
    /// A validation network once more.
    Repeat,
}

impl Part {
    /// `fit`, `validation` or `repeat`, as in the file of measurements.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Validation => "validation",
            Self::Repeat => "repeat",
        }
    }
}

/// One network to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The network.
    pub architecture: Architecture,
    /// What for.
    pub part: Part,
}

/// Latin hypercubes of which the best is taken.
const DESIGNS: usize = 32;
/// Draws per wanted network before a space counts as too small.
const MOST_DRAWS: usize = 50;

/// The networks to measure, each once per round: fit, validation, repeats.
///
/// # Errors
/// [`CalibrationError::Settings`] for settings out of range, [`CalibrationError::SpaceTooSmall`] if the space does not
/// hold so many networks, and a space's architectures that have no network.
pub fn plan(settings: &CalibrationSettings) -> Result<Vec<Planned>, CalibrationError> {
    settings.check()?;
    let mut draw = Draw { settings, random: crate::seeded(settings.seed), drawn: HashSet::new() };
    let validation = (0..settings.validation).map(|_| draw.one()).collect::<Result<Vec<_>, _>>()?;
    let fit = draw.covering()?;
    let planned = |part| move |architecture: Architecture| Planned { architecture, part };
    let repeats = validation[..settings.repeats].to_vec();
    let fit = fit.into_iter().map(planned(Part::Fit));
    Ok(fit
        .chain(validation.into_iter().map(planned(Part::Validation)))
        .chain(repeats.into_iter().map(planned(Part::Repeat)))
        .collect())
}

struct Draw<'a> {
    settings: &'a CalibrationSettings,
    random: crate::Random,
    drawn: HashSet<Vec<usize>>,
}

impl Draw<'_> {
    /// A random architecture that was not drawn before.
    fn one(&mut self) -> Result<Architecture, CalibrationError> {
        let tokens = self.fresh_tokens()?;
        Ok(self.settings.space.decode(&tokens)?)
    }

    fn fresh_tokens(&mut self) -> Result<Vec<usize>, CalibrationError> {
        let CalibrationSettings { space, networks, validation, limits, .. } = self.settings;
        for draw in 0..MOST_DRAWS * (networks + validation) {
            let mut tokens = space.sample(&mut self.random);
            if draw >= MOST_DRAWS && limits.any() {
                tokens = limits.shrunk(space, tokens)?.1;
            }
            if self.keeps_limits(&tokens)? && self.drawn.insert(tokens.clone()) {
                return Ok(tokens);
            }
        }
        Err(CalibrationError::SpaceTooSmall {
            space: space.name.clone(),
            holds: if limits.any() {
                "few architectures within the limits".to_owned()
            } else {
                format!("{} architectures", space.size())
            },
            wanted: networks + validation,
        })
    }

    fn keeps_limits(&self, tokens: &[usize]) -> Result<bool, CalibrationError> {
        let CalibrationSettings { space, limits, .. } = self.settings;
        Ok(!limits.any() || limits.exceeded(&Network::expand(&space.decode(tokens)?)?).is_none())
    }

    /// The best of several Latin hypercubes over the choices.
    fn covering(&mut self) -> Result<Vec<Architecture>, CalibrationError> {
        let before = self.drawn.clone();
        let mut best: Option<(f64, Vec<Architecture>)> = None;
        for _ in 0..DESIGNS {
            self.drawn.clone_from(&before);
            let design = self.latin_hypercube()?;
            let spread = spread(&design)?;
            if best.as_ref().is_none_or(|(most, _)| spread > *most) {
                best = Some((spread, design));
            }
        }
        Ok(best.map_or_else(Vec::new, |(_, design)| design))
    }

    fn latin_hypercube(&mut self) -> Result<Vec<Architecture>, CalibrationError> {
        let count = self.settings.networks;
        let columns: Vec<Vec<usize>> = (self.settings.space.token_sizes().into_iter())
            .map(|size| {
                let mut column: Vec<usize> = (0..count).map(|row| row % size).collect();
                column.shuffle(&mut self.random);
                column
            })
            .collect();
        let mut design = Vec::with_capacity(count);
        for row in 0..count {
            let tokens: Vec<usize> = columns.iter().map(|column| column[row]).collect();
            let usable = self.keeps_limits(&tokens)? && self.drawn.insert(tokens.clone());
            let tokens = if usable { tokens } else { self.fresh_tokens()? };
            design.push(self.settings.space.decode(&tokens)?);
        }
        Ok(design)
    }
}

/// Mean distance of a design's networks to the nearest other one, in standardised features.
fn spread(design: &[Architecture]) -> Result<f64, CalibrationError> {
    let mut features = Array2::zeros((design.len(), COUNT));
    for (architecture, mut row) in design.iter().zip(features.rows_mut()) {
        row.assign(&ndarray::ArrayView1::from(&Features::of(&Network::expand(architecture)?).totals()));
    }
    let inputs = standardised(features);
    let nearest = |at: usize| {
        let others = (0..design.len()).filter(|&other| other != at);
        let distances = others.map(|other| {
            let difference = &inputs.row(at) - &inputs.row(other);
            difference.dot(&difference)
        });
        distances.fold(f64::INFINITY, f64::min).sqrt()
    };
    Ok((0..design.len()).map(nearest).sum::<f64>() / design.len() as f64)
}

/// Columns of zero mean and unit variance; constant ones are zero.
fn standardised(mut features: Array2<f64>) -> Array2<f64> {
    for mut column in features.axis_iter_mut(Axis(1)) {
        let (mean, deviation) = (column.mean().unwrap_or(0.0), column.std(0.0));
        let scale = if deviation > 1e-9 * mean.abs() { 1.0 / deviation } else { 0.0 };
        column.mapv_inplace(|value| scale * (value - mean));
    }
    features
}
