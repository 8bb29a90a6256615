//! The names of a network's classes beside its weights: `labels.txt`, one name a line, the first for output 0, as
//! TensorFlow Lite's tools expect it.

use std::path::{Path, PathBuf};

/// The file's name.
const FILE: &str = "labels.txt";

/// Where the names of the classes of these weights lie: `labels.txt` in the same folder.
pub fn beside(weights: &Path) -> PathBuf {
    weights.with_file_name(FILE)
}

/// Writes the names; one that holds the end of a line has it as `\n`.
///
/// # Errors
/// What the file system says, with the path.
pub fn write(path: &Path, classes: &[String]) -> std::io::Result<()> {
    let line = |class: &String| class.replace('\r', "\\r").replace('\n', "\\n") + "\n";
    crate::files::write_atomically(path, classes.iter().map(line).collect::<String>().as_bytes())
}

/// The names that belong to these weights; `None` without a file of them.
///
/// # Errors
/// A file that cannot be read, or that names another number of classes than there are outputs.
pub fn of(weights: &Path, outputs: usize) -> std::io::Result<Option<Vec<String>>> {
    let path = beside(weights);
    if !path.is_file() {
        return Ok(None);
    }
    let classes: Vec<String> = crate::text::read(&path)?.lines().map(str::to_owned).collect();
    if classes.len() == outputs {
        return Ok(Some(classes));
    }
    let problem = format!("{}: expected {outputs} classes, a line each, found {}", path.display(), classes.len());
    Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem))
}
