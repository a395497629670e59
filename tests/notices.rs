//! What densely says about data that is not what it seems to be: nothing is left out, rounded or ignored silently.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Sandbox, json_lines, text};
use serde_json::Value;

const QUICK: [&str; 5] = ["--no-report", "--epochs", "3", "--threads", "1"];

/// `header`, and as many rows of what `row` says.
fn write(sandbox: &Sandbox, name: &str, header: &str, n: usize, row: impl Fn(usize) -> String) {
    let rows: String = (0..n).map(|i| row(i) + "\n").collect();
    fs::write(sandbox.path(name), format!("{header}\n{rows}")).unwrap();
}

/// What `densely` says on standard error, and its exit code.
fn said(sandbox: &Sandbox, args: &[&str]) -> (String, Option<i32>) {
    let output = sandbox.run(args);
    (text(&output.stderr), output.status.code())
}

fn trained(sandbox: &Sandbox, args: &[&str]) -> String {
    let (said, code) = said(sandbox, &[&["train"], args, &QUICK[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    said
}

/// The one line of an error.
fn refused(sandbox: &Sandbox, args: &[&str]) -> String {
    let (said, code) = said(sandbox, args);
    assert!(matches!(code, Some(1 | 2)), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    errors[0].to_owned()
}

#[test]
fn a_quantile_is_chosen_by_its_own_loss() {
    let sandbox = Sandbox::new();
    write(&sandbox, "t.csv", "x,y", 300, |i| format!("{},{}.5", i * 7 % 101, i * 37 % 211));
    let train = ["train", "t.csv", "--loss", "quantile:0.9", "--out", "run", "--json"];
    let output = sandbox.run(&[&train[..], &QUICK].concat());
    assert!(text(&output.stderr).contains("metric loss, as it suits the loss"), "{output:?}");
    let lines = json_lines(&text(&output.stdout));
    assert_eq!(lines[0]["metric"], "loss");
    let losses: Vec<f64> = lines[1..4].iter().map(|l| l["val_loss"].as_f64().unwrap()).collect();
    let done = &lines[4];
    let best = done["best_epoch"].as_u64().unwrap() as usize - 1;
    assert!(losses.iter().all(|&loss| loss >= losses[best]), "{lines:?}");
    assert_eq!(done["val_loss"].as_f64(), Some(losses[best]));
    assert!(done["val_rmse"].is_f64() && done["test_loss"].is_f64(), "{done}");
    let runs = json_lines(&sandbox.ok(&["runs", "run", "--json"]));
    assert_eq!(runs[0]["val_loss"].as_f64(), Some(losses[best]), "{runs:?}");
    // what is asked for stays
    let more =
        ["train", "t.csv", "--loss", "quantile:0.9", "--metric", "rmse", "--out", "r", "--json"];
    assert_eq!(json_lines(&sandbox.ok(&[&more[..], &QUICK].concat()))[0]["metric"], "rmse");
    // losses that differ are ranked by what is the same for all
    let sweep =
        "sweep t.csv --hidden 4 --epochs 1 --loss quantile:0.1,quantile:0.9 --no-report --out s";
    let table = sandbox.ok(&sweep.split(' ').collect::<Vec<_>>());
    assert!(table.contains("val RMSE"), "{table}");
}

#[test]
fn large_numbers_that_are_rounded_are_named() {
    let sandbox = Sandbox::new();
    write(&sandbox, "t.csv", "time,x,y", 200, |i| {
        format!("{},{},{}.5", 1_700_000_000 + 300 * i, i * 7 % 101, i * 37 % 211)
    });
    let said = trained(&sandbox, &["t.csv", "--out", "run"]);
    assert!(said.contains("`time` has values from 1.7e9 to"), "{said}");
    assert!(said.contains("are 128 apart; subtract a constant"), "{said}");
    assert!(!said.contains("`x` has values"), "{said}");
}

#[test]
fn a_column_is_copied_as_it_is_or_not_at_all() {
    let sandbox = Sandbox::new();
    let id = |i: usize| 16_777_217 + 2 * i;
    write(&sandbox, "t.csv", "\"the\nid\",x,y", 60, |i| {
        format!("{},{},{}.5", id(i), i * 7 % 11, i * 37 % 211)
    });
    trained(&sandbox, &["t.csv", "--ignore", "the\nid", "--out", "run"]);
    let csv = sandbox.ok(&["predict", "run", "t.csv", "--keep", "the\nid"]);
    assert!(csv.starts_with("\"the\nid\",y\n16777217,"), "{csv}");
    // long texts and line breaks are copied whole
    let long = "x".repeat(2000);
    fs::write(sandbox.path("l.csv"), format!("x,note\n1,\"{long}\nend\"\n")).unwrap();
    let csv = sandbox.ok(&["predict", "run", "l.csv", "--keep", "note"]);
    assert!(csv.contains(&format!("\"{long}\nend\",")), "{csv}");
    // of numbers that have been rounded nobody knows what they were
    let row = |i: usize| format!("{} 1:{} 2:{}", i * 37 % 211, i * 7 % 11, id(i));
    let rows: String = (0..60).map(|i| row(i) + "\n").collect();
    fs::write(sandbox.path("t.svm"), rows).unwrap();
    trained(&sandbox, &["t.svm", "--out", "svm"]);
    let error = refused(&sandbox, &["predict", "svm", "t.svm", "--keep", "2"]);
    assert!(error.contains("`2` is 16777216 or near it in row 1"), "{error}");
    let csv = sandbox.ok(&["predict", "svm", "t.svm", "--keep", "1"]);
    assert!(csv.starts_with("1,target\n0,") && csv.contains("\n7,"), "{csv}");
}

#[test]
fn libsvm_files_may_have_fewer_or_more_features_than_the_model() {
    let sandbox = Sandbox::new();
    let row = |i: usize| format!("{} 2:{} 9:{}\n", i % 2, i * 7 % 11, i % 2);
    fs::write(sandbox.path("t.svm"), (0..100).map(row).collect::<String>()).unwrap();
    trained(&sandbox, &["t.svm", "--out", "run"]);
    fs::write(sandbox.path("few.svm"), "1 2:3\n0 2:4\n").unwrap();
    let eval = json_lines(&sandbox.ok(&["eval", "run", "few.svm", "--json"])).remove(0);
    assert_eq!(eval["samples"], 2);
    fs::write(sandbox.path("more.svm"), "1 2:3 12:1\n0 0:1 2:4\n").unwrap();
    for args in [&["eval", "run", "more.svm"][..], &["predict", "run", "more.svm"]] {
        let (said, code) = said(&sandbox, args);
        assert_eq!(code, Some(0), "{said}");
        let expected = "more.svm has features up to number 12; those after 9 are not used";
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn cells_that_change_a_column_are_named() {
    let sandbox = Sandbox::new();
    write(&sandbox, "t.csv", "area,x,y", 400, |i| {
        let area = if i == 211 { "\"12,5x\"".to_owned() } else { format!("{i}.25") };
        format!("{area},{},{}", i % 7, if i % 10 == 3 { "None" } else { ["a", "b"][i % 2] })
    });
    let expected = [
        "`area` is text, because of `12,5x` in row 212 (99.7 % of its cells are numbers)",
        "(row 4 is the first; missing is what says `None` 40 times)",
    ];
    let said = trained(&sandbox, &["t.csv", "--out", "run"]);
    let data = json_lines(&sandbox.ok(&["data", "t.csv", "--json"])).remove(0);
    for line in expected {
        assert!(said.contains(line), "{line}: {said}");
        assert!(data["notices"].to_string().contains(line), "{line}: {data}");
    }
    let error = refused(&sandbox, &["train", "t.csv", "--target", "area", "--task", "regression"]);
    assert!(error.contains("holds texts such as `12,5x` in row 212"), "{error}");
    // nothing is left: why, and what can be done
    let alone = ["train", "t.csv", "--ignore", "x", "--out", "no"];
    let error = refused(&sandbox, &alone);
    assert!(
        error.contains("the texts hardly repeat: `area` (--categorical keeps them)"),
        "{error}"
    );
    // what a training would refuse is shown before
    write(&sandbox, "inf.csv", "a,y", 50, |i| {
        format!("{},{}.5", if i == 7 { "inf".to_owned() } else { i.to_string() }, i % 9)
    });
    let data = json_lines(&sandbox.ok(&["data", "inf.csv", "--json"])).remove(0);
    assert!(data["notices"].to_string().contains("`a` has no finite number in row 8"), "{data}");
}

#[test]
fn levels_that_the_training_lacks_are_counted_by_part() {
    let sandbox = Sandbox::new();
    let row = |i: usize| format!("{},{},{}", ["r", "g"][i % 2], i % 7, i % 3);
    write(&sandbox, "train.csv", "c,x,y", 60, row);
    write(&sandbox, "valid.csv", "c,x,y", 10, |i| {
        format!("{},1,2", if i < 1 { "new" } else { "r" })
    });
    write(&sandbox, "test.csv", "c,x,y", 20, |i| {
        format!("{},1,2", if i < 3 { "new" } else { "r" })
    });
    let files = ["train.csv", "--valid", "valid.csv", "--test", "test.csv", "--out", "run"];
    let said = trained(&sandbox, &files);
    let line = "`c`: 1 of 10 values of the validation part and 3 of 20 values of the test part are levels that";
    assert!(said.contains(line), "{said}");
    // a file without a header is told apart from one of other columns
    write(&sandbox, "test.csv", "r,4,1", 20, row);
    let error = refused(&sandbox, &["train", "train.csv", "--test", "test.csv", "--out", "no"]);
    assert!(error.contains("test.csv: no header"), "{error}");
    assert!(error.contains("expected the line `c,x,y` there"), "{error}");
}

#[test]
fn names_that_do_not_exist_are_answered_by_those_that_do() {
    let sandbox = Sandbox::new();
    write(&sandbox, "t.csv", "rooms,\"size, net\",rent,w", 60, |i| {
        format!("{},{},{}.5,1", i % 7, i % 5, i * 7 % 101)
    });
    for (args, expected) in [
        (&["--target", "nope"][..], "no column of that name; it has `rooms`, `size, net`, `rent`"),
        (&["--target", "Rents"], "is it `rent`?"),
        (&["--class-names", "a,b"], "`class_names` is for images"),
        (&["--image-size", "3x3"], "`image_size` is for folders of images"),
        (&["--split", "1,0,0"], "as in 1.0,0.0,0.0"),
    ] {
        let error = refused(&sandbox, &[&["train", "t.csv", "--out", "no"], args].concat());
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    assert!(!sandbox.path("no").exists());
    // a comma in a name does not cut it
    let options = ["t.csv", "--target", "rent", "--ignore", "size, net,w", "--out", "run"];
    let said = trained(&sandbox, &options);
    assert!(said.contains("1 input from 1 column of numbers"), "{said}");
    write(&sandbox, "no-w.csv", "rooms,rent", 9, |i| format!("{i},{i}.5"));
    let weighted = ["t.csv", "--target", "rent", "--weight", "w", "--out", "weighted"];
    trained(&sandbox, &weighted);
    write(&sandbox, "no-w.csv", "rooms,\"size, net\",rent", 9, |i| format!("{i},{i},{i}.5"));
    let error = refused(&sandbox, &["eval", "weighted", "no-w.csv"]);
    assert!(error.contains("no column `w`, which holds the weights of the rows"), "{error}");
}

#[test]
fn several_targets_are_scored_each_in_its_units() {
    let sandbox = Sandbox::new();
    write(&sandbox, "t.csv", "x,metres,grams", 200, |i| {
        format!("{},{}.5,{}", i % 17, i % 17, 1000 * (i % 17))
    });
    let train = ["train", "t.csv", "--target", "metres,grams", "--out", "run"];
    let shown = sandbox.ok(&[&train[..], &QUICK].concat());
    assert!(shown.contains("\n`metres`: RMSE ") && shown.contains("\n`grams`: RMSE "), "{shown}");
    let results: Value = serde_json::from_slice(&sandbox.bytes("run/results.json")).unwrap();
    let targets = results["test_targets"].as_array().unwrap();
    let eval = json_lines(&sandbox.ok(&["eval", "run", "--json"])).remove(0);
    for (target, name) in targets.iter().zip(["metres", "grams"]) {
        assert_eq!(target["target"], name);
        assert!(target["mae"].is_f64() && target["r2"].is_f64(), "{results}");
    }
    for i in 0..2 {
        assert_eq!(eval["targets"][i]["rmse"], targets[i]["rmse"], "{eval}");
    }
}

#[test]
fn the_table_of_columns_stays_a_table() {
    let sandbox = Sandbox::new();
    write(&sandbox, "t.csv", "\"a\nb\",n,y", 60, |i| {
        format!("{},{}e36,{}", i % 7, -(i as i64), i % 2)
    });
    let shown = sandbox.ok(&["data", "t.csv"]);
    assert!(
        shown.contains("\na\\nb ") && shown.contains("from -5.9e37 to 0, mean -2.95e37"),
        "{shown}"
    );
    let one = shown.lines().find(|line| line.starts_with("y ")).unwrap();
    assert!(one.contains("2 values from 0 to 1"), "{one}");
}

#[test]
fn help_says_what_follows_from_a_table() {
    let sandbox = Sandbox::new();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for command in ["train", "sweep", "cv"] {
        let help = words(&sandbox.ok(&[command, "--help"]));
        assert_eq!(help.matches("of a table, what suits its size").count(), 7, "{help}");
    }
}

#[test]
fn a_metric_that_is_undefined_is_said_to_be() {
    let sandbox = Sandbox::new();
    let row = |i: usize| format!("{},{}", i % 7, i % 2);
    write(&sandbox, "t.csv", "x,y", 60, row);
    write(&sandbox, "v.csv", "x,y", 10, |i| format!("{i},1"));
    let said = trained(&sandbox, &["t.csv", "--valid", "v.csv", "--metric", "auc", "--out", "run"]);
    assert!(said.contains("AUC is undefined on the validation part"), "{said}");
}

#[test]
fn settings_without_effect_are_named() {
    let sandbox = Sandbox::new();
    let noted = |args: &str| {
        let args: Vec<&str> =
            args.split(' ').map(|arg| if arg == "''" { "" } else { arg }).collect();
        let (said, code) = said(&sandbox, &[&args[..], &["--no-report"]].concat());
        assert_eq!(code, Some(0), "{said}");
        let notes = said.lines().filter(|line| line.contains(" no effect"));
        notes.map(|line| line.trim_start_matches("note: ").to_owned()).collect::<Vec<_>>()
    };
    let quick = "data --batch-size 20 --epochs 1";
    assert_eq!(
        noted(&format!("train {quick} --hidden 4 --momentum 0.8 --nesterov --out a")),
        ["--momentum, --nesterov have no effect: the optimizer is adam"]
    );
    assert_eq!(
        noted(&format!(
            "train {quick} --hidden '' --norm layer --beta1 0.8 --schedule one-cycle --out b"
        )),
        ["--beta1 has no effect: the one-cycle schedule moves it from 0.95 to 0.85 and back; \
             --norm has no effect: there are no hidden layers"]
    );
    // what has an effect, and what the file of a run has because it has everything
    let sgd = "--hidden 4 --optimizer sgd --momentum 0.8";
    assert!(noted(&format!("train {quick} {sgd} --out c")).is_empty());
    assert!(noted("train --config c/config.toml --seed 1 --out d").is_empty());
    assert_eq!(
        noted("train --config c/config.toml --optimizer adam --out e"),
        ["`momentum` has no effect: the optimizer is adam"]
    );
    // of a sweep, what has none in any run, once
    let sweep = format!("sweep {quick} --hidden 4 --lr 0.01");
    let both = format!("{sweep} --optimizer adam,sgd --momentum 0.8 --out f");
    assert!(noted(&both).is_empty());
    let notes = noted(&format!("{sweep} --momentum 0.8,0.9 --out g"));
    assert_eq!(notes, ["--momentum has no effect: the optimizer is adam"]);
    let cycle = "the one-cycle schedule moves it from 0.95 to 0.85 and back";
    let notes = noted(&format!("{both}-cycle --schedule one-cycle"));
    assert_eq!(notes, [format!("--momentum has no effect: the optimizer is adam, or {cycle}")]);
    assert!(noted(&format!("{sweep} --momentum 0.8 --quiet --out h")).is_empty());
}
