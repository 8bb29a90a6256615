//! JPEG files, of which those that were cut short are told from whole ones.
//!
//! Decoders make up what a file lacks: half of the image is grey, and nobody says so. An end-of-image marker proves
//! nothing, since a thumbnail within may have one, and a cut file may have got one. What counts is whether the data of
//! the scan last for all of the image. So the file is decoded up to its own end-of-image marker (or the end of the file)
//! with ones put behind the data. A code word of ones alone does not exist (ITU-T T.81, annex C: the longest code is
//! never all ones), so whoever reads on beyond the data fails. Whole files without the marker are whole.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::decode::read;

/// More ones than any code word has, stuffed as the data of a scan are, then the end of the image.
const SEAL: [u8; 66] = {
    let mut seal = [0; 66];
    let mut at = 0;
    while at < 66 {
        seal[at] = 0xFF;
        at += 2;
    }
    seal[65] = 0xD9;
    seal
};
/// Most bytes of a decoded image, as the image crate's own limit.
const MOST_BYTES: usize = 512 << 20;

/// Decodes a whole JPEG file; its orientation is not applied yet.
///
/// # Errors
/// Why not, in words.
pub(super) fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation), String> {
    let data = Data::of(bytes);
    let sealed = [&bytes[..data.end], &SEAL].concat();
    match strictly(&sealed) {
        Ok(found) => Ok(found),
        Err(Problem::Other(problem)) => Err(problem),
        Err(Problem::Data(problem)) if !data.closed => Err(format!("cut short ({problem})")),
        // Where it fails without the seal, too, something else is odd about it that other programs forgive.
        Err(Problem::Data(_)) => match strictly(&bytes[..data.end + 2]) {
            Ok(_) => Err("cut short (its data end before the image does)".to_owned()),
            Err(_) => read(bytes, ImageFormat::Jpeg),
        },
    }
}

enum Problem {
    /// The data of the scan.
    Data(String),
    /// Anything before them.
    Other(String),
}

fn strictly(bytes: &[u8]) -> Result<(DynamicImage, Orientation), Problem> {
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(65_535).set_max_height(65_535);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| Problem::Data(error.to_string()))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    if width * height * 3 > MOST_BYTES {
        return Err(Problem::Other(format!("{width}x{height} pixels are too many")));
    }
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let space = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let pixels = decoder.decode().map_err(|error| Problem::Data(error.to_string()))?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let (width, height) = (width as u32, height as u32);
    let image = match grey {
        true => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        false => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    let image = image.ok_or_else(|| Problem::Other("its size is not that of its pixels".to_owned()))?;
    Ok((image, orientation.unwrap_or(Orientation::NoTransforms)))
}

/// Where the data of a file end.
struct Data {
    /// Position of the end-of-image marker, or of the end of the file.
    end: usize,
    /// Whether there is such a marker.
    closed: bool,
}

impl Data {
    /// Goes from marker to marker, over the contents of segments: a thumbnail in one of them has markers of its own.
    fn of(bytes: &[u8]) -> Self {
        let mut at = 2;
        while at + 1 < bytes.len() {
            at += match (bytes[at], bytes[at + 1]) {
                (0xFF, 0xD9) => return Self { end: at, closed: true },
                // Data, a stuffed byte, padding, or a marker without a segment.
                (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => 2,
                (0xFF, 0xFF) => 1,
                (0xFF, _) => match bytes.get(at + 2..at + 4) {
                    Some(length) => 2 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2),
                    None => break,
                },
                _ => 1,
            };
        }
        // The first half of a marker belongs to nothing.
        let end = bytes.len() - usize::from(bytes.last() == Some(&0xFF));
        Self { end, closed: false }
    }
}
