//! Data that people bring: sorted by class, with labels from 1, under other names; and what is measured on it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Sandbox, header, json_lines, text};
use serde_json::Value;

/// Writes images of 2x2 pixels, one per label, whose class shows in the first two pixels.
fn write(directory: &Path, part: &str, labels: &[u8]) {
    std::fs::create_dir_all(directory).unwrap();
    let mut images = header(0x0803, &[labels.len(), 2, 2]);
    for (i, label) in labels.iter().enumerate() {
        let noise = (i * 31 % 17) as u8;
        images.extend([label.wrapping_mul(60), 255 - label.wrapping_mul(60), noise, 7]);
    }
    let labels = [header(0x0801, &[labels.len()]), labels.to_vec()].concat();
    std::fs::write(directory.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
    std::fs::write(directory.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
}

fn repeated(classes: &[u8], count: usize) -> Vec<u8> {
    classes.iter().flat_map(|&class| std::iter::repeat_n(class, count)).collect()
}

const SMALL: [&str; 10] =
    ["--hidden", "16", "--batch-size", "10", "--lr", "0.02", "--epochs", "12", "--threads", "1"];

#[test]
fn data_sorted_by_class_is_learnt() {
    let sandbox = Sandbox::new();
    write(&sandbox.path("iris"), "train", &repeated(&[0, 1, 2], 50));
    let run = |more: &[&str]| {
        sandbox.run(&[&["train", "iris", "--no-report", "--json"], &SMALL[..], more].concat())
    };
    let output = run(&["--out", "auto"]);
    assert!(output.status.success());
    let lines = json_lines(&text(&output.stdout));
    assert_eq!(lines[0]["split"], "auto");
    let sizes = ["train_samples", "val_samples", "test_samples"].map(|key| lines[0][key].as_u64());
    assert_eq!(sizes, [Some(120), Some(15), Some(15)]);
    assert!(lines.last().unwrap()["test_accuracy"].as_f64().unwrap() > 0.9);
    assert!(!text(&output.stderr).contains("no sample"));
    // as asked for, in file order: said, not changed
    let output = run(&["--out", "pooled", "--split", "pooled"]);
    let said = text(&output.stderr);
    assert!(said.contains("note: the test part has no sample of the classes 0, 1"), "{said}");
    // the same parts whatever the seed, others for another split seed
    let test = |out: &str, more: &[&str]| {
        run(&[&["--out", out], more].concat());
        let csv = sandbox.ok(&["eval", out, "--json"]);
        json_lines(&csv)[0]["confusion"].clone()
    };
    assert_eq!(test("a", &["--seed", "5"]), test("b", &["--seed", "5", "--split-seed", "0"]));
    let model = |out: &str| sandbox.bytes(&format!("{out}/best.safetensors"));
    test("c", &["--seed", "5", "--split-seed", "1"]);
    assert_ne!(model("a"), model("c"));
}

#[test]
fn labels_from_1_are_kept_and_have_no_phantom_class() {
    let sandbox = Sandbox::new();
    let letters: Vec<u8> = (1..=4).collect();
    let data = sandbox.path("letters");
    write(&data, "emnist-letters-train", &repeated(&letters, 40));
    write(&data, "emnist-letters-test", &repeated(&letters, 10));
    sandbox.ok(&[&["train", "letters", "--out", "run", "--no-report", "--quiet"], &SMALL[..]].concat());
    let result = json_lines(&sandbox.ok(&["eval", "run", "--json"]))[0].clone();
    assert_eq!(result["confusion"].as_array().unwrap().len(), 4);
    assert_eq!((&result["samples"], &result["part"]), (&Value::from(40), &Value::from("test")));
    assert_eq!(result["classes"][0]["label"], "1");
    let images = "letters/emnist-letters-test-images-idx3-ubyte";
    let csv = sandbox.ok(&["predict", "run", images]);
    assert!(csv.lines().nth(1).unwrap().starts_with("0,1,"), "{csv}");

    // a part without one of the classes: undefined scores are null, and macro F1 is of those that occur
    let some = sandbox.path("some");
    write(&some, "train", &repeated(&[2, 4], 20));
    let result = json_lines(&sandbox.ok(&["eval", "run", "some", "--json"]))[0].clone();
    assert_eq!((&result["samples"], &result["part"]), (&Value::from(40), &Value::from("all")));
    assert_eq!(result["classes"][0]["recall"], Value::Null);
    let accuracy = result["accuracy"].as_f64().unwrap();
    assert!(accuracy < 1.0 || result["macro_f1"] == 1.0, "{result}");
    write(&some, "train", &[9, 9, 2]);
    let message = sandbox.run(&["eval", "run", "some"]);
    let message = text(&message.stderr);
    assert!(
        message.contains("class 9 is not known to the model; expected one of 1, 2, 3, 4"),
        "{message}"
    );
}

#[test]
fn labels_that_cannot_be_meant_are_noticed() {
    let sandbox = Sandbox::new();
    for (labels, expected) in [
        (vec![4; 30], "note: all 30 labels of odd are 4"),
        ((0..30).collect(), "note: odd has 30 classes in 30 samples"),
    ] {
        drop(std::fs::remove_dir_all(sandbox.path("odd")));
        write(&sandbox.path("odd"), "train", &labels);
        let output = sandbox.run(&["train", "odd", "--out", "o", "--epochs", "1", "--no-report"]);
        assert!(output.status.success() && text(&output.stderr).contains(expected));
        std::fs::remove_dir_all(sandbox.path("o")).unwrap();
    }
}

#[test]
fn a_model_is_measured_on_its_own_test_part_and_on_other_data_whole() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "2", "--no-report", "--quiet"]);
    let own = json_lines(&sandbox.ok(&["eval", "run", "--json"]))[0].clone();
    assert_eq!((&own["samples"], &own["part"]), (&Value::from(60), &Value::from("test")));
    common::write_idx(&sandbox.path("other"), 30, 6);
    let output = sandbox.run(&["eval", "run/best.safetensors", "other"]);
    let said = text(&output.stderr);
    assert!(said.contains("other is not the data that the model was trained on"), "{said}");
    assert!(said.contains("36 samples, all of it"), "{said}");
    let output = sandbox.run(&["eval", "run", "--split", "100,0,200"]);
    let said = text(&output.stderr);
    assert!(
        output.status.success()
            && said.contains("note: the model was trained on 130 of these 200 samples"),
        "{said}"
    );
    // a model by itself
    std::fs::copy(sandbox.path("run/best.safetensors"), sandbox.path("m.safetensors")).unwrap();
    let message = sandbox.fails(&["eval", "m.safetensors"], 2);
    assert!(message.contains("lies in no run") && message.contains("expected DATA"), "{message}");
    // the data under another path is the same data
    std::fs::rename(sandbox.path("data"), sandbox.path("moved")).unwrap();
    assert_eq!(json_lines(&sandbox.ok(&["eval", "run", "moved", "--json"]))[0]["samples"], 60);
}

#[test]
fn weights_that_overflow_predict_no_class() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1", "--no-report", "--quiet"]);
    let mut bytes = sandbox.bytes("run/best.safetensors");
    // another program's file: no metadata of densely's; every weight 1e30
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut json: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    json.as_object_mut().unwrap().remove("__metadata__");
    let json = json.to_string();
    let json = format!("{json:<length$}");
    bytes[8..8 + length].copy_from_slice(json.as_bytes());
    for weight in bytes[8 + length..].chunks_exact_mut(4) {
        weight.copy_from_slice(&1e30f32.to_le_bytes());
    }
    std::fs::write(sandbox.path("huge.safetensors"), bytes).unwrap();
    let output = sandbox.run(&["predict", "huge.safetensors", "data/t10k-images-idx3-ubyte"]);
    let (out, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("60 of 60 images have no class"), "{said}");
    assert!(out.lines().skip(1).all(|line| line.ends_with(",,")), "{out}");
    let output = sandbox.run(&["eval", "huge.safetensors", "data", "--json"]);
    let result = json_lines(&text(&output.stdout))[0].clone();
    assert_eq!((&result["accuracy"], &result["loss"]), (&Value::from(0.0), &Value::Null));
}

#[test]
fn no_images_are_no_predictions_and_a_slow_pipe_is_recognised() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1", "--no-report", "--quiet"]);
    std::fs::write(sandbox.path("none"), header(0x0803, &[0, 5, 4])).unwrap();
    assert_eq!(sandbox.ok(&["predict", "run", "none"]), "index,label,probability\n");
    assert_eq!(sandbox.ok(&["predict", "run", "none", "--format", "jsonl"]), "");

    let plain = sandbox.ok(&["predict", "run", "data/t10k-images-idx3-ubyte"]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&sandbox.bytes("data/t10k-images-idx3-ubyte")).unwrap();
    let padded = [gzip.finish().unwrap(), vec![0; 700]].concat();
    let mut command = Command::new(env!("CARGO_BIN_EXE_densely"));
    command.args(["predict", "run", "-"]).current_dir(sandbox.0.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&padded[..1]).unwrap();
    stdin.flush().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    stdin.write_all(&padded[1..]).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), plain);
}

/// Rows of a few numbers have no shape that a picture could show.
#[test]
fn tables_of_numbers_are_not_drawn_as_images() {
    let sandbox = Sandbox::new();
    let labels = repeated(&[0, 1], 60);
    let directory = sandbox.path("table");
    std::fs::create_dir_all(&directory).unwrap();
    let mut images = header(0x0803, &[labels.len(), 1, 4]);
    images.extend(labels.iter().enumerate().flat_map(|(i, _)| [(i * 31 % 7) as u8, 3, 2, 1]));
    std::fs::write(directory.join("train-images-idx3-ubyte"), images).unwrap();
    let bytes = [header(0x0801, &[labels.len()]), labels].concat();
    std::fs::write(directory.join("train-labels-idx1-ubyte"), bytes).unwrap();
    sandbox.ok(&[&["train", "table", "--out", "run", "--quiet"], &SMALL[..]].concat());
    let page = text(&sandbox.bytes("run/report.html"));
    assert!(!page.contains("<image"), "a barcode");
    assert!(page.contains("The most confident mistakes") && page.contains("values</th>"));
    for picture in ["mistakes", "samples", "weights"] {
        assert!(!sandbox.path(&format!("run/{picture}.png")).exists(), "{picture}");
    }
}
