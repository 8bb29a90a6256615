//! Which networks a calibration measures, and in which order.
//!
//! The networks to *fit* are those that teach the predictor most about the space, by its own account: of some hundreds
//! drawn as Latin hypercubes over the choices (McKay, Beckman and Conover 1979; every entry of every choice list occurs
//! equally often), always the next one whose measurement would lower the predictor's variance, averaged over all of
//! them, furthest. This variance depends on the networks alone, not on their latencies, so the order is known before
//! anything is measured, and every beginning of it is a good plan of its own: that is what batches are.
//!
//! The networks to *validate* are drawn at random, as a search draws them, so that the stated error is the error a
//! search will see. Some of these are measured a second time, as if they were other networks: how far the two results
//! lie apart is the noise no predictor can undercut.

use std::collections::HashSet;
use std::path::PathBuf;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::latency::data::features::Features;
use crate::latency::data::pace;
use crate::latency::error::{CalibrationError, FitError};
use crate::latency::predict::process::{self, HyperParameters};
use crate::latency::predict::selection::LEAST_NETWORKS;
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
/// | `batch` | all | networks to fit that are measured before the predictor is judged, and again and again | 10 or more |
/// | `target_error` | none | error in percent whose certainty ends the measuring (see [`crate::latency::calibrate::stopping`]) | above 0 |
/// | `minutes` | none | measuring time that no further batch may exceed | above 0 |
/// | `warm_start` | none | another device's calibration that is the first guess | a calibration's folder |
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
    /// Networks to fit in one batch; `None` measures all at once.
    pub batch: Option<usize>,
    /// The mean error in percent that is good enough.
    pub target_error: Option<f64>,
    /// Minutes of measuring that no further batch may exceed.
    pub minutes: Option<f64>,
    /// Folder of another device's calibration to start from.
    pub warm_start: Option<PathBuf>,
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
            batch: None,
            target_error: None,
            minutes: None,
            warm_start: None,
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
            Self { batch: Some(batch @ ..LEAST_NETWORKS), .. } => {
                wrong("networks in a batch", format!("at least {LEAST_NETWORKS}"), *batch)
            }
            _ if !(self.level > 0.0 && self.level < 1.0) => Err(FitError::Level(self.level).into()),
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
    /// A network of the first batch once more, in a later batch: whether the device's pace is still the same.
    Anchor,
}

impl Part {
    /// `fit`, `validation`, `repeat` or `anchor`, as in the file of measurements.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Validation => "validation",
            Self::Repeat => "repeat",
            Self::Anchor => pace::ANCHOR,
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

/// Networks that the best are chosen from, at least; a plan for more networks than this takes them in the order drawn.
const POOL: usize = 600;
/// Networks of the first batch that every later batch times again.
const ANCHORS: usize = 5;
/// Draws per wanted network before a space counts as too small.
const MOST_DRAWS: usize = 50;

/// The networks to measure, batch by batch, each once per round of its batch. The first batch has the first networks to
/// fit, the validation networks and the repeats; every later one the next networks to fit, and the anchors.
///
/// # Errors
/// [`CalibrationError::Settings`] for settings out of range, [`CalibrationError::SpaceTooSmall`] if the space does not
/// hold so many networks, and a space's architectures that have no network.
pub fn batches(settings: &CalibrationSettings) -> Result<Vec<Vec<Planned>>, CalibrationError> {
    settings.check()?;
    let mut draw =
        Draw { settings, random: crate::seeded(settings.seed), drawn: HashSet::new(), networks: HashSet::new() };
    let validation = (0..settings.validation).map(|_| draw.one()).collect::<Result<Vec<_>, _>>()?;
    let fit = draw.covering()?;
    let planned = |part| move |architecture: &Architecture| Planned { architecture: architecture.clone(), part };
    let mut batches: Vec<Vec<Planned>> = fit
        .chunks(settings.batch.unwrap_or(settings.networks))
        .map(|batch| batch.iter().map(planned(Part::Fit)).collect())
        .collect();
    let anchors: Vec<Planned> = validation.iter().take(ANCHORS).map(planned(Part::Anchor)).collect();
    for (index, batch) in batches.iter_mut().enumerate() {
        if index == 0 {
            batch.extend(validation.iter().map(planned(Part::Validation)));
            batch.extend(validation[..settings.repeats].iter().map(planned(Part::Repeat)));
        } else {
            batch.extend(anchors.iter().cloned());
        }
    }
    Ok(batches)
}

/// All networks of all batches.
///
/// # Errors
/// As [`batches`].
pub fn plan(settings: &CalibrationSettings) -> Result<Vec<Planned>, CalibrationError> {
    Ok(batches(settings)?.concat())
}

struct Draw<'a> {
    settings: &'a CalibrationSettings,
    random: crate::Random,
    drawn: HashSet<Vec<usize>>,
    /// Digests of the networks drawn, where there are limits.
    networks: HashSet<String>,
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
            if self.take(&tokens)? {
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

    /// Takes tokens that were not drawn before and whose network keeps to the limits. Limits may leave few networks, each
    /// of several sequences; then it must be a new network, too.
    fn take(&mut self, tokens: &[usize]) -> Result<bool, CalibrationError> {
        let CalibrationSettings { space, limits, .. } = self.settings;
        if limits.any() {
            let network = Network::expand(&space.decode(tokens)?)?;
            if limits.exceeded(&network).is_some() || !self.networks.insert(network.digest()) {
                return Ok(false);
            }
        }
        Ok(self.drawn.insert(tokens.to_vec()))
    }

    /// The most informative networks of several Latin hypercubes, in order.
    fn covering(&mut self) -> Result<Vec<Architecture>, CalibrationError> {
        let count = self.settings.networks;
        let mut pool = self.latin_hypercube()?;
        // A small space is not drawn empty.
        let most = usize::try_from(self.settings.space.size() / 2u8).unwrap_or(usize::MAX).min(POOL);
        while pool.len() + count <= most {
            match self.latin_hypercube() {
                Ok(more) => pool.extend(more),
                Err(CalibrationError::SpaceTooSmall { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        if pool.len() > POOL {
            return Ok(pool);
        }
        let features = pool.iter().map(|architecture| Ok(Features::of(&Network::expand(architecture)?)));
        let features = features.collect::<Result<Vec<_>, CalibrationError>>()?;
        let expected = match self.settings.warm_start {
            None => HyperParameters::EXPECTED,
            Some(_) => HyperParameters::EXPECTED_WARM,
        };
        let order = process::most_informative(&features.iter().collect::<Vec<_>>(), count, expected);
        Ok(order.into_iter().map(|index| pool[index].clone()).collect())
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
            let tokens = if self.take(&tokens)? { tokens } else { self.fresh_tokens()? };
            design.push(self.settings.space.decode(&tokens)?);
        }
        Ok(design)
    }
}
