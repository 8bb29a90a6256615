//! The phone's file service: `sync:`.
//!
//! A request is four letters, a little-endian length, and that many bytes; a file goes as `DATA` pieces of at most 64 KiB
//! and `DONE`. Refusals are `FAIL`, a length and the phone's words. Source: `packages/modules/adb/SYNC.TXT` and
//! `file_sync_protocol.h`.

use std::time::SystemTime;

use super::wire::{Connection, WireError};

/// The largest piece of a file, and the longest refusal that is read.
const PIECE: usize = 64 * 1024;

/// The longest path that a phone's file service takes.
pub(super) const LONGEST_PATH: usize = 1024;

/// `mode` of an ordinary file.
const ORDINARY: u32 = 0o100_000;
const KIND: u32 = 0o170_000;

/// What a phone knows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Kind and permissions, as in `stat(2)`.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: i64,
}

impl Stat {
    /// Whether it is an ordinary file, neither folder nor link nor device.
    pub fn is_file(&self) -> bool {
        self.mode & KIND == ORDINARY
    }
}

/// The system's number for "no such file", and for "a part of the path is no folder".
const ABSENT: [u32; 2] = [2, 20];

/// Asks what `path` is, following links; none if it is not there.
pub(super) fn stat(connection: &mut Connection, path: &str) -> Result<Option<Stat>, WireError> {
    request(connection, b"STA2", path.as_bytes())?;
    expect(connection, b"STA2", "STA2")?;
    // error, device, inode, mode, links, user, group, size, accessed, modified, changed
    let answer: [u8; 68] = connection.exact()?;
    let word = |at: usize| u32::from_le_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    match word(0) {
        0 => Ok(Some(Stat { mode: word(20), size: long(36), modified: long(52) as i64 })),
        number if ABSENT.contains(&number) => Ok(None),
        number => Err(WireError::Fail(std::io::Error::from_raw_os_error(number as i32).to_string())),
    }
}

/// The same for phones without `stat_v2`: sizes below 4 GiB, links not followed, and every error looks like absence.
pub(super) fn old_stat(connection: &mut Connection, path: &str) -> Result<Option<Stat>, WireError> {
    request(connection, b"STAT", path.as_bytes())?;
    expect(connection, b"STAT", "STAT")?;
    let (mode, size, modified) = (connection.number()?, connection.number()?, connection.number()?);
    Ok((mode != 0).then_some(Stat { mode, size: u64::from(size), modified: i64::from(modified) }))
}

/// Writes a file; `progress` hears the bytes sent, and how many there are.
pub(super) fn send(
    connection: &mut Connection,
    path: &str,
    mode: u32,
    bytes: &[u8],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), WireError> {
    match pour(connection, path, mode, bytes, progress) {
        // A phone that refuses may hang up before it has heard everything; what it said is still to be read.
        Err(WireError::Closed) => Err(answer(connection).err().unwrap_or(WireError::Closed)),
        Err(other) => Err(other),
        Ok(()) => answer(connection),
    }
}

fn pour(
    connection: &mut Connection,
    path: &str,
    mode: u32,
    bytes: &[u8],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), WireError> {
    let total = bytes.len() as u64;
    let mut sent = 0;
    request(connection, b"SEND", format!("{path},{}", ORDINARY | mode).as_bytes())?;
    for piece in bytes.chunks(PIECE) {
        request(connection, b"DATA", piece)?;
        sent += piece.len() as u64;
        progress(sent, total);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    connection.send(&[b"DONE".as_slice(), &(now as u32).to_le_bytes()].concat())
}

/// The phone's last word on a file: nothing, or why not.
fn answer(connection: &mut Connection) -> Result<(), WireError> {
    match &connection.exact()? {
        b"OKAY" => connection.number().map(|_| ()),
        b"FAIL" => Err(failure(connection)?),
        other => Err(WireError::garbage("OKAY or FAIL", other)),
    }
}

/// Reads a file of at most `limit_bytes`; `progress` hears the bytes that have come.
pub(super) fn receive(
    connection: &mut Connection,
    path: &str,
    limit_bytes: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<u8>, WireError> {
    request(connection, b"RECV", path.as_bytes())?;
    let mut bytes = Vec::new();
    loop {
        match &connection.exact()? {
            b"DATA" => {
                let length = connection.number()? as usize;
                if length > PIECE {
                    return Err(WireError::garbage("at most 64 KiB of a file", length.to_string().as_bytes()));
                }
                if (bytes.len() + length) as u64 > limit_bytes {
                    return Err(WireError::TooMuch);
                }
                bytes.extend(connection.bytes(length)?);
                progress(bytes.len() as u64);
            }
            b"DONE" => return Ok(bytes),
            b"FAIL" => return Err(failure(connection)?),
            other => return Err(WireError::garbage("DATA, DONE or FAIL", other)),
        }
    }
}

fn request(connection: &mut Connection, kind: &[u8; 4], data: &[u8]) -> Result<(), WireError> {
    connection.send(&[kind.as_slice(), &(data.len() as u32).to_le_bytes(), data].concat())
}

fn expect(connection: &mut Connection, kind: &[u8; 4], name: &'static str) -> Result<(), WireError> {
    match &connection.exact()? {
        found if found == kind => Ok(()),
        b"FAIL" => Err(failure(connection)?),
        found => Err(WireError::garbage(name, found)),
    }
}

fn failure(connection: &mut Connection) -> Result<WireError, WireError> {
    let length = connection.number()? as usize;
    if length > PIECE {
        return Err(WireError::garbage("a refusal of at most 64 KiB", length.to_string().as_bytes()));
    }
    let message = connection.bytes(length)?;
    Ok(WireError::Fail(String::from_utf8_lossy(&message).trim().to_owned()))
}
