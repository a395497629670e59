//! What is shown of a regression, and of classes by another metric: every command, on a table made here.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{Sandbox, json_lines, text};

/// A table of two columns and a price of about 20,000, of which 300 rows are learnt and the others left for the other parts.
fn write_table(sandbox: &Sandbox) {
    let mut csv = "size,age,price\n".to_owned();
    for i in 0..400u32 {
        let (size, age) = (i * 37 % 101, i * 53 % 97);
        csv += &format!("{size},{age},{}\n", 5000 + 300 * size - 100 * age + i % 7);
    }
    std::fs::write(sandbox.path("homes.csv"), csv).unwrap();
}

const SMALL: [&str; 14] = [
    "--hidden",
    "16",
    "--activations",
    "relu",
    "--lr",
    "0.01",
    "--weight-decay",
    "0",
    "--batch-size",
    "20",
    "--threads",
    "1",
    "--patience",
    "99",
];

#[test]
fn a_regression_is_shown_by_its_errors_everywhere() {
    let sandbox = Sandbox::new();
    write_table(&sandbox);
    let train = ["train", "homes.csv", "--epochs", "8", "--out", "run"];
    let output = sandbox.run(&[&train[..], &SMALL].concat());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(
        err.contains(" 1 linear, ") && err.contains("      RMSE    val loss      RMSE"),
        "{err}"
    );
    assert!(out.contains("best epoch 8 of 8: validation RMSE "), "{out}");
    assert!(!(out + &err).contains("ccuracy"), "{err}");

    let line = sandbox.ok(&["eval", "run", "--json"]);
    let eval = &json_lines(&line)[0];
    let keys: Vec<&String> = eval.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["data", "loss", "mae", "part", "r2", "rmse", "samples"]);
    let done = &json_lines(&text(&sandbox.bytes("run/results.json")))[0];
    for (a, b) in [("rmse", "test_rmse"), ("mae", "test_mae"), ("r2", "test_r2")] {
        let (a, b) = (eval[a].as_f64().unwrap(), done[b].as_f64().unwrap());
        assert!((a - b).abs() < 1e-9 * a.abs(), "{a} {b}");
    }
    let shown = sandbox.ok(&["eval", "run"]);
    assert!(shown.starts_with("RMSE ") && shown.contains("\nprice "), "{shown}");
    let inspected = sandbox.ok(&["inspect", "run"]);
    assert!(inspected.contains(" 1 target, ") && inspected.contains("targets: price; loss mse"));

    let page = text(&sandbox.bytes("run/report.html"));
    for part in ["Predictions against the truth", "errors of price", "deviation</th>"] {
        assert!(page.contains(part), "{part}");
    }
    for picture in ["predictions", "residuals", "convergence"] {
        assert!(sandbox.path(&format!("run/{picture}.png")).exists(), "{picture}");
    }
    assert!(sandbox.ok(&["runs", "."]).contains("RMSE "));
    let listed = &json_lines(&sandbox.ok(&["runs", "run", "--json"]))[0];
    assert_eq!(listed["test_rmse"], done["test_rmse"]);
}

#[test]
fn a_sweep_over_a_regression_ranks_by_its_errors() {
    let sandbox = Sandbox::new();
    write_table(&sandbox);
    let sweep =
        ["sweep", "homes.csv", "--epochs", "3", "--lr", "0.0001,0.02", "--batch-size", "20"];
    let more = ["--hidden", "16", "--out", "sweep", "--json", "--quiet"];
    let lines = json_lines(&sandbox.ok(&[&sweep[..], &more].concat()));
    let run = lines.iter().find(|line| line["event"] == "run").unwrap();
    assert!(run["val_rmse"].is_f64() && run.get("val_accuracy").is_none(), "{run}");
    let done = lines.last().unwrap();
    assert!(done["best_run"].as_str().unwrap().contains("lr0.02"), "{done}");
    for key in ["val_rmse", "test_loss", "test_rmse", "test_mae", "test_r2"] {
        assert!(done[key].is_f64(), "{key}: {done}");
    }
    let csv = text(&sandbox.bytes("sweep/results.csv"));
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        rows[0][..9],
        [
            "rank",
            "hidden",
            "activations",
            "lr",
            "batch_size",
            "seed",
            "val_rmse",
            "val_loss",
            "parameters"
        ]
    );
    let error = |row: &[&str]| row[6].parse::<f64>().unwrap();
    assert!(rows[1][0] == "1" && error(&rows[1]) < error(&rows[2]), "{csv}");
    let page = text(&sandbox.bytes("sweep/report.html"));
    assert!(page.contains("best validation RMSE") && page.contains("Validation RMSE, logarithmic"));
    assert!(!page.contains("ccuracy"));
    assert!(sandbox.ok(&["runs", "."]).contains("RMSE "));
}

#[test]
fn another_metric_has_a_column_and_a_page_of_classes_has_curves() {
    let sandbox = Sandbox::new();
    let args = ["train", "data", "--metric", "macro-f1", "--epochs", "3", "--out", "run"];
    let output = sandbox.run(&[&args[..], &SMALL].concat());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(err.contains("accuracy  macro F1   seconds"), "{err}");
    assert!(out.contains(": validation macro F1 ") && out.contains("\ntest macro F1 "), "{out}");
    let done = &json_lines(&text(&sandbox.bytes("run/results.json")))[0];
    assert!(done["test_macro_f1"].is_f64() && done["val_accuracy"].is_f64(), "{done}");
    let page = text(&sandbox.bytes("run/report.html"));
    assert!(page.contains("macro AUC ") && page.contains("expected calibration error"));
    let eval = &json_lines(&sandbox.ok(&["eval", "run", "--json"]))[0];
    assert_eq!(eval["macro_f1"], done["test_macro_f1"]);
    assert!(eval["auc"].is_f64());
    let listed = &json_lines(&sandbox.ok(&["runs", "run", "--json"]))[0];
    for key in ["val_accuracy", "test_accuracy", "val_macro_f1", "test_macro_f1"] {
        assert_eq!(listed[key], done[key], "{key}");
    }
}

/// Parameters are what learns: no running statistics, and no biases before a batch norm.
#[test]
fn parameters_are_counted_alike_everywhere() {
    let sandbox = Sandbox::new();
    let train = "train data --hidden 16,8 --norm batch --batch-size 20 --epochs 1 --out";
    let train = |out: &str, seed: &str| {
        let args: Vec<&str> = train.split(' ').chain([out, "--seed", seed]).collect();
        text(&sandbox.run(&args).stderr)
    };
    let expected = (20 * 16 + 2 * 16) + (16 * 8 + 2 * 8) + (8 * 3 + 3);
    let (said, other) = (train("a", "0"), train("b", "1"));
    for said in [&said, &other] {
        assert!(said.contains(&format!(", {expected} parameters")), "{said}");
    }
    let inspected = json_lines(&sandbox.ok(&["inspect", "a", "--json"])).remove(0);
    assert_eq!(inspected["parameters"], expected);
    sandbox.ok(&["report", "a", "b", "--out", "both"]);
    for (page, name) in [("a", "parameters"), ("both", "its parameters")] {
        let page = text(&sandbox.bytes(&format!("{page}/report.html")));
        assert!(page.contains(&format!("<b>{expected}</b><span>{name}</span>")), "{page}");
    }
    let sweep =
        "sweep data --hidden 16,8 --norm batch --batch-size 20 --epochs 1 --lr 0.01 --out s";
    sandbox.ok(&sweep.split(' ').collect::<Vec<_>>());
    let row = json_lines(&text(&sandbox.bytes("s/results.jsonl"))).remove(0);
    assert_eq!(row["parameters"], expected);
}
