//! Reading an image folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::decode::decode;
use super::listing::{self, ClassFiles, shown};
use super::{Dataset, Split, memory};

/// How a folder is read.
///
/// | option | default | purpose | range |
/// |---|---|---|---|
/// | `size` | 32 | side in pixels that images are resized to | 8–1024 |
/// | `skip_limit` | 0.01 | largest part of the images that may fail to decode | 0–1 |
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOptions {
    /// Side of the images in memory.
    pub size: usize,
    /// Largest part of a folder's images that may be skipped.
    pub skip_limit: f64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { size: 32, skip_limit: 0.01 }
    }
}

/// An image that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// What the decoder said.
    pub problem: String,
}

/// Files of one class that are no part of the data set, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// `train` or `val`.
    pub split: &'static str,
    /// The class.
    pub class: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub files: usize,
}

/// Why a folder is no data set.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file system's word, with the path.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// `train` or `val` is not there.
    #[error(
        "{path}: no such folder; images are expected as DIR/train/CLASS/*.png and DIR/val/CLASS/*.png (or jpg, webp, bmp, gif)"
    )]
    NoSplit {
        /// The missing folder.
        path: PathBuf,
    },
    /// A split with fewer than two classes, or a class without images.
    #[error(
        "{path}: {problem}; images are expected as DIR/train/CLASS/*.png and DIR/val/CLASS/*.png (or jpg, webp, bmp, gif)"
    )]
    Empty {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// Something to be classified that is never learnt.
    #[error(
        "{path}: class '{class}' has no folder in train, so it could never be learnt; add it there or remove it here"
    )]
    UnknownClass {
        /// The folder of the class.
        path: PathBuf,
        /// Its name.
        class: String,
    },
    /// More than there is memory for.
    #[error(
        "{folder}: {images} images of {size}x{size} pixels take {} of memory, since all are kept decoded, and {} are \
         available; take fewer images, a smaller input (input=N in the architecture, `size` in a search file), or a \
         machine with more memory",
        memory_of(*needed), memory_of(*available)
    )]
    Memory {
        /// The data set.
        folder: PathBuf,
        /// How many images it has.
        images: usize,
        /// Side of an image in pixels.
        size: usize,
        /// Bytes of all of them.
        needed: u64,
        /// Bytes that are available.
        available: u64,
    },
    /// More images fail than is accepted.
    #[error(
        "{folder}: {skipped} of {total} images do not decode, more than the accepted {limit}; the first is {path}: {problem}"
    )]
    TooManySkipped {
        /// The data set.
        folder: PathBuf,
        /// How many do not.
        skipped: usize,
        /// Of how many.
        total: usize,
        /// Accepted number.
        limit: usize,
        /// The first of them.
        path: PathBuf,
        /// What the decoder said.
        problem: String,
    },
}

/// A number of bytes for people: `193.0 GB`.
fn memory_of(bytes: u64) -> String {
    let (size, unit) =
        [(1e12, "TB"), (1e9, "GB")].into_iter().find(|(size, _)| bytes as f64 >= *size).unwrap_or((1e6, "MB"));
    format!("{:.1} {unit}", bytes as f64 / size)
}

/// An image file with its label.
type Labelled = (PathBuf, i64);

/// Reason of images that are broken, of a format that is not read, or no images under an image's name.
const DOES_NOT_DECODE: &str = "does not decode";

impl Dataset {
    /// Reads `folder` on all threads of rayon's pool.
    ///
    /// Images that do not decode are named with a warning in the log and in [`Dataset::skipped`]; whatever was left out
    /// is counted in [`Dataset::left_out`].
    ///
    /// # Errors
    /// [`DataError`]; whether there is enough memory is checked before anything is decoded.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, DataError> {
        Self::load_within(folder, options, memory::available())
    }

    /// The same where the images may take so many bytes, or any number.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn load_within(folder: &Path, options: &LoadOptions, bytes: Option<u64>) -> Result<Self, DataError> {
        let (train, validation) = (listing::classes(&folder.join("train"))?, listing::classes(&folder.join("val"))?);
        check_classes(folder, &train, &validation)?;
        let names: Vec<OsString> = train.keys().cloned().collect();
        let classes: Vec<String> = names.iter().map(|name| shown(name)).collect();
        let without = train.keys().filter(|name| !validation.contains_key(*name)).map(|name| shown(name)).collect();
        let mut left_out = Vec::new();
        let mut labelled = |split, files: BTreeMap<OsString, ClassFiles>| {
            let mut images: Vec<Labelled> = Vec::new();
            for (name, files) in files {
                let label = names.partition_point(|known| *known < name);
                let count = |(reason, files)| LeftOut { split, class: classes[label].clone(), reason, files };
                left_out.extend(files.left_out.into_iter().map(count));
                images.extend(files.images.into_iter().map(|path| (path, label as i64)));
            }
            images
        };
        let (train, validation) = (labelled("train", train), labelled("val", validation));
        let total = train.len() + validation.len();
        check_memory(folder, total, options.size, bytes)?;
        let mut skipped = Vec::new();
        let mut decoded = |split: &'static str, images: &[Labelled]| {
            let (found, broken) = decode_all(images, options.size);
            for (label, class) in classes.iter().enumerate() {
                let files = broken.iter().filter(|(broken, _)| *broken == label as i64).count();
                let (class, reason) = (class.clone(), DOES_NOT_DECODE.to_owned());
                left_out.extend((files > 0).then_some(LeftOut { split, class, reason, files }));
            }
            skipped.extend(broken.into_iter().map(|(_, problem)| problem));
            found
        };
        let (train, validation) = (decoded("train", &train), decoded("val", &validation));
        check_skipped(folder, &skipped, total, options.skip_limit)?;
        check_learnt(folder, &classes, &train)?;
        let (size, without_validation) = (options.size, without);
        let data = Self { classes, size, train, validation, skipped, left_out, without_validation };
        data.notes().iter().for_each(|note| tracing::warn!("{}: {note}", folder.display()));
        Ok(data)
    }
}

type Classes = BTreeMap<OsString, ClassFiles>;

fn check_classes(folder: &Path, train: &Classes, validation: &Classes) -> Result<(), DataError> {
    if train.len() < 2 {
        let problem = format!("at least 2 class folders are needed, found {}", train.len());
        return Err(DataError::Empty { path: folder.join("train"), problem });
    }
    if let Some(class) = validation.keys().find(|class| !train.contains_key(*class)) {
        return Err(DataError::UnknownClass { path: folder.join("val").join(class), class: shown(class) });
    }
    if validation.is_empty() {
        return Err(DataError::Empty { path: folder.join("val"), problem: "no class folder".to_owned() });
    }
    Ok(())
}

fn check_memory(folder: &Path, images: usize, size: usize, available: Option<u64>) -> Result<(), DataError> {
    let needed = images as u64 * (size * size * 3) as u64;
    match available {
        Some(available) if needed > available => {
            Err(DataError::Memory { folder: folder.to_owned(), images, size, needed, available })
        }
        _ => Ok(()),
    }
}

/// A class of which nothing decodes is never learnt.
fn check_learnt(folder: &Path, classes: &[String], train: &Split) -> Result<(), DataError> {
    let mut images = vec![0_usize; classes.len()];
    train.labels().iter().for_each(|label| images[*label as usize] += 1);
    match classes.iter().zip(images).find(|(_, images)| *images == 0) {
        None => Ok(()),
        Some((class, _)) => {
            let path = folder.join("train").join(class);
            Err(DataError::Empty { path, problem: "no image of this class decodes".to_owned() })
        }
    }
}

/// Decodes into one piece of memory, which is all that the images ever take.
fn decode_all(images: &[Labelled], size: usize) -> (Split, Vec<(i64, Skipped)>) {
    let bytes = size * size * 3;
    let mut pixels = vec![0; images.len() * bytes];
    let problems: Vec<Option<String>> = (images.par_iter().zip(pixels.par_chunks_exact_mut(bytes)))
        .map(|((path, _), pixels)| decode(path, size, pixels).err())
        .collect();
    let (mut labels, mut skipped) = (Vec::with_capacity(images.len()), Vec::new());
    for (index, ((path, label), problem)) in images.iter().zip(problems).enumerate() {
        match problem {
            Some(problem) => skipped.push((*label, Skipped { path: path.clone(), problem })),
            None => {
                pixels.copy_within(index * bytes..(index + 1) * bytes, labels.len() * bytes);
                labels.push(*label);
            }
        }
    }
    pixels.truncate(labels.len() * bytes);
    (Split { pixels, labels, size }, skipped)
}

fn check_skipped(folder: &Path, skipped: &[Skipped], total: usize, limit: f64) -> Result<(), DataError> {
    for Skipped { path, problem } in skipped {
        tracing::warn!("skipped {}: {problem}", path.display());
    }
    if !skipped.is_empty() {
        tracing::warn!("{}: skipped {} of {total} images", folder.display(), skipped.len());
    }
    let limit = (limit * total as f64) as usize;
    match skipped.first() {
        Some(first) if skipped.len() > limit => Err(DataError::TooManySkipped {
            folder: folder.to_owned(),
            skipped: skipped.len(),
            total,
            limit,
            path: first.path.clone(),
            problem: first.problem.clone(),
        }),
        _ => Ok(()),
    }
}
