//! Every reader of bytes from outside, each as a function that must return whatever it is given.
//!
//! What is rejected must be rejected in one line. What is accepted goes through what follows in the program: it is written
//! and read again, checked, split, computed with. The fuzz targets call these functions, and so does the test beside this file.
#![allow(dead_code)]

use std::path::Path;
use std::sync::OnceLock;

use densely::Result;
use densely::data::libsvm::{LibsvmOptions, read_libsvm_bytes};
use densely::data::npz;
use densely::data::table::{Kind, MISSING, ReadOptions, read_csv_bytes};
use densely::data::{self, Dataset, Split, idx};
use densely::engine::{Engine, EngineOptions, Predictor};
use densely::gemm::Backend;
use densely::model::{Activation, Init, Layout, Model, Spec};
use densely::store::{Checkpoint, RunConfig, SweepConfig, add_tests};
use densely::train::{Grid, RankedRuns, RunResult, SweepRun, TrainConfig, Trainer, rank};
use ndarray::Array2;

/// Reads or rejects any bytes.
pub type Reader = fn(&[u8]);

/// The name of a corpus and its reader.
pub const READERS: [(&str, Reader); 12] = [
    ("checkpoint", checkpoint),
    ("config", config),
    ("directory", directory),
    ("grid", grid),
    ("images", images),
    ("libsvm", libsvm),
    ("lists", lists),
    ("model", model),
    ("npz", npz),
    ("results", results),
    ("split", split),
    ("table", table),
];

/// `Ok` as an option. An error has to be one line, without control characters.
fn accepted<T>(result: Result<T>) -> Option<T> {
    result
        .inspect_err(|error| {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
        })
        .ok()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// 14 samples of 4 pixels in 3 classes; the checkpoints of the corpus were trained on it.
pub fn samples() -> &'static Dataset {
    static DATA: OnceLock<Dataset> = OnceLock::new();
    DATA.get_or_init(|| {
        let pixels = Array2::from_shape_fn((14, 4), |(i, j)| (i * 37 + j * 91) as u8);
        let labels: Vec<u32> = (0..14).map(|i| i % 3).collect();
        Dataset::from_pixels(pixels.view(), &labels).expect("the lengths agree")
    })
}

/// The first runs of the default sweep.
fn runs() -> &'static [SweepRun] {
    static RUNS: OnceLock<Vec<SweepRun>> = OnceLock::new();
    RUNS.get_or_init(|| {
        let mut runs = Grid::default().runs(784, 10).expect("it is the default");
        runs.truncate(3);
        runs
    })
}

/// A model file. What is read is written and read again, and computes.
pub fn model(bytes: &[u8]) {
    accepted(Model::from_bytes(bytes, &[Activation::Tanh]));
    let Some(model) = accepted(Model::from_bytes(bytes, &[])) else { return };
    let again = model.to_bytes().expect("what was read can be written");
    let read = Model::from_bytes(&again, &model.spec().activations()).expect("and read");
    assert_eq!((read.spec(), read.metadata()), (model.spec(), model.metadata()));
    assert_eq!(read.to_bytes().expect("as before"), again);
    assert_eq!(model.labels().len(), model.spec().n_out());
    if let Some(other) = accepted(model.with_new_head(2, Init::He, 0)) {
        assert_eq!((other.spec().hidden(), other.spec().n_out()), (model.spec().hidden(), 2));
    }
    if let Some(named) = accepted(model.clone().with_outputs_of(samples())) {
        assert_eq!(named.labels().len(), named.spec().n_out());
    }
    accepted(model.check_finite("model"));
    accepted(model.check_inputs(samples()));
    if model.params().len() < 1 << 14 {
        let options = EngineOptions::to_evaluate().with(|c| {
            c.backend = Backend::Rust;
            c.threads = 1;
        });
        let mut engine = Engine::of_model(&model, options).expect("it is small");
        let data = Array2::from_elem((2, model.spec().n_in()), 7);
        let data = Dataset::from_pixels(data.view(), &[0, 0]).expect("the lengths agree");
        let outputs = engine.predict(model.params(), &data, &[0, 1]);
        assert_eq!(outputs.dim(), (2, model.spec().n_out()));
        let columns = model.prepare().map_or(model.spec().n_in(), |p| p.inputs().len());
        if columns < 1 << 14 {
            let mut predictor = Predictor::new(&model, options).expect("as before");
            accepted(predictor.predict(Array2::from_elem((2, columns), 3.0).view()));
        }
    }
}

/// A checkpoint. What is read is written and read again, ranked, and trained for an epoch where it fits the data.
pub fn checkpoint(bytes: &[u8]) {
    let Some(checkpoint) = accepted(Checkpoint::from_bytes(bytes)) else { return };
    let again = checkpoint.to_bytes().expect("what was read can be written");
    let read = Checkpoint::from_bytes(&again).expect("and read");
    assert_eq!(read.to_bytes().expect("as before"), again);
    let Some((_, state)) = accepted(checkpoint.into_state()) else { return };
    assert!(state.diverged().is_none_or(|why| state.is_finished() && !why.to_string().is_empty()));

    let result = RunResult::of(0, &state);
    assert!(result.seconds() >= 0.0 && (result.best_epoch == 0 || result.best().is_some()));
    if let Some(ranked) = accepted(RankedRuns::new(runs().to_vec(), vec![result])) {
        assert_eq!(ranked.results().len(), 1);
    }
    // few threads and epochs, so that it ends
    let mut checkpoint = read;
    checkpoint.threads = 1;
    checkpoint.config.train.epochs = state.epoch() + 1;
    if accepted(state.config().check()).is_some()
        && let Some((_, state)) = accepted(checkpoint.into_state())
        && let Some(mut trainer) = accepted(Trainer::resume(state, samples()))
    {
        trainer.train(&mut ()).expect("there is no observer to fail");
    }
}

/// The `config.toml` of a run, or a file for `train --config`. What is read is written and read again, checked, and made a
/// network.
pub fn config(bytes: &[u8]) {
    let Some(config) = text(bytes).and_then(|text| accepted(RunConfig::from_toml(text))) else {
        return;
    };
    let again = config.to_toml().expect("what was read can be written");
    let read = RunConfig::from_toml(&again).expect("and read");
    assert_eq!(read.to_toml().expect("as before"), again);
    if accepted(config.check()).is_some() {
        let config = config.train;
        let spec = Spec::new(4, &config.hidden, &config.activations, 3);
        accepted(spec.and_then(|spec| Layout::new(&spec)));
        accepted(config.parts(samples()));
    }
}

/// The `sweep.toml` of a sweep, or a file for `sweep --config`.
pub fn grid(bytes: &[u8]) {
    let Some(config) = text(bytes).and_then(|text| accepted(SweepConfig::from_toml(text))) else {
        return;
    };
    if let Some(runs) = accepted(config.grid.runs(4, 3)) {
        assert!(!runs.is_empty() && config.grid.jobs_for(runs[0].threads()) > 0);
        let again = config.to_toml().expect("what was read can be written");
        let read = SweepConfig::from_toml(&again).expect("and read");
        assert_eq!(read.to_toml().expect("as before"), again);
    }
}

/// A file of images, raw or compressed, as `predict` takes them from standard input.
pub fn images(bytes: &[u8]) {
    accepted(idx::read_labels(bytes, Path::new("file")));
    let Some(images) = accepted(idx::read_images(bytes, Path::new("file"))) else { return };
    let idx::Images { pixels, count, height, width } = images;
    assert_eq!(pixels.len(), count * height * width);
    let pixels = Array2::from_shape_vec((count, height * width), pixels).expect("the product");
    if let Some(data) = accepted(Dataset::from_pixels(pixels.view(), vec![0; count])) {
        assert_eq!(data.occupancy().words_per_sample(), (height * width).div_ceil(64));
    }
}

/// A directory of IDX files: the lengths of the first three of them in 16 bits each, then all four, one after another.
pub fn directory(bytes: &[u8]) {
    let Some((lengths, mut rest)) = bytes.split_at_checked(6) else { return };
    let directory = tempfile::tempdir().expect("a place for temporary files");
    let names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
    for (i, name) in names.into_iter().enumerate() {
        let len = match lengths.get(2 * i..2 * i + 2) {
            Some(len) => usize::from(u16::from_le_bytes([len[0], len[1]])).min(rest.len()),
            None => rest.len(),
        };
        let (file, after) = rest.split_at(len);
        rest = after;
        if i < 2 || !file.is_empty() {
            let path = directory.path().join(format!("{name}-ubyte"));
            std::fs::write(path, file).expect("it can be written");
        }
    }
    let source = directory.path().to_str().expect("a plain name");
    let Some(loaded) = accepted(data::load(source)) else { return };
    let data = loaded.data;
    assert!(data.labels().iter().all(|&label| (label as usize) < data.n_classes()));
    assert_eq!(data.image().map(|(height, width)| height * width), Some(data.n_features()));
    for split in [Split::Auto, Split::Pooled, Split::Canonical, Split::Counts([1, 1, 0])] {
        if let Some(parts) = accepted(split.apply(&data, 0)) {
            let rows = [parts.train, parts.val, parts.test].concat();
            assert!(rows.into_iter().all(|row| (row as usize) < data.len()));
        }
    }
}

/// The `results.jsonl` of a sweep that is reported on.
pub fn results(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut results: Vec<RunResult> =
        (0..3).map(|number| RunResult::failed(number, &densely::Error::usage("no"))).collect();
    add_tests(&mut results, runs(), text);
    for test in results.iter().filter_map(|result| result.test) {
        assert!((0.0..=1.0).contains(&test.accuracy()) && test.correct <= test.samples);
    }
    rank(&mut results, runs());
}

/// A text file, plain or compressed, as a table.
pub fn table(bytes: &[u8]) {
    let Some(read) = accepted(read_csv_bytes("file", bytes, &ReadOptions::default())) else {
        return;
    };
    let table = read.table;
    assert!(table.n_rows() > 0 && !table.columns().is_empty());
    for (i, column) in table.columns().iter().enumerate() {
        assert!(!column.name.is_empty());
        match &column.kind {
            Kind::Text(levels) => {
                let mut codes = table.codes(i).filter(|&code| code != MISSING);
                assert!(codes.all(|code| !levels[code as usize].is_empty()));
            }
            _ => assert_eq!(table.numbers(i).count(), table.n_rows()),
        }
    }
}

/// The text of a split.
pub fn split(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Some(split) = accepted(text.parse::<Split>()) else { return };
    assert_eq!(split.to_string().parse::<Split>().expect("it was written"), split);
    accepted(split.apply(samples(), 0));
}

/// The lists and names of the command line: sizes, activations, initial weights.
pub fn lists(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for key in ["hidden", "activations"] {
        let mut grid = Grid::new(TrainConfig::default());
        if accepted(grid.vary(key, [text])).is_some() {
            accepted(grid.runs(4, 3));
        }
    }
    accepted(text.parse::<Init>());
}

/// LibSVM's text, plain, gzip or zstd. What is read has a value for each feature of each row.
pub fn libsvm(bytes: &[u8]) {
    let read = read_libsvm_bytes("rows.svm", bytes, &LibsvmOptions::default());
    let Some(read) = accepted(read) else { return };
    let width = read.table.columns().len();
    assert!(read.first <= 1 && width >= 2 && read.table.n_rows() > 0);
    assert_eq!(read.table.columns()[0].name, read.first.to_string());
    assert!(read.table.chunks().iter().all(|chunk| chunk.numbers.len() == chunk.n_rows * width));
}

/// A `.npy` or `.npz` file. What is read has as many values as its shape says.
pub fn npz(bytes: &[u8]) {
    accepted(npz::read_inputs_bytes("a.npz", bytes));
    if let Some(array) = accepted(npz::read_npy_bytes("a.npy", bytes)) {
        let n_values = match &array.values {
            npz::Values::U8(values) => values.len(),
            npz::Values::F32(values) => values.len(),
            npz::Values::Text { codes, levels } => {
                assert!(codes.iter().all(|&code| (code as usize) < levels.len()));
                codes.len()
            }
            _ => return,
        };
        assert_eq!(array.shape.iter().product::<usize>(), n_values);
    }
    match accepted(npz::read_arrays_bytes("a.npz", bytes)) {
        Some(npz::Arrays::Images { pixels, size: (height, width), channels, labels, counts }) => {
            let count: usize = counts.iter().sum();
            assert_eq!(pixels.len(), count * height * width * channels);
            assert_eq!(labels.shape, [count]);
        }
        Some(npz::Arrays::Table { train, test, .. }) => {
            assert!(train.n_rows() > 0);
            assert!(test.is_none_or(|test| test.columns().len() == train.columns().len()));
        }
        _ => {}
    }
}

/// Sets the length of the JSON at the beginning of a safetensors file, which a mutation has moved: it ends at the last `}`.
pub fn repair_length(bytes: &mut [u8]) {
    let end = bytes.iter().rposition(|&byte| byte == b'}').map_or(0, |position| position + 1);
    if let (Some(length), Some(first)) = (end.checked_sub(8), bytes.first_chunk_mut()) {
        *first = (length as u64).to_le_bytes();
    }
}
