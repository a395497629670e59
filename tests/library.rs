//! The library, as a program uses it: tables and arrays in memory, parts of one's own, declared classes, predictions.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{dataset, ramp, write_idx};
use densely::data::prepare::TaskChoice;
use densely::data::table::{ReadOptions, Table, read_csv};
use densely::data::{Dataset, Features, Parts, Source, Split, Tables, load, read_table};
use densely::engine::{Engine, EngineOptions, Predictor};
use densely::model::Model;
use densely::store::{Checkpoint, RunOptions};
use densely::train::{TrainConfig, Trainer};
use ndarray::{Array2, ArrayView2, array, s};

/// `n` rows of `size` (with a gap), `city` and `rent`, which follows from them.
fn flats(n: usize) -> Table {
    let size = |i: usize| (i * 37 % 101) as f32 / 10.0;
    let city = |i: usize| ["Bonn", "Oslo", "Rome"][i * 7 % 3];
    let sizes =
        Array2::from_shape_fn((n, 1), |(i, _)| if i % 13 == 5 { f32::NAN } else { size(i) });
    let rent = |i: usize| 100.0 + 50.0 * size(i) + if city(i) == "Rome" { 300.0 } else { 0.0 };
    Table::from_array("flats", ["size"], sizes)
        .unwrap()
        .with_texts("city", (0..n).map(city))
        .unwrap()
        .with_numbers("rent", (0..n).map(rent).collect::<Vec<f32>>())
        .unwrap()
}

fn trained(data: &Dataset, epochs: usize) -> Model {
    let mut config = TrainConfig::default();
    config.follow(data, |_| false).unwrap();
    (config.epochs, config.threads) = (epochs, Some(1));
    let mut trainer = Trainer::new(config, data).unwrap();
    trainer.run(&mut ()).unwrap();
    trainer.best_model()
}

#[test]
fn an_array_that_is_given_away_is_not_copied() {
    let x = Array2::from_shape_fn((50, 3), |(i, j)| (i * 3 + j) as f32);
    let at = x.as_ptr();
    let data = Dataset::from_arrays(x, vec![1; 50]).unwrap();
    let Features::F32(values) = data.features() else { panic!() };
    assert_eq!(values.as_ptr(), at);
    let y = Array2::from_elem((50, 2), 1.0);
    let (x, at_y) = (Array2::from_elem((50, 1), 2.0), y.as_ptr());
    let data = Dataset::from_targets(x, y).unwrap().with_target_names(["a", "b"]).unwrap();
    assert_eq!(
        (data.targets().as_ptr(), data.target_names()),
        (at_y, &["a", "b"].map(str::to_owned)[..])
    );
}

#[test]
fn rows_that_the_caller_names_are_the_parts_and_runs_resume_with_the_same_rows_alone() {
    let parts =
        Parts { train: (20..200).collect(), val: (0..20).step_by(2).collect(), test: vec![7, 201] };
    let data = dataset(210, 5, 3).with_parts(parts.clone()).unwrap();
    let config = TrainConfig::default().with(|c| {
        (c.hidden, c.batch_size, c.epochs, c.threads) = (vec![8], 32, 4, Some(1));
    });
    let mut whole = Trainer::new(config.clone(), &data).unwrap();
    assert_eq!(whole.parts(), &parts);
    whole.run(&mut ()).unwrap();
    let mut half = Trainer::new(config.clone().with(|c| c.epochs = 2), &data).unwrap();
    half.run(&mut ()).unwrap();
    let bytes = Checkpoint::of(&RunOptions::default(), half.state()).to_bytes().unwrap();
    let state = || {
        let (_, mut state) = Checkpoint::from_bytes(&bytes).unwrap().into_state().unwrap();
        state.reconfigure(half.config().clone().with(|c| c.epochs = 4)).unwrap();
        state
    };
    let mut resumed = Trainer::resume(state(), &data).unwrap();
    resumed.run(&mut ()).unwrap();
    assert_eq!(resumed.last_model(), whole.last_model());
    // other rows are other data
    let other = Parts { test: vec![7], ..parts };
    let other = dataset(210, 5, 3).with_parts(other).unwrap();
    let error = Trainer::resume(state(), &other).unwrap_err();
    assert!(error.to_string().contains("expected the same"), "{error}");
    assert!(Trainer::resume(state(), &dataset(210, 5, 3)).is_err());
    // parts that are given allow no other split
    let error = Trainer::new(config.with(|c| c.split = "0.8,0.1,0.1".parse().unwrap()), &data);
    assert!(error.unwrap_err().to_string().contains("the rows of the parts of arrays are given"));
}

#[test]
fn parts_that_cannot_be_are_named() {
    let message = |train: &[u32], val: &[u32], test: &[u32]| {
        let parts = Parts { train: train.to_vec(), val: val.to_vec(), test: test.to_vec() };
        dataset(10, 2, 2).with_parts(parts).unwrap_err().to_string()
    };
    assert!(message(&[], &[1], &[]).contains("no rows to train on"));
    assert!(message(&[0, 10], &[1], &[]).contains("row 10; expected rows below 10"));
    assert!(message(&[0, 1], &[2], &[1]).contains("row 1 twice"));
}

#[test]
fn other_samples_become_the_validation_and_the_test_part() {
    let part = |rows: std::ops::Range<usize>| {
        let x = Array2::from_shape_fn((rows.len(), 2), |(i, j)| ((rows.start + i) * 10 + j) as f32);
        let names: Vec<&str> = rows.map(|i| ["even", "odd"][i % 2]).collect();
        Dataset::from_named(x, &names).unwrap()
    };
    let weighted = |data: Dataset| {
        let n = data.len();
        data.with_weights(vec![2.0; n]).unwrap()
    };
    let values = |data: &Dataset, rows: &[u32]| -> Vec<f32> {
        let Features::F32(values) = data.features() else { panic!() };
        rows.iter().map(|&row| values[2 * row as usize]).collect()
    };
    // in either order, and once more in the place of the first
    for data in [
        part(0..6).with_valid(part(6..8)).unwrap().with_test(part(8..11)).unwrap(),
        part(0..6).with_test(part(8..11)).unwrap().with_valid(part(6..8)).unwrap(),
        part(0..6)
            .with_test(part(50..52))
            .and_then(|data| data.with_valid(part(30..39)))
            .and_then(|data| data.with_valid(part(6..8)))
            .and_then(|data| data.with_test(part(8..11)))
            .unwrap(),
        weighted(part(0..6))
            .with_valid(weighted(part(6..8)))
            .unwrap()
            .with_test(weighted(part(8..11)))
            .unwrap(),
    ] {
        let parts = Split::Auto.apply(&data, 0).unwrap();
        assert_eq!(values(&data, &parts.train), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(values(&data, &parts.val), [60.0, 70.0]);
        assert_eq!(values(&data, &parts.test), [80.0, 90.0, 100.0]);
        assert_eq!(data.labels(), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(data.weights().map_or(11, <[f32]>::len), 11);
    }
    let error = |train: Dataset, valid: Dataset| train.with_valid(valid).unwrap_err().to_string();
    let narrow = Dataset::from_arrays(array![[1.0]], vec![0]).unwrap();
    assert!(
        error(part(0..6), narrow).contains("the validation part has 1 numbers; expected 2 numbers")
    );
    let foreign = Dataset::from_named(array![[1.0, 2.0]], &["prime"]).unwrap();
    assert!(error(part(0..6), foreign).contains("class prime is not one of the training part"));
    assert!(error(part(0..6), weighted(part(6..8))).contains("has weights; expected no weights"));
    let targets = Dataset::from_targets(array![[1.0, 2.0]], array![[1.0]]).unwrap();
    assert!(error(part(0..6), targets).contains("the targets target; expected classes"));
    let unlabelled = Dataset::unlabelled(array![[1.0, 2.0]]).unwrap();
    assert!(error(part(0..6), unlabelled).contains("no labels; expected classes"));
    let own = part(6..8).with_test(part(8..9)).unwrap();
    assert!(error(part(0..6), own).contains("has parts of its own"));
}

#[test]
fn a_class_that_is_declared_has_an_output_though_no_row_has_it() {
    let x = Array2::from_shape_fn((60, 2), |(i, j)| ((i * (3 + j)) % 17) as f32);
    let labels: Vec<u32> = (0..60).map(|i| i % 2).collect();
    let data = Dataset::from_arrays(x.view(), &labels).unwrap();
    let data = data.with_classes(["cat", "dog", "bird"]).unwrap();
    let model = trained(&data, 2);
    assert_eq!(
        (model.spec().n_out(), model.labels()),
        (3, ["cat", "dog", "bird"].map(str::to_owned).to_vec())
    );
    let few = Dataset::from_arrays(x.view(), &labels).unwrap().with_classes(["cat"]);
    assert!(few.unwrap_err().to_string().contains("1 names for the labels 0 to 1"));
    let twice = Dataset::from_arrays(x.view(), &labels).unwrap().with_classes(["cat", "cat"]);
    assert!(twice.unwrap_err().to_string().contains("`cat` twice"));

    // of a table: in the order in which they are declared, texts and numbers
    for (declared, column) in [
        (
            ["small", "huge", "large"],
            (0..60).map(|i| ["large", "small"][i % 2].to_owned()).collect::<Vec<_>>(),
        ),
        (["9", "10", "-1"], (0..60).map(|i| ["-1", "9"][i % 2].to_owned()).collect()),
    ] {
        let table = Table::from_array("t", ["a", "b"], x.view()).unwrap();
        let table = match declared[0] {
            "9" => table
                .with_numbers("y", column.iter().map(|y| y.parse().unwrap()).collect::<Vec<f32>>()),
            _ => table.with_texts("y", &column),
        };
        let mut tables = Tables::of(table.unwrap());
        tables.options.classes = declared.map(str::to_owned).to_vec();
        let data = tables.clone().load(Split::Auto, 0).unwrap().data;
        assert_eq!(data.classes(), declared);
        let named: Vec<&String> =
            data.labels().iter().map(|&label| &data.classes()[label as usize]).collect();
        assert!(named.into_iter().eq(&column));
        assert_eq!(trained(&data, 1).spec().n_out(), 3);
        tables.options.classes.pop();
        let error = tables.load(Split::Auto, 0).unwrap_err().to_string();
        assert!(error.contains("which is none of those that are declared"), "{error}");
    }
    let mut tables = Tables::of(flats(30));
    tables.options.classes = vec!["a".to_owned()];
    let error = tables.load(Split::Auto, 0).unwrap_err().to_string();
    assert!(error.contains("numbers are predicted"), "{error}");
}

#[test]
fn a_table_in_memory_is_learnt_as_the_same_table_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flats.csv");
    let table = flats(300);
    let mut csv = String::from("size,city,rent\n");
    let levels = ["Bonn", "Oslo", "Rome"];
    for ((size, code), rent) in table.numbers(0).zip(table.codes(1)).zip(table.numbers(2)) {
        let size = if size.is_nan() { String::new() } else { size.to_string() };
        let densely::data::table::Kind::Text(found) = &table.columns()[1].kind else { panic!() };
        assert!(levels.contains(&&found[code as usize][..]));
        csv += &format!("{size},{},{rent}\n", found[code as usize]);
    }
    std::fs::write(&path, csv).unwrap();
    let of_file = load(path.to_str().unwrap()).unwrap().data;
    let of_memory = Tables::of(table.clone()).load(Split::Auto, 0).unwrap().data;
    assert_eq!(of_memory.fingerprint(), of_file.fingerprint());
    // tables of parts: what is learnt comes from the first alone
    let mut tables = Tables::of(flats(300));
    (tables.valid, tables.test) = (Some(flats(40)), Some(flats(20)));
    let data = tables.load(Split::Auto, 0).unwrap().data;
    let parts = Split::Auto.apply(&data, 0).unwrap();
    assert_eq!([parts.train.len(), parts.val.len(), parts.test.len()], [300, 40, 20]);
    assert_eq!(read_table(&path, None).unwrap().table.n_rows(), 300);
    assert_eq!(read_csv(&path, &ReadOptions::default()).unwrap().table.n_rows(), 300);
}

#[test]
fn named_rows_of_a_table_are_what_prepare_learns_from() {
    let mut tables = Tables::of(flats(100));
    // without a rent, row 2 is left out, and the rows after it move up
    let rents: Vec<f32> =
        flats(100).numbers(2).enumerate().map(|(i, y)| if i == 2 { f32::NAN } else { y }).collect();
    let sizes = Array2::from_shape_fn((100, 1), |(i, _)| i as f32);
    let table =
        Table::from_array("t", ["size"], sizes).unwrap().with_numbers("rent", rents).unwrap();
    tables.train = table;
    tables.parts = Some(Parts { train: vec![0, 2, 4, 50], val: vec![1, 3], test: vec![99] });
    let data = tables.clone().load(Split::Auto, 0).unwrap().data;
    let parts = Split::Auto.apply(&data, 0).unwrap();
    assert_eq!((parts.train, parts.val, parts.test), (vec![0, 3, 49], vec![1, 2], vec![98]));
    let Features::F32(values) = data.features() else { panic!() };
    let mean = (values[0] + values[3] + values[49]).abs();
    assert!(mean < 1e-5, "standardised by the rows 0, 4 and 50: {mean}");
    // as rows and as a table
    tables.valid = Some(flats(10));
    let error = tables.load(Split::Auto, 0).unwrap_err().to_string();
    assert!(error.contains("expected one of them"), "{error}");
}

#[test]
fn a_model_of_a_table_predicts_raw_rows_by_name_and_says_what_it_does_not_know() {
    let data = Tables::of(flats(400)).load(Split::Auto, 0).unwrap().data;
    let model = trained(&data, 30);
    let rows: Vec<u32> = (0..400).collect();
    let mut engine = Engine::of_model(&model, EngineOptions::to_evaluate()).unwrap();
    let expected = engine.predict(model.params(), &data, &rows);
    let found = model.predict_table(flats(400)).unwrap();
    assert_eq!(found.names(), ["rent"]);
    let close = |a: ArrayView2<f32>, b: ArrayView2<f32>| (&a - &b).iter().all(|d| d.abs() < 0.1);
    assert!(close(found.values(), expected.view()));
    assert!(found.labels().is_empty() && found.notices().is_empty());
    // other columns in another order
    let other = Table::empty("other")
        .with_texts("more", ["x", "y"])
        .and_then(|table| table.with_texts("city", ["Rome", "Lima"]))
        .and_then(|table| table.with_numbers("size", vec![1.5, f32::NAN]))
        .unwrap();
    let mut predictor = Predictor::new(&model, EngineOptions::to_evaluate()).unwrap();
    let found = predictor.predict_table(other).unwrap();
    assert_eq!(found.values().dim(), (2, 1));
    assert!(found.notices()[0].contains("`city`: 1 of 2 values"), "{:?}", found.notices());
    predictor.predict_table(flats(3)).unwrap();
    assert!(predictor.unknown_levels()[0].contains("1 of 5 values"));
    let empty = Table::empty("none").with_texts::<&str>("city", []).unwrap();
    let empty = empty.with_numbers("size", vec![]).unwrap();
    assert_eq!(predictor.predict_table(empty).unwrap().values().dim(), (0, 1));
    let error = predictor.predict(array![[1.0, 2.0]].view()).unwrap_err().to_string();
    assert!(error.contains("needs texts for `city`; expected a table"), "{error}");
    // targets of other rows, for a score
    let loaded = Tables::of(flats(50)).load_for(data.prepare().unwrap(), Split::Auto, 0).unwrap();
    assert_eq!((loaded.data.len(), loaded.data.n_features()), (50, data.n_features()));
}

#[test]
fn arrays_are_predicted_raw_as_the_training_had_them() {
    // numbers of a table by position, with a gap
    let x = Array2::from_shape_fn((200, 2), |(i, j)| {
        if (i, j) == (3, 1) { f32::NAN } else { (i * (7 + 4 * j) % 97) as f32 }
    });
    let y: Vec<f32> = (0..200).map(|i| (i * 7 % 97) as f32 * 3.0 + 5.0).collect();
    let table = Table::from_array("t", ["a", "b"], x.view()).unwrap().with_numbers("y", y).unwrap();
    let mut tables = Tables::of(table.clone());
    tables.options.task = TaskChoice::Regression;
    let model = trained(&tables.load(Split::Auto, 0).unwrap().data, 3);
    assert_eq!(model.predict(x.view()).unwrap(), model.predict_table(table).unwrap());
    let error = model.predict(x.slice(s![.., ..1])).unwrap_err().to_string();
    assert!(error.contains("1 columns; the model needs 2 (a, b)"), "{error}");

    // pixels
    let directory = tempfile::tempdir().unwrap();
    write_idx(directory.path(), 120, 30);
    let data = load(directory.path().to_str().unwrap()).unwrap().data;
    let model = trained(&data, 15);
    let Features::U8(pixels) = data.features() else { panic!() };
    let pixels = Array2::from_shape_vec((150, 20), pixels.clone()).unwrap();
    let of_pixels = Predictor::new(&model, EngineOptions::to_evaluate())
        .unwrap()
        .predict_pixels(pixels.view())
        .unwrap();
    let of_numbers = Predictor::new(&model, EngineOptions::to_evaluate())
        .unwrap()
        .predict(pixels.mapv(f32::from).view())
        .unwrap();
    assert_eq!(of_pixels, of_numbers);
    let classes = of_pixels.classes();
    let right = classes.iter().zip(data.labels()).filter(|(c, l)| **c == Some(**l as usize));
    assert!(right.count() > 130);
    assert_eq!(of_pixels.labels()[0], Some(&data.classes()[data.labels()[0] as usize][..]));
    let error = model.predict(Array2::from_elem((1, 20), 0.5).view()).unwrap_err().to_string();
    assert!(error.contains("found 0.5; expected whole numbers from 0 to 255"), "{error}");
    assert!(model.predict(Array2::zeros((1, 19)).view()).is_err());
    assert_eq!(model.predict(Array2::zeros((0, 20)).view()).unwrap().values().dim(), (0, 3));
    let error = model.predict_table(flats(2)).unwrap_err().to_string();
    assert!(error.contains("trained on images or arrays"), "{error}");
    // an output that is not finite is no class
    let mut params = model.params().to_vec();
    *params.last_mut().unwrap() = f32::NAN;
    let broken = Model::new(model.spec().clone(), params, model.metadata().cloned()).unwrap();
    assert_eq!(broken.predict_data(&data).unwrap().labels()[0], None);
}

#[test]
fn samples_without_labels_are_predicted_and_not_learnt() {
    let model = trained(&dataset(100, 4, 3), 2);
    let x =
        Array2::from_shape_vec((10, 4), ramp(40, 7, 13).into_iter().map(|x| x as f32).collect())
            .unwrap();
    let data = Dataset::unlabelled(x.clone()).unwrap();
    assert!(!data.has_labels());
    assert_eq!(model.predict_data(&data).unwrap(), model.predict(x.view()).unwrap());
    let error = Trainer::new(TrainConfig::default(), &data).unwrap_err().to_string();
    assert!(error.contains("the samples have no labels"), "{error}");
    assert!(
        TrainConfig::default()
            .follow(&data, |_| false)
            .unwrap_err()
            .to_string()
            .contains("no labels")
    );
}

#[test]
fn directories_of_images_bring_parts_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    write_idx(directory.path().join("all").as_path(), 120, 30);
    let alone = |name: &str, count: usize| {
        write_idx(directory.path().join(name).as_path(), count, 3);
        for part in ["images-idx3-ubyte", "labels-idx1-ubyte"] {
            std::fs::remove_file(directory.path().join(name).join(format!("t10k-{part}"))).unwrap();
        }
    };
    alone("valid", 12);
    alone("test", 9);
    let mut source = Source::of(path("all"));
    let sizes = |source: &Source| {
        let data = source.load(Split::Auto, 0).unwrap().data;
        let parts = Split::Auto.apply(&data, 0).unwrap();
        assert!(
            source.load_for(None, Split::Auto, 0).unwrap().data.fingerprint() == data.fingerprint()
        );
        [parts.train.len(), parts.val.len(), parts.test.len()]
    };
    assert_eq!(sizes(&source), [110, 10, 30]);
    source.valid = Some(path("valid"));
    assert_eq!(sizes(&source), [120, 12, 30]);
    source.test = Some(path("test"));
    assert_eq!(sizes(&source), [120, 12, 9]);
    source.test = Some(path("all"));
    let error = source.load(Split::Auto, 0).unwrap_err().to_string();
    assert!(
        error.contains("all: it has parts of its own; expected the samples of one, the test part"),
        "{error}"
    );
    let prepare: Option<&Arc<_>> = None;
    assert!(source.load_for(prepare, Split::Auto, 0).is_err());
}
