//! Values of the flags that are not settings of a run.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::data::Part;
use crate::gemm::BackendChoice;
use crate::model::Activation;
use crate::train::setting::SettingValue;

/// `512,256,128`; nothing at all for no hidden layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes(pub Vec<usize>);

/// `relu,selu,tanh`.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations(pub Vec<Activation>);

/// Parses [`Sizes`].
pub fn sizes(text: &str) -> Result<Sizes, String> {
    SettingValue::parse(text).map(Sizes)
}

/// Parses [`Activations`], of which there has to be one.
pub fn activations(text: &str) -> Result<Activations, String> {
    SettingValue::parse(text).map(Activations)
}

/// Takes the name of a backend.
pub fn backend() -> impl TypedValueParser<Value = BackendChoice> {
    PossibleValuesParser::new(BackendChoice::choices()).try_map(|name| BackendChoice::parse(&name))
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
