//! What a file says of the model in it, for people and programs.

use serde_json::{Value, json};

use super::proto::StringStringEntryProto;
use crate::data::prepare::Input;
use crate::model::Model;
use crate::task::Task;

/// Keys and values, in a fixed order.
pub fn of(model: &Model) -> Vec<StringStringEntryProto> {
    let task = model.task();
    let mut entries = vec![
        entry("task", if task.is_regression() { "regression" } else { "classification" }),
        entry("loss", task.loss().to_string()),
    ];
    entries.push(match &task {
        Task::Classification { classes } => entry("classes", json!(classes).to_string()),
        Task::Regression(regression) => {
            let names: Vec<&str> =
                regression.targets.iter().map(|target| &target.name[..]).collect();
            entry("targets", json!(names).to_string())
        }
    });
    if let Some(prepare) = model.prepare() {
        let columns: Vec<Value> = prepare.inputs().iter().map(column).collect();
        entries.push(entry("columns", json!(columns).to_string()));
    }
    if let Some(metadata) = model.metadata() {
        if let Some((height, width)) = metadata.image {
            let image = json!({"height": height, "width": width, "channels": metadata.channels});
            entries.push(entry("image", image.to_string()));
        }
        entries.push(entry("trained_on", &metadata.data_fingerprint[..]));
        entries.push(entry("split", metadata.split.to_string()));
        entries.push(entry("split_seed", metadata.split_seed.to_string()));
    }
    entries
}

/// What the graph expects of a column.
fn column(input: &Input) -> Value {
    match input {
        Input::Number { column, fill, .. } => {
            json!({"name": column, "kind": "number", "may_be_missing": fill.is_some()})
        }
        Input::Category { column, levels, .. } => {
            json!({"name": column, "kind": "category", "levels": levels})
        }
    }
}

fn entry(key: &str, value: impl Into<String>) -> StringStringEntryProto {
    StringStringEntryProto { key: key.to_owned(), value: value.into() }
}
