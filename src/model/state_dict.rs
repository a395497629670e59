//! Reads what other programs store as safetensors: a PyTorch state dict of linear layers, `0.weight`, `0.bias`, `2.weight`, and so on.
//!
//! Such a file has no order of its own, so that the layers are taken in the natural order of their names, in which numbers count
//! as numbers: `net.2` comes before `net.10`. A weight is (n_out, n_in), and its bias (n_out) has the same prefix.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::memory::{require_memory, too_large, try_reserve};
use crate::text::{first_ones, plural};

/// A chain of linear layers.
pub(super) struct Linears {
    /// The inputs of the first layer, then the outputs of each.
    pub sizes: Vec<usize>,
    /// Laid out as by [`super::Layout`].
    pub params: Vec<f32>,
    /// What comes before `.weight` and `.bias`, for each layer; empty for the names that densely writes.
    pub names: Vec<String>,
}

/// The tensors of a layer.
#[derive(Default)]
struct Pair<'a> {
    weight: Option<TensorView<'a>>,
    bias: Option<TensorView<'a>>,
}

impl Linears {
    /// Reads all tensors of a file, which have to be the weights and biases of linear layers, each with as many inputs as the layer
    /// before has outputs.
    ///
    /// # Errors
    /// Names the first tensor that is none of these, what was expected, and what to do.
    pub fn read(tensors: &SafeTensors<'_>) -> Result<Self> {
        let mut names = tensors.names();
        names.sort_unstable_by(|a, b| natural(a, b));
        let mut pairs: BTreeMap<Prefix<'_>, Pair<'_>> = BTreeMap::new();
        let mut capacity = 0usize;
        for &name in &names {
            let tensor = tensors.tensor(name).map_err(|error| invalid(error.to_string()))?;
            let (prefix, kind) = name.rsplit_once('.').unwrap_or(("", name));
            let pair = match kind {
                "weight" | "bias" => pairs.entry(Prefix(prefix)).or_default(),
                _ => return Err(stranger(name, kind, &tensor)),
            };
            // every number takes at least two bytes, so that the file's length bounds the sum
            capacity += numbers(name, &tensor)?;
            match kind {
                "weight" => pair.weight = Some(tensor),
                _ => pair.bias = Some(tensor),
            }
        }
        if pairs.is_empty() {
            return Err(invalid(
                "it holds no tensors; expected the weights and biases of linear layers, such as 0.weight and 0.bias",
            ));
        }
        require_memory(capacity, "the model")?;
        let mut linears = Self {
            sizes: Vec::with_capacity(pairs.len() + 1),
            params: Vec::new(),
            names: pairs.keys().map(|Prefix(prefix)| (*prefix).to_owned()).collect(),
        };
        let is_own = |(i, name): (usize, &String)| *name == format!("layers.{i}");
        if linears.names.iter().enumerate().all(is_own) {
            linears.names.clear();
        }
        try_reserve(&mut linears.params, capacity).map_err(|_| too_large(capacity, "the model"))?;
        let mut before = "";
        for (Prefix(prefix), pair) in &pairs {
            linears.push(prefix, pair, before)?;
            before = prefix;
        }
        Ok(linears)
    }

    /// Appends a layer to those before, the last of which is called `before`.
    fn push(&mut self, prefix: &str, pair: &Pair<'_>, before: &str) -> Result<()> {
        let (weight_name, bias_name) = (tensor_name(prefix, "weight"), tensor_name(prefix, "bias"));
        let Some(weight) = &pair.weight else {
            return Err(invalid(format!(
                "{bias_name} has no {weight_name} beside it; expected both of each layer"
            )));
        };
        let &[n_out, n_in] = weight.shape() else {
            return Err(invalid(format!(
                "{weight_name} has the shape {:?}, expected (n_out, n_in), a linear layer; {}",
                weight.shape(),
                match weight.shape().len() {
                    0 | 1 => "fold a normalisation into the linear layer beside it",
                    _ => "densely trains multilayer perceptrons, without convolutions",
                }
            )));
        };
        if n_out == 0 || n_in == 0 {
            return Err(invalid(format!(
                "{weight_name} has the shape [{n_out}, {n_in}], expected at least 1 each"
            )));
        }
        let Some(bias) = &pair.bias else {
            return Err(invalid(format!(
                "{weight_name} has no {bias_name} beside it; expected a bias ({n_out}) for each weight: zeros, for a layer without one"
            )));
        };
        if bias.shape() != [n_out] {
            return Err(invalid(format!(
                "{bias_name} has the shape {:?}, expected [{n_out}], the rows of {weight_name}",
                bias.shape()
            )));
        }
        match self.sizes.last() {
            None => self.sizes.push(n_in),
            Some(&outputs) if outputs == n_in => {}
            Some(outputs) => {
                let above = tensor_name(before, "weight");
                return Err(invalid(format!(
                    "{weight_name} has {}, expected {outputs}, the rows of {above}, which comes before it; layers are \
                     taken in the order of their names, with numbers as numbers, and weights are (n_out, n_in): rename or \
                     transpose them",
                    plural(n_in, "column")
                )));
            }
        }
        self.sizes.push(n_out);
        append_values(&mut self.params, &weight_name, weight)?;
        append_values(&mut self.params, &bias_name, bias)
    }
}

/// Whether names of layers differ in more than numbers, so that their order, which is that of an alphabet, may not be the one that is
/// meant.
#[cfg(feature = "cli")]
pub fn is_order_open(names: &[String]) -> bool {
    let without_numbers = |name: &String| name.replace(|c: char| c.is_ascii_digit(), "");
    names.iter().any(|name| without_numbers(name) != without_numbers(&names[0]))
}

/// The part of a name before `.weight`, in natural order.
#[derive(PartialEq, Eq)]
struct Prefix<'a>(&'a str);

impl Ord for Prefix<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        natural(self.0, other.0)
    }
}

impl PartialOrd for Prefix<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The name of a tensor of a layer.
pub(super) fn tensor_name(prefix: &str, kind: &str) -> String {
    match prefix {
        "" => kind.to_owned(),
        prefix => format!("{prefix}.{kind}"),
    }
}

/// The order in which people count: a run of digits is a number. Only equal names are equal.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        let (number, other) = (digits(left), digits(right));
        let order = if number.is_empty() || other.is_empty() {
            match (left.split_first(), right.split_first()) {
                // `1` and `01` are one number, but two names
                (None, None) => return a.cmp(b),
                (None, Some(_)) => return Ordering::Less,
                (Some(_), None) => return Ordering::Greater,
                (Some((x, rest)), Some((y, rest_of_other))) => {
                    (left, right) = (rest, rest_of_other);
                    x.cmp(y)
                }
            }
        } else {
            (left, right) = (&left[number.len()..], &right[other.len()..]);
            let (x, y) = (without_zeros(number), without_zeros(other));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// The digits that a text begins with.
fn digits(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let start = digits.iter().position(|&digit| digit != b'0').unwrap_or(digits.len());
    &digits[start..]
}

/// The error of a tensor that is neither a weight nor a bias.
fn stranger(name: &str, kind: &str, tensor: &TensorView<'_>) -> Error {
    let remedy = match kind {
        "running_mean" | "running_var" | "num_batches_tracked" => {
            "fold batch normalisation into the linear layer beside it"
        }
        _ => "leave out what is no linear layer",
    };
    invalid(format!(
        "{name} ({:?}, shape {:?}) is no weight or bias; expected those of linear layers alone, such as 0.weight and 0.bias; {remedy}",
        tensor.dtype(),
        tensor.shape()
    ))
}

/// How many numbers a tensor has, which have to be floating-point numbers of 16 bits or more.
fn numbers(name: &str, tensor: &TensorView<'_>) -> Result<usize> {
    match tensor.dtype() {
        Dtype::F16 | Dtype::BF16 => Ok(tensor.data().len() / 2),
        Dtype::F32 => Ok(tensor.data().len() / 4),
        Dtype::F64 => Ok(tensor.data().len() / 8),
        other => Err(invalid(format!(
            "{name} is of type {other:?}, expected F32, F16, BF16 or F64: in PyTorch, convert it with .float()"
        ))),
    }
}

/// Appends a tensor's numbers as f32. Of f64 they are rounded.
///
/// # Errors
/// If the tensor is of another type, or a finite number in it is too large for f32.
pub(super) fn append_values(
    params: &mut Vec<f32>,
    name: &str,
    tensor: &TensorView<'_>,
) -> Result<()> {
    let data = tensor.data();
    let first = params.len();
    match tensor.dtype() {
        Dtype::F32 => params.extend(data.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x))),
        Dtype::F64 => {
            let values = data.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x));
            params.extend(values.clone().map(|x| x as f32));
            let mut pairs = values.zip(&params[first..]);
            if let Some((x, _)) = pairs.find(|(x, y)| x.is_finite() && !y.is_finite()) {
                return Err(invalid(format!(
                    "{name} holds {x:e}, which is too large for f32; expected at most {:e}",
                    f32::MAX
                )));
            }
        }
        Dtype::F16 => {
            let bits = data.as_chunks().0.iter().map(|x| u16::from_le_bytes(*x));
            params.extend(bits.map(f32_of_f16));
        }
        Dtype::BF16 => {
            // the upper half of an f32
            let bits = data.as_chunks().0.iter().map(|x| u16::from_le_bytes(*x));
            params.extend(bits.map(|bits| f32::from_bits(u32::from(bits) << 16)));
        }
        _ => return numbers(name, tensor).map(|_| ()),
    }
    Ok(())
}

/// A number of IEEE 754's binary16 from its bits: a sign, 5 bits of exponent, 10 of fraction. Exact.
fn f32_of_f16(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 0x1f, u32::from(bits) & 0x3ff);
    match exponent {
        // a multiple of the least number, 2^-24
        0 => f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13),
    }
}

/// The names of some tensors, for messages.
pub(super) fn shown_names(tensors: &SafeTensors<'_>) -> String {
    let mut names = tensors.names();
    names.sort_unstable_by(|a, b| natural(a, b));
    first_ones(&names)
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid("model", problem)
}

#[cfg(test)]
mod tests;
