//! `densely inspect`.

use crate::data::prepare::Prepare;
use crate::error::Error;
use crate::linalg::singular_values;
use crate::model::{Layout, Model, member_prefix};
use crate::report::{Column, Layout as Table, Paint, Stream, Text};
use crate::store::{run_path, verify_path};
use crate::task::Task;
use crate::text::{plural, safe};
use serde::Serialize;
use serde_json::json;
use std::path::Path;

use super::model_args::ModelArgs;
use super::{print_note, print_raw, print_result, print_text};

/// Show what is in a model file
///
/// Shapes, activations, norms of the weights, singular values (their range and ratio show how well a layer is
/// conditioned), and where the model comes from.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Check a file against its checksum, or all files of a run against theirs and against each other
    #[arg(long, conflicts_with = "json")]
    verify: bool,

    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  densely inspect best.safetensors
  densely inspect runs/fashion --verify
  densely inspect best.safetensors --json | jq .layers[0].condition";

/// What is reported about a layer.
#[derive(Serialize)]
struct LayerReport {
    name: String,
    inputs: usize,
    outputs: usize,
    norm: &'static str,
    activation: &'static str,
    parameters: usize,
    weight_norm: f64,
    weight_max: f64,
    bias_norm: f64,
    /// Largest and smallest singular value of the weights, and their ratio; null without LAPACK or finite
    /// weights, the ratio also for a matrix without full rank.
    singular_max: Option<f64>,
    singular_min: Option<f64>,
    condition: Option<f64>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.verify {
        return verify(&run_path(&args.model.model)?);
    }
    let model = args.model.load_any()?;
    let layout = Layout::new(&model.spec)?;
    let mut problem: Option<Error> = None;
    let mut layers = Vec::new();
    let (names, members) = (model.layer_names(), layout.members());
    let all = (0..members).flat_map(|k| (0..layout.layers().len()).map(move |i| (k, i)));
    for (k, i) in all {
        let (offsets, layer) = (&layout.layers()[i], &model.spec.layers()[i]);
        let name = member_prefix(members, k) + &names[i];
        let params = &model.params[layout.member(k)];
        let (w, b) = (offsets.w_view(params), offsets.b_view(params));
        let singular = singular_values(w).map_err(|error| problem = Some(error)).ok();
        let largest = singular.as_ref().and_then(|values| values.first().copied());
        let smallest = singular.as_ref().and_then(|values| values.last().copied());
        let norm = |sum: f64, x: &f32| sum + f64::from(*x).powi(2);
        layers.push(LayerReport {
            name,
            inputs: offsets.n_in,
            outputs: offsets.n_out,
            norm: layer.norm.name(),
            activation: layer.activation.name(),
            parameters: layout
                .tensors_of(i)
                .iter()
                .filter(|tensor| tensor.trained)
                .map(|tensor| tensor.range.len())
                .sum(),
            weight_norm: w.iter().fold(0.0, norm).sqrt(),
            weight_max: w
                .iter()
                .fold(0.0, |max, x| if max >= x.abs().into() { max } else { x.abs().into() }),
            bias_norm: b.iter().fold(0.0, norm).sqrt(),
            singular_max: largest,
            singular_min: smallest,
            condition: largest
                .zip(smallest)
                .map(|(largest, smallest)| largest / smallest)
                .filter(|condition| condition.is_finite()),
        });
    }
    if let Some(problem) = problem {
        print_note(&format!("no singular values: {problem}"));
    }
    if args.json {
        let mut report = json!({
            "inputs": model.spec.n_in(),
            "parameters": layout.parameters(),
            "members": members,
            "layers": layers,
            "input_scales": factors(&model, &layout),
            "metadata": model.metadata,
        });
        report[outputs(&model)] = json!(model.spec.n_out());
        return print_raw(&report.to_string());
    }
    print_text(&table(&model, &layout, &layers, Stream::Out.width()))
}

/// The least and the largest factor of the inputs, if there are some.
fn factors(model: &Model, layout: &Layout) -> Option<[f64; 2]> {
    let scales = layout.input_scales()?;
    let ranges =
        (0..layout.members()).map(|k| &model.params[layout.member(k)][scales.range.clone()]);
    let factors = ranges.flatten().map(|x| f64::from(*x));
    Some([factors.clone().fold(f64::INFINITY, f64::min), factors.fold(f64::NEG_INFINITY, f64::max)])
}

/// What the outputs are.
fn outputs(model: &Model) -> &'static str {
    if model.task().is_regression() { "targets" } else { "classes" }
}

/// Four digits, in scientific notation where plain figures would be long.
fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_owned(),
        1e-2..1e2 => format!("{x:.3}"),
        1e2..1e6 => format!("{x:.0}"),
        _ => format!("{x:.2e}"),
    }
}

/// Prints a line for each file that is whole; the first problem is the error.
fn verify(path: &Path) -> anyhow::Result<()> {
    let checks = verify_path(path)?;
    let lines: Vec<String> = checks.iter().map(|(file, what)| format!("{file}: {what}")).collect();
    print_result(&lines.join("\n"))
}

const COLUMNS: [Column; 8] = [
    Column::right("layer", 0, 7, 0),
    Column::right("weights", 1, 12, 0),
    Column::right("activation", 1, 11, 2),
    Column::right("|w|", 1, 8, 1),
    Column::right("max|w|", 1, 8, 5),
    Column::right("|b|", 1, 8, 6),
    Column::right("singular values", 1, 18, 4),
    Column::right("condition", 1, 10, 3),
];

fn table(model: &Model, network: &Layout, layers: &[LayerReport], width: Option<usize>) -> Text {
    let (members, of_member) = (model.spec.members(), model.spec.layers().len());
    let rows: Vec<[String; 8]> = (layers.iter().enumerate())
        .map(|(i, layer)| {
            let range = match (layer.singular_min, layer.singular_max) {
                (Some(min), Some(max)) => format!("{} .. {}", short(min), short(max)),
                _ => "-".to_owned(),
            };
            [
                match members {
                    1 => i.to_string(),
                    _ => format!("{}.{}", i / of_member, i % of_member),
                },
                format!("{}x{}", layer.outputs, layer.inputs),
                match layer.norm {
                    "none" => layer.activation.to_owned(),
                    norm => format!("{norm} norm, {}", layer.activation),
                },
                short(layer.weight_norm),
                short(layer.weight_max),
                short(layer.bias_norm),
                range,
                layer.condition.map_or_else(|| "-".to_owned(), short),
            ]
        })
        .collect();
    let layout = Table::of(&COLUMNS, &rows, width);
    let sizes = format!(
        "{}, {}, {}\n\n",
        plural(model.spec.n_in(), "input"),
        plural(model.spec.n_out(), if model.task().is_regression() { "target" } else { "class" }),
        plural(network.parameters(), "parameter")
    );
    let sizes = match factors(model, network) {
        Some([least, largest]) => {
            let (least, largest) = (short(least), short(largest));
            format!("factors of the inputs from {least} to {largest}; {sizes}")
        }
        None => sizes,
    };
    let sizes = match members {
        1 => sizes,
        _ => format!("an ensemble of {members} networks; {sizes}"),
    };
    let mut text = Text::from(sizes).wrapped(width, 2).with(Paint::Head, layout.head());
    for row in &rows {
        text = text.with(Paint::Plain, format!("\n{}", layout.row(row)));
    }
    let origin = match &model.metadata {
        None => {
            let names: Vec<_> = layers.iter().map(|layer| safe(&layer.name)).collect();
            let outputs = match model.task().is_regression() {
                true => ", and one output, a number called value",
                false => ", and outputs that are classes, named by their numbers",
            };
            format!(
                "\n\nno metadata: another program wrote this file; layers by name: {}{outputs}",
                names.join(", ")
            )
        }
        Some(metadata) => {
            let inputs = match (model.prepare(), metadata.image) {
                (Some(prepare), _) => prepare.summary() + &columns(prepare),
                (None, Some((height, width))) => {
                    format!("inputs: images of {height}x{width}, {}", metadata.scaling.name())
                }
                (None, None) => format!("inputs: {}", metadata.scaling.name()),
            };
            let names = match model.task() {
                Task::Classification { classes } => classes.join(", "),
                Task::Regression(regression) => {
                    let names = regression.targets.iter().map(|target| &target.name[..]);
                    names.collect::<Vec<_>>().join(", ") + &format!("; loss {}", regression.loss)
                }
            };
            format!(
                "\n\n{inputs}\n{}: {names}\ntrained on: {}, split {}",
                outputs(model),
                metadata.data_fingerprint,
                metadata.split
            )
        }
    };
    text.then(Text::from(origin).wrapped(width, 2))
}

/// The columns of a table, a line of them.
fn columns(prepare: &Prepare) -> String {
    let names: Vec<String> =
        prepare.inputs().iter().map(|input| safe(input.column()).into_owned()).collect();
    format!("\ncolumns: {}", names.join(", "))
}
