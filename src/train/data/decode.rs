//! One image file as the middle square of what it shows, in RGB bytes.
//!
//! The format is told by the content, not by the name. The orientation that a camera noted (EXIF) is applied. What is
//! transparent lies on white. Of an animation the first frame counts. 16 bits a channel become 8. An image that was cut
//! short does not decode: none of its pixels are made up ([`jpeg`] says how that is told).

use std::io::Cursor;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, RgbImage};

use super::jpeg;

/// The formats that are read, for messages.
const READ: &str = "png, jpeg, webp, bmp or gif";

/// Decodes a file into the bytes of `size` by `size` pixels.
///
/// # Errors
/// Why it is no image, in words.
pub(super) fn decode(path: &Path, size: usize, pixels: &mut [u8]) -> Result<(), String> {
    let bytes = fs_err::read(path).map_err(|error| error.to_string())?;
    let image = upright(&bytes)?;
    let (width, height) = image.dimensions();
    let square = width.min(height);
    let middle = imageops::crop_imm(&image, (width - square) / 2, (height - square) / 2, square, square).to_image();
    let middle = match square as usize == size {
        true => middle,
        false => imageops::resize(&middle, size as u32, size as u32, FilterType::Triangle),
    };
    pixels.copy_from_slice(middle.as_raw());
    Ok(())
}

/// The whole image, the right way up.
fn upright(bytes: &[u8]) -> Result<RgbImage, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let (mut image, orientation) = match format_of(bytes)? {
        ImageFormat::Jpeg => jpeg::decode(bytes)?,
        format => read(bytes, format)?,
    };
    image.apply_orientation(orientation);
    Ok(on_white(image))
}

fn format_of(bytes: &[u8]) -> Result<ImageFormat, String> {
    let unread = |name: &str| format!("holds {name}, which is not read; convert it to {READ}");
    match image::guess_format(bytes) {
        Ok(format) if format.reading_enabled() => Ok(format),
        Ok(format) => Err(unread(&format!("{format:?}").to_lowercase())),
        Err(_) if bytes.get(4..8) == Some(b"ftyp") => Err(unread("heic")),
        Err(_) => Err(format!("its content is no image; expected {READ}")),
    }
}

/// Reads any format by the image crate.
pub(super) fn read(bytes: &[u8], format: ImageFormat) -> Result<(DynamicImage, Orientation), String> {
    let words = |error: image::ImageError| error.to_string();
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(words)?;
    // What is noted wrongly is as good as not noted.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(words)?, orientation))
}

fn on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(u32::from);
        let over = |value: u32| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        image::Rgb([over(red), over(green), over(blue)])
    })
}
