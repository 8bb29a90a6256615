//! Image folders as people have them: what is read, what is left out and counted, and what is refused.

use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use mnas::train::data::{Dataset, LoadOptions};

const SIZE: usize = 16;

fn options() -> LoadOptions {
    LoadOptions { size: SIZE, skip_limit: 0.5 }
}

/// A picture whose top left quarter is red and whose rest has no grey in it.
fn picture(side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| match (x < side / 2, y < side / 2) {
        (true, true) => Rgb([250, 0, 0]),
        _ => Rgb([0, 200 + (x * y % 50) as u8, (x * 255 / side) as u8]),
    })
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A data set of two classes, `a` with these files in train, everything else two small pictures.
fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for class in ["train/a", "train/b", "val/a", "val/b"] {
        let class = folder.path().join(class);
        fs_err::create_dir_all(&class).unwrap();
        for name in ["y.png", "z.png"] {
            fs_err::write(class.join(name), encoded(picture(16), ImageFormat::Png)).unwrap();
        }
    }
    for (name, bytes) in files {
        let path = folder.path().join("train/a").join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
    folder
}

fn load(folder: &Path) -> Dataset {
    Dataset::load(folder, &options()).unwrap()
}

/// The colour in the middle of the quarter that is the `x`th from the left and the `y`th from the top.
fn quarter(data: &Dataset, image: usize, x: usize, y: usize) -> [u8; 3] {
    let at = 3 * ((SIZE / 4 + y * SIZE / 2) * SIZE + SIZE / 4 + x * SIZE / 2);
    data.train.pixels(image)[at..at + 3].try_into().unwrap()
}

fn is_red([red, green, blue]: [u8; 3]) -> bool {
    red > 180 && green < 80 && blue < 80
}

/// What was left out of class `a` in train, with its reason.
fn left_out(data: &Dataset) -> Vec<(&str, usize)> {
    data.left_out.iter().map(|left_out| (left_out.reason.as_str(), left_out.files)).collect()
}

/// A JPEG with an application segment (EXIF begins it) right after its start.
fn with_segment(jpeg: &[u8], content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, content, &jpeg[2..]].concat()
}

/// EXIF that says nothing but the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut content = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    content.extend([orientation, 0, 0, 0, 0, 0, 0]);
    content
}

#[test]
fn every_format_is_read_by_its_content_whatever_its_name_says() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    let formats =
        [("0.webp", WebP), ("1.BMP", Bmp), ("2.gif", Gif), ("3.JPEG", Jpeg), ("4.png", Jpeg), ("5.jpg", WebP)];
    let mut files: Vec<(&str, Vec<u8>)> = formats.map(|(name, format)| (name, encoded(picture(40), format))).to_vec();
    files.extend([("6", encoded(picture(40), Png)), ("7.dat", encoded(picture(40), Gif))]);
    files.push(("8.png", encoded(DynamicImage::from(picture(40)).into_rgb16(), Png)));
    files.push(("9.png", encoded(DynamicImage::from(picture(40)).into_luma_alpha8(), Png)));
    let data = load(folder(&files).path());
    assert_eq!((data.train.len(), &data.skipped), (14, &vec![]));
    for image in 0..9 {
        assert!(is_red(quarter(&data, image, 0, 0)), "image {image}: {:?}", quarter(&data, image, 0, 0));
        assert!(!is_red(quarter(&data, image, 1, 1)), "image {image}");
    }
    let [red, green, blue] = quarter(&data, 9, 0, 0);
    assert!(red == green && green == blue && red > 30, "grey stays grey");
}

#[test]
fn what_is_transparent_lies_on_white() {
    let clear = RgbaImage::from_fn(16, 16, |x, _| if x < 8 { Rgba([0, 0, 0, 0]) } else { Rgba([10, 20, 30, 255]) });
    let files = [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif]
        .map(|format| (format.extensions_str()[0], encoded(clear.clone(), format)));
    let files: Vec<(&str, Vec<u8>)> =
        ["0", "1", "2"].into_iter().zip(files).map(|(name, (_, bytes))| (name, bytes)).collect();
    let data = load(folder(&files).path());
    for image in 0..3 {
        assert_eq!(quarter(&data, image, 0, 0), [255; 3], "image {image}");
        assert!(quarter(&data, image, 1, 0)[0] < 40, "image {image}");
    }
}

#[test]
fn of_an_animation_the_first_frame_counts() {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    let frame = |colour| image::Frame::new(RgbaImage::from_pixel(16, 16, Rgba(colour)));
    encoder.encode_frames([frame([250, 0, 0, 255]), frame([0, 0, 250, 255])]).unwrap();
    drop(encoder);
    let data = load(folder(&[("0.gif", bytes)]).path());
    assert!(is_red(quarter(&data, 0, 1, 1)));
}

#[test]
fn a_picture_is_turned_as_its_camera_noted() {
    let jpeg = encoded(picture(64), ImageFormat::Jpeg);
    // Where the red quarter of the stored picture belongs, by EXIF orientation from 1 to 8.
    let corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0), (1, 0), (1, 1), (0, 1)];
    let names = ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg", "7.jpg", "8.jpg"];
    let mut files: Vec<(&str, Vec<u8>)> =
        names.into_iter().zip(1..).map(|(name, turned)| (name, with_segment(&jpeg, &exif(turned)))).collect();
    files.push(("9.jpg", with_segment(&jpeg, &exif(77))));
    let data = load(folder(&files).path());
    assert_eq!(data.skipped, vec![]);
    for (image, (x, y)) in corners.into_iter().chain([(0, 0)]).enumerate() {
        for other in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let red = is_red(quarter(&data, image, other.0, other.1));
            assert_eq!(red, other == (x, y), "orientation {}: quarter {other:?}", image + 1);
        }
    }
}

#[test]
fn an_image_that_was_cut_short_is_broken_in_every_format() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
    let formats = [("bmp", Bmp), ("gif", Gif), ("jpg", Jpeg), ("png", Png), ("webp", WebP)];
    for (name, format) in formats {
        let whole = encoded(picture(64), format);
        for share in [0.3, 0.6, 0.9, 0.97] {
            let cut = whole[..(share * whole.len() as f64) as usize].to_vec();
            let data = load(folder(&[(&format!("0.{name}"), cut), (&format!("1.{name}"), whole.clone())]).path());
            assert_eq!((data.train.len(), data.skipped.len()), (5, 1), "{name}, {share} of it");
            assert_eq!(left_out(&data), [("does not decode", 1)]);
        }
    }
}

#[test]
fn neither_a_thumbnail_nor_an_end_put_behind_it_makes_a_cut_jpeg_whole() {
    let whole = encoded(picture(64), ImageFormat::Jpeg);
    let thumbnail = [b"Exif\0\0".as_slice(), &encoded(picture(16), ImageFormat::Jpeg)].concat();
    let with_thumbnail = with_segment(&whole, &thumbnail);
    let half = |bytes: &[u8]| bytes[..bytes.len() * 2 / 3].to_vec();
    let closed = |bytes: &[u8]| [half(bytes), vec![0xFF, 0xD9]].concat();
    let zeros = |bytes: &[u8]| [half(bytes), vec![0; bytes.len() / 3]].concat();
    let broken = [
        ("a.jpg", half(&with_thumbnail)),
        ("b.jpg", closed(&with_thumbnail)),
        ("c.jpg", closed(&whole)),
        ("d.jpg", zeros(&whole)),
        ("e.jpg", [half(&whole), b"<html>error</html>".to_vec()].concat()),
    ];
    let sound = [
        ("0.jpg", with_thumbnail.clone()),
        ("1.jpg", [whole.clone(), b"camera's own data \xFF\xD8\xFF\xE1 and more".to_vec()].concat()),
        ("2.jpg", whole[..whole.len() - 2].to_vec()),
        ("3.jpg", [whole.clone(), with_thumbnail].concat()),
    ];
    let data = load(folder(&[broken.to_vec(), sound.to_vec()].concat()).path());
    let mut found: Vec<String> =
        data.skipped.iter().map(|skipped| skipped.path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    found.sort();
    assert_eq!(found, broken.map(|(name, _)| name), "{:?}", data.skipped);
    assert!(data.skipped.iter().all(|skipped| skipped.problem.contains("cut short")), "{:?}", data.skipped);
    for image in 0..4 {
        assert!(is_red(quarter(&data, image, 0, 0)) && !is_red(quarter(&data, image, 1, 1)), "image {image}");
    }
}

#[test]
fn hidden_files_and_what_systems_leave_behind_are_neither_images_nor_classes() {
    let folder = folder(&[
        ("._x.jpg", b"\0\x05\x16\x07".to_vec()),
        (".DS_Store", vec![0; 9]),
        ("Thumbs.db", vec![1; 9]),
        ("desktop.ini", vec![2; 9]),
        (".thumbnails/q.png", encoded(picture(16), ImageFormat::Png)),
    ]);
    for class in ["__MACOSX", ".ipynb_checkpoints", "@eaDir"] {
        fs_err::create_dir_all(folder.path().join("train").join(class)).unwrap();
    }
    fs_err::write(folder.path().join("train/Thumbs.db"), b"x").unwrap();
    let data = load(folder.path());
    assert_eq!((data.classes, data.train.len()), (vec!["a".to_owned(), "b".to_owned()], 4));
    assert_eq!((data.skipped, data.left_out), (vec![], vec![]));
}

#[test]
fn files_left_out_are_counted_by_class_and_reason() {
    let folder = folder(&[
        ("notes.txt", b"by hand".to_vec()),
        ("more.TXT", b"by hand".to_vec()),
        ("boxes.xml", b"<a/>".to_vec()),
        ("README", b"read".to_vec()),
        ("empty.png", vec![]),
        ("page.jpg", b"<html>404</html>".to_vec()),
        ("scan.tiff", b"II*\0\x08\0\0\0".to_vec()),
        ("within/deep/0.png", encoded(picture(16), ImageFormat::Png)),
    ]);
    let data = load(folder.path());
    assert_eq!(data.train.len(), 5, "folders within a class are part of it");
    let mut found = left_out(&data);
    found.sort_unstable();
    assert_eq!(
        found,
        [("does not decode", 3), ("no image (.txt)", 2), ("no image (.xml)", 1), ("no image (no extension)", 1)]
    );
    assert!(data.left_out.iter().all(|left_out| (left_out.split, left_out.class.as_str()) == ("train", "a")));
    let problem =
        |name: &str| data.skipped.iter().find(|skipped| skipped.path.ends_with(name)).unwrap().problem.clone();
    assert!(problem("empty.png").contains("empty"), "{}", problem("empty.png"));
    assert!(problem("page.jpg").contains("no image"), "{}", problem("page.jpg"));
    assert!(problem("scan.tiff").contains("tiff, which is not read; convert"), "{}", problem("scan.tiff"));
    assert!(
        data.notes().contains(&"train, class 'a': 2 files left out: no image (.txt)".to_owned()),
        "{:?}",
        data.notes()
    );
}

#[test]
fn a_class_that_val_lacks_is_named_and_one_of_which_nothing_decodes_is_refused() {
    let folder = folder(&[]);
    fs_err::remove_dir_all(folder.path().join("val/b")).unwrap();
    let data = load(folder.path());
    assert_eq!(data.without_validation, ["b"]);
    assert!(data.notes()[0].contains("val has no images of 'b'"), "{:?}", data.notes());
    for name in ["y.png", "z.png"] {
        fs_err::write(folder.path().join("train/b").join(name), b"broken").unwrap();
    }
    let error = Dataset::load(folder.path(), &options()).unwrap_err().to_string();
    assert!(error.contains("train/b: no image of this class decodes"), "{error}");
}

#[cfg(unix)]
#[test]
fn classes_whose_names_are_not_utf_8_stay_different_classes() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = folder(&[]);
    for split in ["train", "val"] {
        for name in [b"th\xE8".as_slice(), b"th\xE9"] {
            let class = folder.path().join(split).join(std::ffi::OsStr::from_bytes(name));
            fs_err::create_dir_all(&class).unwrap();
            fs_err::write(class.join("0.png"), encoded(picture(16), ImageFormat::Png)).unwrap();
        }
    }
    let data = load(folder.path());
    assert_eq!(data.classes, ["a", "b", "th\\xE8", "th\\xE9"]);
    assert_eq!(
        (data.train.labels(), data.validation.labels()),
        ([0, 0, 1, 1, 2, 3].as_slice(), [0, 0, 1, 1, 2, 3].as_slice())
    );
}

#[test]
fn too_many_images_for_the_memory_are_refused_before_any_is_decoded() {
    // Nothing here decodes: who tries says so.
    let files: Vec<(String, Vec<u8>)> = (0..50).map(|index| (format!("{index}.jpg"), b"no image".to_vec())).collect();
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let folder = folder(&files);
    let large = LoadOptions { size: 224, ..options() };
    let error = Dataset::load_within(folder.path(), &large, Some(2_000_000)).unwrap_err().to_string();
    assert!(error.contains("58 images of 224x224 pixels take 8.7 MB"), "{error}");
    assert!(error.contains("2.0 MB are available") && error.contains("smaller input"), "{error}");
    // No machine has it.
    let huge = LoadOptions { size: 1 << 20, ..options() };
    let error = Dataset::load(folder.path(), &huge).unwrap_err().to_string();
    assert!(error.contains("TB") && error.contains("available"), "{error}");
}

/// Inputs that failed once, kept beside the repository.
fn field(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/field/images").join(name);
    path.exists().then_some(path)
}

#[test]
fn the_inputs_that_failed_once_are_read_or_counted() {
    let Some(mixed) = field("mixed_ext") else { return };
    let load = |path: &Path| Dataset::load(path, &options()).unwrap();
    assert_eq!(load(&mixed).train.len(), 60);
    assert_eq!(load(&field("missing_val").unwrap()).without_validation, ["blue"]);
    let cut = load(&field("cut_jpg").unwrap());
    assert!(cut.left_out.iter().any(|left_out| left_out.split == "val" && left_out.files == 10), "{:?}", cut.left_out);
    assert_eq!(load(&field("exif").unwrap()).skipped, vec![]);
}
