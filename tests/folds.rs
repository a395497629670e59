//! Cross-validation from the command line.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{Sandbox, json_lines, text};
use serde_json::Value;

/// Three classes that overlap, a column of texts, and rows without a class.
fn classes(sandbox: &Sandbox, name: &str) {
    let mut table = "a,b,c,kind\n".to_owned();
    for i in 0..150_u32 {
        let class = i * 7 % 3;
        let noise = |k: u32| f64::from((i * k) % 101) / 50.0 - 1.0;
        let (a, b) = (f64::from(class) + noise(37), noise(53) - f64::from(class));
        let kind = if i % 50 == 7 { "" } else { ["x", "y", "z"][class as usize] };
        table += &format!("{a:.3},{b:.3},{},{kind}\n", ["u", "v"][(i % 2) as usize]);
    }
    std::fs::write(sandbox.path(name), table).unwrap();
}

fn numbers(sandbox: &Sandbox, name: &str) {
    let mut table = "a,b,price\n".to_owned();
    for i in 0..90_u32 {
        let (a, b) = (f64::from((i * 37) % 101) / 50.0, f64::from((i * 53) % 97) / 40.0);
        table += &format!("{a:.3},{b:.3},{:.3}\n", 100.0 + 20.0 * a - 7.0 * a * b);
    }
    std::fs::write(sandbox.path(name), table).unwrap();
}

/// The lines of a table without quotes, and its columns by name.
fn columns(text: &str) -> (Vec<Vec<String>>, impl Fn(&str) -> usize + use<>) {
    let mut lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    let head = lines.remove(0);
    (lines, move |name| head.iter().position(|column| column == name).unwrap())
}

fn done(text: &str) -> Value {
    json_lines(text).pop().unwrap()
}

const SHORT: [&str; 6] = ["--epochs", "6", "--hidden", "8", "--threads", "1"];

#[test]
fn every_row_is_predicted_once_and_the_scores_are_those_of_the_predictions() {
    let sandbox = Sandbox::new();
    classes(&sandbox, "t.csv");
    let args = ["cv", "t.csv", "--folds", "4", "--out", "cv", "--json", "--quiet"];
    let printed = sandbox.ok(&[&args[..], &SHORT].concat());
    let done = done(&printed);
    assert_eq!((&done["event"], &done["folds"]), (&"done".into(), &4.into()));
    assert_eq!(done["metric"], "accuracy");
    let (rows, column) = columns(&text(&sandbox.bytes("cv/predictions.csv")));
    let mut numbers: Vec<usize> =
        rows.iter().map(|row| row[column("row")].parse().unwrap()).collect();
    assert!(numbers.is_sorted());
    numbers.dedup();
    // rows without a class are no samples, and the others keep their numbers
    let expected: Vec<usize> = (1..=150).filter(|row| (row - 1) % 50 != 7).collect();
    assert_eq!(numbers, expected);
    let truth = |row: usize| ["x", "y", "z"][(row - 1) * 7 % 3];
    let mut shares = Vec::new();
    for fold in 1..=4 {
        let own: Vec<&Vec<String>> =
            rows.iter().filter(|row| row[column("fold")] == fold.to_string()).collect();
        assert!((36..=37).contains(&own.len()));
        let hits = own.iter().filter(|row| row[column("kind")] == row[column("label")]).count();
        shares.push(hits as f64 / own.len() as f64);
        for row in own {
            assert_eq!(row[column("kind")], truth(row[column("row")].parse().unwrap()));
            let sum: f64 = ["p_x", "p_y", "p_z"]
                .iter()
                .map(|name| row[column(name)].parse::<f64>().unwrap())
                .sum();
            assert!((sum - 1.0).abs() < 1e-5);
        }
    }
    let mean = shares.iter().sum::<f64>() / 4.0;
    let sd = (shares.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
    let close = |key: &str, value: f64| (done[key].as_f64().unwrap() - value).abs() < 1e-12;
    assert!(close("mean", mean) && close("sd", sd), "{done}: {mean} {sd}");
    let values: Vec<f64> =
        done["values"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert_eq!(values, shares);
    let listed = json_lines(&sandbox.ok(&["runs", "--json", "."])).pop().unwrap();
    assert!((listed["test_accuracy"].as_f64().unwrap() - mean).abs() < 1e-12, "{listed}");
    // a run of a fold is a run as any other: it knows its parts
    let eval = sandbox.ok(&["eval", "cv/fold2", "--json"]);
    let eval: Value = serde_json::from_str(&eval).unwrap();
    assert_eq!(eval["accuracy"].as_f64().unwrap(), shares[1]);
    let page = text(&sandbox.bytes("cv/report.html"));
    for part in ["Over folds", "mean accuracy over 4 folds", "Confusion", "out-of-fold accuracy"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn what_is_learnt_about_columns_comes_from_the_other_folds() {
    let sandbox = Sandbox::new();
    // `w` occurs once: in the fold that tests it, no network knows it
    let mut table = "a,c,kind\n".to_owned();
    for i in 0..40_u32 {
        let c = if i == 5 { "w" } else { ["u", "v"][(i % 2) as usize] };
        table += &format!("{},{c},{}\n", i % 7, ["x", "y"][(i * 3 % 4 / 2) as usize]);
    }
    std::fs::write(sandbox.path("t.csv"), table).unwrap();
    sandbox.ok(&[&["cv", "t.csv", "--out", "cv", "--no-report", "--quiet"][..], &SHORT].concat());
    let (rows, column) = columns(&text(&sandbox.bytes("cv/predictions.csv")));
    let own = rows.iter().find(|row| row[column("row")] == "6").unwrap();
    let inputs = |fold: &str| {
        let shown = sandbox.ok(&["inspect", &format!("cv/fold{fold}/best.safetensors"), "--json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown.to_string().contains("\"w\"")
    };
    let knows: Vec<bool> = ["1", "2", "3", "4", "5"].map(inputs).to_vec();
    let fold: usize = own[column("fold")].parse().unwrap();
    assert!(!knows[fold - 1], "fold {fold} has seen its own test row: {knows:?}");
    assert!(knows.iter().any(|knows| *knows), "{knows:?}");
}

#[test]
fn numbers_are_estimated_and_several_settings_ranked_by_their_means() {
    let sandbox = Sandbox::new();
    numbers(&sandbox, "t.csv");
    let args = ["sweep", "t.csv", "--folds", "3", "--lr", "0.03,0.00001", "--out", "s", "--json"];
    let done = done(&sandbox.ok(&[&args[..], &["--metric", "mae"], &SHORT].concat()));
    assert_eq!((&done["combinations"], &done["runs"]), (&2.into(), &6.into()));
    assert_eq!((&done["best"], &done["metric"]), (&"1_lr0.03".into(), &"mae".into()));
    let (rows, column) = columns(&text(&sandbox.bytes("s/predictions.csv")));
    assert_eq!(rows.len(), 90);
    let mut means = Vec::new();
    for fold in ["1", "2", "3"] {
        let errors = rows.iter().filter(|row| row[column("fold")] == fold).map(|row| {
            let value = |name: &str| row[column(name)].parse::<f64>().unwrap();
            (value("price") - value("price_predicted")).abs()
        });
        let errors: Vec<f64> = errors.collect();
        means.push(errors.iter().sum::<f64>() / errors.len() as f64);
    }
    let mean = means.iter().sum::<f64>() / 3.0;
    assert!((done["mean"].as_f64().unwrap() - mean).abs() < 1e-3 * mean, "{done} {mean}");
    let (rows, column) = columns(&text(&sandbox.bytes("s/results.csv")));
    let ranks: Vec<&str> = rows.iter().map(|row| &row[column("rank")][..]).collect();
    assert_eq!(ranks, ["1", "1", "1", "2", "2", "2"]);
    assert!(rows.iter().all(|row| row[column("test_mae")].parse::<f64>().is_ok()));
    let page = text(&sandbox.bytes("s/report.html"));
    assert!(page.contains("Over folds") && page.contains("Predictions against the truth"));
    // the page can be made again from the files alone
    std::fs::remove_file(sandbox.path("s/report.html")).unwrap();
    sandbox.ok(&["report", "s"]);
    assert!(text(&sandbox.bytes("s/report.html")).contains("Predictions against the truth"));
}

#[test]
fn the_same_command_resumes_and_comes_to_the_same() {
    let sandbox = Sandbox::new();
    classes(&sandbox, "t.csv");
    let cv = |out: &'static str| {
        [&["cv", "t.csv", "--out", out, "--no-report", "--quiet", "--json"][..], &SHORT].concat()
    };
    let whole = done(&sandbox.ok(&cv("whole")));
    sandbox.ok(&cv("again"));
    // as if it had been killed before one fold began, and before another was first saved
    std::fs::remove_dir_all(sandbox.path("again/fold3")).unwrap();
    std::fs::remove_file(sandbox.path("again/fold5/checkpoint.safetensors")).unwrap();
    std::fs::remove_file(sandbox.path("again/predictions.csv")).unwrap();
    let resumed = done(&sandbox.ok(&cv("again")));
    assert_eq!((&resumed["mean"], &resumed["values"]), (&whole["mean"], &whole["values"]));
    assert_eq!(sandbox.bytes("again/predictions.csv"), sandbox.bytes("whole/predictions.csv"));
    let finished = done(&sandbox.ok(&cv("again")));
    assert_eq!(finished["values"], whole["values"]);
}

#[test]
fn a_fold_on_which_the_metric_is_undefined_is_named_and_its_rows_are_predicted() {
    let sandbox = Sandbox::new();
    // two rows of class y in three folds: one fold has none, and no AUC
    let rows = (0..30).map(|i| format!("{},{}\n", i % 7, if i % 15 == 4 { "y" } else { "x" }));
    std::fs::write(sandbox.path("t.csv"), "a,kind\n".to_owned() + &rows.collect::<String>())
        .unwrap();
    let args = ["cv", "t.csv", "--folds", "3", "--metric", "auc", "--out", "cv", "--json"];
    let output = sandbox.run(&[&args[..], &SHORT].concat());
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("AUC is undefined on fold ") && said.contains("y (2)"), "{said}");
    let done = done(&text(&output.stdout));
    assert!(done["mean"].is_null() && done["sd"].is_null(), "{done}");
    assert_eq!(done["values"].as_array().unwrap().iter().filter(|x| x.is_null()).count(), 1);
    assert_eq!(text(&sandbox.bytes("cv/predictions.csv")).lines().count(), 31);
    // predictions of an earlier state do not stay beside other results
    let checkpoint = "cv/fold3/checkpoint.safetensors";
    let mut bytes = sandbox.bytes(checkpoint);
    bytes[100] ^= 1;
    std::fs::write(sandbox.path(checkpoint), bytes).unwrap();
    drop(std::fs::remove_file(sandbox.path("cv/fold3/checkpoint-previous.safetensors")));
    let output = sandbox.run(&[&args[..], &SHORT].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1 of 3 runs failed: fold3"), "{said}");
    assert!(!sandbox.path("cv/predictions.csv").exists());
}

#[test]
fn images_are_divided_without_their_test_file() {
    let sandbox = Sandbox::new();
    common::write_idx(&sandbox.path("data"), 60, 5);
    let args = ["cv", "data", "--folds", "3", "--out", "cv", "--quiet", "--json", "--no-report"];
    let done = done(&sandbox.ok(&[&args[..], &SHORT].concat()));
    assert_eq!(done["folds"], 3);
    let (rows, column) = columns(&text(&sandbox.bytes("cv/predictions.csv")));
    assert_eq!(rows.len(), 60, "the five of the test file are left out");
    assert!(rows.iter().all(|row| !row[column("class")].is_empty()));
}

#[test]
fn a_sweep_over_a_table_takes_its_own_grid_to_every_fold() {
    let sandbox = Sandbox::new();
    numbers(&sandbox, "t.csv");
    let args = "sweep t.csv --folds 2 --epochs 1 --threads 1 --no-report --quiet --json --out s";
    let end = done(&sandbox.ok(&args.split(' ').collect::<Vec<_>>()));
    assert_eq!((&end["combinations"], &end["runs"]), (&9.into(), &18.into()));
    let args = "cv t.csv --folds 2 --epochs 1 --threads 1 --no-report --quiet --json --out c";
    assert_eq!(done(&sandbox.ok(&args.split(' ').collect::<Vec<_>>()))["runs"], 2);
}

#[test]
fn parts_of_their_own_move_with_a_run_and_are_not_mixed_with_the_rest() {
    let sandbox = Sandbox::new();
    let table = |i: usize| {
        format!(
            "a,b,kind\n{}",
            (0..60)
                .map(|k| format!("{},{},{}\n", k * i % 7, k % 5, ["x", "y"][k % 2]))
                .collect::<String>()
        )
    };
    for (i, name) in ["one/train.csv", "one/valid.csv", "one/test.csv"].into_iter().enumerate() {
        std::fs::create_dir_all(sandbox.path("one")).unwrap();
        std::fs::write(sandbox.path(name), table(i + 3)).unwrap();
    }
    let parts = ["--valid", "one/valid.csv", "--test", "one/test.csv"];
    let run = ["train", "one/train.csv", "--out", "run", "--no-report", "--quiet"];
    sandbox.ok(&[&run[..], &parts, &SHORT].concat());
    let message = sandbox.fails(&[&run[..], &parts, &["--split", "0.8,0.1,0.1"]].concat(), 2);
    assert!(message.contains("would mix with the rest"), "{message}");
    std::fs::rename(sandbox.path("one"), sandbox.path("two")).unwrap();
    let moved = ["--valid", "two/valid.csv", "--test", "two/test.csv", "--epochs", "8"];
    let resume = ["train", "two/train.csv", "--resume", "run", "--no-report", "--quiet"];
    sandbox.ok(&[&resume[..], &moved].concat());
    let config = text(&sandbox.bytes("run/config.toml"));
    assert!(config.contains("two/valid.csv") && config.contains("two/test.csv"), "{config}");
    let other = ["--valid", "two/test.csv", "--test", "two/valid.csv", "--epochs", "9"];
    let message = sandbox.fails(&[&resume[..], &other].concat(), 2);
    assert!(message.contains("fingerprint"), "{message}");
}

#[test]
fn what_does_not_go_together_is_refused_in_a_line() {
    let sandbox = Sandbox::new();
    classes(&sandbox, "t.csv");
    for (args, expected) in [
        (&["cv", "t.csv", "--folds", "1"][..], "--folds 1: expected 2 to 1000"),
        (
            &["cv", "t.csv", "--folds", "500"],
            "--folds 500: expected at most 147, as there are 147 samples",
        ),
        (&["train", "t.csv", "--split", "fold:2/500"], "500 folds of 147 samples"),
        (
            &["sweep", "t.csv", "--folds", "3", "--valid", "t.csv"],
            "beside folds, which validate and test",
        ),
        (&["sweep", "t.csv", "--folds", "3", "--split", "0.8,0.1,0.1"], "no split beside folds"),
        (&["train", "t.csv", "--split", "fold:3/2"], "there is no such fold"),
        (&["sweep", "t.csv", "--folds", "3", "--test-all"], "--test-all beside --folds"),
    ] {
        let message = sandbox.fails(args, 2);
        assert!(message.contains(expected), "{args:?}: {message}");
        assert!(!sandbox.path("runs").exists());
    }
    std::fs::write(sandbox.path("several.toml"), "lr = [0.1, 0.01]\n").unwrap();
    let message = sandbox.fails(&["cv", "t.csv", "--config", "several.toml"], 2);
    assert!(
        message.contains("2 combinations of settings; expected one value of each"),
        "{message}"
    );
}
