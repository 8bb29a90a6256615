//! The built-in data set: small drawn images, so that a search can be tried without a download.
//!
//! A class is a shape filled with stripes of one of two directions, which stay with the image when the shape turns.
//! Each image has a difficulty d = u²·[`DrawOptions::difficulty`], u uniform from 0 to 1, that scales everything which
//! hides the class: rotation by up to ±180°·d, shift, shrinking, a colour cast, clutter, noise, and with probability d/2 a dark
//! shape on a bright ground. Easy images are learnt within a few hundred steps; hard ones keep networks apart.
//!
//! Every image has its own generator (stream = split, class, number), so the files depend on the options alone, not on
//! the number of threads.
//!
//! | option | default | purpose | range |
//! |---|---|---|---|
//! | `size` | 32 | side of the images in pixels | 8–1024 |
//! | `classes` | 10 | two per shape: disc, triangle, square, cross, ring, star, crescent, ell | 2–16 |
//! | `train` | 6000 | training images, spread evenly over the classes | 1 per class–1,000,000 |
//! | `validation` | 2000 | images accuracies are taken from | 1 per class–1,000,000 |
//! | `difficulty` | 1.0 | largest d | 0–1 |
//! | `seed` | 1 | | |
//!
//! ```
//! use mnas::train::draw::DrawOptions;
//! let folder = std::env::temp_dir().join(format!("mnas-draw-{}", std::process::id()));
//! DrawOptions { train: 20, validation: 10, ..DrawOptions::default() }.check()?.draw(&folder)?;
//! assert!(folder.join("train/disc-horizontal/00000.png").exists());
//! # std::fs::remove_dir_all(folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod shapes;

use std::f32::consts::{PI, TAU};
use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgb, RgbImage};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Random;
use crate::network::weights::normal;
use shapes::{DrawnShape, SHAPES};

/// Options of a drawn data set; the module's text has the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrawOptions {
    /// Side of the images in pixels.
    pub size: usize,
    /// Number of classes.
    pub classes: usize,
    /// Training images in all.
    pub train: usize,
    /// Validation images in all.
    pub validation: usize,
    /// Largest difficulty of an image, 0 to 1.
    pub difficulty: f32,
    /// Seed of everything drawn.
    pub seed: u64,
}

impl Default for DrawOptions {
    fn default() -> Self {
        Self { size: 32, classes: 10, train: 6000, validation: 2000, difficulty: 1.0, seed: 1 }
    }
}

/// Options within their ranges: what can be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing(DrawOptions);

/// The two folders of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// `train`.
    Train,
    /// `val`.
    Validation,
}

impl Folder {
    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "val",
        }
    }
}

/// Why nothing was drawn.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// An option outside its range.
    #[error("dataset draw: {option} must be {expected}, found {found}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its range.
        expected: String,
        /// As given.
        found: String,
    },
    /// The folder holds something already.
    #[error("{0} exists and is not empty; name a new folder, or remove this one first")]
    Exists(PathBuf),
    /// The file system's word, with the path.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The PNG encoder's word.
    #[error("cannot write {path}: {problem}")]
    Encode {
        /// The image.
        path: PathBuf,
        /// What the encoder said.
        problem: String,
    },
}

impl DrawOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// [`DrawError::Option`] for the first option outside its range.
    pub fn check(self) -> Result<Drawing, DrawError> {
        let range = |option, expected: std::ops::RangeInclusive<usize>, found: usize| {
            if expected.contains(&found) {
                return Ok(());
            }
            let expected = format!("from {} to {}", expected.start(), expected.end());
            Err(DrawError::Option { option, expected, found: found.to_string() })
        };
        range("size", 8..=1024, self.size)?;
        range("classes", 2..=2 * SHAPES.len(), self.classes)?;
        range("train", self.classes..=1_000_000, self.train)?;
        range("validation", self.classes..=1_000_000, self.validation)?;
        if !(0.0..=1.0).contains(&self.difficulty) {
            let (expected, found) = ("from 0 to 1".to_owned(), self.difficulty.to_string());
            return Err(DrawError::Option { option: "difficulty", expected, found });
        }
        Ok(Drawing(self))
    }
}

impl Drawing {
    /// Writes `folder/{train,val}/CLASS/NUMBER.png` in parallel, first under a temporary name beside `folder`: after an
    /// error or an interruption there is no half data set under its name.
    ///
    /// # Errors
    /// [`DrawError::Exists`], [`DrawError::File`] and [`DrawError::Encode`].
    pub fn draw(&self, folder: &Path) -> Result<(), DrawError> {
        if folder.exists() {
            if fs_err::read_dir(folder)?.next().is_some() {
                return Err(DrawError::Exists(folder.to_owned()));
            }
            fs_err::remove_dir(folder)?;
        }
        let mut name = folder.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = folder.with_file_name(name);
        let drawn = self.draw_into(&temporary).and_then(|()| Ok(fs_err::rename(&temporary, folder)?));
        if drawn.is_err() {
            // The first error is the one to report.
            let _ = fs_err::remove_dir_all(&temporary);
        }
        drawn
    }

    fn draw_into(&self, folder: &Path) -> Result<(), DrawError> {
        let jobs: Vec<(Folder, usize, usize)> =
            [(Folder::Train, self.0.train), (Folder::Validation, self.0.validation)]
                .into_iter()
                .flat_map(|(split, count)| (0..count).map(move |number| (split, number)))
                .map(|(split, number)| (split, number % self.0.classes, number / self.0.classes))
                .collect();
        for split in [Folder::Train, Folder::Validation] {
            for class in 0..self.0.classes {
                fs_err::create_dir_all(folder.join(split.name()).join(class_name(class)))?;
            }
        }
        jobs.par_iter().try_for_each(|&(split, class, number)| {
            let path = folder.join(split.name()).join(class_name(class)).join(format!("{number:05}.png"));
            let mut bytes = std::io::Cursor::new(Vec::new());
            self.image(split, class, number)
                .write_to(&mut bytes, ImageFormat::Png)
                .map_err(|error| DrawError::Encode { path: path.clone(), problem: error.to_string() })?;
            Ok(fs_err::write(&path, bytes.into_inner())?)
        })
    }

    /// Image `number` of a class.
    pub fn image(&self, split: Folder, class: usize, number: usize) -> RgbImage {
        let mut random = crate::seeded(self.0.seed);
        random.set_stream(((split as u64) << 60) | ((class as u64) << 40) | number as u64);
        let difficulty = self.0.difficulty * random.r#gen::<f32>().powi(2);
        Scene::new(class, difficulty, &mut random).paint(self.0.size, &mut random)
    }
}

/// `SHAPE-horizontal` or `SHAPE-vertical`.
fn class_name(class: usize) -> String {
    let direction = if class.is_multiple_of(2) { "horizontal" } else { "vertical" };
    format!("{}-{direction}", SHAPES[class / 2].name())
}

/// Everything about one image but its noise; lengths in units of the image's side.
struct Scene {
    shape: DrawnShape,
    vertical: bool,
    centre: [f32; 2],
    radius: f32,
    angle: f32,
    phase: f32,
    ground: [f32; 3],
    figure: [f32; 3],
    blobs: Vec<Blob>,
    noise: f32,
}

struct Blob {
    centre: [f32; 2],
    radius: f32,
    colour: [f32; 3],
}

impl Scene {
    fn new(class: usize, difficulty: f32, random: &mut Random) -> Self {
        let dark = random.gen_range(0.1..0.4);
        let bright = dark + 0.5 - 0.25 * difficulty * random.r#gen::<f32>();
        let (ground, figure) = if random.r#gen::<f32>() < difficulty / 2.0 { (bright, dark) } else { (dark, bright) };
        let mut spread = |width: f32| width * difficulty * random.gen_range(-1.0f32..1.0);
        let mut colour = |grey: f32| [(); 3].map(|()| grey + spread(0.25));
        let (ground, figure) = (colour(ground), colour(figure));
        let (centre, angle) = ([0.5 + spread(0.2), 0.5 + spread(0.2)], spread(PI));
        let radius = 0.36 * (1.0 - 0.5 * spread(1.0).abs());
        let blobs = (0..random.gen_range(0..=(10.0 * difficulty) as usize)).map(|_| Blob::new(random)).collect();
        Self {
            shape: SHAPES[class / 2],
            vertical: class % 2 == 1,
            centre,
            radius,
            angle,
            phase: random.gen_range(0.0..TAU),
            ground,
            figure,
            blobs,
            noise: 0.25 * difficulty,
        }
    }

    fn paint(&self, size: usize, random: &mut Random) -> RgbImage {
        let side = size as f32;
        RgbImage::from_fn(size as u32, size as u32, |column, row| {
            let colour = self.colour((column as f32 + 0.5) / side, (row as f32 + 0.5) / side, side);
            Rgb(colour.map(|value| (255.0 * (value + self.noise * normal(random))).round().clamp(0.0, 255.0) as u8))
        })
    }

    /// The colour at a point; edges are smoothed over one pixel.
    fn colour(&self, x: f32, y: f32, side: f32) -> [f32; 3] {
        let mut colour = self.ground;
        for blob in &self.blobs {
            let distance = (x - blob.centre[0]).hypot(y - blob.centre[1]) - blob.radius;
            colour = mixed(colour, blob.colour, 0.5 - distance * side);
        }
        let (sine, cosine) = self.angle.sin_cos();
        let (dx, dy) = ((x - self.centre[0]) / self.radius, (y - self.centre[1]) / self.radius);
        let distance = self.shape.distance(cosine * dx + sine * dy, cosine * dy - sine * dx) * self.radius;
        let along = if self.vertical { x } else { y };
        let stripe = 0.5 + 0.5 * (STRIPES * TAU * along + self.phase).sin();
        mixed(colour, mixed(self.figure, self.ground, 0.5 * stripe), 0.5 - distance * side)
    }
}

/// Stripes across the image: six pixels each at size 32.
const STRIPES: f32 = 5.0;

impl Blob {
    fn new(random: &mut Random) -> Self {
        let centre = [random.gen_range(0.0..1.0), random.gen_range(0.0..1.0)];
        Self { centre, radius: random.gen_range(0.03..0.12), colour: [(); 3].map(|()| random.gen_range(0.1..0.9)) }
    }
}

fn mixed(below: [f32; 3], above: [f32; 3], share: f32) -> [f32; 3] {
    let share = share.clamp(0.0, 1.0);
    std::array::from_fn(|channel| below[channel] + share * (above[channel] - below[channel]))
}
