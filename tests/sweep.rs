//! Sweeps and reports, end to end, on a small data set made here.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Sandbox, json_lines, text};
use serde_json::Value;

const GRID: [&str; 16] = [
    "sweep",
    "data",
    "--hidden",
    "16,8;8",
    "--activations",
    "relu",
    "--lr",
    "0.01,0.001",
    "--batch-size",
    "20,50",
    "--epochs",
    "3",
    "--split",
    "200,50,50",
    "--threads",
    "1",
];

fn grid<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&GRID[..], more].concat()
}

/// The rows of results.jsonl without what differs from time to time.
fn results(sandbox: &Sandbox, sweep: &str) -> Vec<Value> {
    let mut rows = json_lines(&text(&sandbox.bytes(&format!("{sweep}/results.jsonl"))));
    rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("seconds")));
    rows
}

#[test]
fn a_sweep_ranks_its_runs_and_each_is_as_train_makes_it() {
    let sandbox = Sandbox::new();
    let shown = sandbox.ok(&grid(&["--out", "sweep", "--jobs", "2"]));
    assert!(shown.contains("test accuracy of the winner"), "{shown}");
    let rows = results(&sandbox, "sweep");
    assert_eq!(rows.len(), 8);
    let key = |row: &Value, name: &str| row[name].as_f64().unwrap();
    for pair in rows.windows(2) {
        let (a, b) = (key(&pair[0], "val_accuracy"), key(&pair[1], "val_accuracy"));
        assert!(a > b || (a == b && key(&pair[0], "val_loss") <= key(&pair[1], "val_loss")));
    }
    assert!(rows[0]["test_accuracy"].is_number());
    assert!(
        rows[1..].iter().all(|row| row["test_accuracy"].is_null()),
        "only the winner is tested"
    );
    let csv = text(&sandbox.bytes("sweep/results.csv"));
    let head = "rank,hidden,activations,lr,batch_size,seed,val_accuracy,val_loss,parameters,";
    assert!(csv.starts_with(head) && csv.contains("\"16,8\",\"relu,relu\",0.01,"), "{csv}");
    assert_eq!(csv.lines().count(), 9);

    let run = "1_16-8_lr0.01_b20";
    let alike = ["--hidden", "16,8", "--activations", "relu", "--lr", "0.01", "--batch-size", "20"];
    let common = ["--epochs", "3", "--split", "200,50,50", "--threads", "1", "--no-report"];
    sandbox.ok(&[&["train", "data", "--out", "alone"], &alike[..], &common].concat());
    for name in ["config.toml", "best.safetensors", "last.safetensors"] {
        let bytes = |run: &str| sandbox.bytes(&format!("{run}/{name}"));
        assert_eq!(bytes(&format!("sweep/{run}")), bytes("alone"), "{name}");
    }

    sandbox.ok(&grid(&["--out", "one", "--jobs", "1", "--test-all"]));
    let again = results(&sandbox, "one");
    assert!(again.iter().all(|row| row["test_accuracy"].is_number()));
    for (a, b) in rows.iter().zip(&again) {
        assert_eq!((&a["run"], &a["val_loss"]), (&b["run"], &b["val_loss"]));
    }
    assert_eq!(rows[0], again[0], "however many run at a time");
}

#[test]
fn a_killed_sweep_resumes_and_repeats_no_finished_run() {
    let sandbox = Sandbox::new();
    let long = |out: &'static str| {
        let mut args = grid(&["--out", out, "--jobs", "2"]);
        args[11] = "60"; // epochs
        args
    };
    sandbox.ok(&long("whole"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_densely"))
        .args(long("killed"))
        .current_dir(sandbox.0.path())
        .env("XDG_CACHE_HOME", sandbox.path("cache"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let results_file = sandbox.path("killed/results.jsonl");
    let count = |file: &Path| std::fs::read_to_string(file).unwrap_or_default().lines().count();
    let deadline = Instant::now() + Duration::from_secs(60);
    while count(&results_file) < 3 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = json_lines(&std::fs::read_to_string(&results_file).unwrap());
    assert!((3..8).contains(&done.len()), "{} runs were done", done.len());
    let modified = |row: &Value| {
        let file = format!("killed/{}/metrics.jsonl", row["run"].as_str().unwrap());
        std::fs::metadata(sandbox.path(&file)).unwrap().modified().unwrap()
    };
    let before: Vec<_> = done.iter().map(modified).collect();
    sandbox.ok(&long("killed"));
    assert_eq!(
        done.iter().map(modified).collect::<Vec<_>>(),
        before,
        "finished runs are left alone"
    );
    assert_eq!(results(&sandbox, "killed"), results(&sandbox, "whole"));
    for row in results(&sandbox, "whole") {
        let model = |sweep: &str| {
            sandbox.bytes(&format!("{sweep}/{}/last.safetensors", row["run"].as_str().unwrap()))
        };
        assert_eq!(model("killed"), model("whole"), "{}", row["run"]);
    }
    // all is done: the same command only shows it
    let again = sandbox.ok(&long("killed"));
    assert!(again.contains("test accuracy of the winner"), "{again}");
}

#[test]
fn a_run_that_diverges_or_fails_does_not_stop_the_others() {
    let sandbox = Sandbox::new();
    let base =
        ["sweep", "data", "--hidden", "8", "--epochs", "4", "--batch-size", "20", "--seed", "0"];
    let args = [&base[..], &["--lr", "1e30,0.01", "--out", "sweep", "--json"]].concat();
    let lines = json_lines(&sandbox.ok(&args));
    assert_eq!(lines[0]["event"], "start");
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["failed"]), (&"done".into(), &0.into()));
    assert_eq!(last["best_run"], "2_lr0.01");
    let rows = results(&sandbox, "sweep");
    assert_eq!((&rows[0]["status"], &rows[1]["status"]), (&"done".into(), &"diverged".into()));
    assert!(rows[1]["epochs"].as_u64().unwrap() < 4, "a diverged run is over: {}", rows[1]);

    // a run whose directory cannot be used
    std::fs::create_dir_all(sandbox.path("broken")).unwrap();
    std::fs::write(sandbox.path("broken/1_lr0.02"), "no directory").unwrap();
    let args = [&base[..], &["--lr", "0.02,0.01", "--out", "broken"]].concat();
    let output = sandbox.run(&args);
    assert_eq!(output.status.code(), Some(1));
    let last = text(&output.stderr).lines().last().unwrap().to_owned();
    assert!(last.contains("error: 1 of 2 runs failed: 1_lr0.02; the first because"), "{last}");
    let rows = results(&sandbox, "broken");
    assert_eq!(rows[1]["status"], "failed");
    assert!(rows[1]["error"].as_str().unwrap().contains("1_lr0.02"), "{}", rows[1]);
}

#[test]
fn bad_grids_are_rejected_in_a_line_before_anything_starts() {
    let sandbox = Sandbox::new();
    let many: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    let many = many.join(",");
    for (flags, expected) in [
        (&["--lr", "0.1,0.1"][..], "--lr 0.1 twice: expected each value once"),
        (&["--lr", "-1"], "--lr"),
        (&["--lr", ""], "invalid value ''"),
        (&["--hidden", "5;x"], "`x`"),
        (
            &["--hidden", "5,5", "--activations", "relu,relu,relu"],
            "3 activations, hidden layers: 2",
        ),
        (&["--batch-size", &many, "--seed", &many], "expected at most 10000"),
        (&["--jobs", "0"], "--jobs 0"),
        (&["--split", "200,0,50"], "validation part"),
        (&["--config", "none.toml"], "cannot read it"),
    ] {
        let message = sandbox.fails(&[&["sweep", "data", "--out", "sweep"], flags].concat(), 2);
        assert!(message.contains(expected), "{flags:?}: {message}");
        assert!(!sandbox.path("sweep").exists(), "{flags:?}");
    }
    let small =
        ["sweep", "data", "--hidden", "4", "--epochs", "1", "--batch-size", "20", "--no-report"];
    let with = |lr: &'static str| [&small[..], &["--lr", lr, "--out", "sweep"]].concat();
    sandbox.ok(&with("0.1"));
    let message = sandbox.fails(&with("0.2"), 2);
    assert!(
        message.contains("holds another sweep or cross-validation: lr is 0.1, not 0.2"),
        "{message}"
    );
    // the file that a sweep leaves is its configuration
    let printed = sandbox.ok(&["sweep", "--config", "sweep/sweep.toml", "--print-config"]);
    let file = text(&sandbox.bytes("sweep/sweep.toml"));
    let (comment, settings) = file.split_once('\n').unwrap();
    assert!(comment.starts_with("# data fingerprint: xxh3-2:"), "{comment}");
    assert_eq!(printed.trim(), settings.trim());
}

#[test]
fn what_is_damaged_or_in_use_costs_no_more_than_itself() {
    let sandbox = Sandbox::new();
    let args = grid(&["--out", "sweep"]);
    sandbox.ok(&args);
    let run = results(&sandbox, "sweep")[7]["run"].as_str().unwrap().to_owned();
    for name in ["checkpoint", "checkpoint-previous"] {
        std::fs::write(sandbox.path(&format!("sweep/{run}/{name}.safetensors")), "no").unwrap();
    }
    let output = sandbox.run(&args);
    assert_eq!(output.status.code(), Some(1), "the damaged run is an error");
    let shown = text(&output.stdout);
    assert!(
        shown.contains("test accuracy of the winner") && shown.contains("report.html"),
        "{shown}"
    );
    let page = text(&sandbox.bytes("sweep/report.html"));
    assert!(page.contains("(failed)"));
    assert!(
        sandbox.ok(&["report", "sweep", "--out", "elsewhere"]).contains("elsewhere/report.html")
    );

    let lock = std::fs::File::open(sandbox.path("sweep")).unwrap();
    lock.lock().unwrap();
    assert!(sandbox.fails(&args, 2).contains("sweep is in use by another densely"));
    drop(lock);

    std::fs::write(sandbox.path("grid.toml"), "init_from = 'model.safetensors'").unwrap();
    let message = sandbox.fails(&["sweep", "--config", "grid.toml"], 2);
    assert!(message.contains("`init_from` is for `train` alone"), "{message}");

    let small =
        ["sweep", "data", "--hidden", "8", "--epochs", "2", "--batch-size", "20", "--out", "none"];
    let output = sandbox.run(&[&small[..], &["--lr", "1e30,1e31"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error: none of the 2 runs has a result"));
}

/// A page that loads nothing, and its pictures.
fn check_page(sandbox: &Sandbox, directory: &str, pictures: &[&str]) -> String {
    let page = text(&sandbox.bytes(&format!("{directory}/report.html")));
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for reference in ["http:", "https:", "src=", "url(", "<link", "import"] {
        assert!(!outside.contains(reference), "{reference}");
    }
    assert!(page.len() < 1_500_000, "{}", page.len());
    // one for a screen, one for a phone
    assert_eq!(page.matches("<svg").count(), 2 * pictures.len());
    for name in pictures {
        let svg = text(&sandbox.bytes(&format!("{directory}/{name}.svg")));
        assert!(svg.trim_end().ends_with("</svg>") && !svg.contains("NaN"), "{name}");
        assert!(page.contains(svg.trim()), "{name}");
        let png = sandbox.bytes(&format!("{directory}/{name}.png"));
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() > 1000, "{name}");
    }
    page
}

#[test]
fn reports_are_made_of_runs_sweeps_and_several_runs() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1"]);
    // trained so little that there are mistakes to show
    let weak = ["train", "data", "--hidden", "3", "--epochs", "1", "--lr", "1e-5", "--out", "weak"];
    sandbox.ok(&weak);
    let all = ["calibration", "confusion", "convergence", "convergence-by-time", "mistakes"];
    let all = [&all[..], &["roc", "samples", "weights"]].concat();
    let page = check_page(&sandbox, "weak", &all);
    for part in [
        "validation, epoch 1 of 1",
        "precision",
        "test macro F1",
        "The most frequent confusions",
        "mistakes</th>",
        "by time",
        "last trained",
        "report made on",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let before = sandbox.bytes("weak/report.html");
    std::fs::remove_file(sandbox.path("weak/report.html")).unwrap();
    assert_eq!(sandbox.ok(&["report", "weak"]).trim(), "report: weak/report.html");
    assert_eq!(sandbox.bytes("weak/report.html"), before, "as at the end of training");

    sandbox.ok(&grid(&["--seed", "0,1", "--out", "sweep"]));
    let pictures =
        ["accuracy-by-parameters", "accuracy-by-time", "curves", "curves-by-time", "effects"];
    let page = check_page(&sandbox, "sweep", &pictures);
    assert!(page.contains("Over seeds") && page.contains("standard deviation"));
    let winner = results(&sandbox, "sweep")[0]["run"].as_str().unwrap().to_owned();
    assert!(page.contains(&format!("href=\"{winner}/report.html\"")));
    assert!(sandbox.path(&format!("sweep/{winner}/report.html")).exists());

    let shown = sandbox.ok(&["report", "run", "weak", "--out", "both"]);
    assert_eq!(shown.trim(), "report: both/report.html");
    let page = check_page(&sandbox, "both", &pictures);
    for (name, rank) in [("run", 1), ("weak", 2)] {
        assert!(page.contains(&format!("href=\"../{name}/report.html\"")), "{name}");
        let curve = format!("data-name=\"#{rank} {name}\"");
        assert!(
            page.contains(&curve) || page.contains(&format!("<title>#{rank} {name}")),
            "{name}"
        );
    }
    let chart = text(&sandbox.bytes("both/accuracy-by-parameters.svg"));
    assert_eq!(chart.matches("<circle").count(), 2, "however far apart, both are drawn");
    assert!(!page.contains("105 %") && !page.contains("110 %"));
    let winners_page = text(&sandbox.bytes(&format!("sweep/{winner}/report.html")));
    assert!(winners_page.contains("<a href=\"../report.html\">"));

    // none is lost: neither one that diverged, nor one that was not validated
    let diverges = ["--epochs", "3", "--lr", "1e30", "--out", "diverged", "--no-report"];
    let output = sandbox.run(&[&["train", "data", "--hidden", "4"], &diverges[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    sandbox.train("unvalidated", &["--epochs", "1", "--split", "0.8,0.0,0.2", "--no-report"]);
    sandbox.ok(&["report", "run", "diverged", "unvalidated", "--out", "three"]);
    let page = text(&sandbox.bytes("three/report.html"));
    assert!(page.contains("3 runs") && page.contains("(diverged)") && page.contains("in no chart"));
    let twice = sandbox.fails(&["report", "run", "./run", "--out", "twice"], 2);
    assert!(twice.contains("is named twice"), "{twice}");

    sandbox.train("quiet", &["--epochs", "1", "--no-report"]);
    assert!(!sandbox.path("quiet/report.html").exists());
    for (args, expected) in [
        (&["report", "nowhere"][..], "holds no run"),
        (&["report", "run", "sweep"], "is a sweep or a cross-validation"),
        (&["report", "run", "data"], "holds no run"),
    ] {
        assert!(sandbox.fails(args, 2).contains(expected), "{args:?}");
    }
}

#[test]
fn each_optimizer_has_its_own_learning_rate() {
    let sandbox = Sandbox::new();
    let rows: String = (0..120).map(|i| format!("{},{},{}\n", i % 7, i % 5, i % 2)).collect();
    std::fs::write(sandbox.path("t.csv"), format!("a,b,y\n{rows}")).unwrap();
    let rates = |sweep: &str| {
        let config = |run: &str| text(&sandbox.bytes(&format!("{sweep}/{run}/config.toml")));
        let line = |run: &str| {
            config(run).lines().find(|line| line.starts_with("lr = ")).map(str::to_owned)
        };
        ["1_adam", "2_sgd"].map(|run| line(run).unwrap_or_default())
    };
    let sweep = ["sweep", "t.csv", "--optimizer", "adam,sgd", "--epochs", "2", "--no-report"];
    sandbox.ok(&[&sweep[..], &["--out", "s"]].concat());
    assert_eq!(rates("s"), ["lr = 0.002", "lr = 0.05"]);
    // its file repeats and resumes it, and a flag is for all runs
    let again = sandbox.run(&["sweep", "--config", "s/sweep.toml", "--out", "s", "--no-report"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let file = ["sweep", "--config", "s/sweep.toml", "--lr", "0.01", "--out", "f", "--no-report"];
    sandbox.ok(&file);
    assert_eq!(rates("f"), ["lr = 0.01"; 2]);
    sandbox.ok(&[
        "train",
        "data",
        "--optimizer",
        "sgd",
        "--hidden",
        "4",
        "--batch-size",
        "20",
        "--epochs",
        "1",
        "--no-report",
        "--out",
        "r",
    ]);
    assert!(text(&sandbox.bytes("r/config.toml")).contains("\nlr = 0.05\n"));
}

#[test]
fn a_sweep_of_an_earlier_version_resumes_under_its_own_names() {
    let sandbox = Sandbox::new();
    let small =
        ["sweep", "data", "--hidden", "4", "--lr", "0.01", "--batch-size", "20", "--no-report"];
    let sweep =
        [&small[..], &["--epochs", "2", "--schedule", "cosine,step:1:0.5", "--out", "s"]].concat();
    sandbox.ok(&sweep);
    let (new, old) = ("s/2_step-1-0.5", "s/2_step:1:0.5");
    std::fs::rename(sandbox.path(new), sandbox.path(old)).unwrap();
    let model = |run: &str| sandbox.bytes(&format!("{run}/last.safetensors"));
    let before = model(old);
    std::fs::remove_file(sandbox.path("s/results.jsonl")).unwrap();
    sandbox.ok(&sweep);
    assert!(!sandbox.path(new).exists() && model(old) == before);
    assert_eq!(results(&sandbox, "s").len(), 2);
    sandbox.ok(&["report", "s"]);
    let runs = json_lines(&sandbox.ok(&["runs", "s", "--json"]));
    let recipe = |end: &str| {
        let path = |run: &&Value| run["path"].as_str().unwrap().ends_with(end);
        runs.iter().find(path).unwrap()["recipe"].clone()
    };
    assert_eq!([recipe("1_cosine"), recipe("2_step:1:0.5")], ["cosine", "step:1:0.5"]);
}
