//! A model for other data than its own: a new output layer, and the meaning of outputs that a file does not name.

use super::init::initialize_layer;
use super::network::SINGLE_OUTPUT;
use super::{Init, InputScaling, Layout, Metadata, Model, Spec};
use crate::data::prepare::{Prepare, Target};
use crate::data::table::Table;
use crate::data::{Dataset, Split};
use crate::error::{Error, Result};
use crate::memory::{require_memory, too_large, try_reserve};
use crate::rng::member_seed;
use crate::task::{Loss, Regression, Task};
use crate::text::plural;

impl Model {
    /// The same layers with a new output layer of `n_out` classes or targets, whose weights are those that a new network of these sizes
    /// begins with: drawn by `init` and `seed`, biases 0. What the old outputs meant is forgotten: the result has no metadata.
    ///
    /// # Errors
    /// If `n_out` is 0 or the network becomes too large; [`Error::MissingFeature`] for `orthogonal` in a build without LAPACK.
    ///
    /// ```
    /// use densely::model::{Init, Layout, Model, Spec};
    ///
    /// let model = Model::new(Spec::new(2, &[3], &[], 10)?, vec![0.5; 2 * 3 + 3 + 3 * 10 + 10], None)?;
    /// let other = model.with_new_head(4, Init::Auto, 0)?;
    /// assert_eq!((other.spec().hidden(), other.spec().n_out()), (vec![3], 4));
    /// assert_eq!(other.params()[..9], [0.5; 9]);
    /// # Ok::<(), densely::Error>(())
    /// ```
    pub fn with_new_head(&self, n_out: usize, init: Init, seed: u64) -> Result<Self> {
        let (hidden, activations) = (self.spec.hidden(), self.spec.activations());
        let spec = Spec::new(self.spec.n_in(), &hidden, &activations, n_out)?;
        let spec = spec.with_norm(self.spec.norm()).with_input_scales(self.spec.scales_inputs());
        let spec = spec.with_members(self.spec.members())?;
        let layout = Layout::new(&spec)?;
        let head = hidden.len();
        let trunk = layout.layers()[head].w().start;
        require_memory(layout.len(), "the model")?;
        let mut params = Vec::new();
        try_reserve(&mut params, layout.len()).map_err(|_| too_large(layout.len(), "the model"))?;
        params.resize(layout.len(), 0.0);
        let old = self.params.chunks_exact(self.params.len() / self.spec.members());
        for (k, old) in old.enumerate() {
            let (params, seed) = (&mut params[layout.member(k)], member_seed(seed, k));
            params[..trunk].copy_from_slice(&old[..trunk]);
            initialize_layer(params, &spec, &layout, head, init, seed)?;
        }
        Self::new(spec, params, None)
    }

    /// What keeps this model from being trained on with a loss for numbers: the loss that it was trained with, if its outputs are
    /// logarithms and those of `loss` are numbers, or the other way round, and a sentence about it whose subject is the model. `None`
    /// also without metadata, which does not say.
    pub(crate) fn other_outputs(&self, loss: Loss) -> Option<(Loss, String)> {
        let Task::Regression(Regression { loss: own, .. }) = self.task() else { return None };
        let kind = |loss| if loss == Loss::Poisson { "logarithms" } else { "numbers" };
        let differ = self.metadata.is_some() && kind(own) != kind(loss);
        let sentence = format!(
            "was trained with the loss {own}, so that its outputs are {}; those of the loss {loss} are {}",
            kind(own),
            kind(loss)
        );
        differ.then_some((own, sentence))
    }

    /// Parameters with which outputs that are standardised as in `task` mean the values that this model predicts, in the targets'
    /// units: `w s / s'` and `(b s + c - c') / s'` in the output layer, for centers `c` and scales `s` of the model, `c'` and `s'`
    /// of the task. `None` where nothing changes: equal scales, classes, outputs that are logarithms, and a model without metadata.
    ///
    /// # Errors
    /// If the system refuses the memory.
    pub(crate) fn rescaled_for(&self, task: &Task) -> Result<Option<Vec<f32>>> {
        let (Some(_), Task::Regression(old), Task::Regression(new)) =
            (&self.metadata, self.task(), task)
        else {
            return Ok(None);
        };
        let scales = |regression: &Regression| -> Vec<(f64, f64)> {
            regression.targets.iter().map(|target| (target.center, target.scale)).collect()
        };
        let is_logarithm = [&old, new].iter().any(|regression| regression.loss == Loss::Poisson);
        if is_logarithm || scales(&old) == scales(new) || old.targets.len() != new.targets.len() {
            return Ok(None);
        }
        let mut params = Vec::new();
        try_reserve(&mut params, self.params.len())
            .map_err(|_| too_large(self.params.len(), "the model"))?;
        params.extend_from_slice(&self.params);
        let layout = Layout::new(&self.spec)?;
        let Some(head) = layout.layers().last() else { return Ok(None) };
        let (w, b) = (head.w(), head.b());
        for k in 0..layout.members() {
            let params = &mut params[layout.member(k)];
            for (output, (old, new)) in old.targets.iter().zip(&new.targets).enumerate() {
                let row = w.start + output * head.n_in;
                for weight in &mut params[row..row + head.n_in] {
                    *weight = (f64::from(*weight) * old.scale / new.scale) as f32;
                }
                let bias = &mut params[b.start + output];
                let value = f64::from(*bias) * old.scale + old.center;
                *bias = ((value - new.center) / new.scale) as f32;
            }
        }
        Ok(Some(params))
    }

    /// The same model, whose outputs mean what `data` holds, if its file does not say what they mean. Classes that are the numbers of
    /// outputs belong to the outputs of these numbers, other classes to the outputs in their order, of which there have to be as many.
    /// Targets are taken to be in their own units.
    ///
    /// # Errors
    /// If the numbers of classes or targets and of outputs differ.
    pub fn with_outputs_of(mut self, data: &Dataset) -> Result<Self> {
        if self.metadata.is_some() {
            return Ok(self);
        }
        let n_out = self.spec.n_out();
        let refuse = |found: String| {
            let expected = plural(n_out, "output");
            Err(Error::outputs(data.name(), format!("{found}; the model has {expected}")))
        };
        let task = match data.is_regression() {
            true if data.target_names().len() == n_out => {
                Task::Regression(Regression::unscaled(data.target_names()))
            }
            true => return refuse(plural(data.target_names().len(), "target")),
            false => match classes_of(data.classes(), n_out) {
                Some(classes) => Task::Classification { classes },
                None => return refuse(classes_text(data)),
            },
        };
        // nobody knows what it was trained on
        let metadata = Metadata::of(data, Split::Auto, 0, String::new());
        self.metadata = Some(metadata.with_task(&task));
        Ok(self)
    }

    /// The same model for the rows of tables like this one, if its file does not say what its inputs are: they are the first columns,
    /// as they are. The outputs are classes, named by their numbers; a single output is a number, called `value`.
    ///
    /// # Errors
    /// If the table has fewer columns than the model has inputs, or more than these and one for the target, or one of them holds texts.
    pub fn with_inputs_of(mut self, table: &Table) -> Result<Self> {
        if self.metadata.is_some() {
            return Ok(self);
        }
        let (labels, names) = (self.labels(), [SINGLE_OUTPUT.to_owned()]);
        let (labels, regression, target) = match self.spec.n_out() {
            1 => {
                let target = Target::Numbers { columns: names.to_vec() };
                (Vec::new(), Some(Regression::unscaled(&names)), target)
            }
            _ => {
                let target = Target::Classes { column: String::new(), classes: labels.clone() };
                (labels, None, target)
            }
        };
        self.metadata = Some(Metadata {
            scaling: InputScaling::None,
            image: None,
            channels: 1,
            labels,
            regression,
            prepare: Some(Prepare::of_plain(table, self.spec.n_in(), target)?),
            split: Split::Auto,
            split_seed: 0,
            data_fingerprint: String::new(),
        });
        Ok(self)
    }
}

fn classes_text(data: &Dataset) -> String {
    match data.n_classes() {
        1 => "1 class".to_owned(),
        n => format!("{n} classes"),
    }
}

/// The names of a model's outputs, if the data's classes say them.
fn classes_of(classes: &[String], n_out: usize) -> Option<Vec<String>> {
    let is_output = |class: &String| {
        let number = class.parse::<usize>().ok().filter(|&number| number < n_out);
        number.is_some_and(|number| number.to_string() == *class)
    };
    if classes.iter().all(is_output) {
        return Some((0..n_out).map(|output| output.to_string()).collect());
    }
    (classes.len() == n_out).then(|| classes.to_vec())
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::model::{Activation, initialize};

    fn model(n_out: usize, seed: u64) -> Model {
        let spec = Spec::new(5, &[7, 4], &[Activation::Tanh, Activation::Selu], n_out).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let mut params = vec![0.0; layout.len()];
        initialize(&mut params, &spec, &layout, Init::Auto, seed).unwrap();
        Model::new(spec, params, None).unwrap()
    }

    #[test]
    fn a_new_head_is_that_of_a_new_network_on_the_old_trunk() {
        let (old, fresh) = (model(3, 1), model(6, 2));
        let made = old.with_new_head(6, Init::Auto, 2).unwrap();
        assert_eq!(made.spec(), fresh.spec());
        let trunk = 5 * 7 + 7 + 7 * 4 + 4;
        assert_eq!(made.params()[..trunk], old.params()[..trunk]);
        assert_eq!(made.params()[trunk..], fresh.params()[trunk..]);
        assert!(old.with_new_head(0, Init::Auto, 2).is_err());
    }

    #[test]
    fn outputs_take_the_meaning_of_the_data() {
        let x = Array2::from_elem((4, 5), 0.5f32);
        let labelled = |names: &[&str]| {
            let classes: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let labels: Vec<u32> = (0..4).map(|i| i % names.len() as u32).collect();
            Dataset::of_classes(
                "d",
                crate::data::Features::F32(x.iter().copied().collect()),
                5,
                labels,
                classes,
            )
            .unwrap()
        };
        for (names, expected) in [
            (&["0", "2"][..], Some("0,1,2")),
            (&["a", "b", "c"], Some("a,b,c")),
            (&["1", "2", "3"], Some("1,2,3")),
            (&["1", "3"], None),
            (&["01", "2"], None),
            (&["a", "b", "c", "d"], None),
        ] {
            let found = model(3, 0).with_outputs_of(&labelled(names));
            match expected {
                Some(expected) => assert_eq!(found.unwrap().labels().join(","), expected),
                None => {
                    assert!(found.unwrap_err().to_string().ends_with("the model has 3 outputs"))
                }
            }
        }
        let y = Array2::from_elem((4, 3), 9.0f32);
        let data = Dataset::from_targets(x.view(), y.view()).unwrap();
        let named = model(3, 0).with_outputs_of(&data).unwrap();
        assert!(named.task().is_regression());
        assert!(named.match_classes(data.clone()).is_ok());
        assert!(model(2, 0).with_outputs_of(&data).unwrap_err().to_string().contains("3 targets"));
    }
}
