//! Data in other forms than IDX and text: folders of images, NumPy's arrays, LibSVM.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use common::{Sandbox, json_lines, text};
use ndarray::{Array1, Array2, Array3};
use ndarray_npy::{WritableElement, WriteNpyExt as _};
use serde_json::Value;

const QUICK: [&str; 9] =
    ["--no-report", "--hidden", "16", "--batch-size", "16", "--epochs", "30", "--json", "--quiet"];

fn train(sandbox: &Sandbox, args: &[&str]) -> Value {
    json_lines(&sandbox.ok(&[&["train"], args, &QUICK[..]].concat())).pop().unwrap()
}

/// An image of a class: bright above or bright below, with noise.
fn pixel(i: usize, class: usize, row: usize, column: usize, side: usize) -> u8 {
    let noise = (i * 31 + row * 17 + column * 7) % 60;
    (noise + if (row < side / 2) == (class == 0) { 150 } else { 0 }) as u8
}

/// `count` images of each class in folders of their names.
fn write_folder(directory: &Path, count: usize, side: usize, coloured: bool) {
    for (class, name) in ["day", "night"].into_iter().enumerate() {
        fs::create_dir_all(directory.join(name)).unwrap();
        for i in 0..count {
            let grey = |j: usize| pixel(i, class, j / side, j % side, side);
            let path = directory.join(name).join(format!("{i:03}.png"));
            let (pixels, colour): (Vec<u8>, _) = match coloured {
                false => ((0..side * side).map(grey).collect(), image::ColorType::L8),
                true => (
                    (0..side * side).flat_map(|j| [grey(j), 10, 200]).collect(),
                    image::ColorType::Rgb8,
                ),
            };
            image::save_buffer(path, &pixels, side as u32, side as u32, colour).unwrap();
        }
    }
}

#[test]
fn a_sheet_shows_images_and_what_augmentation_makes_of_them() {
    let sandbox = Sandbox::new();
    write_folder(&sandbox.path("grey"), 30, 8, false);
    write_folder(&sandbox.path("coloured"), 3, 60, true);
    let sheet = |args: &[&str]| {
        let said = sandbox.ok(&[&["data"], args, &["--sheet", "sheet.png"]].concat());
        let bytes = sandbox.bytes("sheet.png");
        (said, image::load_from_memory(&bytes).unwrap().to_rgb8())
    };
    for (name, side, rows, columns) in [("grey", 80, 10, 6), ("coloured", 60, 6, 1)] {
        let size = |rows: u32, columns: u32, apart: u32| {
            (6 + columns * (side + 6) + apart, 6 + rows * (side + 6))
        };
        let (said, originals) = sheet(&[name]);
        assert!(said.ends_with("sheet: sheet.png: images of the data\n"), "{said}");
        assert_eq!(originals.dimensions(), size(rows, columns, 0), "{name}");
        let (said, drawn) = sheet(&[name, "--augment", "elastic,affine"]);
        let caption = "what affine,elastic makes of it in epochs 1 to 11 with seed 0\n";
        assert!(said.ends_with(caption), "{said}");
        assert_eq!(drawn.dimensions(), size(rows, 12, 16), "{name}");
        // the first column is the same in both
        for (x, y) in [(20, 30), (6 + side - 1, 6), (30, 6 + side + 6 + 20)] {
            assert_eq!(drawn.get_pixel(x, y), originals.get_pixel(x, y), "{name} {x} {y}");
        }
        let drawn_by = |seed| sheet(&[name, "--augment", "affine,elastic", "--seed", seed]).1;
        assert_eq!(drawn_by("0"), drawn);
        assert_ne!(drawn_by("1"), drawn);
    }
    fs::write(sandbox.path("table.csv"), "a,b\n1,x\n2,y\n3,x\n4,y\n").unwrap();
    for (args, code, problem) in [
        ("table.csv --sheet s.png", 2, "--sheet is for images; table.csv is a table"),
        ("grey --sheet s.jpg", 1, "s.jpg: expected a name that ends with .png"),
        ("grey --sheet no/s.png", 1, "no/s.png: there is no such directory"),
        ("grey --sheet grey/day/s.png", 1, "grey/day/s.png: it lies in the data"),
        ("grey --augment affine", 2, "--sheet <FILE.png>"),
        ("grey --sheet s.png --seed 3", 2, "--augment <A,A,...>"),
        (
            "grey --sheet s.png --augment twirl",
            2,
            "`twirl` is no kind of change; expected none, or",
        ),
    ] {
        let args: Vec<&str> = std::iter::once("data").chain(args.split(' ')).collect();
        let message = sandbox.fails(&args, code);
        assert!(message.contains(problem) && message.lines().count() == 1, "{message}");
    }
    assert!(!sandbox.path("s.png").exists());
    fs::create_dir(sandbox.path("d.png")).unwrap();
    let message = sandbox.fails(&["data", "grey", "--sheet", "d.png"], 1);
    assert!(message.contains("d.png: it is a directory"), "{message}");
}

#[test]
fn a_folder_of_images_for_each_class_is_learnt_and_its_files_are_predicted() {
    let sandbox = Sandbox::new();
    for (name, coloured) in [("grey", false), ("coloured", true)] {
        let data = sandbox.path(name);
        write_folder(&data.join("train"), 40, 8, coloured);
        write_folder(&data.join("test"), 10, 8, coloured);
        let run = format!("run-{name}");
        let end = train(&sandbox, &[name, "--out", &run]);
        assert!(end["test_accuracy"].as_f64().unwrap() > 0.9, "{name}: {end}");
        let eval = json_lines(&sandbox.ok(&["eval", &run, "--json"])).remove(0);
        assert_eq!(eval["samples"].as_u64(), Some(20));
        // files and folders are named; images of another size are stretched
        let csv = sandbox.ok(&["predict", &run, &format!("{name}/test/night")]);
        assert!(csv.starts_with("index,file,label,probability\n0,"), "{csv}");
        let right = csv.lines().filter(|line| line.contains(",night,")).count();
        assert!(csv.lines().count() == 11 && right >= 9, "{csv}");
        write_folder(&sandbox.path("large"), 3, 16, coloured);
        let csv = sandbox.ok(&["predict", &run, "large/day/000.png", "large/night/001.png"]);
        assert!(csv.contains("000.png,day,") && csv.contains("001.png,night,"), "{csv}");
        // a picture of the images, in colour too
        sandbox.ok(&["report", &run]);
        assert!(
            text(&sandbox.bytes(&format!("{run}/report.html")))
                .contains("The first 20 of the test part")
        );
        // out of fold, every file is named as well
        let folder = format!("{name}/train");
        let short = ["--folds", "2", "--epochs", "1", "--hidden", "4", "--quiet", "--no-report"];
        sandbox.ok(&[&["cv", &folder, "--out", &format!("cv-{name}")], &short[..]].concat());
        let csv = text(&sandbox.bytes(&format!("cv-{name}/predictions.csv")));
        assert!(csv.starts_with("file,fold,class,label,p_day,p_night\nday/000.png,"), "{csv}");
        assert!(csv.contains("\nnight/039.png,") && csv.lines().count() == 81, "{csv}");
    }
    // a coloured image for a grey model, and folders of folders, are not taken without a word
    let output = sandbox.run(&["predict", "run-grey", "coloured/test/day/000.png"]);
    let said = text(&output.stderr);
    assert!(said.contains("1 image in colour, made grey as the model expects"), "{said}");
    let inputs = ["predict", "run-grey", "grey/test/day/000.png", "grey/test"];
    let output = sandbox.run(&inputs);
    assert!(text(&output.stderr).contains("such as grey/test/day"), "{}", text(&output.stderr));
    let inputs = ["predict", "run-grey", "data/t10k-images-idx3-ubyte", "grey/test/day"];
    let said = text(&sandbox.run(&inputs).stderr);
    assert!(said.contains("grey/test/day: a folder beside files"), "{said}");
    let sized = ["train", "data", "--image-size", "6x5", "--out", "no"];
    let said = text(&sandbox.run(&sized).stderr);
    assert!(said.contains("`image_size` is for folders of images"), "{said}");
    // images of two sizes need a size
    write_folder(&sandbox.path("mixed"), 20, 8, false);
    fs::copy(sandbox.path("large/day/000.png"), sandbox.path("mixed/day/zzz.png")).unwrap();
    let output = sandbox.run(&["train", "mixed", "--out", "no"]);
    assert!(text(&output.stderr).contains("--image-size WxH"), "{}", text(&output.stderr));
    let end = train(&sandbox, &["mixed", "--image-size", "6x5", "--out", "sized"]);
    assert!(end["test_accuracy"].is_f64(), "{end}");
    let other = sandbox.run(&["eval", "sized", "grey/test", "--json"]);
    assert!(text(&other.stderr).contains("images of 5x6"), "{}", text(&other.stderr));
}

/// The only line that starts with `error: `.
fn refused(sandbox: &Sandbox, args: &[&str]) -> String {
    let output = sandbox.run(&[args, &["--out", "refused"]].concat());
    let said = text(&output.stderr);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && !sandbox.path("refused").exists(), "{args:?}: {said}");
    errors[0].to_owned()
}

#[test]
fn images_take_their_validation_and_test_part_from_other_directories_and_files() {
    let sandbox = Sandbox::new();
    for (name, count) in [("train", 40), ("valid", 7), ("test", 5)] {
        write_folder(&sandbox.path(name), count, 8, false);
    }
    let image = |n: usize| {
        Array3::from_shape_fn((n, 8, 8), |(i, row, column)| pixel(i, i % 2, row, column, 8))
    };
    let names = |n: usize| Array1::from_shape_fn(n, |i| i as i64 % 2);
    let arrays = |n: usize| vec![("X", npy(&image(n))), ("y", npy(&names(n)))];
    write_npz(&sandbox.path("some.npz"), &arrays(30));
    write_npz(&sandbox.path("more.npz"), &arrays(12));
    common::write_idx(&sandbox.path("idx"), 90, 6);
    common::write_idx(&sandbox.path("held"), 20, 6);
    for part in ["images-idx3-ubyte", "labels-idx1-ubyte"] {
        fs::remove_file(sandbox.path("held").join(format!("t10k-{part}"))).unwrap();
    }
    for (args, sizes) in [
        ("train --valid valid --test test", [80, 14, 10]),
        ("train --test test", [74, 6, 10]),
        ("idx --test held", [83, 7, 20]),
        ("idx --valid held", [90, 20, 6]),
        ("some.npz --valid more.npz", [30, 12, 0]),
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        let out = args.concat();
        let seen = json_lines(&sandbox.ok(&[&["data"], &args[..], &["--json"]].concat())).remove(0);
        let [train_size, val, test] = sizes;
        let expected = serde_json::json!({ "train": train_size, "val": val, "test": test });
        assert_eq!(seen["parts"], expected, "{args:?}");
        let end = train(&sandbox, &[&args[..], &["--out", &out]].concat());
        // without DATA, the parts of the run
        let eval = json_lines(&sandbox.ok(&["eval", &out, "--json"])).remove(0);
        assert_eq!(eval["samples"], if test == 0 { val } else { test }, "{args:?}");
        if test > 0 {
            assert_eq!(eval["accuracy"], end["test_accuracy"], "{args:?}");
        }
        sandbox.ok(&["train", "--resume", &out, "--epochs", "31", "--no-report", "--quiet"]);
    }
    write_folder(&sandbox.path("large"), 4, 16, false);
    write_folder(&sandbox.path("coloured"), 4, 8, true);
    write_folder(&sandbox.path("foreign"), 4, 8, false);
    fs::rename(sandbox.path("foreign/night"), sandbox.path("foreign/dusk")).unwrap();
    fs::write(sandbox.path("t.csv"), "a,b\n1,x\n2,y\n").unwrap();
    for (args, expected) in [
        (
            "train --test large",
            "large: the test part has grey images of 16x16; expected grey images of 8x8",
        ),
        (
            "train --valid coloured",
            "images of 8x8 with 3 values a pixel; expected grey images of 8x8",
        ),
        (
            "train --valid foreign",
            "foreign: class dusk is not one of the training part; expected one of day, night",
        ),
        ("train --test t.csv", "t.csv: it is a table; expected images"),
        ("train --test nowhere", "found nothing of that name"),
        (
            "idx --test idx",
            "idx: it has parts of its own; expected the samples of one, the test part",
        ),
        ("t.csv --test train", "expected a table"),
        ("t.csv --test some.npz", "images; expected a table"),
        ("train --target a", "`target` is for tables"),
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        let error = refused(&sandbox, &[&["train"], &args[..]].concat());
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    // a size makes images alike
    train(&sandbox, &["train", "--test", "large", "--image-size", "8x8", "--out", "sized"]);
}

fn npy<T: WritableElement, D: ndarray::Dimension>(array: &ndarray::Array<T, D>) -> Vec<u8> {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).unwrap();
    bytes
}

fn write_npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    fs::write(path, archive.finish().unwrap().into_inner()).unwrap();
}

#[test]
fn arrays_of_bytes_are_images_and_arrays_of_numbers_are_tables() {
    let sandbox = Sandbox::new();
    let images = |n: usize| {
        Array3::from_shape_fn((n, 6, 6), |(i, row, column)| pixel(i, i % 2, row, column, 6))
    };
    let labels = |n: usize| Array1::from_shape_fn(n, |i| 3 + 4 * (i % 2) as i64);
    write_npz(
        &sandbox.path("images.npz"),
        &[
            ("x_train", npy(&images(120))),
            ("y_train", npy(&labels(120))),
            ("x_test", npy(&images(30))),
            ("y_test", npy(&labels(30))),
        ],
    );
    let end = train(&sandbox, &["images.npz", "--class-names", "a,b", "--out", "images"]);
    assert!(end["test_accuracy"].as_f64().unwrap() > 0.9, "{end}");
    fs::write(sandbox.path("new.npy"), npy(&images(4))).unwrap();
    let csv = sandbox.ok(&["predict", "images", "new.npy"]);
    let classes: Vec<&str> = csv.lines().skip(1).map(|l| l.split(',').nth(1).unwrap()).collect();
    assert_eq!(classes, ["a", "b", "a", "b"], "{csv}");

    let x =
        |n: usize| Array2::from_shape_fn((n, 3), |(i, j)| ((i * (7 + 5 * j)) % 101) as f64 / 50.0);
    let y = x(400).map_axis(ndarray::Axis(1), |row| 3.0 * row[0] - row[2]);
    write_npz(&sandbox.path("numbers.npz"), &[("X", npy(&x(400))), ("y", npy(&y))]);
    let end = train(&sandbox, &["numbers.npz", "--out", "numbers"]);
    assert!(end["test_r2"].as_f64().unwrap() > 0.9, "{end}");
    fs::write(sandbox.path("rows.npy"), npy(&x(5))).unwrap();
    let csv = sandbox.ok(&["predict", "numbers", "rows.npy"]);
    assert_eq!((csv.lines().next(), csv.lines().count()), (Some("y"), 6));
    let seen = json_lines(&sandbox.ok(&["data", "numbers.npz", "--json"])).remove(0);
    assert_eq!((&seen["task"], &seen["samples"]), (&"regression".into(), &400.into()));
    // arrays of numbers may be parts of arrays of numbers
    write_npz(
        &sandbox.path("held.npz"),
        &[("X", npy(&x(50))), ("y", npy(&y.slice_move(ndarray::s![..50])))],
    );
    let seen = sandbox.ok(&["data", "numbers.npz", "--test", "held.npz", "--json"]);
    assert_eq!(json_lines(&seen)[0]["parts"]["test"].as_u64(), Some(50));
    // labels of several columns are all predicted
    let both = Array2::from_shape_fn((400, 2), |(i, j)| (i * (3 + j) % 97) as f64);
    write_npz(&sandbox.path("two.npz"), &[("X", npy(&x(400))), ("y", npy(&both))]);
    let seen = json_lines(&sandbox.ok(&["data", "two.npz", "--json"])).remove(0);
    assert_eq!((&seen["targets"], &seen["inputs"]), (&serde_json::json!(["y0", "y1"]), &3.into()));
    // what is of the other kind is refused
    let output = sandbox.run(&["predict", "numbers", "new.npy"]);
    assert!(text(&output.stderr).contains("found images"), "{}", text(&output.stderr));
    let output = sandbox.run(&["predict", "images", "rows.npy"]);
    assert!(text(&output.stderr).contains("expects images"), "{}", text(&output.stderr));
}

#[test]
fn libsvm_files_are_tables_of_numbered_columns() {
    let sandbox = Sandbox::new();
    let row = |i: usize, last: bool| {
        let (a, b) = ((i * 7 % 11) as f32 / 5.0, (i * 5 % 13) as f32 / 6.0);
        let label = if a > b { "+1" } else { "-1" };
        let last = if last { " 9:0.5" } else { "" };
        format!("{label} 2:{a} 5:{b}{last}\n")
    };
    let rows = |range: std::ops::Range<usize>, last: bool| -> String {
        range.map(|i| row(i, last && i % 4 == 0)).collect()
    };
    fs::write(sandbox.path("train.svm"), rows(0..300, true)).unwrap();
    fs::write(sandbox.path("test.svm"), rows(300..360, false)).unwrap();
    let end = train(&sandbox, &["train.svm", "--test", "test.svm", "--out", "run"]);
    assert!(end["test_accuracy"].as_f64().unwrap() > 0.85, "{end}");
    let csv = sandbox.ok(&["predict", "run", "test.svm"]);
    assert_eq!((csv.lines().next(), csv.lines().count()), (Some("label"), 61));
    fs::write(sandbox.path("bad.svm"), "+1 1:2\n-1 1:x\n").unwrap();
    let output = sandbox.run(&["train", "bad.svm", "--out", "no"]);
    assert!(text(&output.stderr).contains("line 2"), "{}", text(&output.stderr));
}

#[test]
fn a_parquet_file_is_read_or_says_which_feature_reads_it() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("t.parquet"), "PAR1").unwrap();
    let output = sandbox.run(&["train", "t.parquet", "--out", "no"]);
    let said = text(&output.stderr);
    assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{said}");
    assert!(cfg!(feature = "parquet") || said.contains("--features parquet"), "{said}");
    assert!(!sandbox.path("no").exists());
}
