//! `mnas dataset draw`: the built-in data set.

use std::path::PathBuf;

use serde_json::json;

use super::output::Output;
use super::{Ending, Error};
use crate::train::draw::DrawOptions;

/// Arguments of `mnas dataset`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Draw images of shapes: a data set without a download, hard enough to tell networks apart.
    Draw {
        /// The folder to make: DIR/{train,val}/CLASS/*.png.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Side of the images in pixels.
        #[arg(long, default_value_t = DrawOptions::default().size)]
        size: usize,
        /// Number of classes.
        #[arg(long, default_value_t = DrawOptions::default().classes)]
        classes: usize,
        /// Training images in all.
        #[arg(long, default_value_t = DrawOptions::default().train)]
        train: usize,
        /// Validation images in all.
        #[arg(long, default_value_t = DrawOptions::default().validation)]
        validation: usize,
        /// Largest difficulty of an image, 0 to 1.
        #[arg(long, default_value_t = DrawOptions::default().difficulty)]
        difficulty: f32,
        /// Seed of everything drawn.
        #[arg(long, default_value_t = DrawOptions::default().seed)]
        seed: u64,
    },
}

/// Draws.
pub fn run(arguments: &Arguments, out: Output) -> Result<Ending, Error> {
    let Verb::Draw { out: folder, size, classes, train, validation, difficulty, seed } = &arguments.verb;
    let options = DrawOptions {
        size: *size,
        classes: *classes,
        train: *train,
        validation: *validation,
        difficulty: *difficulty,
        seed: *seed,
    };
    options.clone().check()?.draw(folder)?;
    out.print(&json!({ "path": folder, "options": options }), || {
        format!("{}: {train} training and {validation} validation images of {classes} classes", folder.display())
    })?;
    Ok(Ending::Done)
}
