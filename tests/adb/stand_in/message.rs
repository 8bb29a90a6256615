//! Messages of adb's transport protocol: a header of six little-endian numbers, then data.
//!
//! Source: `packages/modules/adb/protocol.txt`.

use std::io::{Read, Write};

pub const CNXN: u32 = u32::from_le_bytes(*b"CNXN");
pub const AUTH: u32 = u32::from_le_bytes(*b"AUTH");
pub const OPEN: u32 = u32::from_le_bytes(*b"OPEN");
pub const OKAY: u32 = u32::from_le_bytes(*b"OKAY");
pub const WRTE: u32 = u32::from_le_bytes(*b"WRTE");
pub const CLSE: u32 = u32::from_le_bytes(*b"CLSE");

/// The first version whose receivers do not look at the sum of the data.
pub const VERSION: u32 = 0x0100_0001;

/// The most data that a message of ours has, and that we take.
pub const LARGEST: u32 = 256 * 1024;

/// Kinds of AUTH: the phone's token, the computer's signature of it.
pub const TOKEN: u32 = 1;
pub const SIGNATURE: u32 = 2;

/// One message.
#[derive(Debug)]
pub struct Message {
    pub command: u32,
    pub first: u32,
    pub second: u32,
    pub data: Vec<u8>,
}

impl Message {
    pub fn new(command: u32, first: u32, second: u32, data: Vec<u8>) -> Self {
        Self { command, first, second, data }
    }

    pub fn read(source: &mut impl Read) -> std::io::Result<Self> {
        let mut header = [0; 24];
        source.read_exact(&mut header)?;
        let number = |index: usize| u32::from_le_bytes(std::array::from_fn(|byte| header[4 * index + byte]));
        let mut data = vec![0; number(3) as usize];
        source.read_exact(&mut data)?;
        Ok(Self { command: number(0), first: number(1), second: number(2), data })
    }

    pub fn write(&self, sink: &mut impl Write) -> std::io::Result<()> {
        let sum = self.data.iter().fold(0u32, |sum, &byte| sum.wrapping_add(u32::from(byte)));
        let header = [self.command, self.first, self.second, self.data.len() as u32, sum, !self.command];
        let mut bytes: Vec<u8> = header.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend_from_slice(&self.data);
        sink.write_all(&bytes)
    }
}
