//! Model files that say nothing of their data: PyTorch's state dicts. What is taken for granted is said in notes.

use std::path::Path;

use super::print_note;
use crate::data::prepare::{Scale, TaskChoice};
use crate::data::{Dataset, Source};
use crate::error::{Error, Result};
use crate::model::{Activation, Model, is_order_open};
use crate::store::RunOptions;
use crate::task::Loss;
use crate::text::{first_ones, listed, plural, safe, shell};
use crate::train::TrainConfig;

/// Lets a table's numbers become inputs as they are, unless the user has said how they are scaled, and the target a number where the
/// model has a single output that stays.
pub fn take_as_given(source: &mut Source, model: Option<&Model>) {
    source.table.keep_constant = true;
    if model.is_some_and(|model| model.task().is_regression())
        && source.table.task == TaskChoice::Auto
    {
        source.table.task = TaskChoice::Regression;
    }
    if source.table.scale == Scale::Auto {
        source.table.scale = Scale::None;
    }
}

/// Says in which order the layers are taken, where their names leave it open, and what the activations are taken for, where the user has
/// not said it.
pub fn report_layers(path: &str, model: &Model, activations_are_given: bool) {
    let names = model.layer_names();
    if model.metadata().is_none() && is_order_open(&names) {
        print_note(&format!(
            "{} does not say the order of its layers; taken by name: {}; other names, such as 0, 1 and 2, set another order",
            safe(path),
            listed(&names.iter().map(|name| safe(name)).collect::<Vec<_>>())
        ));
    }
    if model.metadata().is_none() && !activations_are_given && model.spec().layers().len() > 1 {
        let taken = model.spec().activations().into_iter().map(Activation::name);
        print_note(&format!(
            "{} does not contain its activations; assumed: {}; --activations sets others",
            safe(path),
            taken.collect::<Vec<_>>().join(",")
        ));
    }
}

/// Says what the outputs are taken for, because the file does not.
pub fn report_outputs(path: &str, model: &Model, data: &Dataset) {
    let (kind, names) = match data.is_regression() {
        true => ("targets", data.target_names().to_vec()),
        false => ("classes", data.classes().to_vec()),
    };
    let n_out = model.spec().n_out();
    print_note(&format!(
        "{} does not say what its {} {}; taken for the {kind} of {}, in this order: {}",
        safe(path),
        plural(n_out, "output"),
        if n_out == 1 { "means" } else { "mean" },
        data.name(),
        first_ones(&names)
    ));
}

/// Says what an exported model takes and gives.
pub fn report_export(path: &str, model: &Model) {
    let outputs = match model.task().is_regression() {
        true => "its single output is called value",
        false => "its outputs are classes, named by their numbers",
    };
    print_note(&format!(
        "{} does not say what its inputs and outputs mean: inputs are taken as they are, such as pixels divided by 255, and {outputs}",
        safe(path)
    ));
}

/// Says that a table's numbers are inputs as they are.
fn report_inputs(path: &str, options: &RunOptions, data: &Dataset) {
    if data.prepare().is_some() && options.scale == Scale::None {
        print_note(&format!(
            "{} does not say how its inputs are scaled; numbers are taken as they are (--scale standard and others scale them)",
            safe(path)
        ));
    }
}

/// The model of `--init-from` for this data: itself, or with a new output layer if that was asked for.
///
/// # Errors
/// If the data is not what the model can learn; where a new output layer would do, names the flag for it.
pub fn start_for(
    model: &Model,
    options: &RunOptions,
    train: &TrainConfig,
    data: &Dataset,
    quiet: bool,
) -> Result<Model> {
    let path = options.init_from.as_deref().unwrap_or_default();
    let is_foreign = model.metadata().is_none();
    if is_foreign && !quiet {
        report_inputs(path, options, data);
    }
    if options.has_new_head() {
        model.check_inputs(data)?;
        return model.with_new_head(data.n_outputs(), train.init, train.seed);
    }
    let has_other_task = !is_foreign && model.task().is_regression() != data.is_regression();
    let (found, expected) = (data.n_outputs(), model.spec().n_out());
    if found != expected || has_other_task {
        let kind = |is_regression| if is_regression { "target" } else { "class" };
        let of_model = match is_foreign {
            true => "output",
            false => kind(model.task().is_regression()),
        };
        return Err(Error::usage(format!(
            "{} has {}, {} has {}; expected the same, or --new-head, which starts with a new output layer",
            safe(path),
            plural(expected, of_model),
            data.name(),
            plural(found, kind(data.is_regression())),
        )));
    }
    if !is_foreign {
        require_like_outputs(path, model, train, data)?;
        return Ok(model.clone());
    }
    if train.loss.or_else(|| Loss::default_for(true)) == Loss::Poisson {
        print_note(&format!(
            "the outputs of {} are taken for logarithms, as the loss poisson has them",
            safe(path)
        ));
        return Ok(model.clone());
    }
    if !quiet {
        report_outputs(path, model, data);
    }
    model.clone().with_outputs_of(data)
}

/// Rejects a loss whose outputs are logarithms for a model whose outputs are numbers, and the other way round.
fn require_like_outputs(
    path: &str,
    model: &Model,
    train: &TrainConfig,
    data: &Dataset,
) -> Result<()> {
    let loss = train.loss.or_else(|| Loss::default_for(true));
    match model.other_outputs(loss).filter(|_| data.is_regression()) {
        None => Ok(()),
        Some((own, problem)) => Err(Error::usage(format!(
            "{} {problem}; expected --loss {own}, or --new-head, which starts with a new output layer",
            safe(path)
        ))),
    }
}

/// Names the flag for a new output layer in an error about the target of a table.
pub fn with_new_head(error: Error) -> Error {
    match error {
        Error::Outputs { subject, problem } => Error::outputs(
            subject,
            format!(
                "{problem}; --new-head starts with a new output layer, for the classes or numbers of --target"
            ),
        ),
        other => other,
    }
}

/// Names the command that learns this data, in an error about outputs that nobody has named.
pub fn with_command(error: Error, path: &Path, data: &str) -> Error {
    match error {
        Error::Outputs { subject, problem } => Error::usage(format!(
            "{subject}: {problem}; expected as many; a new output layer learns them: densely train {} --init-from {} --new-head",
            shell(Path::new(data)),
            shell(path)
        )),
        other => other,
    }
}

/// A notice about data without what it says, in brackets, of flags that `eval` does not have.
pub fn without_flags(notice: &str) -> String {
    let (mut text, mut rest) = (String::new(), notice);
    while let Some((before, hint)) = rest.split_once(" (--") {
        text += before;
        rest = hint.split_once(')').map_or("", |(_, after)| after);
    }
    text + rest
}
