//! Text files as people's programs write them: one reader for everything that a user gives.
//!
//! | the bytes | read as |
//! |---|---|
//! | begin with a byte order mark | UTF-8, UTF-16 LE or UTF-16 BE, without the mark |
//! | every other one of the first is 0 | UTF-16 without a mark |
//! | are UTF-8 | UTF-8 |
//! | hold a 0 | no text: refused |
//! | anything else | Windows-1252, of which Latin-1 is a part; a warning in the log says so |
//!
//! ```
//! assert_eq!(mnas::text::decode(b"\xFF\xFEa\0b\0")?, "ab");
//! assert_eq!(mnas::text::decode(b"th\xE9")?, "th\u{e9}");
//! # Ok::<(), String>(())
//! ```

use std::io::{Error, ErrorKind, Read};
use std::path::Path;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Bytes that tell UTF-16 without a mark.
const BEGINNING: usize = 64;

/// The text of a file.
///
/// # Errors
/// What the file system says, or that the content is no text; both with the path.
pub fn read(path: &Path) -> std::io::Result<String> {
    let (text, guessed) = decoded(&fs_err::read(path)?).map_err(|problem| no_text(&path.display(), &problem))?;
    warn(&path.display(), guessed);
    Ok(text)
}

/// All text of a reader, which `origin` names in messages.
///
/// # Errors
/// As [`read`].
pub fn read_from(mut reader: impl Read, origin: &str) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|error| Error::new(error.kind(), format!("{origin}: {error}")))?;
    let (text, guessed) = decoded(&bytes).map_err(|problem| no_text(&origin, &problem))?;
    warn(&origin, guessed);
    Ok(text)
}

/// Text from bytes.
///
/// # Errors
/// Why they are no text.
pub fn decode(bytes: &[u8]) -> Result<String, String> {
    decoded(bytes).map(|(text, _)| text)
}

/// The text, and whether its encoding is a guess.
fn decoded(bytes: &[u8]) -> Result<(String, bool), String> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return in_encoding(encoding, &bytes[mark..]).map(|text| (text, false));
    }
    if let Some(encoding) = unmarked(bytes) {
        return in_encoding(encoding, bytes).map(|text| (text, false));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok((text.to_owned(), false)),
        _ if bytes.contains(&0) => Err("expected text (UTF-8, UTF-16 or Latin-1), found binary data".to_owned()),
        _ => in_encoding(WINDOWS_1252, bytes).map(|text| (text, true)),
    }
}

/// UTF-16 whose characters are mostly those of ASCII.
fn unmarked(bytes: &[u8]) -> Option<&'static Encoding> {
    let pairs = bytes[..bytes.len().min(BEGINNING)].chunks_exact(2);
    let count = pairs.len();
    let zeros = |at: usize| pairs.clone().filter(|pair| pair[at] == 0 && pair[1 - at] != 0).count();
    let most = |zeros: usize| count > 1 && 4 * zeros > 3 * count;
    [(1, UTF_16LE), (0, UTF_16BE)].into_iter().find(|(at, _)| most(zeros(*at))).map(|(_, encoding)| encoding)
}

fn in_encoding(encoding: &'static Encoding, bytes: &[u8]) -> Result<String, String> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    let text =
        text.ok_or_else(|| format!("its byte order mark says {}, and its content is not that", encoding.name()))?;
    Ok(text.into_owned())
}

fn no_text(origin: &dyn std::fmt::Display, problem: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{origin}: {problem}"))
}

fn warn(origin: &dyn std::fmt::Display, guessed: bool) {
    if guessed {
        tracing::warn!("{origin}: is not UTF-8; read as Windows-1252 (Latin-1)");
    }
}
