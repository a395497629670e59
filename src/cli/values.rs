//! Values of flags that are lists or names.

use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use densely::data::Part;
use densely::gemm::BackendChoice;
use densely::model::{Activation, Init};

/// `512,256,128`; nothing at all is no hidden layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes(pub Vec<usize>);

/// `relu,selu,tanh`.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations(pub Vec<Activation>);

/// Parses [`Sizes`].
pub fn sizes(text: &str) -> Result<Sizes, String> {
    let parse = |piece: &str| match piece.parse() {
        Ok(0) => Err("a layer of 0 units; expected at least 1".to_owned()),
        Ok(size) => Ok(size),
        Err(error) => Err(format!("`{piece}`: {error}; expected sizes such as 512,256,128")),
    };
    pieces(text).map(parse).collect::<Result<_, _>>().map(Sizes)
}

/// Parses [`Activations`].
pub fn activations(text: &str) -> Result<Activations, String> {
    let parse = |piece: &str| piece.parse::<Activation>().map_err(|error| error.to_string());
    pieces(text).map(parse).collect::<Result<_, _>>().map(Activations)
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let count = if text.trim().is_empty() { 0 } else { usize::MAX };
    text.split(',').map(str::trim).take(count)
}

/// Takes the name of an initialisation.
pub fn init() -> impl TypedValueParser<Value = Init> {
    PossibleValuesParser::new(Init::ALL.map(Init::name)).try_map(|name| name.parse::<Init>())
}

/// Takes the name of a backend.
pub fn backend() -> impl TypedValueParser<Value = BackendChoice> {
    PossibleValuesParser::new(["auto", "blas", "rust"]).map(|name| match name.as_str() {
        "blas" => BackendChoice::Blas,
        "rust" => BackendChoice::Rust,
        _ => BackendChoice::Auto,
    })
}

/// Takes the name of a part of a split.
pub fn part() -> impl TypedValueParser<Value = Part> {
    PossibleValuesParser::new(["train", "val", "test", "all"]).map(|name| match name.as_str() {
        "train" => Part::Train,
        "val" => Part::Val,
        "all" => Part::All,
        _ => Part::Test,
    })
}

/// A whole number that a configuration file can hold.
pub fn count() -> impl TypedValueParser<Value = u64> {
    RangedU64ValueParser::<u64>::new().range(..=i64::MAX as u64)
}

/// `on` or `off`.
pub fn on_off() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|word| word == "on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        assert_eq!(sizes("512, 256,1").unwrap(), Sizes(vec![512, 256, 1]));
        assert_eq!(sizes("").unwrap(), Sizes(vec![]));
        assert_eq!(activations("relu").unwrap(), Activations(vec![Activation::Relu]));
        for odd in ["1,,2", "x", "-1", "0", "99999999999999999999", "1.5"] {
            assert!(sizes(odd).is_err(), "{odd}");
        }
        assert!(activations("relu,").is_err());
    }
}
