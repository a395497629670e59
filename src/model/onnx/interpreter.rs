//! Runs a graph, slowly: the tests' oracle for what the nodes mean. Every tensor is a matrix of numbers or a list of texts.

use std::collections::HashMap;

use prost::Message as _;

use super::proto::{AttributeProto, DataType, ModelProto, NodeProto, TensorProto};
use crate::model::Activation;

/// A tensor: numbers, row-major in rows of a width, or texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    Numbers(Vec<f64>, usize),
    Texts(Vec<String>),
}

impl Tensor {
    fn numbers(&self) -> (&[f64], usize) {
        match self {
            Self::Numbers(values, width) => (values, *width),
            Self::Texts(_) => panic!("texts"),
        }
    }

    fn texts(&self) -> &[String] {
        match self {
            Self::Numbers(..) => panic!("numbers"),
            Self::Texts(texts) => texts,
        }
    }
}

/// The tensors after a run, by name.
pub fn run(file: &[u8], inputs: &[(&str, Tensor)]) -> HashMap<String, Tensor> {
    let graph = ModelProto::decode(file).unwrap().graph.unwrap();
    let mut tensors: HashMap<String, Tensor> =
        inputs.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
    let constants = graph.initializer.iter().map(|tensor| (tensor.name.clone(), constant(tensor)));
    for (name, tensor) in constants {
        assert!(tensors.insert(name.clone(), tensor).is_none(), "{name} twice");
    }
    for node in &graph.node {
        let own: Vec<&Tensor> = node.input.iter().map(|name| &tensors[name]).collect();
        let result = result(node, &own);
        let name = node.output[0].clone();
        assert!(tensors.insert(name.clone(), result).is_none(), "{name} twice");
    }
    tensors
}

fn constant(tensor: &TensorProto) -> Tensor {
    let raw = tensor.raw_data.as_deref().unwrap_or_default();
    let values = match DataType::try_from(tensor.data_type).unwrap() {
        DataType::Float => {
            raw.as_chunks().0.iter().map(|x| f64::from(f32::from_le_bytes(*x))).collect()
        }
        DataType::Int64 => {
            raw.as_chunks().0.iter().map(|x| i64::from_le_bytes(*x) as f64).collect()
        }
        _ => {
            let texts = tensor.string_data.iter().map(|text| String::from_utf8(text.clone()));
            return Tensor::Texts(texts.collect::<Result<_, _>>().unwrap());
        }
    };
    let width = tensor.dims.last().map_or(1, |width| *width as usize);
    Tensor::Numbers(values, width)
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Of two matrices, the second of one row or value, if need be repeated.
fn both(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Tensor {
    let ((a, width), (b, _)) = (a.numbers(), b.numbers());
    Tensor::Numbers(a.iter().enumerate().map(|(i, a)| f(*a, b[i % b.len()])).collect(), width)
}

fn each(x: &Tensor, f: impl Fn(f64) -> f64) -> Tensor {
    let (values, width) = x.numbers();
    Tensor::Numbers(values.iter().map(|x| f(*x)).collect(), width)
}

/// `x w` of x (rows, n) and w (n, m), or its transpose, plus b.
fn product(x: &Tensor, w: &Tensor, b: &[f64], is_transposed: bool) -> Tensor {
    let ((x, n), (w, columns)) = (x.numbers(), w.numbers());
    let m = w.len() / n;
    assert_eq!(columns, if is_transposed { n } else { m });
    let at = |i: usize, j: usize| if is_transposed { w[j * n + i] } else { w[i * m + j] };
    let sum = |row: &[f64], j: usize| (0..n).map(|i| row[i] * at(i, j)).sum::<f64>();
    let bias = |j: usize| b.get(j).copied().unwrap_or(0.0);
    let rows = x.chunks_exact(n);
    Tensor::Numbers(rows.flat_map(|row| (0..m).map(move |j| sum(row, j) + bias(j))).collect(), m)
}

/// Some columns of a matrix, or some entries of a vector.
fn gathered(x: &Tensor, which: &[f64], axis: i64) -> Tensor {
    let positions = which.iter().map(|i| *i as usize);
    match (x, axis) {
        (Tensor::Texts(texts), _) => Tensor::Texts(positions.map(|i| texts[i].clone()).collect()),
        (Tensor::Numbers(values, _), 0) => {
            Tensor::Numbers(positions.map(|i| values[i]).collect(), 1)
        }
        (Tensor::Numbers(values, width), _) => {
            let row = |row: &[f64]| which.iter().map(|i| row[*i as usize]).collect::<Vec<_>>();
            Tensor::Numbers(values.chunks_exact(*width).flat_map(row).collect(), which.len())
        }
    }
}

fn result(node: &NodeProto, x: &[&Tensor]) -> Tensor {
    let integer = |name: &str| attribute(node, name).and_then(|attribute| attribute.i);
    let float = |name: &str| f64::from(attribute(node, name).unwrap().f.unwrap());
    match &node.op_type[..] {
        "Concat" => {
            assert_eq!(integer("axis"), Some(1));
            let parts: Vec<(&[f64], usize)> = x.iter().map(|x| x.numbers()).collect();
            let n_rows = parts[0].0.len() / parts[0].1;
            let row = |i: usize| {
                let cut = |(values, n): &(&[f64], usize)| values[i * n..(i + 1) * n].to_vec();
                parts.iter().flat_map(cut).collect::<Vec<_>>()
            };
            let width = parts.iter().map(|(_, width)| width).sum();
            Tensor::Numbers((0..n_rows).flat_map(row).collect(), width)
        }
        "OneHotEncoder" => {
            let levels = &attribute(node, "cats_strings").unwrap().strings;
            let row = |text: &String| {
                let is_level = |level: &Vec<u8>| f64::from(u8::from(*level == text.as_bytes()));
                levels.iter().map(is_level).collect::<Vec<_>>()
            };
            Tensor::Numbers(x[0].texts().iter().flat_map(row).collect(), levels.len())
        }
        "Squeeze" | "Cast" => x[0].clone(),
        "IsNaN" => each(x[0], |x| f64::from(u8::from(x.is_nan()))),
        "Where" => {
            let chosen = both(x[0], x[1], |is, fill| if is == 1.0 { fill } else { 0.0 });
            let kept = both(x[2], x[0], |x, is| if is == 1.0 { 0.0 } else { x });
            both(&chosen, &kept, |a, b| a + b)
        }
        "Gather" => gathered(x[0], x[1].numbers().0, integer("axis").unwrap()),
        "Add" => both(x[0], x[1], |a, b| a + b),
        "Sub" => both(x[0], x[1], |a, b| a - b),
        "Mul" => both(x[0], x[1], |a, b| a * b),
        "Div" => both(x[0], x[1], |a, b| a / b),
        "MatMul" => product(x[0], x[1], &[], false),
        "Gemm" => product(x[0], x[1], x[2].numbers().0, integer("transB") == Some(1)),
        "Exp" => each(x[0], f64::exp),
        "Sqrt" => each(x[0], f64::sqrt),
        "Clip" => {
            let [least, most] = [1, 2].map(|i| x[i].numbers().0[0]);
            each(x[0], |x| x.clamp(least, most))
        }
        // Phi(x) = gelu(x) / x, and erf(x) = 2 Phi(sqrt(2) x) - 1
        "Erf" => each(x[0], |x| {
            let z = x * std::f64::consts::SQRT_2;
            if z == 0.0 { 0.0 } else { 2.0 * Activation::Gelu.value(z) / z - 1.0 }
        }),
        "Relu" => each(x[0], |z| Activation::Relu.value(z)),
        "Sigmoid" => each(x[0], |z| Activation::Sigmoid.value(z)),
        "Softplus" => each(x[0], |z| z.exp().ln_1p()),
        "LayerNormalization" => {
            let ((values, width), eps) = (x[0].numbers(), float("epsilon"));
            let row = |row: &[f64]| {
                let mean = row.iter().sum::<f64>() / row.len() as f64;
                let squares = row.iter().map(|z| (z - mean).powi(2));
                let deviation = (squares.sum::<f64>() / row.len() as f64 + eps).sqrt();
                row.iter().map(|z| (z - mean) / deviation).collect::<Vec<_>>()
            };
            let rows = values.chunks_exact(width).flat_map(row).collect();
            both(&both(&Tensor::Numbers(rows, width), x[1], |x, gain| x * gain), x[2], |x, b| x + b)
        }
        "Mean" => {
            let (first, width) = x[0].numbers();
            let mean = |i: usize| x.iter().map(|x| x.numbers().0[i]).sum::<f64>() / x.len() as f64;
            Tensor::Numbers((0..first.len()).map(mean).collect(), width)
        }
        "Tanh" => each(x[0], |z| Activation::Tanh.value(z)),
        "LeakyRelu" => each(x[0], |z| if z > 0.0 { z } else { float("alpha") * z }),
        "Elu" => each(x[0], |z| if z > 0.0 { z } else { float("alpha") * z.exp_m1() }),
        "Selu" => {
            let (alpha, gamma) = (float("alpha"), float("gamma"));
            each(x[0], |z| gamma * if z > 0.0 { z } else { alpha * z.exp_m1() })
        }
        "Softmax" => {
            let (values, width) = x[0].numbers();
            let row = |row: &[f64]| {
                let sum: f64 = row.iter().map(|z| z.exp()).sum();
                row.iter().map(|z| z.exp() / sum).collect::<Vec<_>>()
            };
            Tensor::Numbers(values.chunks_exact(width).flat_map(row).collect(), width)
        }
        "ArgMax" => {
            let (values, width) = x[0].numbers();
            let largest = |row: &[f64]| {
                (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as f64
            };
            Tensor::Numbers(values.chunks_exact(width).map(largest).collect(), 1)
        }
        other => panic!("no {other}"),
    }
}
