//! Models as archives of NumPy's arrays.

use super::{Layout, Model, Norm};
use crate::data::npz::{Array, npz_bytes};
use crate::data::prepare::Input;
use crate::error::{Error, Result};
use crate::task::{Regression, Task};

impl Model {
    /// The bytes of an `.npz` archive that `numpy.load` reads without pickles: equal for equal models.
    ///
    /// | array | shape | type | what |
    /// |---|---|---|---|
    /// | `weight_0`, `bias_0`, `weight_1`, ... | (n_out, n_in), (n_out) | float32 | the layers: `z = x weight.T + bias` |
    /// | `gain_0`, `shift_0`, ... | (n_out) | float32 | of a layer norm: `gain (z - mean) / sqrt(variance + 1e-5) + shift`, over the outputs of the layer. Batch norm is a part of the weights |
    /// | `member_0_weight_0`, ... | | | the same of each member of an ensemble, whose probabilities or values are the means of those of its members |
    /// | `activations` | (layers) | text | the activation of each layer, the last one `identity` |
    /// | `classes` | (n_out) | text | the names of the classes, of which the softmax of the last layer is the probability |
    /// | `targets`, `target_center`, `target_scale` | (n_out) | text, float64 | of numbers: the value is `z target_scale + target_center`, for the loss `poisson` `exp(z)` |
    /// | `columns`, `fill`, `center`, `scale`, `indicator` | (columns) | text, float64, bool | of a table of numbers alone: the inputs are `(x - center) / scale`, with `fill` for NaN; where `indicator`, 1 for NaN and 0 for numbers follows as another input. `fill` is NaN where a number must not be missing |
    /// | `squash_center`, `squash_factor` | (inputs) | float64 | of inputs that are bent: `z / sqrt(1 + (z / 3)^2)` with `z = squash_factor (x - squash_center)`, before any principal components |
    /// | `pca_mean`, `pca_components` | (inputs), (components, inputs) | float64, float32 | of principal components: `(x - pca_mean) pca_components.T` |
    /// | `about` | () | text | all of this and the rest as JSON: what a column of texts becomes, how pixels are scaled, what the model was trained on |
    ///
    /// # Errors
    /// If the archive cannot be written.
    pub fn to_npz(&self) -> Result<Vec<u8>> {
        let folded = self.folded()?;
        let mut arrays = Arrays::default();
        let layout = Layout::new(&folded.spec)?;
        for k in 0..layout.members() {
            let params = &folded.params[layout.member(k)];
            let member = match layout.members() {
                1 => String::new(),
                _ => format!("member_{k}_"),
            };
            for (i, layer) in layout.layers().iter().enumerate() {
                let weight = Array::F32(&params[layer.w()]);
                arrays.push(&format!("{member}weight_{i}"), &[layer.n_out, layer.n_in], weight);
                let bias = Array::F32(&params[layer.b()]);
                arrays.push(&format!("{member}bias_{i}"), &[layer.n_out], bias);
                if folded.spec.layers()[i].norm == Norm::Layer {
                    for (which, name) in ["gain", "shift"].into_iter().enumerate() {
                        let values = Array::F32(&params[layer.norm(which)]);
                        arrays.push(&format!("{member}{name}_{i}"), &[layer.n_out], values);
                    }
                }
            }
        }
        let activations = self.spec.layers().iter().map(|layer| layer.activation.name());
        arrays.texts("activations", activations.map(str::to_owned));
        match self.task() {
            Task::Classification { classes } => arrays.texts("classes", classes),
            Task::Regression(Regression { targets, .. }) => {
                arrays.texts("targets", targets.iter().map(|target| target.name.clone()));
                arrays.numbers("target_center", targets.iter().map(|target| target.center));
                arrays.numbers("target_scale", targets.iter().map(|target| target.scale));
            }
        }
        if let Some(prepare) = self.prepare() {
            arrays.columns(prepare.inputs());
            if let Some(squash) = prepare.squash() {
                arrays.numbers("squash_center", squash.center.iter().copied());
                arrays.numbers("squash_factor", squash.factor.iter().copied());
            }
            if let Some(pca) = prepare.pca() {
                arrays.numbers("pca_mean", pca.mean.iter().copied());
                let shape = [pca.n_components(), pca.mean.len()];
                arrays.push("pca_components", &shape, Array::F32(&pca.components));
            }
        }
        if let Some(metadata) = &self.metadata {
            let about = serde_json::to_string(metadata).map_err(|error| unwritable(&error))?;
            arrays.push("about", &[], Array::Text(vec![about]));
        }
        npz_bytes(&arrays.0).map_err(|error| unwritable(&error))
    }
}

fn unwritable(error: &dyn std::fmt::Display) -> Error {
    Error::invalid("model", format!("cannot be written as .npz: {error}"))
}

/// Arrays with their names and shapes.
#[derive(Default)]
struct Arrays<'a>(Vec<(String, Vec<usize>, Array<'a>)>);

impl<'a> Arrays<'a> {
    fn push(&mut self, name: &str, shape: &[usize], values: Array<'a>) {
        self.0.push((name.to_owned(), shape.to_vec(), values));
    }

    fn texts(&mut self, name: &str, texts: impl IntoIterator<Item = String>) {
        let texts: Vec<String> = texts.into_iter().collect();
        self.push(name, &[texts.len()], Array::Text(texts));
    }

    fn numbers(&mut self, name: &str, numbers: impl Iterator<Item = f64>) {
        let numbers: Vec<f64> = numbers.collect();
        self.push(name, &[numbers.len()], Array::F64(numbers));
    }

    /// What becomes of the columns of a table, if all hold numbers.
    fn columns(&mut self, inputs: &[Input]) {
        let number = |input: &Input| match input {
            Input::Number { column, fill, center, scale, indicator } => {
                Some((column.clone(), [fill.unwrap_or(f64::NAN), *center, *scale], *indicator))
            }
            Input::Category { .. } => None,
        };
        let Some(columns) = inputs.iter().map(number).collect::<Option<Vec<_>>>() else { return };
        self.texts("columns", columns.iter().map(|(column, ..)| column.clone()));
        for (i, name) in ["fill", "center", "scale"].into_iter().enumerate() {
            self.numbers(name, columns.iter().map(|(_, values, _)| values[i]));
        }
        let indicator: Vec<bool> = columns.iter().map(|(.., indicator)| *indicator).collect();
        self.push("indicator", &[indicator.len()], Array::Bool(indicator));
    }
}
