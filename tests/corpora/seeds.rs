//! The files that fuzzing begins with: small, valid and nearly valid, made by the program itself where possible.
//!
//! `cargo test --test corpora -- --ignored` writes them into `fuzz/corpus`, beside what the fuzzer has found.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;

use densely::data::{Dataset, Split};
use densely::engine::{Broken, Buffer, Score};
use densely::model::{Activation, InputScaling, Layout, Metadata, Model, Norm, Spec};
use densely::store::{Checkpoint, RunConfig, RunOptions};
use densely::task::{Loss, Regression, Task};
use densely::train::{Divergence, PartialEpoch, TrainConfig, Trainer};
use ndarray::Array2;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::readers::samples;

/// The name of a corpus, of a file, and its bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

/// All of them.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    seeds.extend(models().map(|(name, bytes)| ("model", name, bytes)));
    seeds.extend(checkpoints().map(|(name, bytes)| ("checkpoint", name, bytes)));
    seeds.extend(images().map(|(name, bytes)| ("images", name, bytes)));
    seeds.extend(tables().map(|(name, bytes)| ("table", name, bytes)));
    seeds.extend(rows().map(|(name, bytes)| ("libsvm", name, bytes)));
    seeds.extend(arrays().map(|(name, bytes)| ("npz", name, bytes)));
    seeds.extend(directories().map(|(name, bytes)| ("directory", name, bytes)));
    seeds.extend(texts().map(|(corpus, name, text)| (corpus, name, text.as_bytes().to_vec())));
    let mut resolved = RunConfig::default();
    resolved.options.init_from = Some("m.safetensors".to_owned());
    let train = &mut resolved.train;
    train.activations = vec![Activation::Gelu, Activation::Silu, Activation::LeakyRelu];
    train.patience = Some(3);
    train.freeze = Some(1);
    train.split = Split::Fractions([0.5, 0.25, 0.25]);
    train.threads = Some(2);
    let resolved = resolved.to_toml().unwrap().into_bytes();
    seeds.extend(["config", "grid"].map(|corpus| (corpus, "resolved", resolved.clone())));
    seeds
}

fn models() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let model = |hidden: &[usize], with_metadata: bool| {
        let spec = Spec::new(4, hidden, &[], 3).unwrap();
        let params = (0..Layout::new(&spec).unwrap().len()).map(|i| i as f32 / 8.0 - 1.0).collect();
        let data = samples();
        let metadata =
            with_metadata.then(|| Metadata::of(data, Split::Pooled, 0, data.fingerprint()));
        Model::new(spec, params, metadata).unwrap().to_bytes().unwrap()
    };
    let plain = model(&[2], false);
    let full = model(&[2, 2], true);
    let turned = replaced(&plain, b"[2,4]", b"[4,2]");
    let of_bytes = replaced(&plain, b"\"F32\"", b"\"I32\"");
    let elsewhere = replaced(&plain, b"layers.1.bias", b"layers.9.bias");
    let newer = replaced(&full, b"format_version\\\":2", b"format_version\\\":9");
    let ensemble = {
        let spec = Spec::new(4, &[2], &[], 3).unwrap().with_norm(Norm::Layer);
        let spec = spec.with_members(2).unwrap();
        let params = vec![0.25; Layout::new(&spec).unwrap().len()];
        let metadata = Metadata::of(samples(), Split::Pooled, 0, samples().fingerprint());
        Model::new(spec, params, Some(metadata)).unwrap().to_bytes().unwrap()
    };
    let estimates = {
        let y = Array2::from_shape_fn((14, 3), |(i, j)| (i + j) as f32);
        let data = Dataset::from_targets(Array2::zeros((14, 4)).view(), y.view()).unwrap();
        let mut regression = Regression::fit(&data, &[0, 5], Loss::Quantile(0.75)).unwrap();
        assert_eq!(regression.targets[0].scale, 2.5);
        regression.targets[2].name = "price, €".to_owned();
        let metadata = Metadata::of(&data, Split::Auto, 0, data.fingerprint());
        let spec = Spec::new(4, &[2], &[], 3).unwrap();
        let params = vec![0.25; Layout::new(&spec).unwrap().len()];
        let metadata = metadata.with_task(&Task::Regression(regression));
        Model::new(spec, params, Some(metadata)).unwrap().to_bytes().unwrap()
    };
    let projected = {
        // 5 inputs of two columns become 4 components
        let mut components = vec![0.0; 20];
        (0..4).for_each(|k| components[6 * k] = 1.0);
        let prepare = serde_json::json!({
            "inputs": [
                { "number": { "column": "a", "fill": 0.5, "center": 1.0, "scale": 2.0, "indicator": true } },
                { "category": { "column": "b", "levels": ["1", "2"], "missing": true } },
            ],
            "target": { "classes": { "column": "y", "classes": ["p", "q", "r"] } },
            "weight": null,
            "pca": { "mean": [0.0, 0.25, 0.5, 0.125, 0.375], "components": components, "kept": 0.75 },
        });
        let mut metadata = Metadata::of(samples(), Split::Auto, 0, samples().fingerprint());
        metadata.scaling = InputScaling::None;
        metadata.prepare = Some(serde_json::from_value(prepare).unwrap());
        let spec = Spec::new(4, &[2], &[], 3).unwrap();
        let params = vec![0.25; Layout::new(&spec).unwrap().len()];
        Model::new(spec, params, Some(metadata)).unwrap().to_bytes().unwrap()
    };
    let scaled = {
        let prepare = serde_json::json!({
            "inputs": [
                { "number": { "column": "a", "fill": 0.5, "center": 0.0, "scale": 1.0, "indicator": true } },
                { "category": { "column": "b", "levels": ["1", "2"], "missing": false, "contrast": true } },
                { "number": { "column": "c", "fill": 0.5, "center": 0.0, "scale": 1.0, "indicator": false } },
            ],
            "target": { "classes": { "column": "y", "classes": ["p", "q", "r"] } },
            "weight": null,
            "squash": { "center": [0.0, 0.25, 0.5, 0.125], "factor": [1.0, 0.0, 2.0, 0.75] },
        });
        let mut metadata = Metadata::of(samples(), Split::Auto, 0, samples().fingerprint());
        metadata.scaling = InputScaling::None;
        metadata.prepare = Some(serde_json::from_value(prepare).unwrap());
        let spec = Spec::new(4, &[2], &[], 3).unwrap().with_input_scales(true);
        let params = vec![0.25; Layout::new(&spec).unwrap().len()];
        Model::new(spec, params, Some(metadata)).unwrap().to_bytes().unwrap()
    };
    // PyTorch's names and types; the halves are 1.0, and 0.0039 (bf16)
    let state_dict = |names: [&str; 4], types: [Dtype; 4]| {
        let halves = [0x80, 0x3b].repeat(64);
        let shapes: [&[usize]; 4] = [&[2, 4], &[2], &[3, 2], &[3]];
        let views = names.into_iter().zip(shapes).zip(types).map(|((name, shape), dtype)| {
            let len = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name, TensorView::new(dtype, shape.to_vec(), &halves[..len]).unwrap())
        });
        let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
        serialize(views, Some(metadata)).unwrap()
    };
    let names = ["net.2.weight", "net.2.bias", "net.10.weight", "net.10.bias"];
    let mut endless = plain.clone();
    endless[..8].fill(0xff);
    [
        ("state-dict", state_dict(names, [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64])),
        (
            "state-dict-of-integers",
            state_dict(names, [Dtype::F32, Dtype::F32, Dtype::I64, Dtype::F32]),
        ),
        (
            "state-dict-with-statistics",
            state_dict(["0.weight", "0.bias", "2.weight", "1.running_mean"], [Dtype::F32; 4]),
        ),
        ("softmax-regression", model(&[], true)),
        ("more-members", replaced(&ensemble, b"members\\\":2", b"members\\\":9")),
        ("no-members", replaced(&ensemble, b"members\\\":2", b"members\\\":0")),
        ("ensemble", ensemble),
        ("factors-of-other-inputs", replaced(&scaled, b"0.75]", b"1,2] ")),
        ("contrast-of-nothing", replaced(&scaled, b"contrast\\\":true", b"contrast\\\":null")),
        ("factors", scaled),
        ("targets-of-no-scale", replaced(&estimates, b"2.5", b"0.0")),
        ("estimates", estimates),
        ("components-of-other-inputs", replaced(&projected, b"0.375]", b"1,2,3]")),
        ("components", projected),
        ("cut", full[..full.len() - 3].to_vec()),
        ("three-hidden", model(&[2, 1, 2], true)),
        ("endless-header", endless),
        ("turned-weight", turned),
        ("whole-numbers", of_bytes),
        ("a-layer-elsewhere", elsewhere),
        ("newer-version", newer),
        ("plain", plain),
        ("full", full),
    ]
    .into_iter()
}

fn checkpoints() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let mut config = TrainConfig::default();
    (config.hidden, config.batch_size, config.epochs) = (vec![2], 5, 2);
    (config.threads, config.split) = (Some(1), Split::Counts([10, 2, 2]));
    let mut trainer = Trainer::new(config, samples()).unwrap();
    let options = RunOptions::default();
    let fresh = Checkpoint::of(&options, trainer.state()).to_bytes().unwrap();
    trainer.train(&mut ()).unwrap();
    let mut state = Checkpoint::of(&options, trainer.state());
    for record in &mut state.history {
        (record.seconds, record.samples_per_second) = (0.5, 20.0); // the same on every machine
    }
    let finished = state.to_bytes().unwrap();
    let short = replaced(&finished, b"\"m\":{", b"\"n\":{");
    let turned = flipped(&finished, finished.len() - 3);
    let newer = replaced(&finished, b"format_version\\\":7", b"format_version\\\":9");
    let with = |change: &dyn Fn(&mut Checkpoint)| {
        let mut state = state.clone();
        change(&mut state);
        state.to_bytes().unwrap()
    };
    let score = Score::new(5.5, 2, 5);
    let within = |state: &mut Checkpoint| {
        state.history.truncate(1);
        state.best_epoch = 1;
        state.steps = 3;
        state.partial = Some(PartialEpoch::new(score, 0.25));
    };
    let diverged = |state: &mut Checkpoint| {
        within(state);
        let broken = Broken::Outputs { layer: 1 };
        state.diverged = Some(Divergence::new(2, 4, broken));
    };
    [
        ("fresh", fresh),
        ("cut", finished[..finished.len() / 2].to_vec()),
        ("finished", finished),
        ("a-vector-is-missing", short),
        ("turned-bit", turned),
        ("newer-version", newer),
        ("within-an-epoch", with(&within)),
        ("diverged", with(&diverged)),
        ("an-epoch-twice", with(&|state| state.history[1].epoch = 1)),
        (
            "more-samples-than-an-epoch",
            with(&|state| {
                within(state);
                state.partial = Some(PartialEpoch::new(Score::new(5.5, 2, 1 << 40), 0.25));
            }),
        ),
        ("endless-steps", with(&|state| state.steps = u64::MAX)),
        ("not-a-number", with(&|state| state.v[3] = f32::NAN)),
        (
            "vectors-of-two-lengths",
            with(&|state| {
                state.m = Buffer::zeros(5, "the seed").unwrap();
            }),
        ),
    ]
    .into_iter()
}

/// One bit turned.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// `from` by `to` of the same length, once.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let start = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[start..start + from.len()].copy_from_slice(to);
    bytes
}

fn file(magic: u32, sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let words = [&[magic], sizes].concat();
    let header = words.into_iter().flat_map(u32::to_be_bytes);
    header.chain(values.iter().copied()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn images() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let raw = file(0x803, &[2, 1, 3], &[0, 1, 2, 3, 4, 255]);
    let bomb = gzip(&file(0x803, &[1, 1000, 1000], &[0; 1_000_000]));
    let lying_bomb = gzip(&file(0x803, &[u32::MAX, 28, 28], &[0; 500_000]));
    let members = [gzip(&raw[..9]), gzip(&raw[9..])].concat();
    [
        ("raw", raw.clone()),
        ("labels", file(0x801, &[4], &[0, 1, 2, 1])),
        ("labels-compressed", gzip(&file(0x801, &[4], &[0, 1, 2, 1]))),
        ("compressed", gzip(&raw)),
        ("two-members", members),
        ("bytes-after-it", [&raw[..], b"x"].concat()),
        ("sizes-overflow", file(0x803, &[u32::MAX; 3], &[0])),
        ("a-hundred-gigabytes", file(0x803, &[100_000, 1000, 1000], &[0])),
        ("no-pixels", file(0x803, &[9, 0, 3], &[])),
        ("no-images", file(0x803, &[0, 1, 3], &[])),
        ("a-megabyte-in-a-kilobyte", bomb),
        ("a-bomb-that-promises-more", lying_bomb),
    ]
    .into_iter()
}

fn directories() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let framed = |files: [&[u8]; 4]| {
        let lengths = files[..3].iter().flat_map(|file| (file.len() as u16).to_le_bytes());
        lengths.chain(files.concat()).collect::<Vec<u8>>()
    };
    let images = |count: u32| file(0x803, &[count, 1, 2], &vec![7; 2 * count as usize]);
    let labels = |values: &[u8]| file(0x801, &[values.len() as u32], values);
    let (train, train_labels) = (images(13), labels(&[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]));
    [
        ("both-halves", framed([&train, &train_labels, &images(2), &labels(&[2, 0])])),
        ("training-alone", framed([&train, &train_labels, b"", b""])),
        ("compressed", framed([&gzip(&train), &gzip(&train_labels), &images(1), &labels(&[1])])),
        ("a-label-too-large", framed([&train, &train_labels, &images(1), &labels(&[3])])),
        ("a-label-too-few", framed([&train, &labels(&[0, 1]), b"", b""])),
        ("no-test-labels", framed([&train, &train_labels, &images(1), b""])),
        (
            "other-images",
            framed([&train, &train_labels, &file(0x803, &[1, 2, 1], &[1, 2]), &labels(&[1])]),
        ),
        ("nothing-in-them", framed([&images(0), &labels(&[]), b"", b""])),
    ]
    .into_iter()
}

fn tables() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let text = b"id,size,colour\n1,2.5,red\n2,?,\"dark, blue\"\n3,-1e3,\"say \"\"hi\"\"\"\n";
    let zstd =
        ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest);
    let blank = gzip(&[&text[..], &[b'\n'; 100_000]].concat());
    [
        ("commas", text.to_vec()),
        ("semicolons", b"a;b\r\n1,5;x\r\n\r\n2;y".to_vec()),
        ("tabs", "\u{feff}a\tb\n1\t\n\tinf\n".as_bytes().to_vec()),
        ("bars", b"1|2|x\n3|4|y\n".to_vec()),
        ("spaces", b" a  b\n 1  2 \n\"3\"\t4\n".to_vec()),
        ("an-index-of-pandas", b",a\n0,1\n1,2\n".to_vec()),
        ("lines-in-quotes", b"a,b\n\"x\n\ny\",1\n z ,NaN\n".to_vec()),
        ("a-late-text", [b"a,b\n".to_vec(), b"1,2\n".repeat(1100), b"x,3\n".to_vec()].concat()),
        ("too-large", b"a,b\n1,2\n1e39,4\n".to_vec()),
        ("ragged", b"a,b\n1,2\n3\n".to_vec()),
        ("an-open-quote", b"a,b\n1,\"2\n3,4\n".to_vec()),
        ("text-after-a-quote", b"a,b\n1,\"2\"x\n".to_vec()),
        ("latin-1", b"a,b\nx,caf\xe9\n".to_vec()),
        ("utf-16", b"\xff\xfea\0,\0".to_vec()),
        ("compressed", gzip(text)),
        ("compressed-by-zstd", zstd),
        ("many-blank-lines", blank),
    ]
    .into_iter()
}

fn rows() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let text = b"+1 qid:2 1:0.5 3:-1e3 # a comment\n-1 2:nan\n\n0\n";
    let fast = ruzstd::encoding::CompressionLevel::Fastest;
    [
        ("from-one", text.to_vec()),
        ("from-zero", b"1 0:2 7:3\n2 3:1 1:4\n".to_vec()),
        ("compressed", gzip(text)),
        ("compressed-by-zstd", ruzstd::encoding::compress_to_vec(&text[..], fast)),
        ("a-feature-twice", b"1 2:1 2:3\n".to_vec()),
        ("four-thousand-million-features", b"1 4000000000:1\n".to_vec()),
        ("a-million-features", [b"1 1000000:1\n".to_vec(), b"1\n".repeat(1000)].concat()),
        ("no-value", b"1 2:\n".to_vec()),
        ("labels-alone", b"1\n2\n".to_vec()),
    ]
    .into_iter()
}

/// A `.npy` file.
fn npy(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), values].concat()
}

/// A zip archive of files that are not compressed.
fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in files {
        let mut checksum = flate2::Crc::new();
        checksum.update(contents);
        let length = (contents.len() as u32).to_le_bytes();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..],
            &checksum.sum().to_le_bytes(),
            &length,
            &length,
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let offset = (bytes.len() as u32).to_le_bytes();
        bytes.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), contents].concat());
        let entry = [&b"PK\x01\x02\x14\0"[..], &common, &[0; 10], &offset, name.as_bytes()];
        directory.extend(entry.concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let (size, offset) = (directory.len() as u32, bytes.len() as u32);
    let (size, offset) = (size.to_le_bytes(), offset.to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size, &offset, &[0, 0]].concat();
    [bytes, directory, end].concat()
}

fn arrays() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let images = npy("|u1", "(2, 1, 3)", &[1, 2, 3, 4, 5, 6]);
    let labels = npy("|u1", "(2,)", &[0, 1]);
    let numbers = npy("<f4", "(2, 2)", &[0; 16]);
    let columns = npy(">f8", "(2, 2)", &[0; 32]).to_vec();
    let columns = replaced(&columns, b"False", b"True ");
    let words = npy("<U2", "(2,)", &[97, 0, 0, 0, 0, 0, 0, 0, 98, 0, 0, 0, 99, 0, 0, 0]);
    let of_images = [("x_train.npy", images.clone()), ("y_train.npy", labels.clone())];
    [
        ("images", zipped(&of_images)),
        ("a-table", zipped(&[("X.npy", numbers.clone()), ("y.npy", words.clone())])),
        (
            "fewer-labels",
            zipped(&[("X.npy", numbers.clone()), ("y.npy", npy("|b1", "(1,)", &[1]))]),
        ),
        ("one-array", images),
        ("columns", columns),
        ("words", words),
        ("bytes", npy("|S2", "(2, 1)", b"abc\0")),
        ("objects", npy("|O", "(2,)", &[0; 16])),
        ("half", npy("<f2", "(1, 2)", &[0, 0x3c, 0xff, 0x7b])),
        ("too-large", npy("<f8", "(1, 1)", &1e300f64.to_le_bytes())),
        ("a-shape-that-overflows", npy("<i8", "(4294967296, 4294967296)", &[])),
        ("a-shape-of-gigabytes", npy("<i8", "(4294967296, 4)", &[])),
    ]
    .into_iter()
}

fn texts() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    [
        ("config", "extremes", "lr = 1e308\nbeta1 = 0.999999999999\neps = nan\nweight_decay = inf\nseed = 9223372036854775807\nepochs = 9223372036854775807\nthreads = 0\n"),
        ("config", "unknown", "learning = 3\n"),
        ("config", "split", "split = '1.0,0.0,0.0'\nactivations = ['relu', 'tanh']\nhidden = [3, 2]\n"),
        ("config", "lists-in-strings", "batch-size = 7\nhidden = '9, 8'\nactivations = \"relu,tanh\"\nout = 'x'\nlr = 1\nshuffle = 'off'\njson = true"),
        ("config", "a-key-of-two-lines", "\"a\\nb\\u001b\" = 3\n"),
        ("config", "twice", "batch-size = 3\nbatch_size = 4"),
        ("config", "no-value", "lr = "),
        ("config", "wide", "hidden = [9223372036854775807, 9223372036854775807]\ninit = 'orthogonal'\n"),
        ("grid", "all-lists", "hidden = '128,64,28; 64,32;'\nactivations = 'relu;gelu'\nlr = [0.1, 1]\nseed = [1, 2, 3]\nbatch_size = 7\nepochs = 3\njobs = 2\nthreads = 4\npatience = 5"),
        ("grid", "nested", "hidden = [[512], [256, 3]]\nactivations = [['relu'], ['tanh']]\ninit = ['auto', 'he-normal']\nweight-decay = [0.0, 1e-6]\n"),
        ("grid", "too-many", "seed = [1,2,3,4,5,6,7,8,9,10]\nlr = [1e-1,1e-2,1e-3,1e-4,1e-5,1e-6]\nbatch_size = [1,2,3,4,5,6]\nweight_decay = [0,1e-1,1e-2,1e-3,1e-4,1e-5]\n"),
        ("grid", "jobs", "jobs = -1\nthreads = 99\n"),
        ("results", "a-line", "{\"run\":\"01_784-784-784_lr0.01_b100\",\"test_accuracy\":0.98,\"test_loss\":0.07,\"test_samples\":15000}\n"),
        ("results", "errors", "{\"run\":\"01_784-784-784_lr0.01_b100\",\"test_rmse\":2.5,\"test_mae\":1e300,\"test_loss\":0.07,\"test_samples\":15000}\n{\"run\":\"02_784-784-784_lr0.01_b500\",\"test_rmse\":2.5,\"test_mae\":2,\"test_loss\":0.07,\"test_samples\":15000}\n"),
        ("results", "out-of-range", "{\"run\":\"02_784-784-784_lr0.01_b500\",\"test_accuracy\":1e300,\"test_loss\":-1e308,\"test_samples\":18446744073709551615}\n[]\n{\n\"run\"\n"),
        ("split", "pooled", "pooled"),
        ("split", "canonical", "canonical"),
        ("split", "counts", "10,2,2"),
        ("split", "counts-overflow", "18446744073709551615,1,1"),
        ("split", "fractions", "0.8, 0.1,1e-1"),
        ("split", "tiny-fractions", "0.0000001,0.0000001,0.0000001"),
        ("lists", "sizes", "512, 256,1"),
        ("lists", "sizes-overflow", "4294967296,4294967296,4294967296"),
        ("lists", "activations", "leaky-relu,silu"),
        ("lists", "initial-weights", "orthogonal"),
    ]
    .into_iter()
}
