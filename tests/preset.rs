//! Presets: what wins over what, and that a run with one is the run of its settings.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{Sandbox, text};
use toml::{Table, Value};

/// The settings that would be used.
fn printed(sandbox: &Sandbox, command: &str, more: &[&str]) -> Table {
    sandbox.ok(&[&[command, "--print-config"], more].concat()).parse().unwrap()
}

/// Keeps what `--print-config` prints in a file.
fn print_to(sandbox: &Sandbox, file: &str, args: &[&str]) {
    let settings = sandbox.ok(&[args, &["--print-config"]].concat());
    std::fs::write(sandbox.path(file), settings).unwrap();
}

/// A table of 300 rows in two classes.
fn write_table(sandbox: &Sandbox) {
    let row = |i: usize| format!("{},{},{}\n", i * 7 % 11, i * 5 % 13, ["a", "b"][i * 7 % 11 / 6]);
    let rows: String = (0..300).map(row).collect();
    std::fs::write(sandbox.path("t.csv"), format!("x,y,class\n{rows}")).unwrap();
}

#[test]
fn flags_win_over_a_file_the_file_over_the_preset_and_that_over_defaults() {
    let sandbox = Sandbox::new();
    let settings = "preset = 'quick'\nbatch-size = 77\nlr = 0.5\n";
    std::fs::write(sandbox.path("c.toml"), settings).unwrap();
    let check = |more: &[&str], lr: f64, batch_size: i64, epochs: i64, schedule: &str| {
        let config = printed(&sandbox, "train", &[&["data"], more].concat());
        assert_eq!(config["lr"], Value::Float(lr), "{more:?}");
        assert_eq!(config["batch_size"], Value::Integer(batch_size), "{more:?}");
        assert_eq!(config["epochs"], Value::Integer(epochs), "{more:?}");
        assert_eq!(config["schedule"].as_str(), Some(schedule), "{more:?}");
        assert!(!config.contains_key("preset"));
    };
    check(&[], 0.001, 500, 20, "constant");
    check(&["--preset", "none"], 0.001, 500, 20, "constant");
    check(&["--preset", "quick"], 0.005, 128, 3, "linear");
    check(&["--lr", "0.25", "--preset", "quick"], 0.25, 128, 3, "linear");
    check(&["--config", "c.toml"], 0.5, 77, 3, "linear");
    check(&["--config", "c.toml", "--lr", "0.25"], 0.25, 77, 3, "linear");
    check(&["--config", "c.toml", "--preset", "none"], 0.5, 77, 20, "constant");
    check(&["--config", "c.toml", "--preset", "distort"], 0.5, 77, 120, "cosine");
    // the usual rate of an optimizer is a default, below the preset
    check(&["--optimizer", "sgd"], 0.05, 500, 20, "constant");
    check(&["--optimizer", "sgd", "--preset", "quick"], 0.005, 128, 3, "linear");
}

#[test]
fn what_a_preset_gives_is_said() {
    let sandbox = Sandbox::new();
    let shown = sandbox.ok(&["train", "--preset", "distort", "--lr", "0.1", "--print-config"]);
    let comment = "# preset distort (Simard et al., 2003; Cireşan et al., 2010, arXiv 1003.0358): \
                   hidden, activations, augment, norm, schedule, batch_size, epochs\n";
    assert!(shown.starts_with(comment), "{shown}");
    let short = sandbox.ok(&["train", "-h"]);
    let short = short.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(short.contains("[possible values: none, noise, distort, quick, tabular-s]"), "{short}");
    for command in ["train", "sweep", "cv"] {
        let long = sandbox.ok(&[command, "--help"]);
        assert!(long.contains("- distort: "), "{command}: {long}");
    }
    // a file that has everything leaves nothing to a preset
    print_to(&sandbox, "all.toml", &["train", "data"]);
    let args = ["train", "--config", "all.toml", "--preset", "quick", "--print-config"];
    let note = text(&sandbox.run(&args).stderr);
    assert!(note.contains("preset quick changes nothing: all.toml and the flags"), "{note}");
}

/// A preset has other values where numbers are learned, in every command; what the user gives stays.
#[test]
fn a_preset_adapts_to_numbers() {
    let sandbox = Sandbox::new();
    let rows = (0..120).map(|i| {
        let x = f64::from(i * 37 % 101);
        format!("{x},{},{}", 3.5 * x + 0.25, ["a", "b", "c"][i as usize % 3])
    });
    let rows: Vec<String> = rows.collect();
    std::fs::write(sandbox.path("t.csv"), format!("x,y,kind\n{}\n", rows.join("\n"))).unwrap();
    for command in ["train", "sweep", "cv"] {
        let shown = |target: &str, more: &[&str]| {
            let args = [command, "t.csv", "--target", target, "--preset", "tabular-s"];
            let shown = sandbox.ok(&[&args[..], more, &["--print-config"]].concat());
            shown.parse::<toml::Table>().unwrap()
        };
        let setting = |table: &toml::Table, key: &str| match &table[key] {
            toml::Value::Array(values) => values[0].to_string(),
            one => one.to_string(),
        };
        let (classes, numbers) = (shown("kind", &[]), shown("y", &[]));
        for (key, of_classes, of_numbers) in [
            ("lr", "0.04", "0.07"),
            ("label_smoothing", "0.1", "0.0"),
            ("activations", "\"selu\"", "\"mish\""),
            ("scale", "\"smooth\"", "\"smooth\""),
        ] {
            assert_eq!(setting(&classes, key), of_classes, "{command} {key}");
            assert_eq!(setting(&numbers, key), of_numbers, "{command} {key}");
        }
        let given = shown("y", &["--lr", "0.5", "--scale", "standard"]);
        assert_eq!(setting(&given, "lr"), "0.5", "{command}");
        assert_eq!(setting(&given, "scale"), "\"standard\"", "{command}");
    }
    // beside a model, its network and its columns stay
    let quick = ["--epochs", "2", "--no-report", "--quiet"];
    let train = ["train", "t.csv", "--target", "y", "--hidden", "6", "--activations", "relu"];
    sandbox.ok(&[&train[..], &["--out", "old"], &quick].concat());
    let from = ["train", "t.csv", "--init-from", "old", "--preset", "tabular-s"];
    sandbox.ok(&[&from[..], &["--out", "new"], &quick].concat());
    let config: toml::Table = text(&sandbox.bytes("new/config.toml")).parse().unwrap();
    let found = ["init", "scale", "lr"].map(|key| config[key].to_string());
    assert_eq!(found, ["\"auto\"", "\"auto\"", "0.07"]);
    assert_eq!(config["activations"].to_string(), "[\"relu\"]");
    assert!(config.get("input_scales").is_none());
    // a model with factors keeps them
    let train = ["train", "t.csv", "--target", "y", "--preset", "tabular-s", "--hidden", "6"];
    sandbox.ok(&[&train[..], &["--out", "scaled"], &quick].concat());
    let from = ["train", "t.csv", "--init-from", "scaled"];
    let message = sandbox.fails(&[&from[..], &["--input-scales", "none"]].concat(), 2);
    assert!(message.contains("has factors of its inputs"), "{message}");
    let message =
        sandbox.fails(&["train", "t.csv", "--init-from", "old", "--input-scales", "3"], 2);
    assert!(message.contains("has no factors of its inputs"), "{message}");
    sandbox.ok(&[&from[..], &["--out", "more"], &quick].concat());
    assert!(text(&sandbox.bytes("more/config.toml")).contains("input_scales = 1.0"));
    let shown = sandbox.ok(&["inspect", "scaled"]);
    assert!(shown.contains("factors of the inputs from "), "{shown}");
}

#[test]
fn mistakes_are_one_line() {
    let sandbox = Sandbox::new();
    let message = sandbox.fails(&["train", "--preset", "nose"], 2);
    assert!(
        message.contains("possible values: none, noise, distort, quick, tabular-s"),
        "{message}"
    );
    let file = |text: &str| std::fs::write(sandbox.path("c.toml"), text).unwrap();
    for (text, expected) in [
        ("preset = 'nose'", "preset: `nose`: expected one of none, noise, distort, quick"),
        ("preset = 3", "preset: found 3, expected a name"),
        ("presets = 'noise'", "did you mean `preset`?"),
    ] {
        file(text);
        for command in ["train", "sweep", "cv"] {
            let message = sandbox.fails(&[command, "data", "--config", "c.toml"], 2);
            assert!(message.starts_with("error: --config c.toml: "), "{message}");
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
    // what the data cannot have
    write_table(&sandbox);
    for command in ["train", "sweep", "cv"] {
        let message = sandbox.fails(&[command, "t.csv", "--preset", "distort", "--quiet"], 2);
        let expected = "error: preset distort: augment is affine,elastic, but the samples of";
        assert!(message.starts_with(expected), "{message}");
    }
    assert!(!sandbox.path("runs").exists());
}

#[test]
fn the_printed_settings_train_the_same_models() {
    let sandbox = Sandbox::new();
    write_table(&sandbox);
    // the tables' patience follows from the epochs, unless it is given
    for (i, args) in [
        &["data", "--preset", "quick"][..],
        &["data", "--preset", "noise", "--hidden", "24,12", "--epochs", "2"],
        &["data", "--preset", "distort", "--hidden", "24,12", "--epochs", "2"],
        &["t.csv", "--preset", "quick"],
        &["t.csv", "--preset", "noise", "--hidden", "24,12", "--epochs", "60"],
        &[
            "t.csv",
            "--preset",
            "noise",
            "--hidden",
            "24,12",
            "--epochs",
            "60",
            "--patience",
            "none",
        ],
    ]
    .iter()
    .enumerate()
    {
        let train = [&["train"], *args].concat();
        print_to(&sandbox, "f.toml", &train);
        let (direct, file) = (format!("direct{i}"), format!("file{i}"));
        let common = ["--no-report", "--quiet", "--out"];
        sandbox.ok(&[&train[..], &common, &[&direct]].concat());
        sandbox.ok(&[&["train", "--config", "f.toml"][..], &common, &[&file]].concat());
        for name in ["config.toml", "best.safetensors", "last.safetensors"] {
            let bytes = |run: &str| sandbox.bytes(&format!("{run}/{name}"));
            assert_eq!(bytes(&direct), bytes(&file), "{args:?}: {name}");
        }
    }
}

#[test]
fn of_a_table_follows_what_the_preset_leaves_open() {
    let sandbox = Sandbox::new();
    write_table(&sandbox);
    let config = printed(&sandbox, "train", &["t.csv", "--preset", "quick"]);
    assert_eq!(config["hidden"], Value::Array(vec![256.into()]));
    assert_eq!((&config["batch_size"], &config["epochs"]), (&128.into(), &3.into()));
    assert_eq!(config["lr"], Value::Float(0.005));
    // the rule of tables, for this network; nothing ends a schedule early
    let expected = (&Value::from("none"), &Value::Float(0.534));
    assert_eq!((&config["patience"], &config["weight_decay"]), expected);
}

#[test]
fn a_run_resumes_from_its_settings_alone() {
    let sandbox = Sandbox::new();
    let common = ["--no-report", "--quiet", "--schedule", "constant"];
    let train = |out: &str, epochs: &str| {
        let preset = ["train", "data", "--preset", "quick", "--hidden", "16"];
        sandbox.ok(&[&preset[..], &common, &["--epochs", epochs, "--out", out]].concat());
    };
    train("whole", "4");
    train("run", "2");
    let before: Table = text(&sandbox.bytes("run/config.toml")).parse().unwrap();
    assert!(!before.contains_key("preset"));
    assert_eq!((&before["lr"], &before["batch_size"]), (&Value::Float(0.005), &128.into()));
    sandbox.ok(&["train", "--resume", "run", "--epochs", "4", "--quiet", "--no-report"]);
    for name in ["config.toml", "best.safetensors", "last.safetensors"] {
        let bytes = |run: &str| sandbox.bytes(&format!("{run}/{name}"));
        assert_eq!(bytes("run"), bytes("whole"), "{name}");
    }
    let message = sandbox.fails(&["train", "--resume", "run", "--preset", "noise"], 2);
    assert!(message.contains("--preset"), "{message}");
}

#[test]
fn a_sweep_varies_what_flags_list_around_the_preset() {
    let sandbox = Sandbox::new();
    // the default grid varies networks, rates and batches, all of which the preset gives
    let one = printed(&sandbox, "sweep", &["data", "--preset", "quick"]);
    assert_eq!(one["hidden"], Value::Array(vec![256.into()]));
    assert_eq!((&one["lr"], &one["batch_size"]), (&Value::Float(0.005), &128.into()));
    assert_eq!(one["epochs"], 3.into());

    let grid = ["sweep", "data", "--preset", "quick", "--hidden", "16;8", "--seed", "0,1"];
    let common = ["--threads", "1", "--no-report", "--quiet", "--out", "sweep"];
    let sweep = [&grid[..], &common].concat();
    sandbox.ok(&sweep);
    let alone = ["train", "data", "--preset", "quick", "--hidden", "8", "--seed", "1"];
    let alone = [&alone[..], &["--threads", "1", "--no-report", "--quiet", "--out", "a"]].concat();
    sandbox.ok(&alone);
    for name in ["config.toml", "best.safetensors"] {
        let bytes = |run: &str| sandbox.bytes(&format!("{run}/{name}"));
        assert_eq!(bytes("sweep/4_8_seed1"), bytes("a"), "{name}");
    }
    // the same command is the same sweep, and so is its file
    sandbox.ok(&sweep);
    sandbox.ok(&["sweep", "--config", "sweep/sweep.toml", "--quiet", "--out", "sweep"]);
}

#[test]
fn a_cross_validation_takes_presets() {
    let sandbox = Sandbox::new();
    write_table(&sandbox);
    let cv = ["t.csv", "--preset", "quick", "--folds", "2", "--hidden", "8", "--threads", "1"];
    let config = printed(&sandbox, "cv", &cv);
    assert_eq!((&config["epochs"], &config["folds"]), (&3.into(), &2.into()));
    print_to(&sandbox, "f.toml", &[&["cv"], &cv[..]].concat());
    for (out, args) in [("a", &cv[..]), ("b", &["--config", "f.toml"])] {
        sandbox.ok(&[&["cv", "--no-report", "--quiet", "--out", out], args].concat());
    }
    let predictions = |run: &str| sandbox.bytes(&format!("{run}/predictions.csv"));
    assert_eq!(predictions("a"), predictions("b"));
}

#[test]
fn a_sweep_without_patience_is_resumed_by_its_file() {
    let sandbox = Sandbox::new();
    write_table(&sandbox);
    let sweep = ["sweep", "t.csv", "--hidden", "8;4", "--lr", "0.01", "--epochs", "2"];
    let common = ["--patience", "none", "--no-report", "--quiet", "--out", "sweep"];
    sandbox.ok(&[&sweep[..], &common].concat());
    sandbox.ok(&["sweep", "--config", "sweep/sweep.toml", "--quiet", "--out", "sweep"]);
}

/// The network of a model takes the place of the preset's; the rest of the preset stays. A flag that contradicts the model is refused.
#[test]
fn a_model_to_start_from_wins_over_the_network_of_a_preset() {
    let sandbox = Sandbox::new();
    sandbox.train("old", &["--epochs", "1", "--no-report", "--quiet", "--ensemble", "2"]);
    let from = ["train", "data", "--init-from", "old", "--preset", "quick", "--no-report"];
    sandbox.ok(&[&from[..], &["--quiet", "--epochs", "1", "--out", "new"]].concat());
    let [old, new]: [Table; 2] = ["old", "new"]
        .map(|run| text(&sandbox.bytes(&format!("{run}/config.toml"))).parse().unwrap());
    for key in ["hidden", "activations", "norm", "ensemble"] {
        assert_eq!(new[key], old[key], "{key}");
    }
    assert_eq!(new["lr"], Value::Float(0.005));
    let error = sandbox.fails(&[&from[..], &["--ensemble", "3"]].concat(), 2);
    assert!(error.contains("--ensemble 3: expected 2, which "), "{error}");
    let error = sandbox.fails(&[&from[..], &["--hidden", "7"]].concat(), 2);
    assert!(error.contains("hidden sizes [7]"), "{error}");
}
