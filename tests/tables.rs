//! Tables from the command line: training, measuring and predicting, and what is wrong with files.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use common::{Sandbox, json_lines, text};
use serde_json::Value;

/// A row's inputs decide its class and its number: `size` (with gaps), `city` (with gaps), a key, a constant.
fn write(sandbox: &Sandbox, name: &str, rows: std::ops::Range<usize>, target: &str) {
    let mut lines = vec![format!("id,size,city,const,{target}")];
    for i in rows {
        let (size, city) = ((i * 37 % 101) as f64 / 10.0, ["Bonn", "Oslo", "Rome"][i * 7 % 3]);
        let shown = match (i % 13, i % 17) {
            (0, _) => (String::new(), city),
            (_, 0) => (size.to_string(), "?"),
            _ => (size.to_string(), city),
        };
        let y = match target {
            "rent" => (100.0 + 50.0 * size + if city == "Rome" { 300.0 } else { 0.0 }).to_string(),
            _ => ["small, cheap", "large"][usize::from(size > 5.0)].to_owned(),
        };
        let y = if y.contains(',') { format!("\"{y}\"") } else { y };
        lines.push(format!("key-{i},{},{},7,{y}", shown.0, shown.1));
    }
    std::fs::write(sandbox.path(name), lines.join("\n") + "\n").unwrap();
}

fn done(stdout: &str) -> Value {
    json_lines(stdout).pop().unwrap()
}

const QUICK: [&str; 6] = ["--no-report", "--epochs", "40", "--threads", "1", "--json"];

fn train(sandbox: &Sandbox, args: &[&str]) -> Value {
    done(&sandbox.ok(&[&["train"], args, &QUICK[..]].concat()))
}

#[test]
fn a_table_of_classes_is_learnt_measured_and_predicted_by_the_names_of_its_columns() {
    let sandbox = Sandbox::new();
    write(&sandbox, "train.csv", 0..600, "flat");
    write(&sandbox, "test.csv", 600..700, "flat");
    let output = sandbox
        .run(&[&["train", "train.csv", "--test", "test.csv", "--out", "run"], &QUICK[..]].concat());
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    for line in [
        "target `flat`, the last column (--target names another): 2 classes",
        "left out, because the training part has one value there: `const`",
        "left out, because the texts hardly repeat: `id` (--categorical keeps them)",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let lines = json_lines(&text(&output.stdout));
    let sizes = ["train_samples", "val_samples", "test_samples"].map(|key| lines[0][key].as_u64());
    assert_eq!(sizes, [Some(550), Some(50), Some(100)]);
    let end = lines.last().unwrap();
    let accuracy = end["test_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{end}");
    // without DATA, the data of the run; the test file alone is other data, with the same score
    let of_run = done(&sandbox.ok(&["eval", "run", "--json"]));
    assert_eq!(of_run["accuracy"].as_f64(), Some(accuracy));
    let of_file = done(&sandbox.ok(&["eval", "run", "test.csv", "--json"]));
    assert_eq!(
        (&of_file["accuracy"], &of_file["samples"]),
        (&of_run["accuracy"], &of_run["samples"])
    );

    let csv = sandbox.ok(&["predict", "run", "test.csv", "--keep", "id", "--probabilities"]);
    let mut csv_lines = csv.lines();
    assert_eq!(csv_lines.next(), Some("id,label,p_large,\"p_small, cheap\""));
    assert!(csv_lines.next().unwrap().starts_with("key-600,"), "{csv}");
    assert_eq!(csv.lines().count(), 101);
    // other columns, in another order, without the target: the same predictions
    let table = std::fs::read_to_string(sandbox.path("test.csv")).unwrap();
    let reordered: Vec<String> = table
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            format!("{};{};x;{}", cells[2], cells[1], cells[0])
        })
        .collect();
    let reordered = reordered.join("\n").replacen(";x;", ";more;", 1);
    std::fs::write(sandbox.path("reordered.tsv"), reordered).unwrap();
    let again = sandbox.ok(&["predict", "run", "reordered.tsv", "--keep", "id", "--probabilities"]);
    assert_eq!(again, csv);
    std::fs::write(sandbox.path("lacking.csv"), "id,city\na,Bonn\n").unwrap();
    let output = sandbox.run(&["predict", "run", "lacking.csv"]);
    let said = text(&output.stderr);
    assert!(said.contains("no column `size`, which the model needs"), "{said}");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]));
    // a header alone would look like an answer
    let output = sandbox.run(&["predict", "run", "test.csv", "--keep", "nothing"]);
    assert!(text(&output.stderr).contains("no column `nothing`, which --keep names"));
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]));
    sandbox.ok(&["report", "run"]);
    let page = text(&sandbox.bytes("run/report.html"));
    assert!(page.contains("<th>row</th>") && page.contains(", city "), "columns have their names");
    let shown = sandbox.ok(&["inspect", "run"]);
    assert!(
        shown.contains("\ncolumns: size, city")
            && shown.contains("1 column of texts with 4 levels"),
        "{shown}"
    );
    let shown = sandbox.ok(&["eval", "run"]);
    assert!(shown.contains(&format!("AUC {:.4}, on 100 samples", of_run["auc"].as_f64().unwrap())));
}

#[test]
fn numbers_are_predicted_in_their_own_units_and_runs_resume() {
    let sandbox = Sandbox::new();
    write(&sandbox, "flats.csv", 0..800, "rent");
    let end = train(&sandbox, &["flats.csv", "--out", "run"]);
    let rmse = end["test_rmse"].as_f64().unwrap();
    assert!(rmse < 60.0 && end["test_r2"].as_f64().unwrap() > 0.9, "{end}");
    assert!(end.get("test_accuracy").is_none());
    let csv = sandbox.ok(&["predict", "run", "flats.csv"]);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("rent"));
    assert!((50.0..1500.0).contains(&lines.next().unwrap().parse::<f64>().unwrap()), "{csv}");
    // a run that stops and resumes is the run that does not
    let half = ["train", "flats.csv", "--out", "half", "--no-report", "--threads", "1", "--quiet"];
    sandbox.ok(&[&half[..], &["--epochs", "20", "--patience", "none"]].concat());
    sandbox.ok(&["train", "--resume", "half", "--epochs", "40", "--quiet", "--no-report"]);
    sandbox
        .ok(&[&half[..3], &["whole", "--epochs", "40", "--patience", "none"], &half[4..]].concat());
    assert_eq!(sandbox.bytes("half/last.safetensors"), sandbox.bytes("whole/last.safetensors"));
}

/// Shuffled, a column that decides costs accuracy, and one that does not costs nothing; the page says so too. `city` decides nothing here.
#[test]
fn eval_tells_which_columns_matter() {
    let sandbox = Sandbox::new();
    write(&sandbox, "train.csv", 0..900, "flat");
    write(&sandbox, "rent.csv", 0..900, "rent");
    sandbox.ok(&["train", "train.csv", "--out", "run", "--epochs", "40", "--quiet"]);
    let measure =
        |arguments: &[&str]| done(&sandbox.ok(&[&["eval"], arguments, &["--json"]].concat()));
    let found = measure(&["run", "--importance", "--part", "all"]);
    assert_eq!(found["importance_metric"], "accuracy");
    let columns = found["importance"].as_array().unwrap();
    let value = |i: usize, key: &str| columns[i][key].as_f64().unwrap();
    assert_eq!((&columns[0]["column"], columns.len()), (&"size".into(), 2));
    // half of the rows change their class
    assert!(value(0, "mean") > 0.3 && value(0, "sd") < 0.1, "{found}");
    assert!(value(1, "mean").abs() < 0.05, "{found}");
    assert_eq!(found, measure(&["run", "--importance", "--part", "all"]));
    assert!(measure(&["run"])["importance"].is_null());
    let shown = sandbox.ok(&["eval", "run", "--importance"]);
    let size = shown.lines().find(|line| line.starts_with("size ")).unwrap();
    assert!(size.contains(" %"), "{shown}");
    let page = text(&sandbox.bytes("run/report.html"));
    assert!(page.contains("What matters") && page.contains("how much worse accuracy becomes"));

    // numbers, in their own units
    sandbox.ok(&["train", "rent.csv", "--out", "rents", "--epochs", "40", "--quiet"]);
    let found = measure(&["rents", "--importance"]);
    assert_eq!(found["importance_metric"], "rmse");
    assert!(
        [0, 1].iter().all(|&i| found["importance"][i]["mean"].as_f64() > Some(20.0)),
        "{found}"
    );

    // what mixes columns, or has none, has no importance of columns
    let flags = ["--pca", "2", "--out", "mixed", "--epochs", "2", "--quiet"];
    sandbox.ok(&[&["train", "train.csv"], &flags[..]].concat());
    let error = sandbox.fails(&["eval", "mixed", "--importance"], 2);
    assert!(error.contains("principal components, which mix all columns; expected"), "{error}");
    assert!(!text(&sandbox.bytes("mixed/report.html")).contains("What matters"));
    common::write_idx(&sandbox.path("images"), 60, 20);
    sandbox.ok(&["train", "images", "--out", "pixels", "--epochs", "1", "--quiet"]);
    let error = sandbox.fails(&["eval", "pixels", "--importance"], 2);
    assert!(error.contains("the samples are images; expected"), "{error}");
}

#[test]
fn rows_from_a_pipe_are_answered_as_they_arrive() {
    let sandbox = Sandbox::new();
    write(&sandbox, "flats.csv", 0..300, "rent");
    train(&sandbox, &["flats.csv", "--out", "run"]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_densely"))
        .args(["predict", "run", "-"])
        .current_dir(sandbox.0.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let mut answer = || {
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(answer(), "rent\n");
    to.write_all(b"size,city\n").unwrap();
    for size in ["1.5", "9"] {
        to.write_all(format!("{size},Rome\n").as_bytes()).unwrap();
        // the next row is written only when this one has been answered
        assert!(answer().trim().parse::<f64>().unwrap() > 0.0);
    }
    drop(to);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_is_said_in_one_line_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let cases: [(&str, &[&str], &str); 14] = [
        ("", &[], "the file has no lines"),
        ("a,b\n", &[], "no rows below the header"),
        ("a,b\n1,2\n3\n", &[], "line 3"),
        ("a,b\n1,\"2\n3,4\n", &[], "line 2"),
        ("a,a\n1,2\n", &[], "both named `a`"),
        ("a,,c\n1,2,3\n", &[], "column 2 has no name"),
        ("a\n1\n2\n", &[], "expected at least two columns"),
        ("a,b\n1,x\n2,y\n", &["--target", "c"], "no column of that name"),
        ("a,b\n1,\n2,\n", &[], "no value in any row"),
        ("a,b\n1,x\n1,y\n", &[], "no column is left to learn from"),
        ("a,b\n1e39,x\n2,y\n", &[], "line 2, `a`: 1e39 is too large"),
        (
            "a,b\n1,x\n2,y\n",
            &["--task", "regression"],
            "holds texts such as `x` in row 1; expected numbers",
        ),
        ("a,b\n1,x\n2,y\n", &["--weight", "b"], "named for two purposes"),
        ("a,b\n1,x\n\u{fffd}", &["--ignore", "zz"], "line 3"),
    ];
    for (contents, more, expected) in cases {
        std::fs::write(sandbox.path("bad.csv"), contents).unwrap();
        let output = sandbox.run(&[&["train", "bad.csv", "--out", "run"], more].concat());
        let said = text(&output.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{contents:?}: {said}");
        assert!(errors.len() == 1 && errors[0].contains(expected), "{contents:?}: {said}");
        assert!(!sandbox.path("run").exists(), "{contents:?}");
    }
}

#[test]
fn data_says_what_a_training_would_make_of_it() {
    let sandbox = Sandbox::new();
    write(&sandbox, "flats.csv", 0..300, "rent");
    let line = done(&sandbox.ok(&["data", "flats.csv", "--json"]));
    let columns = line["columns"].as_array().unwrap();
    let uses: Vec<&str> = columns.iter().map(|column| column["use"].as_str().unwrap()).collect();
    assert_eq!(
        uses,
        ["left out: hardly repeats", "input", "input", "left out: one value", "target"]
    );
    assert_eq!(columns[1]["missing"].as_u64(), Some(24));
    assert_eq!((&line["task"], &line["samples"]), (&"regression".into(), &300.into()));
    assert_eq!(line["parts"]["test"].as_u64(), Some(30));
    let shown = sandbox.ok(&["data", "flats.csv", "--target", "city", "--ignore", "id"]);
    assert!(shown.contains("3 classes: Bonn") && shown.contains("ignored (--ignore)"), "{shown}");
    let shown = sandbox.ok(&["data", "data"]);
    assert!(shown.contains("images of 5x4") && shown.contains("3 classes"), "{shown}");
}

#[test]
fn a_sweep_over_a_table_prepares_it_for_every_split() {
    let sandbox = Sandbox::new();
    write(&sandbox, "flats.csv", 0..300, "flat");
    let sweep = "sweep flats.csv --hidden 16 --batch-size 20 --lr 0.01,0.001 --epochs 5 --no-report --quiet";
    let sweep: Vec<&str> = sweep.split(' ').collect();
    sandbox.ok(&[&sweep[..], &["--out", "grid"]].concat());
    let csv = std::fs::read_to_string(sandbox.path("grid/results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3);
    sandbox.ok(&[&sweep[..], &["--split-seed", "0,1", "--out", "two"]].concat());
    // each run is the one that `train` makes by itself
    for (seed, run) in [("0", "3_lr0.001_splitseed0"), ("1", "4_lr0.001_splitseed1")] {
        let alone = ["train", "flats.csv", "--config"];
        let config = format!("two/{run}/config.toml");
        let out = format!("alone{seed}");
        let rest = ["--out", &out, "--threads", "1", "--no-report", "--quiet"];
        sandbox.ok(&[&alone[..], &[&config], &rest].concat());
        let model = |run: &str| sandbox.bytes(&format!("{run}/best.safetensors"));
        assert_eq!(model(&out), model(&format!("two/{run}")), "{seed}");
    }
}

#[test]
fn principal_components_are_learnt_from_the_training_part_and_applied_everywhere() {
    let sandbox = Sandbox::new();
    write(&sandbox, "train.csv", 0..600, "flat");
    write(&sandbox, "test.csv", 600..700, "flat");
    // size, where it is missing, and three cities with a level for none: 6 inputs
    let output = sandbox.run(
        &[&["train", "train.csv", "--test", "test.csv", "--pca", "4", "--out", "run"], &QUICK[..]]
            .concat(),
    );
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("projected onto 4 principal components, which have 9"), "{said}");
    let end = done(&text(&output.stdout));
    let accuracy = end["test_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.85, "{end}");
    // the model's own projection: the data of the run, the test file, and predictions agree
    for args in [&["eval", "run", "--json"][..], &["eval", "run", "test.csv", "--json"]] {
        assert_eq!(done(&sandbox.ok(args))["accuracy"].as_f64(), Some(accuracy), "{args:?}");
    }
    let csv = sandbox.ok(&["predict", "run", "test.csv", "--keep", "flat"]);
    let mut rows = 0;
    let right = csv
        .lines()
        .skip(1)
        .filter(|line| {
            rows += 1;
            let half = line.len() / 2;
            line[..half] == line[half + 1..]
        })
        .count();
    assert_eq!((right as f64 / 100.0, rows), (accuracy, 100), "{csv}");
    // rows in a pipe, in small pieces, are the rows of the file
    let whole = sandbox.ok(&["predict", "run", "test.csv", "--probabilities"]);
    let table = std::fs::read_to_string(sandbox.path("test.csv")).unwrap();
    let (header, body) = table.split_once('\n').unwrap();
    let mut pieces = String::from(whole.lines().next().unwrap()) + "\n";
    for line in body.lines().take(5) {
        std::fs::write(sandbox.path("one.csv"), format!("{header}\n{line}\n")).unwrap();
        let one = sandbox.ok(&["predict", "run", "one.csv", "--probabilities"]);
        pieces += one.lines().nth(1).unwrap();
        pieces += "\n";
    }
    assert!(whole.starts_with(&pieces), "{pieces}{whole}");
    // what the overview says, and a resumed run
    let seen = done(&sandbox.ok(&["data", "train.csv", "--pca", "4", "--json"]));
    assert_eq!((&seen["inputs"], &seen["pca"]["inputs"]), (&4.into(), &6.into()));
    assert!((0.9..1.0).contains(&seen["pca"]["variance"].as_f64().unwrap()), "{seen}");
    let shown = sandbox.ok(&["data", "train.csv", "--pca", "4"]);
    assert!(shown.contains("4 principal components of 6 inputs (9"), "{shown}");
    let part = ["train", "train.csv", "--pca", "4", "--no-report", "--threads", "1", "--quiet"];
    let whole = ["--epochs", "6", "--patience", "none", "--out", "whole"];
    sandbox.ok(&[&part[..], &whole].concat());
    let half = ["--epochs", "3", "--patience", "none", "--out", "half"];
    sandbox.ok(&[&part[..], &half].concat());
    sandbox.ok(&["train", "--resume", "half", "--epochs", "6", "--quiet", "--no-report"]);
    assert_eq!(sandbox.bytes("half/last.safetensors"), sandbox.bytes("whole/last.safetensors"));

    for (args, expected) in [
        (
            &["train", "train.csv", "--pca", "7"][..],
            "--pca 7: expected 1 to 6: there are 6 inputs and 480 training rows",
        ),
        (&["train", "train.csv", "--pca", "0"], "--pca 0: expected at least 1"),
        (&["train", "data", "--pca", "2"], "`pca` is for tables;"),
        (&["train", "train.csv", "--init-from", "run", "--pca", "3"], "`pca`: the model of"),
    ] {
        let output = sandbox.run(&[args, &["--out", "no"]].concat());
        let said = text(&output.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(errors.len() == 1 && errors[0].contains(expected), "{args:?}: {said}");
        assert!(!sandbox.path("no").exists());
    }
}

/// A code such as `007` or `a07` decides the class; those of the last rows look like numbers.
fn write_codes(sandbox: &Sandbox, name: &str, rows: std::ops::Range<usize>) {
    let mut csv = String::from("code,n,y\n");
    for i in rows {
        let code = if i < 400 && i / 10 % 2 == 0 {
            format!("a{:02}", i % 10)
        } else {
            format!("0{:02}", i % 10)
        };
        csv += &format!("{code},{},{}\n", i * 7 % 13, ["no", "yes"][usize::from(i % 10 > 4)]);
    }
    std::fs::write(sandbox.path(name), csv).unwrap();
}

#[test]
fn texts_stay_texts_where_a_part_looks_like_numbers() {
    let sandbox = Sandbox::new();
    write_codes(&sandbox, "train.csv", 0..400);
    write_codes(&sandbox, "test.csv", 400..460);
    let end = train(&sandbox, &["train.csv", "--test", "test.csv", "--out", "run"]);
    assert_eq!(end["test_accuracy"].as_f64(), Some(1.0), "{end}");
    for args in [&["eval", "run", "--json"][..], &["eval", "run", "test.csv", "--json"]] {
        let eval = done(&sandbox.ok(args));
        assert_eq!((eval["accuracy"].as_f64(), eval["samples"].as_u64()), (Some(1.0), Some(60)));
    }
    sandbox.ok(&["train", "--resume", "run", "--epochs", "41", "--no-report"]);
}

#[test]
fn what_is_copied_is_not_what_is_predicted() {
    let sandbox = Sandbox::new();
    write(&sandbox, "flats.csv", 0..200, "rent");
    train(&sandbox, &["flats.csv", "--out", "run"]);
    let csv = sandbox.ok(&["predict", "run", "flats.csv", "--keep", "id,rent"]);
    assert!(csv.starts_with("id,rent_input,rent\nkey-0,"), "{csv}");
    let json = sandbox.ok(&["predict", "run", "flats.csv", "--keep", "rent", "--format", "jsonl"]);
    let first = json_lines(&json).remove(0);
    assert!(first["rent_input"].is_string() && first["rent"].is_f64(), "{first}");
}

#[test]
fn what_32_bits_do_not_hold_and_what_a_model_has_decided_is_refused() {
    let sandbox = Sandbox::new();
    write(&sandbox, "flats.csv", 0..200, "rent");
    train(&sandbox, &["flats.csv", "--out", "run"]);
    let init = ["train", "flats.csv", "--init-from", "run", "--out", "no"];
    let output = sandbox.run(&[&init[..], &["--target", "size"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("`target`"), "{}", text(&output.stderr));
    sandbox.ok(&[
        "train",
        "flats.csv",
        "--init-from",
        "run",
        "--out",
        "more",
        "--epochs",
        "2",
        "--no-report",
    ]);

    let labels = "x,y\n1,20000001\n2,20000002\n3,20000001\n4,20000002\n5,20000003\n";
    std::fs::write(sandbox.path("large.csv"), labels).unwrap();
    let output = sandbox.run(&["train", "large.csv", "--task", "classification", "--out", "no"]);
    assert!(text(&output.stderr).contains("--categorical y"), "{}", text(&output.stderr));
    std::fs::write(sandbox.path("inf.csv"), "x,y\n1,a\ninf,b\n3,a\n4,b\n").unwrap();
    let output = sandbox.run(&["train", "inf.csv", "--out", "no"]);
    let said = text(&output.stderr);
    assert!(said.contains("`x` has no finite number in row 2"), "{said}");
    assert!(!sandbox.path("no").exists());
}
