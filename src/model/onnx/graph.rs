//! Builds a graph: nodes and constants, each tensor under a name that no other has.

use std::collections::{HashMap, HashSet};

use super::ports::{Element, Port, Ports};
use super::proto::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionProto, GraphProto, NodeProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::files;

/// The set of operators for encoders of texts.
pub const ML_DOMAIN: &str = "ai.onnx.ml";

/// The name of the first axis of inputs and outputs, whose length is free.
const BATCH: &str = "batch";

/// The name of a tensor.
pub type Name = String;

/// A graph that grows, node after node.
#[derive(Debug)]
pub struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    names: HashSet<Name>,
    /// How many names begin with each stem.
    stems: HashMap<String, usize>,
}

impl Graph {
    /// An empty graph; the names of its inputs and outputs are taken.
    pub fn new(ports: &Ports) -> Self {
        let taken = ports.inputs.iter().chain(&ports.outputs).map(|port| port.name.clone());
        Self {
            nodes: Vec::new(),
            constants: Vec::new(),
            names: taken.collect(),
            stems: HashMap::new(),
        }
    }

    /// A name that begins with `stem` and is not taken.
    fn unique(&mut self, stem: &str) -> Name {
        let count = self.stems.entry(stem.to_owned()).or_default();
        loop {
            let name = match *count {
                0 => stem.to_owned(),
                n => format!("{stem}_{n}"),
            };
            *count += 1;
            if self.names.insert(name.clone()) {
                return name;
            }
        }
    }

    /// A constant of numbers, row-major of the shape `dims`; a scalar without any.
    ///
    /// # Panics
    /// If `values` does not have as many numbers as `dims` says.
    pub fn floats(&mut self, stem: &str, dims: &[usize], values: &[f32]) -> Name {
        assert_eq!(
            dims.iter().product::<usize>(),
            values.len(),
            "floats: {stem} has the shape {dims:?}"
        );
        let raw = files::le_bytes(values).into_owned();
        self.constant(stem, dims, DataType::Float, Some(raw), Vec::new())
    }

    /// A constant of whole numbers.
    pub fn integers(&mut self, stem: &str, values: &[i64]) -> Name {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(stem, &[values.len()], DataType::Int64, Some(raw), Vec::new())
    }

    /// A constant of texts.
    pub fn texts(&mut self, stem: &str, values: &[String]) -> Name {
        let texts = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        self.constant(stem, &[values.len()], DataType::String, None, texts)
    }

    fn constant(
        &mut self,
        stem: &str,
        dims: &[usize],
        data_type: DataType,
        raw_data: Option<Vec<u8>>,
        string_data: Vec<Vec<u8>>,
    ) -> Name {
        let name = self.unique(stem);
        self.constants.push(TensorProto {
            dims: dims.iter().map(|&length| length as i64).collect(),
            data_type: data_type.into(),
            string_data,
            name: name.clone(),
            raw_data,
        });
        name
    }

    /// Adds a node; returns its result.
    pub fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[AttributeProto]) -> Name {
        let output = self.unique(&operator.to_lowercase());
        self.node_to(&output, operator, inputs, attributes);
        output
    }

    /// Adds a node whose result is an output of the graph.
    pub fn node_to(
        &mut self,
        output: &str,
        operator: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
    ) {
        let domain = if operator == "OneHotEncoder" { ML_DOMAIN } else { "" };
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes.to_vec(),
            domain: domain.to_owned(),
        });
    }

    /// Tensors (batch, n) side by side; one alone is itself.
    pub fn beside(&mut self, tensors: &[Name]) -> Name {
        match tensors {
            [one] => one.clone(),
            several => {
                let inputs: Vec<&str> = several.iter().map(|name| &name[..]).collect();
                self.node("Concat", &inputs, &[integer("axis", 1)])
            }
        }
    }

    /// Whether a node has an operator of [`ML_DOMAIN`].
    pub fn uses_ml(&self) -> bool {
        self.nodes.iter().any(|node| node.domain == ML_DOMAIN)
    }

    /// The message.
    pub fn finish(self, ports: &Ports) -> GraphProto {
        GraphProto {
            node: self.nodes,
            name: "densely".to_owned(),
            initializer: self.constants,
            input: ports.inputs.iter().map(value_info).collect(),
            output: ports.outputs.iter().map(value_info).collect(),
        }
    }
}

/// An attribute that is a whole number.
pub fn integer(name: &str, value: i64) -> AttributeProto {
    let r#type = AttributeType::Int.into();
    AttributeProto { name: name.to_owned(), i: Some(value), r#type, ..AttributeProto::default() }
}

/// An attribute that is a number.
pub fn float(name: &str, value: f64) -> AttributeProto {
    let (f, r#type) = (Some(value as f32), AttributeType::Float.into());
    AttributeProto { name: name.to_owned(), f, r#type, ..AttributeProto::default() }
}

/// An attribute that is a list of texts.
pub fn texts<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> AttributeProto {
    let strings = values.into_iter().map(|value| value.as_bytes().to_vec()).collect();
    let r#type = AttributeType::Strings.into();
    AttributeProto { name: name.to_owned(), strings, r#type, ..AttributeProto::default() }
}

fn value_info(port: &Port) -> ValueInfoProto {
    let elem_type = match port.element {
        Element::Float => DataType::Float,
        Element::Integer => DataType::Int64,
        Element::Text => DataType::String,
    };
    let batch = Dimension::Param(BATCH.to_owned());
    let lengths =
        std::iter::once(batch).chain(port.width.map(|width| Dimension::Value(width as i64)));
    let dim = lengths.map(|length| DimensionProto { value: Some(length) }).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor_type = Some(TensorTypeProto { elem_type: elem_type.into(), shape });
    ValueInfoProto { name: port.name.clone(), r#type: Some(TypeProto { tensor_type }) }
}
