//! The commands around training, end to end, and the configuration of a run.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use std::path::Path;
use std::process::Command;

use common::{Sandbox, header, json_lines, text};
use process::say;

#[test]
fn every_flag_arrives_in_the_configuration_and_the_configuration_gives_the_same_run() {
    let sandbox = Sandbox::new();
    // all of the preset's settings are given too: it has no key of its own
    let flags = "--preset quick --class-weight balanced --hidden 12,7 --activations gelu,elu --init lecun --lr 0.02 --beta1 0.8 --beta2 0.98 --eps 1e-5 \
                 --weight-decay 0.03 --batch-size 33 --epochs 2 --patience 9 --loss cross-entropy --metric macro-f1 --split 200,50,50 --split-seed 6 --seed 4 \
                 --shuffle off --threads 1 --deterministic --backend rust --augment affine:0.5,elastic --norm batch --dropout 0.1,0.2 --input-dropout 0.1 --noise 0.3 \
                 --input-noise 0.05 --optimizer sgd --momentum 0.8 --nesterov --schedule cosine:0.5 --warmup 0.1 --clip-norm 2 --ema 0.75 --label-smoothing 0.05 --ensemble 2 --norm-gain off --clean-statistics \
                 --input-scales 6 --ntk-rates --bias-rate 0.5 --latest-best";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    sandbox.ok(&[&["train", "data", "--out", "a", "--quiet"], &flags[..]].concat());
    let config: toml::Table = text(&sandbox.bytes("a/config.toml")).parse().unwrap();
    let expected: toml::Table = format!(
        "data = {:?}\ntask = 'auto'\nclass_weight = 'balanced'\nscale = 'auto'\nmissing = 'impute'\nhidden = [12, 7]\naugment = 'affine:0.5,elastic'\nactivations = ['gelu', 'elu']\ninit = 'lecun'\nensemble = 2\nnorm = 'batch'\nnorm_gain = false\nclean_statistics = true\ninput_scales = 6.0\nntk_rates = true\nbias_rate = 0.5\nlatest_best = true\ndropout = [0.1, 0.2]\ninput_dropout = 0.1\nnoise = [0.3]\ninput_noise = 0.05\n\
         optimizer = 'sgd'\nmomentum = 0.8\nnesterov = true\nschedule = 'cosine:0.5'\nwarmup = 0.1\nclip_norm = 2.0\nema = 0.75\nlabel_smoothing = 0.05\nlr = 0.02\nbeta1 = 0.8\n\
         beta2 = 0.98\neps = 1e-5\nweight_decay = 0.03\nbatch_size = 33\nepochs = 2\npatience = 9\n\
         loss = 'cross-entropy'\nmetric = 'macro-f1'\nsplit = '200,50,50'\nsplit_seed = 6\nseed = 4\nshuffle = false\nthreads = 1\ndeterministic = true\nbackend = 'rust'",
        sandbox.path("data").to_str().unwrap()
    )
    .parse()
    .unwrap();
    assert_eq!(config, expected);

    sandbox.ok(&["train", "--config", "a/config.toml", "--out", "b", "--quiet"]);
    for name in ["config.toml", "best.safetensors", "last.safetensors"] {
        let bytes = |run: &str| sandbox.bytes(&format!("{run}/{name}"));
        assert_eq!(bytes("a"), bytes("b"), "{name}");
    }
    let printed =
        sandbox.ok(&["train", "--config", "a/config.toml", "--lr", "0.5", "--print-config"]);
    let mut printed: toml::Table = printed.parse().unwrap();
    assert_eq!(printed.insert("lr".into(), 0.02.into()), Some(0.5.into()), "the flag wins");
    assert_eq!(printed, expected);
    assert!(!sandbox.path("runs").exists(), "--print-config starts nothing");

    std::fs::write(sandbox.path("c.toml"), "bach-size = 3").unwrap();
    let message = sandbox.fails(&["train", "--config", "c.toml"], 2);
    assert!(message.contains("unknown key `bach-size`; did you mean `batch_size`?"), "{message}");
    assert!(sandbox.fails(&["train", "--config", "no"], 2).contains("cannot read it"));
}

#[test]
fn every_numeric_flag_changes_what_is_trained() {
    let sandbox = Sandbox::new();
    let model = |name: &str, flags: &[&str]| {
        sandbox.train(name, &[&["--epochs", "2", "--quiet"], flags].concat());
        sandbox.bytes(&format!("{name}/last.safetensors"))
    };
    let base = model("base", &[]);
    for (i, flags) in [
        ["--beta1", "0.5"],
        ["--beta2", "0.9"],
        ["--eps", "1e-3"],
        ["--weight-decay", "0.1"],
        ["--seed", "1"],
        ["--shuffle", "off"],
        ["--init", "glorot"],
        ["--activations", "tanh"],
        ["--split", "200,50,50"],
    ]
    .iter()
    .enumerate()
    {
        assert_ne!(model(&i.to_string(), flags), base, "{flags:?}");
    }
}

#[test]
fn predictions_are_those_that_eval_counts() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "2"]);
    let (model, images) = ("run/best.safetensors", "data/t10k-images-idx3-ubyte");
    let csv = sandbox.ok(&["predict", model, images]);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines[0], lines.len()), ("index,label,probability", 61));
    let truth = sandbox.bytes("data/t10k-labels-idx1-ubyte");
    let correct = (lines[1..].iter().enumerate())
        .filter(|(i, line)| {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields[0], i.to_string());
            assert!((0.3..=1.0).contains(&fields[2].parse::<f64>().unwrap()));
            fields[1] == truth[8 + i].to_string()
        })
        .count();
    let eval = ["eval", model, "data", "--split", "canonical", "--json"];
    let result = &json_lines(&sandbox.ok(&eval))[0];
    assert_eq!(result["accuracy"].as_f64().unwrap(), correct as f64 / 60.0);
    let confusion = result["confusion"].as_array().unwrap();
    let diagonal: u64 = (0..3).map(|i| confusion[i][i].as_u64().unwrap()).sum();
    assert_eq!(diagonal, correct as u64);
    assert_eq!(result["classes"][1]["label"], "1");
    assert!(result["classes"][1]["f1"].is_f64());
    assert!(sandbox.ok(&eval[..5]).contains("confusion: a row per true class"));
}

#[test]
fn predict_reads_and_writes_every_form() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1"]);
    let (model, images) = ("run/best.safetensors", "data/t10k-images-idx3-ubyte");
    let csv = sandbox.ok(&["predict", model, images]);
    let both = ["predict", model, images, "data/train-images-idx3-ubyte", "--top", "2"];
    let both = sandbox.ok(&both);
    assert_eq!(both.lines().count(), 301);
    assert!(both.starts_with("index,label,probability,label_2,probability_2\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_densely"));
    command.args(["predict", model, "-"]).current_dir(sandbox.0.path());
    command.stdin(std::fs::File::open(sandbox.path(images)).unwrap());
    assert_eq!(text(&command.output().unwrap().stdout), csv);

    let output = sandbox.run(&["predict", model, images, "--format", "npy", "--stats"]);
    assert!(output.stdout.starts_with(b"\x93NUMPY"));
    assert_eq!(output.stdout.len() % 64, (60 * 3 * 4) % 64);
    assert!(text(&output.stderr).contains("images/s"), "{}", text(&output.stderr));
    let lines = ["predict", model, images, "--format", "jsonl", "--probabilities"];
    let lines = json_lines(&sandbox.ok(&lines));
    assert_eq!((lines.len(), lines[59]["index"].as_u64()), (60, Some(59)));
    let probabilities = lines[7]["probabilities"].as_object().unwrap().values();
    let total: f64 = probabilities.map(|p| p.as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-5);

    for (args, code, expected) in [
        (&["predict", model, "none"][..], 1, "cannot open none: No such file"),
        (&["predict", model, "data/t10k-labels-idx1-ubyte"], 1, "magic number"),
        (&["predict", model, images, "--top", "0"], 2, "expected 1 to 3"),
        (&["predict", model, images, "--top", "4"], 2, "expected 1 to 3"),
        (&["predict", model, images, "--format", "npy", "--top", "2"], 2, "expected no --top"),
        (&["predict", model], 2, "<INPUT>"),
        (&["predict", images, images], 1, "not a safetensors file"),
    ] {
        let message = sandbox.fails(args, code);
        assert!(message.contains(expected), "{args:?}: {message}");
    }
}

#[test]
fn eval_measures_another_part_where_there_is_no_test_part() {
    let sandbox = Sandbox::new();
    for (out, split, expected, name) in [
        ("no-test", "0.8,0.2,0", "val", "validation"),
        ("train-only", "300,0,0", "train", "training"),
    ] {
        sandbox.train(out, &["--epochs", "1", "--split", split, "--quiet", "--no-report"]);
        let output = sandbox.run(&["eval", out, "--json"]);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        let note = format!("note: the split leaves no test part; the {name} part is measured\n");
        assert!(said.contains(&note), "{said}");
        assert_eq!(json_lines(&text(&output.stdout))[0]["part"], expected);
        assert!(sandbox.fails(&["eval", out, "--part", "test"], 2).contains("leaves no samples"));
    }
    let output = sandbox.run(&["eval", "no-test", "--split-seed", "3"]);
    assert!(text(&output.stderr).contains("--split-seed has no effect"));
    let one = sandbox.ok(&["eval", "no-test", "--split", "298,1,1"]);
    assert!(one.contains(" on 1 sample\n"), "{one}");
}

#[test]
fn standard_input_is_given_once() {
    let sandbox = Sandbox::new();
    let message = sandbox.fails(&["predict", "model", "-", "-"], 2);
    assert_eq!(message, "error: `-` may be given once: standard input can be read only once\n");
}

/// Writes a model 20 - 4 - 3 without metadata, whose values are `value(i)` in each tensor.
fn write_bare_model(path: &Path, value: impl Fn(u8) -> f32) {
    let values: Vec<u8> = (0..80).flat_map(|i| value(i).to_le_bytes()).collect();
    let tensor = |shape: &[usize]| {
        let len = 4 * shape.iter().product::<usize>();
        safetensors::tensor::TensorView::new(
            safetensors::Dtype::F32,
            shape.to_vec(),
            &values[..len],
        )
        .unwrap()
    };
    let tensors = [
        ("layers.0.weight", tensor(&[4, 20])),
        ("layers.0.bias", tensor(&[4])),
        ("layers.1.weight", tensor(&[3, 4])),
        ("layers.1.bias", tensor(&[3])),
    ];
    safetensors::serialize_to_file(tensors, None, path).unwrap();
}

#[test]
fn weights_that_are_not_finite_are_rejected_by_every_command_that_computes() {
    let sandbox = Sandbox::new();
    let nan_at = |place: u8| move |i: u8| if i == place { f32::NAN } else { 0.1 };
    write_bare_model(&sandbox.path("nan.safetensors"), nan_at(70)); // in the first layer's weights alone
    let model = "nan.safetensors";
    for command in [
        &["predict", model, "data/t10k-images-idx3-ubyte"][..],
        &["eval", model, "data"],
        &["train", "data", "--init-from", model],
    ] {
        let message = sandbox.fails(command, 1);
        assert!(message.contains("layers.0.weight holds NaN; expected finite"), "{message}");
    }
    let shown = sandbox.run(&["inspect", model]);
    assert!(shown.status.success() && text(&shown.stdout).contains("NaN"));
    assert!(text(&shown.stderr).contains("note: "), "{}", text(&shown.stderr));
}

#[test]
fn accuracy_is_the_diagonal_of_the_confusion_even_where_probabilities_round_to_equal_ones() {
    let sandbox = Sandbox::new();
    // nothing but biases, and the later class ahead by less than a probability shows
    let ahead =
        |i: u8| [1e-3f32, 1e-3, 1e-3f32.next_up()].get(usize::from(i)).copied().unwrap_or(0.0);
    write_bare_model(&sandbox.path("tie.safetensors"), |_| 0.0);
    let bytes = sandbox.bytes("tie.safetensors");
    let mut tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors();
    let bias: Vec<u8> = (0..3).flat_map(|i| ahead(i).to_le_bytes()).collect();
    for (name, tensor) in &mut tensors {
        if name == "layers.1.bias" {
            *tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![3], &bias)
                .unwrap();
        }
    }
    safetensors::serialize_to_file(tensors, None, &sandbox.path("tie.safetensors")).unwrap();
    let result =
        &json_lines(&sandbox.ok(&["eval", "tie.safetensors", "data", "--json", "--part", "all"]))
            [0];
    let diagonal: u64 = (0..3).map(|i| result["confusion"][i][i].as_u64().unwrap()).sum();
    let accuracy = diagonal as f64 / result["samples"].as_f64().unwrap();
    assert_eq!(result["accuracy"].as_f64().unwrap(), accuracy);
    assert_eq!(result["confusion"][2][2], result["classes"][2]["samples"], "the later class wins");
}

#[test]
fn images_of_another_shape_are_rejected() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1"]);
    for (shape, expected) in [
        ([2, 4, 5], "found images of 4x5; the model expects images of 5x4"),
        ([2, 3, 3], "found images of 3x3; the model expects images of 5x4"),
    ] {
        let pixels = vec![0; shape.iter().product()];
        std::fs::write(sandbox.path("other"), [header(0x0803, &shape), pixels].concat()).unwrap();
        let message = sandbox.fails(&["predict", "run/best.safetensors", "other"], 1);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_model_file_without_metadata_is_read_and_what_is_guessed_is_said() {
    let sandbox = Sandbox::new();
    write_bare_model(&sandbox.path("bare.safetensors"), |i| f32::from(i) / 80.0 - 0.5);
    for command in [
        &["predict", "bare.safetensors", "data/t10k-images-idx3-ubyte"][..],
        &["eval", "bare.safetensors", "data"],
        &["inspect", "bare.safetensors"],
    ] {
        let guessed = sandbox.run(command);
        assert!(guessed.status.success(), "{}", text(&guessed.stderr));
        let note = "does not contain its activations; assumed: relu; --activations sets others";
        assert!(text(&guessed.stderr).contains(note), "{}", text(&guessed.stderr));
        let given = sandbox.run(&[command, &["--activations", "tanh"]].concat());
        assert!(given.status.success() && !text(&given.stderr).contains("assumed"));
        assert_ne!(given.stdout, guessed.stdout, "{command:?}");
    }
}

#[test]
fn inspect_tells_what_is_in_a_file() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1"]);
    let model = "run/best.safetensors";
    let report = &json_lines(&sandbox.ok(&["inspect", model, "--json"]))[0];
    assert_eq!(report["parameters"], 20 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3);
    let layer = &report["layers"][1];
    assert_eq!((layer["inputs"].as_u64(), layer["outputs"].as_u64()), (Some(16), Some(8)));
    assert_eq!(layer["activation"], "relu");
    assert_eq!(report["metadata"]["scaling"], "u8/255");
    let (max, norm) = (layer["singular_max"].as_f64(), layer["weight_norm"].as_f64().unwrap());
    if cfg!(feature = "openblas") {
        // the Frobenius norm lies between the largest singular value and sqrt(8) times it
        let max = max.unwrap();
        assert!((max..=8f64.sqrt() * max).contains(&norm), "{layer}");
        assert!(layer["condition"].as_f64().unwrap() >= 1.0);
    } else {
        assert_eq!(max, None);
        let output = sandbox.run(&["inspect", model]);
        assert!(text(&output.stderr).contains("feature `openblas`"));
    }
    let shown = sandbox.ok(&["inspect", model]);
    assert!(shown.contains("8x16") && shown.contains("images of 5x4"), "{shown}");
    let message = sandbox.fails(&["inspect", "none"], 1);
    assert_eq!(message, "error: cannot read none: No such file or directory (os error 2)\n");
}

#[test]
fn doctor_reports_and_completions_are_written() {
    let sandbox = Sandbox::new();
    let output = sandbox.run(&["doctor", "--json"]);
    let report = &json_lines(&text(&output.stdout))[0];
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!problems.is_empty())), "{report}");
    assert!(report["peak_gflops"].as_f64().unwrap() > 0.0);
    let backends = if cfg!(feature = "openblas") { 2 } else { 1 };
    assert_eq!(report["backends"].as_array().unwrap().len(), backends);
    if cfg!(feature = "embedded-mnist") {
        std::fs::remove_dir_all(sandbox.path("cache")).unwrap();
        std::fs::write(sandbox.path("cache"), "in the way").unwrap();
        let output = sandbox.run(&["doctor"]);
        assert_eq!(output.status.code(), Some(1));
        let message = text(&output.stderr);
        assert!(message.contains("set XDG_CACHE_HOME"), "{message}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(sandbox.ok(&["completions", shell]).contains("densely"));
    }
    assert!(sandbox.fails(&["completions", "dos"], 2).contains("possible values"));
    for command in ["train", "eval", "predict", "inspect", "doctor", "bench", "completions"] {
        assert!(sandbox.ok(&[command, "--help"]).contains("Examples:"), "{command}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn doctor_notices_cores_that_it_may_not_use() {
    let sandbox = Sandbox::new();
    let cores = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let confined = Command::new("taskset")
        .args(["-c", "0", env!("CARGO_BIN_EXE_densely"), "doctor"])
        .env("XDG_CACHE_HOME", sandbox.path("cache"))
        .output();
    match confined {
        Ok(output) if cores.trim() != "0" => {
            assert_eq!(output.status.code(), Some(1));
            let problem = text(&output.stderr);
            assert!(problem.contains("this process may use 1 of"), "{problem}");
        }
        _ => say("skipped: no taskset, or one core"),
    }
}

#[test]
fn bench_measures_every_cell() {
    let sandbox = Sandbox::new();
    let bench = ["bench", "data", "--hidden", "8,4;", "--batch-size", "20,50", "--seconds", "0.06"];
    let more = ["--backend", "rust", "--threads", "1,2", "--json"];
    let result = &json_lines(&sandbox.ok(&[&bench[..], &more].concat()))[0];
    let cells = result["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 8);
    for cell in cells {
        let number = |key: &str| cell[key].as_f64().unwrap();
        assert!(number("epoch_seconds") > 0.0 && number("gflops") > 0.0, "{cell}");
        let samples = number("samples_per_second") * number("epoch_seconds");
        assert!((samples - 220.0).abs() < 1e-6, "{cell}"); // of 240, a twelfth validates
        assert_eq!(cell["rounds"].as_array().unwrap().len(), 3);
        assert!(number("executed_gflops") > 0.0 && number("executed_share_of_peak") > 0.0);
        let peak = |gflops: &str, share: &str| number(gflops) / number(share);
        for found in
            [peak("gflops", "share_of_peak"), peak("executed_gflops", "executed_share_of_peak")]
        {
            assert!((found / number("peak_gflops") - 1.0).abs() < 1e-9, "{cell}");
        }
    }
    assert_eq!(result["samples"], 220);
    assert_eq!(
        (&cells[0]["hidden"], &cells[7]["hidden"]),
        (&[8, 4].into(), &serde_json::json!([]))
    );
    assert_eq!((&cells[1]["threads"], &cells[2]["batch_size"]), (&2.into(), &50.into()));
    let table = sandbox.ok(&[&bench[..], &["--deterministic"]].concat());
    assert!(table.contains("s/epoch") && table.contains("none  "), "{table}");
    assert_eq!(table.matches("  deterministic").count(), 2, "{table}");
    // a network without hidden layers has no backward phase
    assert!(table.contains(" 0% (-)") && table.contains("\n(-): "), "{table}");
    assert!(
        table.lines().take_while(|line| !line.starts_with("spread:")).all(|line| line.len() <= 110)
    );
    for (flags, expected) in [
        (["--seconds", "0"], "expected more than 0"),
        (["--batch-size", "20,221"], "--batch-size 221: the training part of data has 220 samples"),
        (["--threads", "1025"], "1..=1024"),
        (["--hidden", "3;x"], "expected sizes"),
        (["--backend", "no"], "possible values"),
    ] {
        let message = sandbox.fails(&[&["bench", "data"][..], &flags].concat(), 2);
        assert!(message.contains(expected), "{message}");
    }
}

/// The cells of `densely bench` with these arguments.
fn bench(sandbox: &Sandbox, args: &[&str]) -> Vec<serde_json::Value> {
    let common = ["bench", "--seconds", "0.06", "--json"];
    let result = &json_lines(&sandbox.ok(&[&common[..], args].concat()))[0];
    result["cells"].as_array().unwrap().clone()
}

#[test]
#[cfg(feature = "openblas")]
fn bench_rejects_what_cannot_run_before_it_measures() {
    let sandbox = Sandbox::new();
    let bench = ["bench", "data", "--hidden", "4", "--batch-size", "20", "--seconds", "0.06"];
    let more = ["--backend", "blas", "--threads", "1,2,65"];
    let message = sandbox.fails(&[&bench[..], &more].concat(), 2);
    assert_eq!(message.trim(), "error: --threads 65: expected 1 to 64 with the backend blas");
}

#[test]
fn bench_resolves_auto_and_lists_no_cell_twice() {
    let sandbox = Sandbox::new();
    let flags = ["data", "--hidden", "4;4", "--batch-size", "20", "--threads", "1,1"];
    for backends in ["auto", "rust,auto", "auto,rust,rust"] {
        let cells = bench(&sandbox, &[&flags[..], &["--backend", backends]].concat());
        let chosen: Vec<_> = cells.iter().filter(|cell| cell["auto"] == true).collect();
        assert_eq!(chosen.len(), 1, "{backends}: {cells:?}");
        let others = cells.len() - 1;
        assert!(others == 0 || chosen[0]["backend"] != "rust" && others == 1, "{backends}");
    }
    let table =
        sandbox.ok(&[&["bench"], &flags[..], &["--backend", "auto", "--seconds", "0.06"]].concat());
    assert_eq!(table.matches(" (auto) ").count(), 2, "{table}");
    assert!(table.contains("\n(auto): the backend"), "{table}");
}

#[test]
fn bench_has_no_roofline_where_threads_share_cores() {
    let sandbox = Sandbox::new();
    let cores = std::thread::available_parallelism().unwrap().get();
    let (all, more) = (cores.to_string(), (cores + 1).to_string());
    let threads = format!("{all},{more}");
    let flags = ["data", "--hidden", "8", "--batch-size", "20", "--backend", "rust"];
    let cells = bench(&sandbox, &[&flags[..], &["--threads", &threads]].concat());
    for phase in ["gather", "forward", "backward", "update"] {
        assert!(cells[0]["phases"][phase]["roofline"].as_f64().unwrap() > 0.0, "{phase}");
        assert!(cells[1]["phases"][phase]["roofline"].is_null(), "{phase}");
    }
    assert_eq!(cells[0]["peak_gflops"], cells[1]["peak_gflops"]);
}

#[test]
fn bench_learns_numbers_as_training_does() {
    let sandbox = Sandbox::new();
    let row = |i: usize| format!("{},{},{}\n", i % 7, i % 11, (i * i) as f64 / 97.0);
    let rows: String = (0..100).map(row).collect();
    std::fs::write(sandbox.path("num.csv"), format!("a,b,price\n{rows}")).unwrap();
    let flags = ["num.csv", "--hidden", "8,4", "--threads", "1,2"];
    let cells = bench(&sandbox, &flags);
    assert!(cells.len() >= 2);
    for cell in &cells {
        // batches of 500 samples by default, but there are fewer
        assert_eq!(cell["batch_size"], 80, "{cell}");
        assert!(cell["gflops"].as_f64().unwrap() > 0.0, "{cell}");
    }
}

#[test]
fn bench_has_data_without_zeros() {
    let sandbox = Sandbox::new();
    let weights = f64::from(784 * 32 + 32 * 10);
    for cell in bench(&sandbox, &["dense", "--hidden", "32", "--threads", "1"]) {
        let number = |key: &str| cell[key].as_f64().unwrap();
        let epoch = number("samples_per_second") * number("epoch_seconds");
        assert!((epoch - 50_000.0).abs() < 1e-3, "{cell}");
        // nothing is left out; the Rust backend fills the panel of the ten outputs
        let padding = if cell["backend"] == "blas" { 0..=0 } else { 0..=32 * 22 };
        for phase in ["forward", "update"] {
            let more = cell["phases"][phase]["multiply_adds"].as_f64().unwrap() - weights;
            assert!(padding.contains(&(more as i32)), "{cell}");
        }
        assert!(number("executed_gflops") >= 0.999 * number("gflops"), "{cell}");
    }
}

#[test]
#[cfg(feature = "embedded-mnist")]
fn bench_trains_on_the_images_that_train_takes() {
    let sandbox = Sandbox::new();
    let flags = ["bench", "--hidden", "16", "--seconds", "0.06", "--json", "--backend", "rust"];
    let result = &json_lines(&sandbox.ok(&flags))[0];
    assert_eq!((&result["data"], &result["samples"]), (&"mnist".into(), &50_000.into()));
    let cell = &result["cells"][0];
    // most of an image is zero, and left out
    assert!(cell["executed_gflops"].as_f64() < cell["gflops"].as_f64(), "{cell}");
}
