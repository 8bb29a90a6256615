//! Labelled images in memory: decoded once, resized once, shared by every training of the process.
//!
//! An image folder is `DIR/{train,val}/CLASS/*.png|jpg|webp|bmp|gif`. Classes are the subfolders of `train` sorted by name.
//! Images are turned as their camera noted, cut to the middle square, resized, and kept as bytes, row by row, three channels side by side: what
//! torch reads as channels last without a copy.

#[cfg(feature = "torch")]
pub mod augment;
mod decode;
mod folder;
mod jpeg;
pub mod labels;
mod listing;
mod memory;

pub use folder::{DataError, LeftOut, LoadOptions, Skipped};

use rand::seq::SliceRandom as _;
#[cfg(feature = "torch")]
use tch::{Device, Kind, Tensor};

use crate::Random;

/// A data set for training and for measuring accuracy.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Side of the images in pixels.
    pub size: usize,
    /// What is learnt from.
    pub train: Split,
    /// What accuracies are taken from.
    pub validation: Split,
    /// Images that do not decode, with the reason.
    pub skipped: Vec<Skipped>,
    /// Files that were left out, counted by split, class and reason; those that do not decode are among them.
    pub left_out: Vec<LeftOut>,
    /// Classes without a folder in `val`: nothing tells how well they are learnt.
    pub without_validation: Vec<String>,
}

/// At most so many lines are noted of what was left out.
const MOST_NOTES: usize = 20;

impl Dataset {
    /// What people should know about the data, a line each: what was left out, and which classes val lacks.
    pub fn notes(&self) -> Vec<String> {
        let left_out = |left_out: &LeftOut| {
            let LeftOut { split, class, reason, files } = left_out;
            format!("{split}, class '{class}': {files} files left out: {reason}")
        };
        let mut notes: Vec<String> = self.left_out.iter().take(MOST_NOTES).map(left_out).collect();
        if let Some(more) = self.left_out.get(MOST_NOTES..).filter(|more| !more.is_empty()) {
            let files: usize = more.iter().map(|left_out| left_out.files).sum();
            notes.push(format!("{files} more files left out of further classes"));
        }
        let without: Vec<String> = self.without_validation.iter().map(|class| format!("'{class}'")).collect();
        if !without.is_empty() {
            notes.push(format!("val has no images of {}: accuracies say nothing about these", without.join(", ")));
        }
        notes
    }
}

/// One half of a data set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Split {
    pixels: Vec<u8>,
    labels: Vec<i64>,
    size: usize,
}

impl Split {
    /// Images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The label of every image, an index into the data set's classes.
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// The bytes of one image: row by row, red, green and blue side by side.
    pub fn pixels(&self, image: usize) -> &[u8] {
        let bytes = self.size * self.size * 3;
        &self.pixels[image * bytes..(image + 1) * bytes]
    }

    /// All images in an order drawn from `random`.
    pub fn shuffled(&self, random: &mut Random) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(random);
        order
    }

    /// Images `[n, 3, size, size]` from −1 to 1, channels last, with labels `[n]`.
    ///
    /// # Panics
    /// If an index is not below [`Split::len`].
    #[cfg(feature = "torch")]
    pub fn batch(&self, images: &[usize], device: Device) -> (Tensor, Tensor) {
        let side = self.size as i64;
        let bytes: Vec<u8> = images.iter().flat_map(|&image| self.pixels(image)).copied().collect();
        let pixels = Tensor::from_data_size(&bytes, &[images.len() as i64, side, side, 3], Kind::Uint8);
        let labels: Vec<i64> = images.iter().map(|&image| self.labels[image]).collect();
        let values = pixels.to_device(device).to_kind(Kind::Float) / 127.5 - 1.0;
        (values.permute([0, 3, 1, 2]), Tensor::from_slice(&labels).to_device(device))
    }
}
