//! Models as ONNX graphs, for the many programs that run such.
//!
//! A graph goes from raw columns, or raw pixels, to probabilities and names of classes, or to numbers in the targets' units: what a
//! [`Prepare`](crate::data::prepare::Prepare) does is part of it. It computes in 32 bits and agrees with [`crate::engine::Predictor`] to
//! about 1e-6.
//!
//! | inputs | of a model of |
//! |---|---|
//! | `features`, float32 (batch, columns) | a table whose columns all hold numbers, in the order of [`Prepare::inputs`](crate::data::prepare::Prepare::inputs); NaN is missing |
//! | one for each column, (batch, 1), with its name: float32, or string for categories | any other table; NaN and the empty text are missing |
//! | `features`, float32 (batch, values) | images, as pixels from 0 to 255, row by row and the values of a pixel side by side; arrays |
//!
//! | outputs | of a |
//! |---|---|
//! | `probabilities`, float32 (batch, classes), and `label`, (batch): string, or int64 where all names are whole numbers | classification |
//! | `values`, float32 (batch, targets) | regression |
//!
//! The metadata of the file says what the model was trained on: `task`, `loss`, `trained_on`, `split`, `columns` (JSON), and `classes`
//! or `targets` (JSON).

mod graph;
#[cfg(test)]
mod interpreter;
mod metadata;
mod network;
mod ports;
mod prepare;
mod proto;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use prost::Message as _;

use super::{InputScaling, Model};
use crate::error::{Error, Result};
use crate::memory::require_bytes;
use graph::{Graph, ML_DOMAIN};
use prepare::Inputs;
use proto::{ModelProto, OperatorSetIdProto};

pub use ports::{Element, Port, Ports, ports};

/// The opsets, versions of ONNX's operators, that a graph can be written for.
pub const OPSETS: RangeInclusive<u32> = 13..=21;

/// The opset that suits most programs: that of ONNX 1.12, from 2022.
pub const DEFAULT_OPSET: u32 = 17;

/// The version of the operators for encoders of texts.
const ML_VERSION: i64 = 3;

/// The most bytes that a message of protobuf has.
const MOST_BYTES: usize = i32::MAX as usize;

/// The bytes of an ONNX file that computes what the model does; the [module](self) says from what. Equal models have equal bytes.
///
/// # Errors
/// [`Error::Argument`] if the opset is none of [`OPSETS`]. Otherwise if a weight is not finite, the graph would have more than 2 GiB,
/// which protobuf does not allow, or a name or a number of the model has no place in a graph; see [`ports()`].
///
/// ```
/// use densely::data::Dataset;
/// use densely::model::onnx::{DEFAULT_OPSET, ports, to_onnx};
/// use densely::train::{TrainConfig, Trainer};
/// use ndarray::Array2;
///
/// let x = Array2::from_shape_fn((100, 3), |(i, j)| ((i * (7 + 5 * j)) % 19) as f32);
/// let labels: Vec<u32> = x.rows().into_iter().map(|row| u32::from(row[0] > row[1])).collect();
/// let data = Dataset::from_arrays(x, labels)?;
/// let mut config = TrainConfig::default();
/// (config.hidden, config.batch_size, config.epochs) = (vec![8], 20, 1);
/// let model = Trainer::new(config, &data)?.best_model();
///
/// let bytes = to_onnx(&model, DEFAULT_OPSET)?;
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("model.onnx");
/// std::fs::write(&path, bytes).unwrap();
/// assert_eq!(ports(&model)?.inputs[0].to_string(), "features: float32 [batch, 3]");
/// # Ok::<(), densely::Error>(())
/// ```
pub fn to_onnx(model: &Model, opset: u32) -> Result<Vec<u8>> {
    if !OPSETS.contains(&opset) {
        let expected = format!("{} to {}", OPSETS.start(), OPSETS.end());
        return Err(Error::argument("opset", opset.to_string(), expected));
    }
    model.check_finite("model")?;
    let ports = ports(model)?;
    require_room(model)?;
    let mut graph = Graph::new(&ports);
    let inputs = match model.prepare() {
        Some(prepare) => prepare::inputs(&mut graph, prepare, &ports.inputs)?,
        None => values(&mut graph, model, &ports.inputs[0].name),
    };
    let z = network::layers(&mut graph, model, &inputs, opset)?;
    network::outputs(&mut graph, &model.task(), &z);
    let mut opsets = vec![operators("", i64::from(opset))];
    if graph.uses_ml() {
        opsets.push(operators(ML_DOMAIN, ML_VERSION));
    }
    let message = ModelProto {
        ir_version: ir_version(opset),
        producer_name: "densely".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph.finish(&ports)),
        opset_import: opsets,
        metadata_props: metadata::of(model),
    };
    check_size(message.encoded_len())?;
    Ok(message.encode_to_vec())
}

/// The version of the file's format that came with an opset.
fn ir_version(opset: u32) -> i64 {
    match opset {
        ..=18 => 8,
        19 | 20 => 9,
        _ => 10,
    }
}

fn operators(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: Some(domain.to_owned()), version }
}

/// Rejects a model whose numbers alone are too many, before they are copied.
fn require_room(model: &Model) -> Result<()> {
    let components = model.prepare().and_then(|prepare| prepare.pca());
    let values = model.params().len() + components.map_or(0, |pca| pca.components.len());
    let bytes = values.saturating_mul(4);
    check_size(bytes)?;
    // in the graph, and in the file
    require_bytes(2 * bytes as u64, "the ONNX graph of the model", "free some memory")
}

fn check_size(bytes: usize) -> Result<()> {
    match bytes <= MOST_BYTES {
        true => Ok(()),
        false => {
            let problem = format!(
                "the graph of the model has {:.2} GB; expected at most 2.15 GB, which is all that protobuf allows: a smaller network",
                bytes as f64 / 1e9
            );
            Err(Error::invalid("ONNX", problem))
        }
    }
}

/// The inputs of a network that sees values as they are, or pixels as `x / 255`.
fn values(graph: &mut Graph, model: &Model, features: &str) -> Inputs {
    let scaling = model.metadata().map(|metadata| metadata.scaling);
    let name = match scaling == Some(InputScaling::U8Over255) {
        true => {
            let most = graph.floats("largest_pixel", &[], &[255.0]);
            graph.node("Div", &[features, &most], &[])
        }
        false => features.to_owned(),
    };
    Inputs { name, order: (0..model.spec().n_in()).collect() }
}
