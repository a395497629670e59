//! A network with its weights, and facts about the data that it was trained on.

use serde::{Deserialize, Serialize};

use super::state_dict::tensor_name;
use super::{Layout, Norm, Spec, fold, member_prefix};
use crate::data::prepare::Prepare;
use crate::data::{Dataset, Features, Split};
use crate::error::{Error, Result};
use crate::task::{Regression, Task};
use crate::text::plural;

/// What the single output of a network of another program is called.
pub(super) const SINGLE_OUTPUT: &str = "value";

/// A network with its weights, or an ensemble, whose probabilities or values are the means of those of its members.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Sizes and activations.
    pub(crate) spec: Spec,
    /// The flat parameters, laid out by [`Layout`].
    pub(crate) params: Vec<f32>,
    /// Where the model comes from; `None` for a file that another program wrote.
    pub(crate) metadata: Option<Metadata>,
    /// What another program's file calls the layers: the names of their tensors without `.weight` and `.bias`. Empty for the names
    /// that densely writes.
    pub(crate) layer_names: Vec<String>,
}

/// How raw feature values become inputs.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputScaling {
    /// Bytes, divided by 255.
    #[serde(rename = "u8/255")]
    U8Over255,
    /// Unchanged.
    #[serde(rename = "none")]
    None,
}

/// Facts about the data that a model was trained on.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// How inputs are scaled.
    pub scaling: InputScaling,
    /// Height and width, if the inputs are pixels.
    pub image: Option<(usize, usize)>,
    /// Values of a pixel, side by side: 1 for grey images, 3 for coloured ones.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub channels: usize,
    /// The name of each class; empty for a regression.
    pub labels: Vec<String>,
    /// What the outputs of a regression mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regression: Option<Regression>,
    /// What makes inputs of the rows of a table; `None` for other data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Prepare>,
    /// The split that the model was trained with.
    pub split: Split,
    /// What [`Split::Auto`] drew by.
    #[serde(default)]
    pub split_seed: u64,
    /// [`Dataset::fingerprint`] of the whole data set.
    pub data_fingerprint: String,
}

pub(super) fn one() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
pub(super) fn is_one(n: &usize) -> bool {
    *n == 1
}

impl InputScaling {
    /// The scaling for the features of a data set.
    pub fn of(data: &Dataset) -> Self {
        match data.features() {
            Features::U8(_) => Self::U8Over255,
            Features::F32(_) => Self::None,
        }
    }

    /// A description for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8Over255 => "bytes (divided by 255)",
            Self::None => "numbers (taken as they are)",
        }
    }
}

impl Metadata {
    /// The metadata of a model trained on `data` with `split`; see [`Metadata::with_task`] for a regression. `data_fingerprint` is [`Dataset::fingerprint`], which takes
    /// time to compute.
    pub fn of(data: &Dataset, split: Split, split_seed: u64, data_fingerprint: String) -> Self {
        Self {
            scaling: InputScaling::of(data),
            image: data.image(),
            channels: data.channels(),
            labels: data.classes().to_vec(),
            regression: None,
            prepare: data.prepare().map(|prepare| Prepare::clone(prepare)),
            split,
            split_seed,
            data_fingerprint,
        }
    }

    /// The same metadata of a model that was trained for this task.
    #[must_use]
    pub fn with_task(mut self, task: &Task) -> Self {
        (self.labels, self.regression) = match task {
            Task::Classification { classes } => (classes.clone(), None),
            Task::Regression(regression) => (Vec::new(), Some(regression.clone())),
        };
        self
    }

    /// The number of outputs that it names.
    pub(super) fn n_outputs(&self) -> usize {
        self.regression.as_ref().map_or(self.labels.len(), |regression| regression.targets.len())
    }
}

impl Model {
    /// A network with its flat parameters, laid out by [`Layout`].
    ///
    /// # Errors
    /// If the number of parameters or of class names does not fit the network.
    pub fn new(spec: Spec, params: Vec<f32>, metadata: Option<Metadata>) -> Result<Self> {
        let expected = Layout::new(&spec)?.len();
        if params.len() != expected {
            return Err(Error::argument(
                "params",
                plural(params.len(), "value"),
                format!("{expected}, the number of the network's parameters"),
            ));
        }
        let labels = metadata.as_ref().map_or(spec.n_out(), Metadata::n_outputs);
        if labels != spec.n_out() {
            return Err(Error::argument(
                "labels",
                plural(labels, "name"),
                format!("{}, one for each output", spec.n_out()),
            ));
        }
        Ok(Self { spec, params, metadata, layer_names: Vec::new() })
    }

    /// Sizes and activations.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The flat parameters, laid out by [`Layout`].
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// Where the model comes from; `None` for a file that another program wrote.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// The name of each layer in the file of another program, which decides their order: `net.0` of the tensors `net.0.weight` and
    /// `net.0.bias`.
    pub fn layer_names(&self) -> Vec<String> {
        match &self.layer_names[..] {
            [] => (0..self.spec.layers().len()).map(|i| format!("layers.{i}")).collect(),
            names => names.to_vec(),
        }
    }

    /// The networks of an ensemble, each as a model of its own; the model itself if it is one network.
    pub fn members(&self) -> Vec<Self> {
        let len = self.params.len() / self.spec.members();
        let member = |params: &[f32]| Self {
            spec: self.spec.member(),
            params: params.to_vec(),
            metadata: self.metadata.clone(),
            layer_names: self.layer_names.clone(),
        };
        self.params.chunks_exact(len).map(member).collect()
    }

    /// The same model with batch norm and the factors of inputs multiplied into its weights: other weights, a network without these, and the same outputs except for rounding.
    ///
    /// # Errors
    /// If there are too many parameters to address.
    pub fn folded(&self) -> Result<Self> {
        if !self.spec.folds() {
            return Ok(self.clone());
        }
        let layout = Layout::new(&self.spec)?;
        let mut params = self.params.clone();
        let mut folded = Vec::new();
        for k in 0..layout.members() {
            let params = &mut params[layout.member(k)];
            fold(params, &self.spec, &layout);
            for (l, place) in layout.layers().iter().enumerate() {
                folded.extend_from_slice(&params[place.w()]);
                folded.extend_from_slice(&params[place.b()]);
                if self.spec.layers()[l].norm == Norm::Layer {
                    folded.extend_from_slice(&params[place.norm(0)]);
                    folded.extend_from_slice(&params[place.norm(1)]);
                }
            }
        }
        let mut spec = self.spec.clone().with_input_scales(false);
        if spec.norm() == Norm::Batch {
            spec = spec.with_norm(Norm::None);
        }
        Ok(Self { spec, params: folded, ..self.clone() })
    }

    /// What makes inputs of the rows of a table; `None` for a model of other data.
    pub fn prepare(&self) -> Option<&Prepare> {
        self.metadata.as_ref()?.prepare.as_ref()
    }

    /// What the outputs mean. A model without metadata is taken for one of classes.
    pub fn task(&self) -> Task {
        match self.metadata.as_ref().and_then(|metadata| metadata.regression.clone()) {
            Some(regression) => Task::Regression(regression),
            // another program's: a single output is a number
            None if self.metadata.is_none() && self.spec.n_out() == 1 => {
                Task::Regression(Regression::unscaled(&[SINGLE_OUTPUT.to_owned()]))
            }
            None => Task::Classification { classes: self.labels() },
        }
    }

    /// The name of each class: from the metadata, or else its number.
    pub fn labels(&self) -> Vec<String> {
        match &self.metadata {
            Some(metadata) if metadata.labels.len() == self.spec.n_out() => metadata.labels.clone(),
            _ => (0..self.spec.n_out()).map(|class| class.to_string()).collect(),
        }
    }

    /// Checks that all weights are finite. The message starts with `name`.
    ///
    /// # Errors
    /// If a weight is not; names its layer, or the tensor in the file of another program.
    pub fn check_finite(&self, name: &str) -> Result<()> {
        let layout = Layout::new(&self.spec)?;
        for k in 0..layout.members() {
            let params = &self.params[layout.member(k)];
            let factors = layout.input_scales().map_or(&[][..], |one| &params[one.range.clone()]);
            if factors.iter().any(|x| !x.is_finite()) {
                let problem = "the factors of its inputs are not finite; expected numbers (the training diverged: a lower learning rate helps)";
                return Err(Error::invalid(name, problem));
            }
            for i in 0..layout.layers().len() {
                for tensor in layout.tensors_of(i) {
                    let kind = tensor.shape.len(); // of two axes: weights
                    let kind = if kind == 2 { "weight" } else { "bias" };
                    let values = &params[tensor.range.clone()];
                    let Some(first) = values.iter().find(|x| !x.is_finite()) else { continue };
                    let of_member = match layout.members() {
                        1 => String::new(),
                        _ => format!(" of member {k}"),
                    };
                    let problem = match self.metadata {
                        Some(_) => format!(
                            "layer {i}{of_member} holds weights that are not finite; expected numbers (the training diverged: a \
                             lower learning rate helps)"
                        ),
                        None => format!(
                            "{} holds {first}; expected finite numbers alone",
                            tensor_name(
                                &(member_prefix(layout.members(), k) + &self.layer_names()[i]),
                                kind
                            )
                        ),
                    };
                    return Err(Error::invalid(name, problem));
                }
            }
        }
        Ok(())
    }

    /// Gives `data` the model's classes: by name, or by number if the model has no names. A regression needs the model's targets.
    ///
    /// # Errors
    /// If the data has a class that the model does not know, or other targets than it estimates.
    pub fn match_classes(&self, data: Dataset) -> Result<Dataset> {
        let n_out = self.spec.n_out();
        match &self.metadata {
            Some(Metadata { regression: Some(regression), .. }) => {
                let names = || regression.targets.iter().map(|target| &target.name);
                match data.target_names().iter().eq(names()) {
                    true => Ok(data),
                    false => {
                        let expected = names().cloned().collect::<Vec<_>>().join(", ");
                        let found = match data.target_names() {
                            [] => "classes".to_owned(),
                            names => names.join(", "),
                        };
                        let problem =
                            format!("the targets are {found}; the model estimates {expected}");
                        Err(Error::invalid(data.name(), problem))
                    }
                }
            }
            _ if data.is_regression() => {
                let problem = "the targets are numbers; the model knows classes";
                Err(Error::invalid(data.name(), problem))
            }
            Some(metadata) => data.with_classes_of(&metadata.labels),
            None if data.n_classes() <= n_out => Ok(data),
            None => {
                let problem =
                    format!("{}; the model knows {n_out}", plural(data.n_classes(), "class"));
                Err(Error::invalid(data.name(), problem))
            }
        }
    }

    /// Checks that the model can read `data`.
    ///
    /// # Errors
    /// If the number of features, the size of the images or the kind of values does not fit.
    pub fn check_inputs(&self, data: &Dataset) -> Result<()> {
        let n_in = self.spec.n_in();
        let image = self.metadata.as_ref().and_then(|own| Some((own.image?, own.channels)));
        let found_image = data.image().map(|size| (size, data.channels()));
        let other_image = image.zip(found_image).is_some_and(|(expected, found)| expected != found);
        if n_in != data.n_features() || other_image {
            let size = |n: usize, image: Option<((usize, usize), usize)>| match image {
                Some(((height, width), 1)) => format!("images of {height}x{width}"),
                Some(((height, width), n)) => {
                    format!("images of {height}x{width} with {n} values a pixel")
                }
                None => plural(n, "feature"),
            };
            let found = size(data.n_features(), found_image);
            let problem = format!("found {found}; the model expects {}", size(n_in, image));
            return Err(Error::invalid(data.name(), problem));
        }
        let found = InputScaling::of(data);
        match &self.metadata {
            Some(metadata) if metadata.scaling != found => Err(Error::invalid(
                data.name(),
                format!(
                    "inputs are {}; the model expects {}",
                    found.name(),
                    metadata.scaling.name()
                ),
            )),
            _ => Ok(()),
        }
    }
}
