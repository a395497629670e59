//! Layers, activations, and what the outputs mean.

use super::graph::{Graph, Name, float, integer};
use super::ports::{LABEL, PROBABILITIES, VALUES, whole_numbers};
use super::prepare::Inputs;
use super::proto::AttributeProto;
use crate::error::Result;
use crate::model::{
    Activation, LEAKY_RELU_SLOPE, Layout, Model, NORM_EPS, Norm, SELU_ALPHA, SELU_SCALE,
    member_prefix,
};
use crate::task::{Loss, Task};

/// Adds the layers of each member of an ensemble, or of a network alone; returns what the last one of each computes, (batch, outputs).
pub fn layers(graph: &mut Graph, model: &Model, inputs: &Inputs, opset: u32) -> Result<Vec<Name>> {
    let members = model.folded()?.members();
    let member = |(k, member): (usize, &Model)| {
        network_layers(graph, member, &member_prefix(members.len(), k), inputs, opset)
    };
    members.iter().enumerate().map(member).collect()
}

/// Adds the layers of one network, whose weights have names that begin with `prefix`.
fn network_layers(
    graph: &mut Graph,
    model: &Model,
    prefix: &str,
    inputs: &Inputs,
    opset: u32,
) -> Result<Name> {
    let layout = Layout::new(model.spec())?;
    let mut x = inputs.name.clone();
    for (i, (offsets, layer)) in layout.layers().iter().zip(model.spec().layers()).enumerate() {
        let (w, b) = (&model.params()[offsets.w()], &model.params()[offsets.b()]);
        let shape = [offsets.n_out, offsets.n_in];
        let weight = format!("{prefix}layers.{i}.weight");
        let weight = match i {
            0 => graph.floats(&weight, &shape, &in_order(w, &inputs.order)),
            _ => graph.floats(&weight, &shape, w),
        };
        let bias = graph.floats(&format!("{prefix}layers.{i}.bias"), &[offsets.n_out], b);
        // z = x w^T + b
        let mut z = graph.node("Gemm", &[&x, &weight, &bias], &[integer("transB", 1)]);
        if layer.norm == Norm::Layer {
            let [gain, shift] = [(0, "weight"), (1, "bias")].map(|(which, name)| {
                let values = &model.params()[offsets.norm(which)];
                graph.floats(&format!("{prefix}layers.{i}.norm.{name}"), &[offsets.n_out], values)
            });
            z = layer_norm(graph, &z, offsets.n_out, [&gain, &shift], opset);
        }
        x = activation(graph, z, layer.activation);
    }
    Ok(x)
}

/// The first opset with an operator for layer norm.
const LAYER_NORM_OPSET: u32 = 17;

/// Adds the layer norm of `z` (batch, n).
fn layer_norm(graph: &mut Graph, z: &str, n: usize, [gain, shift]: [&str; 2], opset: u32) -> Name {
    if opset >= LAYER_NORM_OPSET {
        let attributes = [integer("axis", -1), float("epsilon", NORM_EPS)];
        return graph.node("LayerNormalization", &[z, gain, shift], &attributes);
    }
    // the operator for means has its axes elsewhere from one opset to the other: a product is a mean in all of them
    let share = graph.floats("share", &[n, 1], &vec![1.0 / n as f32; n]);
    let eps = graph.floats("epsilon", &[], &[NORM_EPS as f32]);
    let mean = graph.node("MatMul", &[z, &share], &[]);
    let distance = graph.node("Sub", &[z, &mean], &[]);
    let square = graph.node("Mul", &[&distance, &distance], &[]);
    let variance = graph.node("MatMul", &[&square, &share], &[]);
    let padded = graph.node("Add", &[&variance, &eps], &[]);
    let deviation = graph.node("Sqrt", &[&padded], &[]);
    let normed = graph.node("Div", &[&distance, &deviation], &[]);
    let scaled = graph.node("Mul", &[&normed, gain], &[]);
    graph.node("Add", &[&scaled, shift], &[])
}

/// The columns of `w`, row-major (n_out, n), in another order.
fn in_order(w: &[f32], order: &[usize]) -> Vec<f32> {
    let rows = w.chunks_exact(order.len());
    rows.flat_map(|row| order.iter().map(|&column| row[column])).collect()
}

/// Adds the nodes of an activation; see [`Activation`] for the definitions.
fn activation(graph: &mut Graph, z: Name, activation: Activation) -> Name {
    match activation {
        Activation::Identity => z,
        Activation::Relu => graph.node("Relu", &[&z], &[]),
        Activation::LeakyRelu => {
            graph.node("LeakyRelu", &[&z], &[float("alpha", LEAKY_RELU_SLOPE)])
        }
        Activation::Elu => graph.node("Elu", &[&z], &[float("alpha", 1.0)]),
        Activation::Selu => {
            let constants = [float("alpha", SELU_ALPHA), float("gamma", SELU_SCALE)];
            graph.node("Selu", &[&z], &constants)
        }
        // z (1 + erf(z / sqrt(2))) / 2, written as PyTorch does: programs know the pattern, and opsets before 20 have no operator
        Activation::Gelu => {
            let mut scalar = |stem, value| graph.floats(stem, &[], &[value]);
            let root = scalar("root_of_two", std::f32::consts::SQRT_2);
            let (one, half) = (scalar("one", 1.0), scalar("half", 0.5));
            let scaled = graph.node("Div", &[&z, &root], &[]);
            let erf = graph.node("Erf", &[&scaled], &[]);
            let twice_phi = graph.node("Add", &[&erf, &one], &[]);
            let twice = graph.node("Mul", &[&z, &twice_phi], &[]);
            graph.node("Mul", &[&twice, &half], &[])
        }
        Activation::Silu => {
            let sigmoid = graph.node("Sigmoid", &[&z], &[]);
            graph.node("Mul", &[&z, &sigmoid], &[])
        }
        // opsets before 18 have no operator
        Activation::Mish => {
            let softplus = graph.node("Softplus", &[&z], &[]);
            let tanh = graph.node("Tanh", &[&softplus], &[]);
            graph.node("Mul", &[&z, &tanh], &[])
        }
        Activation::Sigmoid => graph.node("Sigmoid", &[&z], &[]),
        Activation::Tanh => graph.node("Tanh", &[&z], &[]),
    }
}

/// Adds the nodes that make of `z` (batch, outputs), one for each member of an ensemble, what the graph says: the mean of what it says of each.
pub fn outputs(graph: &mut Graph, task: &Task, z: &[Name]) {
    match task {
        Task::Classification { classes } => {
            mean_to(graph, PROBABILITIES, "Softmax", z, &[integer("axis", -1)]);
            // of equal probabilities the first
            let attributes = [integer("axis", 1), integer("keepdims", 0)];
            let class = graph.node("ArgMax", &[PROBABILITIES], &attributes);
            let names = match whole_numbers(classes) {
                Some(numbers) => graph.integers("classes", &numbers),
                None => graph.texts("classes", classes),
            };
            graph.node_to(LABEL, "Gather", &[&names, &class], &[integer("axis", 0)]);
        }
        Task::Regression(regression) if regression.loss == Loss::Poisson => {
            mean_to(graph, VALUES, "Exp", z, &[]);
        }
        Task::Regression(regression) => {
            let n = regression.targets.len();
            let scales: Vec<f32> =
                regression.targets.iter().map(|target| target.scale as f32).collect();
            let centers: Vec<f32> =
                regression.targets.iter().map(|target| target.center as f32).collect();
            let scales = graph.floats("target_scale", &[n], &scales);
            let centers = graph.floats("target_center", &[n], &centers);
            let z = match z {
                [z] => z.clone(),
                members => graph.node("Mean", &references(members), &[]),
            };
            let scaled = graph.node("Mul", &[&z, &scales], &[]);
            graph.node_to(VALUES, "Add", &[&scaled, &centers], &[]);
        }
    }
}

/// Adds an operator for each tensor, and the mean of the results.
fn mean_to(graph: &mut Graph, to: &str, operator: &str, z: &[Name], attributes: &[AttributeProto]) {
    if let [z] = z {
        return graph.node_to(to, operator, &[z], attributes);
    }
    let results: Vec<Name> = z.iter().map(|z| graph.node(operator, &[z], attributes)).collect();
    graph.node_to(to, "Mean", &references(&results), &[]);
}

fn references(names: &[Name]) -> Vec<&str> {
    names.iter().map(|name| &name[..]).collect()
}
