//! Graphs as they are read back: what they compute, their names, and what has none.

use std::collections::HashSet;

use ndarray::{Array2, ArrayView2};
use prost::Message as _;

use super::interpreter::{Tensor, run};
use super::proto::ModelProto;
use super::*;
use crate::data::prepare::{Scale, TaskChoice};
use crate::data::table::Table;
use crate::data::{Dataset, Split, Tables};
use crate::model::{Activation, InputScaling, Layout, Metadata, Norm, Spec};
use crate::task::{Choice, Loss, Task};

const ROWS: usize = 60;

/// Numbers between -1 and 1.
fn noise(n: usize, factor: usize) -> Vec<f32> {
    (0..n).map(|i| (i * factor % 1013) as f32 / 506.5 - 1.0).collect()
}

/// Columns of both kinds, in an order that no graph has; numbers and texts are missing.
fn table(target: &str) -> Table {
    let gaps = |factor, center: f32, scale| {
        let value = |(i, x): (usize, f32)| if i % 7 == 3 { f32::NAN } else { center + scale * x };
        noise(ROWS, factor).into_iter().enumerate().map(value).collect::<Vec<_>>()
    };
    let text = |i: usize| ["", "Oslo", "Rome", "Bern"][i * 5 % 4];
    let table = Table::empty("t")
        .with_texts("concat", (0..ROWS).map(text))
        .and_then(|table| table.with_numbers("a", gaps(37, 1e5, 3.0)))
        .and_then(|table| table.with_numbers("gemm", noise(ROWS, 53)))
        .and_then(|table| table.with_texts("d", (0..ROWS).map(|i| ["x", "y"][i % 2])))
        .and_then(|table| table.with_numbers("e", gaps(71, -2.0, 1e-3)))
        .unwrap();
    match target {
        "kind" => table.with_texts("kind", (0..ROWS).map(|i| ["p", "q", "r"][i % 3])).unwrap(),
        name => table.with_numbers(name, noise(ROWS, 11)).unwrap(),
    }
}

/// The table of numbers alone.
fn numbers() -> Array2<f32> {
    Array2::from_shape_vec((ROWS, 3), noise(3 * ROWS, 29)).unwrap()
}

/// A network of random weights for a data set.
fn model_of(data: &Dataset, activations: &[Activation], loss: Choice<Loss>) -> Model {
    ensemble_of(data, activations, loss, 1)
}

/// An ensemble of several such.
fn ensemble_of(
    data: &Dataset,
    activations: &[Activation],
    loss: Choice<Loss>,
    members: usize,
) -> Model {
    let hidden = vec![5; activations.len()];
    let spec = Spec::new(data.n_features(), &hidden, activations, data.n_outputs()).unwrap();
    let spec = spec.with_members(members).unwrap();
    let params = noise(Layout::new(&spec).unwrap().len(), 83);
    let rows: Vec<u32> = (0..data.len() as u32).collect();
    let task = Task::of(data, &rows, loss).unwrap();
    let metadata = Metadata::of(data, Split::Auto, 3, data.fingerprint()).with_task(&task);
    Model::new(spec, params, Some(metadata)).unwrap()
}

fn model(target: &str, pca: Option<usize>, scale: Scale, activations: &[Activation]) -> Model {
    let mut tables = Tables::of(table(target));
    (tables.options.pca, tables.options.scale) = (pca, scale);
    tables.options.task = match target {
        "kind" => TaskChoice::Classification,
        _ => TaskChoice::Regression,
    };
    let data = tables.load(Split::Auto, 3).unwrap().data;
    model_of(&data, activations, Choice::Auto)
}

/// What the graph of a table with texts is given.
fn feed(table: &Table) -> Vec<(&str, Tensor)> {
    let column = |i: usize| match &table.columns()[i].kind {
        crate::data::table::Kind::Number => {
            Tensor::Numbers(table.numbers(i).map(f64::from).collect(), 1)
        }
        crate::data::table::Kind::Text(levels) => {
            let text = |code: u32| levels.get(code as usize).cloned().unwrap_or_default();
            Tensor::Texts(table.codes(i).map(text).collect())
        }
    };
    table.columns().iter().enumerate().map(|(i, own)| (&own.name[..], column(i))).collect()
}

fn assert_close(found: &Tensor, expected: ArrayView2<'_, f32>, what: &str) {
    let Tensor::Numbers(values, width) = found else { panic!("{what}: texts") };
    assert_eq!((values.len() / width, *width), expected.dim(), "{what}");
    for (x, y) in values.iter().zip(expected) {
        let y = f64::from(*y);
        assert!((x - y).abs() < 1e-5 * y.abs().max(1.0), "{what}: {x} instead of {y}");
    }
}

/// Of classes, of standardised numbers and of logarithms; the members differ, so that a graph of one of them would say something else.
#[test]
fn graphs_of_ensembles_say_the_mean_of_their_members() {
    let labels: Vec<u32> = (0..ROWS as u32).map(|i| i % 3).collect();
    let x = numbers();
    let classes = Dataset::from_arrays(x.view(), &labels).unwrap();
    let targets: Vec<f32> = noise(ROWS, 5).iter().map(|x| 4.0 * x.abs()).collect();
    let targets = Array2::from_shape_vec((ROWS, 1), targets).unwrap();
    let values = Dataset::from_targets(x.view(), targets.view()).unwrap();
    let poisson = Choice::Of(Loss::Poisson);
    for (data, loss) in [(&classes, Choice::Auto), (&values, Choice::Auto), (&values, poisson)] {
        for norm in [Norm::None, Norm::Layer] {
            let mut model = ensemble_of(data, &[Activation::Tanh], loss, 3);
            model.spec = model.spec.with_norm(norm);
            model.params = noise(Layout::new(&model.spec).unwrap().len(), 83);
            let expected = model.predict(x.view()).unwrap();
            let feed = [("features", Tensor::Numbers(x.iter().map(|x| (*x).into()).collect(), 3))];
            let tensors = run(&to_onnx(&model, DEFAULT_OPSET).unwrap(), &feed);
            let name = if data.is_regression() { "values" } else { "probabilities" };
            assert_close(&tensors[name], expected.values(), name);
            // by the definition, of the members as models of their own
            let mut mean = Array2::<f32>::zeros(expected.values().dim());
            for member in model.members() {
                mean += &(member.predict(x.view()).unwrap().values().mapv(|x| x / 3.0));
            }
            let differ = mean.iter().zip(expected.values());
            assert!(differ.clone().all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0)));
            let first = model.members()[0].predict(x.view()).unwrap();
            assert!(mean.iter().zip(first.values()).any(|(a, b)| (a - b).abs() > 1e-2));
        }
    }
}

#[test]
fn graphs_of_tables_say_what_the_model_says() {
    let all = Activation::ALL.map(|activation| vec![activation]);
    let depths = [vec![], vec![Activation::Tanh, Activation::Relu]];
    for activations in all.iter().chain(&depths) {
        let scales = [Scale::Standard, Scale::Smooth];
        for (pca, scale) in scales.into_iter().flat_map(|scale| [(None, scale), (Some(3), scale)]) {
            for target in ["kind", "rent"] {
                let mut model = model(target, pca, scale, activations);
                if scale == Scale::Smooth {
                    model.spec = model.spec.with_input_scales(true);
                    model.params = noise(Layout::new(&model.spec).unwrap().len(), 83);
                }
                let expected = model.predict_table(table(target)).unwrap();
                let table = table(target);
                let tensors = run(&to_onnx(&model, DEFAULT_OPSET).unwrap(), &feed(&table)[..5]);
                let what = format!("{activations:?}, {pca:?}, {scale:?}, {target}");
                if target == "rent" {
                    assert_close(&tensors["values"], expected.values(), &what);
                    continue;
                }
                assert_close(&tensors["probabilities"], expected.values(), &what);
                let labels = expected.labels().into_iter().map(|label| label.unwrap().to_owned());
                assert_eq!(tensors["label"], Tensor::Texts(labels.collect()), "{what}");
            }
        }
    }
}

#[test]
fn graphs_of_arrays_and_pixels_say_what_the_model_says() {
    let whole: Vec<String> = ["-3", "0", "12"].map(str::to_owned).to_vec();
    let labels: Vec<u32> = (0..ROWS as u32).map(|i| i % 3).collect();
    let pixels = numbers().mapv(|x| ((x + 1.0) * 127.0) as u8);
    let named = |data: Result<Dataset>| data.unwrap().with_classes(whole.clone()).unwrap();
    let floats = named(Dataset::from_arrays(numbers(), labels.clone()));
    let bytes = named(Dataset::from_pixels(pixels.view(), labels));
    for (data, x, scaling) in [
        (floats, numbers(), InputScaling::None),
        (bytes, pixels.mapv(f32::from), InputScaling::U8Over255),
    ] {
        let model = model_of(&data, &[Activation::Relu], Choice::Auto);
        assert_eq!(model.metadata().unwrap().scaling, scaling);
        let features = Tensor::Numbers(x.iter().map(|x| f64::from(*x)).collect(), 3);
        let tensors = run(&to_onnx(&model, DEFAULT_OPSET).unwrap(), &[("features", features)]);
        let expected = model.predict(x.view()).unwrap();
        assert_close(&tensors["probabilities"], expected.values(), "arrays");
        // names that are whole numbers
        let numbers = expected.labels().into_iter().map(|label| label.unwrap().parse().unwrap());
        assert_eq!(tensors["label"], Tensor::Numbers(numbers.collect(), 1));
        assert_eq!(ports(&model).unwrap().outputs[1].to_string(), "label: int64 [batch]");
    }
}

#[test]
fn counts_come_back_as_counts() {
    let y = noise(ROWS, 11).into_iter().map(|y| (y + 1.0).round()).collect();
    let y = Array2::from_shape_vec((ROWS, 1), y).unwrap();
    let data = Dataset::from_targets(numbers(), y).unwrap();
    let model = model_of(&data, &[Activation::Silu], Choice::Of(Loss::Poisson));
    let features = Tensor::Numbers(numbers().iter().map(|x| f64::from(*x)).collect(), 3);
    let tensors = run(&to_onnx(&model, DEFAULT_OPSET).unwrap(), &[("features", features)]);
    let expected = model.predict(numbers().view()).unwrap();
    assert_close(&tensors["values"], expected.values(), "poisson");
}

#[test]
fn names_are_unique_and_files_of_equal_models_equal() {
    let model = model("kind", None, Scale::Standard, &[Activation::Gelu, Activation::Gelu]);
    let bytes = to_onnx(&model, 21).unwrap();
    assert_eq!(bytes, to_onnx(&model, 21).unwrap());
    let file = ModelProto::decode(&bytes[..]).unwrap();
    let graph = file.graph.unwrap();
    let inputs: Vec<&str> = graph.input.iter().map(|input| &input.name[..]).collect();
    assert_eq!(inputs, ["concat", "a", "gemm", "d", "e"]);
    let mut seen: HashSet<&str> = inputs.into_iter().collect();
    for name in graph.initializer.iter().map(|constant| &constant.name[..]) {
        assert!(seen.insert(name), "{name}");
    }
    for node in &graph.node {
        assert!(node.input.iter().all(|name| seen.contains(&name[..])), "{node:?}");
        assert!(seen.insert(&node.output[0]), "{node:?}");
    }
    assert!(graph.output.iter().all(|output| seen.contains(&output.name[..])));
    let value = |key: &str| {
        let mut entries = file.metadata_props.iter();
        entries.find(|entry| entry.key == key).unwrap().value.clone()
    };
    assert_eq!(value("classes"), r#"["p","q","r"]"#);
    assert!(
        value("columns").contains(r#""levels":["Bern","Oslo","Rome"]"#),
        "{}",
        value("columns")
    );
    assert_eq!(value("trained_on"), model.metadata().unwrap().data_fingerprint);
}

#[test]
fn versions_go_together() {
    let model = model("kind", None, Scale::Standard, &[]);
    for (opset, ir) in [(13, 8), (17, 8), (18, 8), (19, 9), (20, 9), (21, 10)] {
        let file = ModelProto::decode(&to_onnx(&model, opset).unwrap()[..]).unwrap();
        assert_eq!(file.ir_version, ir);
        let sets: Vec<(&str, i64)> = (file.opset_import.iter())
            .map(|set| (set.domain.as_deref().unwrap(), set.version))
            .collect();
        assert_eq!(sets, [("", i64::from(opset)), ("ai.onnx.ml", 3)]);
    }
    for opset in [0, 12, 22] {
        let error = to_onnx(&model, opset).unwrap_err();
        assert!(error.is_usage());
        assert_eq!(error.to_string(), format!("opset is {opset}; expected 13 to 21"));
    }
}

#[test]
fn what_has_no_place_in_a_graph_is_refused() {
    let named = |name: &str, target: &str| {
        let table = table(target).with_texts(name, (0..ROWS).map(|i| ["s", "t", "u"][i % 3]));
        let mut tables = Tables::of(table.unwrap());
        tables.options.target = vec![target.to_owned()];
        tables.options.task = match target {
            "kind" => TaskChoice::Classification,
            _ => TaskChoice::Regression,
        };
        let data = tables.load(Split::Auto, 3).unwrap().data;
        to_onnx(&model_of(&data, &[], Choice::Auto), 17).map_err(|error| error.to_string())
    };
    for (name, target, expected) in [
        ("label", "kind", "column `label` would be an input of the graph, which has an output"),
        ("probabilities", "kind", "column `probabilities` would be"),
        ("values", "rent", "column `values` would be"),
        ("", "kind", "column 6 of the inputs has an empty name"),
    ] {
        assert!(named(name, target).unwrap_err().contains(expected), "{name}");
    }
    // the other kind of task has no output of that name
    named("label", "rent").unwrap();
    named("values", "kind").unwrap();
    // no training makes such levels, but a file may hold them
    for (level, expected) in [
        (r#""""#, "column `concat` has the empty text as a level beside missing texts"),
        (r#""Oslo""#, "column `concat` has the level `Oslo` twice"),
    ] {
        let mut model = model("kind", None, Scale::Standard, &[]);
        let json = serde_json::to_string(model.prepare().unwrap()).unwrap();
        let prepare = serde_json::from_str(&json.replace(r#""Bern""#, level)).unwrap();
        model.metadata.as_mut().unwrap().prepare = Some(prepare);
        let error = to_onnx(&model, 17).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut model = model("kind", None, Scale::Standard, &[]);
    model.params[7] = f32::NAN;
    let error = to_onnx(&model, 17).unwrap_err().to_string();
    assert!(error.contains("layer 0 holds weights that are not finite"), "{error}");
    check_size(MOST_BYTES).unwrap();
    let error = check_size(MOST_BYTES + 1).unwrap_err().to_string();
    assert!(error.contains("the graph of the model has 2.15 GB"), "{error}");
}

#[test]
fn a_column_that_32_bits_cannot_scale_is_refused() {
    let tiny = noise(ROWS, 37).into_iter().map(|x| x * 1e-41).collect::<Vec<_>>();
    let table = Table::empty("t").with_numbers("a", tiny).unwrap();
    let table = table.with_numbers("y", noise(ROWS, 11)).unwrap();
    let data = Tables::of(table).load(Split::Auto, 0).unwrap().data;
    let error = to_onnx(&model_of(&data, &[], Choice::Auto), 17).unwrap_err().to_string();
    assert!(error.contains("column `a` is divided by"), "{error}");
}
