//! `densely export`: what is written, what is said of it, and what is refused. What the graphs compute is compared in
//! tests/parity/onnx, by onnxruntime.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Cursor;

use common::{Sandbox, text};
use ndarray::{ArrayD, Ix1, Ix2};
use ndarray_npy::ReadNpyExt as _;
use zip::ZipArchive;

const QUICK: [&str; 8] =
    ["--no-report", "--hidden", "8", "--batch-size", "16", "--epochs", "1", "--quiet"];

/// A table of two columns and a class; the first column has a name of the caller's.
fn write(sandbox: &Sandbox, file: &str, column: &str, with_text: bool) {
    let row = |i: usize| {
        let text = if with_text { ["Oslo", "Rome"][i % 2].to_owned() } else { i.to_string() };
        format!("{text},{},{}\n", i * 7 % 100, ["low", "high"][i * 7 % 100 / 50])
    };
    let rows: String = (0..120).map(row).collect();
    fs::write(sandbox.path(file), format!("{column},area,price\n{rows}")).unwrap();
}

fn train(sandbox: &Sandbox, data: &str, out: &str) {
    sandbox.ok(&[&["train", data, "--out", out], &QUICK[..]].concat());
}

#[test]
fn inputs_and_outputs_are_listed() {
    let sandbox = Sandbox::new();
    write(&sandbox, "flats.csv", "city", true);
    train(&sandbox, "flats.csv", "flats");
    let said = sandbox.ok(&["export", "flats", "--onnx", "flats.onnx"]);
    let size = sandbox.bytes("flats.onnx").len();
    assert!(size > 1000, "{size}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("flats.onnx: ONNX, opset 17, "), "{said}");
    assert_eq!(
        lines[1..],
        [
            "input city: string [batch, 1]",
            "input area: float32 [batch, 1]",
            "output probabilities: float32 [batch, 2]",
            "output label: string [batch]",
            "  classes: high, low",
        ]
    );
    // a file is replaced; equal models are equal bytes, of which the version of the operators changes some
    let first = sandbox.bytes("flats.onnx");
    sandbox.ok(&["export", "flats/best.safetensors", "--onnx", "flats.onnx"]);
    assert!(sandbox.bytes("flats.onnx") == first);
    let said = sandbox.ok(&["export", "flats", "--onnx", "flats.onnx", "--opset", "21"]);
    assert!(said.contains("opset 21") && sandbox.bytes("flats.onnx") != first, "{said}");
    // columns of numbers are one array, and so are images
    write(&sandbox, "numbers.csv", "label", false);
    train(&sandbox, "numbers.csv", "numbers");
    let said = sandbox.ok(&["export", "numbers", "--onnx", "numbers.onnx"]);
    assert!(
        said.contains("\ninput features: float32 [batch, 2]\n  columns: label, area\n"),
        "{said}"
    );
    sandbox.train("images", &["--epochs", "1", "--quiet", "--no-report"]);
    let said = sandbox.ok(&["export", "images", "--onnx", "images.onnx"]);
    let expected = "\ninput features: float32 [batch, 20]\noutput probabilities: float32 [batch, 3]\noutput label: int64 [batch]\n  classes: 0, 1, 2\n";
    assert!(said.ends_with(expected), "{said}");
}

#[test]
fn what_is_refused_leaves_the_file_as_it_is() {
    let sandbox = Sandbox::new();
    write(&sandbox, "flats.csv", "label", true);
    train(&sandbox, "flats.csv", "flats");
    write(&sandbox, "good.csv", "city", true);
    train(&sandbox, "good.csv", "good");
    fs::write(sandbox.path("kept.onnx"), "kept").unwrap();
    let refuse = |args: &[&str], code: i32, expected: &str| {
        let message = sandbox.fails(&[&["export"], args].concat(), code);
        assert!(message.contains(expected) && message.lines().count() == 1, "{args:?}: {message}");
        assert_eq!(sandbox.bytes("kept.onnx"), b"kept", "{args:?}");
    };
    let name = "ONNX: column `label` would be an input of the graph, which has an output of that name; expected another name";
    refuse(&["flats", "--onnx", "kept.onnx"], 1, name);
    for opset in ["12", "22", "x", "-1", "1e1", ""] {
        let expected = format!("invalid value '{opset}' for '--opset <N>': expected 13 to 21");
        refuse(&["good", "--onnx", "kept.onnx", &format!("--opset={opset}")], 2, &expected);
    }
    refuse(&["good"], 2, "--onnx <FILE>");
    refuse(&["good", "--opset", "17"], 2, "--onnx <FILE>");
    refuse(&["nothing", "--onnx", "kept.onnx"], 1, "nothing");
    refuse(&["good.csv", "--onnx", "kept.onnx"], 1, "good.csv");
    for form in ["--onnx", "--npz"] {
        let expected = "no/such/file: there is no directory no/such; create it first";
        refuse(&["good", form, "no/such/file"], 1, expected);
    }
    refuse(&["good", "--torch", "good.csv/in"], 1, "cannot create good.csv/in");
    // nothing is left behind
    let left = fs::read_dir(sandbox.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let strange: Vec<_> =
        left.filter(|name| name.to_string_lossy().starts_with(".densely")).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let sandbox = Sandbox::new();
    let header = r#"{"layers.0.bias":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"layers.0.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#;
    let file = |last: f32| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([1.0f32, 2.0, last].into_iter().flat_map(f32::to_le_bytes));
        bytes
    };
    fs::write(sandbox.path("good.safetensors"), file(3.0)).unwrap();
    fs::write(sandbox.path("broken.safetensors"), file(f32::NAN)).unwrap();
    // a file of another program: values as they are, classes by number
    let said = sandbox.ok(&["export", "good.safetensors", "--onnx", "m.onnx"]);
    assert!(said.contains("input features: float32 [batch, 2]"), "{said}");
    let before = sandbox.bytes("m.onnx");
    let message = sandbox.fails(&["export", "broken.safetensors", "--onnx", "m.onnx"], 1);
    assert!(message.contains("layers.0.bias holds NaN; expected finite"), "{message}");
    assert_eq!(sandbox.bytes("m.onnx"), before);
}

/// The array of a name, whatever its number of dimensions.
fn array(archive: &[u8], name: &str) -> ArrayD<f32> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let entry = archive.by_name(&format!("{name}.npy")).unwrap();
    ArrayD::read_npy(entry).unwrap()
}

#[test]
fn arrays_are_the_network() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1", "--no-report", "--quiet"]);
    let said = sandbox.ok(&["export", "run", "--npz", "model.npz"]);
    assert!(said.contains("model.npz"), "{said}");
    let bytes = sandbox.bytes("model.npz");
    let model = densely::model::Model::load(&sandbox.path("run/best.safetensors"), &[]).unwrap();
    let layout = densely::model::Layout::new(model.spec()).unwrap();
    for (i, layer) in layout.layers().iter().enumerate() {
        let weight = array(&bytes, &format!("weight_{i}")).into_dimensionality::<Ix2>().unwrap();
        assert_eq!(weight.dim(), (layer.n_out, layer.n_in));
        assert_eq!(weight.as_slice().unwrap(), &model.params()[layer.w()]);
        let bias = array(&bytes, &format!("bias_{i}")).into_dimensionality::<Ix1>().unwrap();
        assert_eq!(bias.as_slice().unwrap(), &model.params()[layer.b()]);
    }
}

#[test]
fn a_directory_for_pytorch_holds_the_model_and_a_module() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1", "--no-report", "--quiet"]);
    sandbox.ok(&["export", "run", "--torch", "new/network"]);
    assert_eq!(
        sandbox.bytes("new/network/model.safetensors"),
        sandbox.bytes("run/best.safetensors")
    );
    assert!(text(&sandbox.bytes("new/network/model.py")).contains("class Network(Layers)"));
}

#[test]
fn what_cannot_be_exported_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1", "--no-report", "--quiet"]);
    let message = sandbox.fails(&["export", "run"], 2);
    assert!(message.contains("--npz <FILE>"), "{message}");
    let message = sandbox.fails(&["export", "run", "--npz", "a", "--torch", "b"], 2);
    assert!(message.contains("cannot be used with"), "{message}");
    // a file that another program wrote: NumPy can have it, PyTorch has no words for it
    let model = densely::model::Model::load(&sandbox.path("run/best.safetensors"), &[]).unwrap();
    let foreign =
        densely::model::Model::new(model.spec().clone(), model.params().to_vec(), None).unwrap();
    foreign.save(&sandbox.path("foreign.safetensors")).unwrap();
    let named = ["export", "foreign.safetensors", "--activations", "relu"];
    let message = sandbox.fails(&[&named[..], &["--torch", "b"]].concat(), 1);
    assert!(message.contains("another program wrote it"), "{message}");
    assert!(!sandbox.path("a").exists() && !sandbox.path("b").exists());
    sandbox.ok(&["export", "foreign.safetensors", "--npz", "foreign.npz"]);
    assert_eq!(array(&sandbox.bytes("foreign.npz"), "weight_0").shape()[0], 16);
    // weights that are not finite
    let broken = vec![f32::NAN; model.params().len()];
    let broken = densely::model::Model::new(model.spec().clone(), broken, None).unwrap();
    broken.save(&sandbox.path("broken.safetensors")).unwrap();
    sandbox.fails(&["export", "broken.safetensors", "--npz", "broken.npz"], 1);
    assert!(!sandbox.path("broken.npz").exists());
}

#[test]
fn nothing_that_matters_is_replaced() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1"]);
    let model = "run/best.safetensors";
    let before = sandbox.bytes(model);
    std::fs::create_dir_all(sandbox.path("half/model.py")).unwrap();
    std::fs::create_dir(sandbox.path("own")).unwrap();
    std::fs::write(sandbox.path("own/model.py"), "x = 1\n").unwrap();
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    std::fs::write(sandbox.path("empty/model.py"), "").unwrap();
    for (args, expected) in [
        (["--onnx", model], "it is the model that is exported"),
        (["--npz", "./run/../run/best.safetensors"], "it is the model that is exported"),
        (["--onnx", "-"], "`-`: export writes no standard output; expected the name of a file"),
        (["--npz", "-"], "expected the name of a file"),
        (["--torch", "-"], "expected the name of a directory"),
        (["--torch", model], "expected a directory"),
        (["--torch", "half"], "half/model.py: it is a directory"),
        (["--torch", "own"], "densely did not write it"),
        (["--torch", "empty"], "densely did not write it"),
    ] {
        let output = sandbox.run(&[&["export", model][..], &args].concat());
        let message = text(&output.stderr);
        assert!(!output.status.success() && message.contains(expected), "{args:?}: {message}");
    }
    assert_eq!(sandbox.bytes(model), before);
    for directory in ["half", "own", "empty"] {
        assert_eq!(std::fs::read_dir(sandbox.path(directory)).unwrap().count(), 1, "{directory}");
    }
    assert!(!sandbox.path("-").exists());
    assert_eq!(sandbox.bytes("own/model.py"), b"x = 1\n");
    // its own module is replaced
    sandbox.ok(&["export", model, "--torch", "again"]);
    sandbox.ok(&["export", model, "--torch", "again"]);
}

#[test]
#[cfg(unix)]
fn a_pipe_stays_a_pipe() {
    use std::os::unix::fs::FileTypeExt as _;
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1"]);
    let pipe = sandbox.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&pipe, sandbox.path("link")).unwrap();
    for form in ["--onnx", "--npz"] {
        for target in ["pipe", "link"] {
            let message = sandbox.fails(&["export", "run", form, target], 1);
            assert!(message.contains("it is a device or a pipe; expected a file"), "{message}");
        }
    }
    assert!(std::fs::symlink_metadata(sandbox.path("link")).unwrap().is_symlink());
    assert!(std::fs::symlink_metadata(pipe).unwrap().file_type().is_fifo());
}
