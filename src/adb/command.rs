//! Commands for a phone's shell, which nothing that comes from outside can change into others.

use std::ffi::{OsStr, OsString};
use std::fmt::{Display, Formatter};
use std::os::unix::ffi::OsStrExt;

/// A program and its words. Each word reaches the program as it is: everything is quoted for the shell.
///
/// ```
/// use mnas::adb::Command;
/// let command = Command::new("rm").word("-f").word("/data/local/tmp/it's; reboot");
/// assert_eq!(command.line(), br"'rm' '-f' '/data/local/tmp/it'\''s; reboot'");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    variables: Vec<(String, OsString)>,
    words: Vec<OsString>,
}

impl Command {
    /// A program on the phone, looked up in its `PATH`. A shell's own commands (`cd`, `umask`) need [`Command::script`].
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { variables: Vec::new(), words: vec![program.as_ref().to_owned()] }
    }

    /// A shell script. It must be a constant: what varies is appended with [`Command::word`] and is `$1`, `$2`, … in it.
    pub fn script(text: &'static str) -> Self {
        Self::new("sh").words(["-c", text, "sh"])
    }

    /// Appends a word.
    #[must_use]
    pub fn word(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Appends several words.
    #[must_use]
    pub fn words(self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        words.into_iter().fold(self, Self::word)
    }

    /// Sets a variable of the program's environment; `name` must be one a shell takes, such as `LD_LIBRARY_PATH`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The words, quoted, as a shell reads them.
    pub fn line(&self) -> Vec<u8> {
        self.words.iter().map(|word| quote(word.as_bytes())).collect::<Vec<_>>().join(&b' ')
    }

    /// Shell commands that set the variables.
    pub(super) fn exports(&self) -> Vec<u8> {
        let export = |(name, value): &(String, OsString)| {
            [b"export ", name.as_bytes(), b"=", &quote(value.as_bytes()), b"; "].concat()
        };
        self.variables.iter().flat_map(export).collect()
    }

    /// What no shell can be given, if there is such a thing in the command.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let values = self.variables.iter().map(|(_, value)| value);
        if self.words.iter().chain(values).any(|word| word.as_bytes().contains(&0)) {
            return Some("a word with a zero byte, which no program can be given");
        }
        let nameless = self.variables.iter().any(|(name, _)| !is_name(name));
        nameless.then_some("a variable whose name is not letters, digits and _")
    }
}

impl Display for Command {
    /// For messages, on one line: only what needs quotes has them, and long words are shortened.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = self.words.iter().map(|word| shown(word)).collect();
        formatter.write_str(&words.join(" "))
    }
}

/// Characters of a word that messages show.
const SHOWN: usize = 60;

fn shown(word: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(byte);
    let text = word.to_string_lossy().trim().replace(char::is_control, " ");
    let text = match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    match !word.is_empty() && word.as_bytes().iter().all(plain) {
        true => text,
        false => String::from_utf8_lossy(&quote(text.as_bytes())).into_owned(),
    }
}

/// Between single quotes a shell takes every byte as it is; a single quote itself is put between two such stretches.
fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

fn is_name(text: &str) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    text.bytes().next().is_some_and(|first| letter(&first))
        && text.bytes().all(|byte| letter(&byte) || byte.is_ascii_digit())
}
