use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView, serialize};

use super::{f32_of_f16, natural};
use crate::error::Result;
use crate::model::{Activation, Model};

/// A tensor of a made-up file.
struct Tensor(&'static str, Vec<usize>, Dtype, Vec<u8>);

fn tensor(name: &'static str, shape: &[usize], dtype: Dtype, bytes: Vec<u8>) -> Tensor {
    Tensor(name, shape.to_vec(), dtype, bytes)
}

/// Numbers from `first` on, a quarter apart: every type holds them exactly.
fn f32s(name: &'static str, shape: &[usize], first: f32) -> Tensor {
    let n: usize = shape.iter().product();
    let bytes = (0..n).flat_map(|i| (first + i as f32 / 4.0).to_le_bytes()).collect();
    tensor(name, shape, Dtype::F32, bytes)
}

/// The same tensor in another type.
fn as_type(Tensor(name, shape, _, bytes): Tensor, dtype: Dtype) -> Tensor {
    let values = bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x));
    let bytes = match dtype {
        Dtype::F64 => values.flat_map(|x| f64::from(x).to_le_bytes()).collect(),
        Dtype::BF16 => values.flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        Dtype::F16 => values.flat_map(|x| half_of(x).to_le_bytes()).collect(),
        _ => bytes,
    };
    Tensor(name, shape, dtype, bytes)
}

/// The value of 16 bits, from the definition of binary16.
fn value_of(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    sign * match (exponent, fraction) {
        (31, 0.0) => f64::INFINITY,
        (31, _) => f64::NAN,
        (0, fraction) => fraction * 2f64.powi(-14),
        (exponent, fraction) => (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

/// The bits of a number that 16 bits hold exactly.
fn half_of(x: f32) -> u16 {
    (0..=u16::MAX).find(|&bits| value_of(bits) == f64::from(x)).unwrap()
}

fn read(tensors: &[Tensor]) -> Result<Model> {
    let views = tensors.iter().map(|Tensor(name, shape, dtype, bytes)| {
        (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Model::from_bytes(&serialize(views, Some(metadata)).unwrap(), &[Activation::Tanh])
}

fn message(tensors: &[Tensor]) -> String {
    read(tensors).unwrap_err().to_string()
}

#[test]
fn layers_are_read_in_natural_order() {
    for names in [
        ["0.weight", "0.bias", "2.weight", "2.bias", "10.weight", "10.bias"],
        [
            "net.2.weight",
            "net.2.bias",
            "net.4.weight",
            "net.4.bias",
            "net.10.weight",
            "net.10.bias",
        ],
        ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "out.weight", "out.bias"],
        ["a.weight", "a.bias", "a.b9.c.weight", "a.b9.c.bias", "a.b010.c.weight", "a.b010.c.bias"],
    ] {
        let shapes: [&[usize]; 6] = [&[4, 3], &[4], &[2, 4], &[2], &[5, 2], &[5]];
        let mut tensors: Vec<Tensor> = names
            .into_iter()
            .zip(shapes)
            .enumerate()
            .map(|(i, (name, shape))| f32s(name, shape, 100.0 * i as f32))
            .collect();
        tensors.reverse();
        let model = read(&tensors).unwrap();
        let spec = model.spec();
        assert_eq!((spec.n_in(), spec.hidden(), spec.n_out()), (3, vec![4, 2], 5), "{names:?}");
        assert_eq!(spec.activations(), [Activation::Tanh; 2]);
        let layers = crate::model::Layout::new(spec).unwrap();
        for (i, layer) in layers.layers().iter().enumerate() {
            assert_eq!(model.params()[layer.w().start], 200.0 * i as f32);
            assert_eq!(model.params()[layer.b().start], 200.0 * i as f32 + 100.0);
        }
        assert!(model.metadata().is_none());
    }
}

#[test]
fn a_single_layer_may_have_no_prefix() {
    let model = read(&[f32s("weight", &[2, 3], 0.0), f32s("bias", &[2], 9.0)]).unwrap();
    assert_eq!((model.spec().hidden(), model.params()[6]), (vec![], 9.0));
}

#[test]
fn every_floating_point_type_is_converted() {
    let tensors = || [f32s("0.weight", &[4, 5], -2.0), f32s("0.bias", &[4], 0.5)];
    let expected = read(&tensors()).unwrap();
    for dtype in [Dtype::F64, Dtype::F16, Dtype::BF16] {
        let converted = tensors().map(|tensor| as_type(tensor, dtype));
        assert_eq!(read(&converted).unwrap(), expected, "{dtype:?}");
    }
    let [weight, bias] = tensors();
    assert_eq!(read(&[weight, as_type(bias, Dtype::F16)]).unwrap(), expected);
    // values that only the wide type has are rounded, or rejected
    let wide = |x: f64| {
        let bytes = [0.1, x].into_iter().flat_map(f64::to_le_bytes).collect();
        [tensor("h.weight", &[2, 1], Dtype::F64, bytes), f32s("h.bias", &[2], 0.0)]
    };
    assert_eq!(read(&wide(-1e-300)).unwrap().params()[..2], [0.1, 0.0]);
    assert!(read(&wide(f64::INFINITY)).unwrap().check_finite("it").is_err());
    let found = message(&wide(-1e39));
    assert!(found.contains("h.weight holds -1e39, which is too large for f32"), "{found}");
}

#[test]
fn all_halves_are_exact() {
    for bits in 0..=u16::MAX {
        let (found, expected) = (f32_of_f16(bits), value_of(bits) as f32);
        let same = found.to_bits() == expected.to_bits();
        assert!(same || found.is_nan() && expected.is_nan(), "{bits:#x}: {found} {expected}");
    }
}

#[test]
fn what_is_no_chain_of_linear_layers_is_named() {
    let layer = || vec![f32s("0.weight", &[4, 3], 0.0), f32s("0.bias", &[4], 0.0)];
    let with = |mut more: Vec<Tensor>| {
        more.extend(layer());
        message(&more)
    };
    let f32 = Dtype::F32;
    for (found, expected) in [
        (message(&[]), "it holds no tensors; expected the weights and biases"),
        (message(&layer()[..1]), "0.weight has no 0.bias beside it; expected a bias (4)"),
        (message(&layer()[1..]), "0.bias has no 0.weight beside it"),
        (
            with(vec![f32s("1.weight", &[4], 1.0), f32s("1.bias", &[4], 0.0)]),
            "1.weight has the shape [4], expected (n_out, n_in), a linear layer; fold a normalisation",
        ),
        (
            with(vec![f32s("1.weight", &[2, 1, 3, 3], 1.0), f32s("1.bias", &[2], 0.0)]),
            "1.weight has the shape [2, 1, 3, 3], expected (n_out, n_in), a linear layer; densely trains",
        ),
        (
            with(vec![f32s("1.running_mean", &[4], 1.0)]),
            "1.running_mean (F32, shape [4]) is no weight or bias; expected those of linear layers alone, such as 0.weight and 0.bias; fold batch normalisation",
        ),
        (
            with(vec![f32s("embedding", &[4], 1.0)]),
            "embedding (F32, shape [4]) is no weight or bias",
        ),
        (
            with(vec![f32s("2.weight", &[2, 5], 0.0), f32s("2.bias", &[2], 0.0)]),
            "2.weight has 5 columns, expected 4, the rows of 0.weight, which comes before it",
        ),
        (
            with(vec![f32s("2.weight", &[2, 4], 0.0), f32s("2.bias", &[3], 0.0)]),
            "2.bias has the shape [3], expected [2], the rows of 2.weight",
        ),
        (
            with(vec![f32s("2.weight", &[2, 4], 0.0), f32s("2.bias", &[2, 1], 0.0)]),
            "2.bias has the shape [2, 1]",
        ),
        (
            with(vec![
                tensor("2.weight", &[2, 4], Dtype::I8, vec![0; 8]),
                f32s("2.bias", &[2], 0.0),
            ]),
            "2.weight is of type I8, expected F32, F16, BF16 or F64",
        ),
        (
            with(vec![
                tensor("2.weight", &[0, 4], f32, vec![]),
                tensor("2.bias", &[0], f32, vec![]),
            ]),
            "2.weight has the shape [0, 4], expected at least 1",
        ),
        (with(vec![f32s("a\nb", &[1], 0.0)]), r"a\nb (F32, shape [1]) is no weight or bias"),
        // a classifier comes before its features by name
        (
            message(&[
                f32s("features.weight", &[4, 3], 0.0),
                f32s("features.bias", &[4], 0.0),
                f32s("classifier.weight", &[2, 4], 0.0),
                f32s("classifier.bias", &[2], 0.0),
            ]),
            "features.weight has 3 columns, expected 2, the rows of classifier.weight",
        ),
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!found.contains('\n'), "{found}");
    }
}

#[test]
fn the_order_of_names_counts_numbers() {
    let sorted = [
        "",
        "0.weight",
        "01.bias",
        "1.bias",
        "2.bias",
        "10.bias",
        "18446744073709551616.bias",
        "18446744073709551617.bias",
        "a",
        "a.b",
        "a1",
        "a2b",
        "a10b",
        "b",
    ];
    for (i, a) in sorted.iter().enumerate() {
        for (j, b) in sorted.iter().enumerate() {
            assert_eq!(natural(a, b), i.cmp(&j), "{a} {b}");
        }
    }
}
