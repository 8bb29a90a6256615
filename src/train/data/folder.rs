//! Reading an image folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::imageops::{self, FilterType};
use rayon::prelude::*;

use super::{Dataset, Split};

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

/// Why a folder is no data set.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file system's word, with the path.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// `train` or `val` is not there.
    #[error(
        "{path}: no such folder; images are expected as DIR/train/CLASS/*.png and DIR/val/CLASS/*.png (or jpg, jpeg)"
    )]
    NoSplit {
        /// The missing folder.
        path: PathBuf,
    },
    /// A split with fewer than two classes, or a class without images.
    #[error("{path}: {problem}; images are expected as DIR/train/CLASS/*.png and DIR/val/CLASS/*.png (or jpg, jpeg)")]
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

/// An image file with its label.
type Labelled = (PathBuf, i64);

impl Dataset {
    /// Reads `folder` on all threads of rayon's pool.
    ///
    /// Images that do not decode are named with a warning in the log and in [`Dataset::skipped`].
    ///
    /// # Errors
    /// [`DataError`].
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, DataError> {
        let train = images_by_class(&folder.join("train"))?;
        let validation = images_by_class(&folder.join("val"))?;
        let classes: Vec<String> = train.keys().cloned().collect();
        if classes.len() < 2 {
            let problem = format!("at least 2 class folders are needed, found {}", classes.len());
            return Err(DataError::Empty { path: folder.join("train"), problem });
        }
        if let Some(class) = validation.keys().find(|class| !train.contains_key(*class)) {
            let (path, class) = (folder.join("val").join(class), class.clone());
            return Err(DataError::UnknownClass { path, class });
        }
        if validation.is_empty() {
            let problem = "no class folder".to_owned();
            return Err(DataError::Empty { path: folder.join("val"), problem });
        }
        let label = |images: BTreeMap<String, Vec<PathBuf>>| -> Vec<Labelled> {
            let labelled = images.into_iter().map(|(class, paths)| (classes.binary_search(&class), paths));
            let labelled = labelled.filter_map(|(label, paths)| Some((label.ok()? as i64, paths)));
            labelled.flat_map(|(label, paths)| paths.into_iter().map(move |path| (path, label))).collect()
        };
        let (train, validation) = (label(train), label(validation));
        let total = train.len() + validation.len();
        let (train, mut skipped) = decode_all(&train, options.size);
        let (validation, more) = decode_all(&validation, options.size);
        skipped.extend(more);
        check_skipped(folder, &skipped, total, options.skip_limit)?;
        Ok(Self { classes, size: options.size, train, validation, skipped })
    }
}

/// Image files by class folder, both sorted; other files and hidden folders do not count.
fn images_by_class(split: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, DataError> {
    if !split.is_dir() {
        return Err(DataError::NoSplit { path: split.to_owned() });
    }
    let mut classes = BTreeMap::new();
    for entry in fs_err::read_dir(split)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_dir() || name.starts_with('.') {
            continue;
        }
        let mut images = Vec::new();
        for file in fs_err::read_dir(&path)? {
            images.extend(Some(file?.path()).filter(|file| is_image(file)));
        }
        if images.is_empty() {
            return Err(DataError::Empty { path, problem: "no image in this class".to_owned() });
        }
        images.sort();
        classes.insert(name, images);
    }
    Ok(classes)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    matches!(extension.as_str(), "png" | "jpg" | "jpeg")
}

fn decode_all(images: &[Labelled], size: usize) -> (Split, Vec<Skipped>) {
    let decoded: Vec<Result<Vec<u8>, Skipped>> = images.par_iter().map(|(path, _)| decode(path, size)).collect();
    let mut split = Split { pixels: Vec::with_capacity(images.len() * size * size * 3), labels: Vec::new(), size };
    let mut skipped = Vec::new();
    for ((_, label), image) in images.iter().zip(decoded) {
        match image {
            Ok(pixels) => {
                split.pixels.extend(pixels);
                split.labels.push(*label);
            }
            Err(problem) => skipped.push(problem),
        }
    }
    (split, skipped)
}

/// The middle square of an image at the wanted size.
fn decode(path: &Path, size: usize) -> Result<Vec<u8>, Skipped> {
    let skipped = |problem: String| Skipped { path: path.to_owned(), problem };
    let bytes = fs_err::read(path).map_err(|error| skipped(error.to_string()))?;
    let image = image::load_from_memory(&bytes).map_err(|error| skipped(error.to_string()))?.to_rgb8();
    let (width, height) = image.dimensions();
    let square = width.min(height);
    let middle = imageops::crop_imm(&image, (width - square) / 2, (height - square) / 2, square, square).to_image();
    if square as usize == size {
        return Ok(middle.into_raw());
    }
    Ok(imageops::resize(&middle, size as u32, size as u32, FilterType::Triangle).into_raw())
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
