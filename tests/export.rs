//! Models for other programs, from the command line. What the programs make of them is tested by `parity/`.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{Sandbox, text};
use ndarray::{ArrayD, Ix1, Ix2};
use ndarray_npy::ReadNpyExt as _;
use std::io::Cursor;
use zip::ZipArchive;

/// The array of a name, whatever its number of dimensions.
fn array(archive: &[u8], name: &str) -> ArrayD<f32> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let entry = archive.by_name(&format!("{name}.npy")).unwrap();
    ArrayD::read_npy(entry).unwrap()
}

#[test]
fn arrays_are_the_network() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1", "--hidden", "4", "--no-report", "--quiet"]);
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
    sandbox.train("run", &["--epochs", "1", "--hidden", "4", "--no-report", "--quiet"]);
    sandbox.ok(&["export", "run", "--torch", "new/network"]);
    assert_eq!(
        sandbox.bytes("new/network/model.safetensors"),
        sandbox.bytes("run/best.safetensors")
    );
    assert!(text(&sandbox.bytes("new/network/model.py")).contains("class Network(nn.Module)"));
}

#[test]
fn what_cannot_be_exported_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1", "--hidden", "4", "--no-report", "--quiet"]);
    let message = sandbox.fails(&["export", "run"], 2);
    assert!(message.contains("--npz <FILE>"), "{message}");
    let message = sandbox.fails(&["export", "run", "--npz", "a", "--torch", "b"], 2);
    assert!(message.contains("cannot be used with"), "{message}");
    // a file that another program wrote: NumPy can have it, PyTorch has no words for it
    let model = densely::model::Model::load(&sandbox.path("run/best.safetensors"), &[]).unwrap();
    let foreign =
        densely::model::Model::new(model.spec().clone(), model.params().to_vec(), None).unwrap();
    foreign.save(&sandbox.path("foreign.safetensors")).unwrap();
    let message = sandbox.fails(&["export", "foreign.safetensors", "--torch", "b"], 1);
    assert!(message.contains("another program wrote it"), "{message}");
    assert!(!sandbox.path("a").exists() && !sandbox.path("b").exists());
    sandbox.ok(&["export", "foreign.safetensors", "--npz", "foreign.npz"]);
    assert_eq!(array(&sandbox.bytes("foreign.npz"), "weight_0").shape()[0], 4);
    // weights that are not finite
    let broken = vec![f32::NAN; model.params().len()];
    let broken = densely::model::Model::new(model.spec().clone(), broken, None).unwrap();
    broken.save(&sandbox.path("broken.safetensors")).unwrap();
    sandbox.fails(&["export", "broken.safetensors", "--npz", "broken.npz"], 1);
    assert!(!sandbox.path("broken.npz").exists());
}
