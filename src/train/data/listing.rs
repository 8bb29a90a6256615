//! The files of an image folder, class by class.
//!
//! | found | taken as |
//! |---|---|
//! | a folder of a split | a class; hidden ones and those that systems leave behind ([`SYSTEM_FOLDERS`]) are none |
//! | a folder within a class | part of the class, as torchvision's `ImageFolder` has it |
//! | a hidden file (`.DS_Store`, `._x.jpg`) or `Thumbs.db`, `desktop.ini` | nothing |
//! | a file with the extension of an image, or one that begins as an image does | an image, read by its content |
//! | any other file | left out, and counted by its extension |
//!
//! A class is its folder's name, byte for byte. Bytes that are not UTF-8 are shown as `\xE9`, so that two names stay two.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::folder::DataError;

/// Folders that no class lies in.
const SYSTEM_FOLDERS: [&str; 5] = ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"];
/// Files that no person put there, in lower case.
const SYSTEM_FILES: [&str; 3] = ["thumbs.db", "ehthumbs.db", "desktop.ini"];
/// Extensions of images, read or not: what has one is expected to be an image.
const IMAGES: [&str; 22] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff", "heic", "heif", "avif",
    "jxl", "jp2", "ico", "tga", "psd", "ppm", "pgm",
];
/// Folders within folders within a class, at most: a link may lead in circles.
const DEPTH: usize = 8;

/// One class's files.
#[derive(Debug, Default)]
pub(super) struct ClassFiles {
    /// Images, sorted by path.
    pub images: Vec<PathBuf>,
    /// How many files were left out, by reason.
    pub left_out: BTreeMap<String, usize>,
}

/// The classes of a split by the names of their folders, sorted.
pub(super) fn classes(split: &Path) -> Result<BTreeMap<OsString, ClassFiles>, DataError> {
    if !split.is_dir() {
        return Err(DataError::NoSplit { path: split.to_owned() });
    }
    let mut classes = BTreeMap::new();
    for entry in fs_err::read_dir(split)? {
        let path = entry?.path();
        let Some(name) = path.file_name().map(OsStr::to_owned) else { continue };
        if !path.is_dir() || is_hidden(&name) || SYSTEM_FOLDERS.iter().any(|system| name == *system) {
            continue;
        }
        let mut files = ClassFiles::default();
        files.gather(&path, DEPTH)?;
        if files.images.is_empty() {
            let left_out = files.left_out.iter().map(|(reason, count)| format!("; {count} files left out: {reason}"));
            let problem = format!("no image in this class{}", left_out.collect::<String>());
            return Err(DataError::Empty { path, problem });
        }
        files.images.sort();
        classes.insert(name, files);
    }
    Ok(classes)
}

impl ClassFiles {
    fn gather(&mut self, folder: &Path, depth: usize) -> Result<(), DataError> {
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            let lower = name.to_string_lossy().to_lowercase();
            if is_hidden(name) || SYSTEM_FILES.contains(&lower.as_str()) {
                continue;
            }
            if path.is_dir() {
                if depth > 0 && !SYSTEM_FOLDERS.iter().any(|system| name == *system) {
                    self.gather(&path, depth - 1)?;
                }
            } else if is_image(&path) {
                self.images.push(path);
            } else {
                *self.left_out.entry(no_image(&path)).or_default() += 1;
            }
        }
        Ok(())
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn no_image(path: &Path) -> String {
    match extension(path).as_str() {
        "" => "no image (no extension)".to_owned(),
        extension => format!("no image (.{extension})"),
    }
}

fn is_image(path: &Path) -> bool {
    IMAGES.contains(&extension(path).as_str()) || begins_as_an_image(path)
}

fn begins_as_an_image(path: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = fs_err::File::open(path).and_then(|file| file.take(64).read_to_end(&mut beginning));
    read.is_ok() && image::guess_format(&beginning).is_ok()
}

/// A folder's name in text: bytes that are not UTF-8 as `\xE9`.
pub(super) fn shown(name: &OsStr) -> String {
    let chunk = |chunk: std::str::Utf8Chunk<'_>| {
        let bytes = chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}"));
        std::iter::once(chunk.valid().to_owned()).chain(bytes).collect::<String>()
    };
    name.as_encoded_bytes().utf8_chunks().map(chunk).collect()
}
