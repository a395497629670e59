//! Folders as people make them.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};

use super::*;

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn grey(width: u32, height: u32, value: u8) -> Vec<u8> {
    encoded(GrayImage::from_pixel(width, height, Luma([value])), ImageFormat::Png)
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn error(root: &Path) -> String {
    read_image_folder(root, None).unwrap_err().to_string()
}

#[test]
fn classes_are_folders_in_the_order_of_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    assert!(!is_image_folder(root) && !is_image_folder(&root.join("none")));
    assert!(error(root).contains("no PNG or JPEG images in folders"));
    write(root, "dog/2.png", &grey(2, 1, 3));
    write(root, "dog/10.PNG", &grey(2, 1, 4));
    write(root, "cat/a.png", &grey(2, 1, 5));
    write(root, "cat/.hidden.png", b"hidden");
    write(root, "cat/notes.txt", b"text");
    write(root, "readme.md", b"text");
    write(root, ".git/x.png", b"hidden");
    fs::create_dir(root.join("empty")).unwrap();
    assert!(is_image_folder(root));
    let found = read_image_folder(root, None).unwrap();
    assert_eq!((found.size, found.channels, found.counts), ((1, 2), 1, [3, 0, 0]));
    assert_eq!(found.pixels, [5, 5, 4, 4, 3, 3]);
    assert_eq!(
        (found.labels, found.class_names),
        (vec![0, 1, 1], vec!["cat".into(), "dog".into()])
    );
    assert_eq!(found.notices.len(), 2, "{:?}", found.notices);
    assert!(found.notices[0].contains("empty has no images"));
    assert_eq!(found.notices[1], "2 files are no PNG or JPEG image and not read");
}

#[test]
fn parts_have_folders_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "train/b/x.png", &grey(1, 1, 1));
    write(root, "train/a/x.png", &grey(1, 1, 2));
    write(root, "val/b/x.png", &grey(1, 1, 3));
    write(root, "test/a/y.png", &grey(1, 1, 4));
    write(root, "test/a/x.png", &grey(1, 1, 5));
    assert!(is_image_folder(root));
    let found = read_image_folder(root, None).unwrap();
    assert_eq!((found.counts, found.labels), ([2, 1, 2], vec![0, 1, 1, 0, 0]));
    assert_eq!(found.pixels, [2, 1, 3, 5, 4]);
    write(root, "test/c/x.png", &grey(1, 1, 5));
    assert!(error(root).contains("test/c: a class of which the training part has no images"));
    fs::remove_dir_all(root.join("test/c")).unwrap();
    write(root, "valid/b/x.png", &grey(1, 1, 3));
    assert!(error(root).contains("both `val` and `valid`"), "{}", error(root));
    fs::remove_dir_all(root.join("valid")).unwrap();
    fs::remove_dir_all(root.join("val")).unwrap();
    write(root, "val/x.png", &grey(1, 1, 3));
    assert!(error(root).contains("val: images without a class"), "{}", error(root));
    fs::remove_dir_all(root.join("val")).unwrap();
    write(root, "extra/x.png", &grey(1, 1, 3));
    let found = read_image_folder(root, None).unwrap();
    assert!(found.notices[0].contains("extra is not read"), "{:?}", found.notices);
    // classes may be called so
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "train/x.png", &grey(1, 1, 1));
    write(directory.path(), "bus/x.png", &grey(1, 1, 1));
    assert_eq!(read_image_folder(directory.path(), None).unwrap().class_names, ["bus", "train"]);
}

#[test]
fn one_coloured_image_makes_all_coloured() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "a/1.png", &grey(1, 1, 9));
    let colour = RgbImage::from_pixel(1, 1, Rgb([1, 2, 3]));
    write(root, "a/2.png", &encoded(colour, ImageFormat::Png));
    let deep = image::ImageBuffer::from_pixel(1, 1, Luma([0x8080u16]));
    write(root, "a/3.png", &encoded(DynamicImage::ImageLuma16(deep), ImageFormat::Png));
    let clear = image::ImageBuffer::from_pixel(1, 1, LumaA([0u8, 0]));
    write(root, "a/4.png", &encoded(DynamicImage::ImageLumaA8(clear), ImageFormat::Png));
    let half = image::ImageBuffer::from_pixel(1, 1, Rgba([0u8, 255, 100, 51]));
    write(root, "a/5.png", &encoded(DynamicImage::ImageRgba8(half), ImageFormat::Png));
    let found = read_image_folder(root, None).unwrap();
    let expected = [9, 9, 9, 1, 2, 3, 128, 128, 128, 255, 255, 255, 204, 255, 224];
    assert_eq!((found.channels, &found.pixels[..]), (3, &expected[..]));
    assert_eq!(found.notices[0], "2 images with transparency, laid on white");
    assert_eq!(found.notices[1], "1 image of 16 bits, read as 8 bits");

    let paths = [root.join("a/2.png"), root.join("a")];
    let grey = read_images(&paths, None, 1).unwrap();
    assert_eq!((grey.pixels.len(), grey.paths.len(), grey.size), (6, 6, (1, 1)));
    assert_eq!(grey.pixels[1], 9);
    let colour = "3 images in colour, made grey as the model expects";
    assert!(grey.notices.iter().any(|notice| notice == colour), "{:?}", grey.notices);
    // a folder of folders has no images of its own, also beside a file
    let error = read_images(&[root.join("a/2.png"), root.to_owned()], None, 1).unwrap_err();
    assert!(
        error.to_string().contains("but 1 folder; expected the folders themselves, such as"),
        "{error}"
    );
    assert!(read_images(&[], None, 1).is_err());
    assert!(read_images(&paths, None, 2).is_err());
}

#[test]
fn images_of_several_sizes_need_a_size() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "a/1.png", &grey(4, 4, 80));
    write(root, "b/1.jpg", include_bytes!("test_images/flat-16x8.jpg"));
    let message = error(root);
    assert!(message.contains("1.jpg: 16x8 pixels, expected 4x4 as in "), "{message}");
    assert!(message.contains("a/1.png; --image-size WxH"), "{message}");
    let found = read_image_folder(root, Some((3, 2))).unwrap();
    assert_eq!((found.size, found.channels, found.pixels.len()), ((2, 3), 3, 36));
    assert!(found.pixels.iter().all(|&value| value.abs_diff(80) < 3), "{:?}", found.pixels);
    assert_eq!(found.notices, ["2 images stretched to one size"]);
    for size in [(0, 3), (3, 1 << 20)] {
        let message = read_image_folder(root, Some(size)).unwrap_err().to_string();
        assert!(message.contains("image_size is "), "{message}");
    }
}

#[test]
fn damaged_images_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let noise = RgbImage::from_fn(9, 7, |x, y| Rgb([x as u8 * 29, y as u8 * 31, (x * y) as u8]));
    let baseline = include_bytes!("test_images/baseline-9x7.jpg").to_vec();
    let progressive = include_bytes!("test_images/progressive-9x7.jpg").to_vec();
    for good in [encoded(noise, ImageFormat::Png), baseline, progressive] {
        for cut in 0..good.len() {
            write(root, "a/1.png", &good[..cut]);
            match read_image_folder(root, None) {
                // the last bytes say only that the image ends
                Ok(found) => assert!(cut > good.len() / 2 && found.size == (7, 9), "{cut}"),
                Err(error) => assert!(error.to_string().contains("a/1.png: "), "{error}"),
            }
        }
        let mut changed = good.clone();
        for at in 0..good.len() {
            changed[at] ^= 0x55;
            write(root, "a/1.png", &changed);
            drop(read_image_folder(root, None));
            changed[at] = good[at];
        }
    }
    write(root, "a/1.png", b"GIF89a and so on");
    assert!(error(root).contains("a/1.png: "), "{}", error(root));
}

#[test]
fn small_files_of_large_images_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    // a header of 30000 x 30000 pixels before nothing
    let mut header = b"IHDR".to_vec();
    header.extend(30000u32.to_be_bytes());
    header.extend(30000u32.to_be_bytes());
    header.extend([8, 0, 0, 0, 0]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&header);
    let bytes = [
        &b"\x89PNG\r\n\x1a\n\0\0\0\x0d"[..],
        &header,
        &checksum.sum().to_be_bytes(),
        b"\0\0\0\0IDAT\x35\xaf\x06\x1e",
    ]
    .concat();
    write(root, "a/1.png", &bytes);
    assert!(error(root).contains("30000x30000 pixels in 45 bytes"), "{}", error(root));
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_broken_ones_reported() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "a/1.png", &grey(1, 1, 7));
    symlink(root.join("a"), root.join("b")).unwrap();
    assert_eq!(read_image_folder(root, None).unwrap().labels, [0, 1]);
    symlink(root.join("nothing"), root.join("a/2.png")).unwrap();
    assert!(error(root).contains("2.png"), "{}", error(root));
}
