//! Tests of the runs that a grid makes.

use super::*;

#[test]
fn the_default_is_the_origins_experiment() {
    let runs = Grid::default().runs(784, 10).unwrap();
    assert_eq!(runs.len(), 45);
    assert_eq!(runs[0].name, "01_784-784-784_lr0.01_b100");
    assert_eq!(runs[44].name, "45_128-64-28_lr0.0001_b1000");
    let names: Vec<_> = runs[44].config.activations.iter().map(|a| a.name()).collect();
    assert_eq!(names, ["relu", "selu", "tanh"]);
    assert!(runs.iter().all(|run| run.config.epochs == 200));
    let names: std::collections::BTreeSet<_> = runs.iter().map(|run| &run.name).collect();
    assert_eq!(names.len(), 45);
    assert_eq!(runs[44].parameters, 784 * 128 + 128 + 128 * 64 + 64 + 64 * 28 + 28 + 290);
    assert_eq!(runs[44].threads(), 1);
    let mut large = Grid::default();
    large.vary("hidden", ["4096,4096,4096", "64"]).unwrap();
    let threads = large.runs(784, 10).unwrap().iter().map(|r| r.threads()).collect::<Vec<_>>();
    assert_eq!((threads[0], threads[17]), (default_threads(), (default_threads() / 18).max(1)));
}

#[test]
fn every_setting_that_changes_the_result_can_vary() {
    let mut grid = Grid::new(TrainConfig::default());
    grid.vary("shuffle", [true, false]).unwrap();
    grid.vary("split", ["pooled", "0.5,0.25,0.25"]).unwrap();
    grid.vary("beta1", [0.9, 0.5]).unwrap();
    grid.vary("activations", ["relu", "gelu,tanh,relu"]).unwrap();
    let names: Vec<String> = grid.runs(4, 3).unwrap().into_iter().map(|run| run.name).collect();
    assert_eq!(names[0], "01_relu-relu-relu_beta1-0.9_split-pooled_shuffle-on");
    assert_eq!(names[15], "16_gelu-tanh-relu_beta1-0.5_split-0.5-0.25-0.25_shuffle-off");
    let configs: Vec<TrainConfig> =
        grid.runs(4, 3).unwrap().into_iter().map(|r| r.config).collect();
    assert_eq!((configs[1].shuffle, configs[15].beta1), (false, 0.5));
    // one value is not an axis
    grid.vary("beta1", [0.7]).unwrap();
    assert_eq!((grid.runs(4, 3).unwrap().len(), grid.base().beta1), (8, 0.7));
}

#[test]
fn names_are_portable_and_those_of_earlier_versions_are_known() {
    let mut grid = Grid::new(TrainConfig::default());
    grid.vary("schedule", ["constant", "step:10:0.5"]).unwrap();
    grid.vary("clip_norm", ["none", "0.5"]).unwrap();
    grid.vary("augment", ["none", "affine:0.4,elastic"]).unwrap();
    grid.vary("input_noise", ["0", "0.3"]).unwrap();
    grid.vary("split", ["fold:1/5", "fold:2/5"]).unwrap();
    grid.vary("lr", ["0.1", "1e-5"]).unwrap();
    let runs = grid.runs(784, 10).unwrap();
    let is_portable = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    assert!(runs.iter().all(|run| run.name.chars().all(is_portable)));
    let first = "01_augment-none_input-noise-0_lr0.1_constant_clip-none_split-fold-1-5";
    let last =
        "64_augment-affine-0.4-elastic_input-noise-0.3_lr1e-5_step-10-0.5_clip0.5_split-fold-2-5";
    assert_eq!([&runs[0].name[..], &runs[63].name], [first, last]);
    let former =
        "64_augment-affine:0.4-elastic_input_noise-0.3_lr1e-5_step:10:0.5_clip0.5_split-fold:2/5";
    assert_eq!(runs[63].former_name, former);
}

#[test]
fn folds_multiply_the_runs() {
    let mut grid = Grid::new(TrainConfig::default());
    grid.folds.folds = Some(10);
    let runs = grid.runs(4, 3).unwrap();
    assert_eq!((runs.len(), &runs[1].name[..], &runs[9].name[..]), (10, "fold02", "fold10"));
    grid.vary("lr", [0.1, 0.01]).unwrap();
    let runs = grid.runs(4, 3).unwrap();
    assert_eq!((runs.len(), &runs[3].name[..]), (20, "2_lr0.01_fold02"));
    assert_eq!(runs[3].config.split, Split::Fold { number: 2, of: 10 });
    let fold = runs[3].fold.as_ref().unwrap();
    assert_eq!((fold.number, fold.of, fold.combination), (2, 10, 1));
    assert_eq!(fold.settings, "2_lr0.01");
    let written: Table = grid.entries().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut again = Grid::default();
    again.take_from(&mut written.clone()).unwrap();
    assert_eq!(again.runs(4, 3).unwrap(), runs);
    grid.base_mut().split = Split::Pooled;
    let message = grid.runs(4, 3).unwrap_err().to_string();
    assert!(message.contains("split is pooled; expected no split beside folds"), "{message}");
    grid.folds.folds = Some(1);
    assert!(grid.runs(4, 3).unwrap_err().to_string().contains("folds is 1; expected 2 to 1000"));
}

#[test]
fn impossible_grids_are_rejected_in_a_line() {
    let with = |change: &dyn Fn(&mut Grid) -> Result<()>| {
        let mut grid = Grid::default();
        change(&mut grid).and_then(|()| grid.runs(784, 10)).unwrap_err().to_string()
    };
    let sharing = |jobs, threads| {
        move |grid: &mut Grid| {
            grid.sharing = Sharing { jobs, threads };
            Ok(())
        }
    };
    for (message, expected) in [
        (
            with(&|grid| grid.vary("lr", [0.0; 0])),
            "lr is an empty list; expected at least one value",
        ),
        (with(&|grid| grid.vary("lr", [0.1, 0.1])), "lr is 0.1 twice; expected each value once"),
        (with(&|grid| grid.vary("lr", [0.1, -0.1])), "lr is -0.1; expected a positive number"),
        (with(&|grid| grid.vary("lr", ["fast"])), "lr: `fast`: expected a number"),
        (with(&|grid| grid.vary("threads", [1, 2])), "`threads` is not a setting that can vary"),
        (with(&|grid| grid.vary("hidden", ["5", "0"])), "hidden: a layer of 0 units"),
        (with(&|grid| grid.vary("activations", ["relu,relu"])), "2 activations"),
        (with(&|grid| grid.vary("seed", 0..10_001)), "seed is a list of 10001 values"),
        (with(&sharing(Some(0), None)), "jobs is 0; expected 1 to 1024"),
        (with(&sharing(None, Some(1025))), "threads is 1025; expected 1 to 1024"),
        (with(&sharing(Some(33), Some(32))), " threads in all"),
        (
            with(&|grid| grid.vary("seed", 0..1000)),
            "a grid of 5 x 3 x 3 x 1000 runs; expected at most 10000",
        ),
    ] {
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn threads_and_jobs_follow_from_the_sizes_and_what_was_asked() {
    let cores = default_threads();
    let mut grid = Grid::default();
    grid.sharing.jobs = Some(64);
    assert!(grid.runs(784, 10).unwrap().iter().all(|run| run.threads() == 1));
    assert_eq!(grid.jobs_for(1), 64);
    grid.sharing = Sharing { threads: Some(3), jobs: None };
    assert!(grid.runs(784, 10).unwrap().iter().all(|run| run.threads() == 3));
    assert_eq!(Grid::default().jobs_for(1), cores);
    assert_eq!(Grid::default().jobs_for(cores), 1);
}

#[test]
fn tables_are_read_and_written() {
    let parse = |text: &str| {
        let mut grid = Grid::default();
        let mut table: Table = toml::from_str(text).unwrap();
        grid.take_from(&mut table).map(|()| (grid, table))
    };
    let text = "hidden = '128,64,28; 64,32;'\nactivations = 'relu;gelu'\nlr = [0.1, 1]\nseed = [1, 2, 3]\n\
                batch_size = 7\nepochs = 3\njobs = 2\nthreads = 4\npatience = 5\nbeta1 = '0.5,0.9'\nother = 1";
    let (grid, rest) = parse(text).unwrap();
    assert_eq!(rest.keys().collect::<Vec<_>>(), ["other"]);
    let runs = grid.runs(9, 2).unwrap();
    assert_eq!(runs.len(), 3 * 2 * 2 * 2 * 3);
    assert_eq!(runs[0].config.hidden, [128, 64, 28]);
    assert_eq!((grid.base().batch_size, grid.base().epochs), (7, 3));
    assert_eq!((grid.base().patience, grid.sharing.threads), (Some(5), Some(4)));
    let written: Table = grid.entries().map(|(key, value)| (key.to_owned(), value)).collect();
    assert!(!written.contains_key("jobs"), "it changes nothing beside `threads`");
    let (again, _) = parse(&toml::to_string(&written).unwrap()).unwrap();
    assert_eq!(again.runs(9, 2).unwrap(), runs);
    let hidden = |text: &str| {
        let mut grid = parse(text).unwrap().0;
        grid.vary("lr", [0.1]).unwrap();
        grid.vary("batch_size", [1]).unwrap();
        let runs = grid.runs(4, 3).unwrap();
        runs.into_iter().map(|run| run.config.hidden).collect::<Vec<_>>()
    };
    assert_eq!(hidden("hidden = [512, 256]"), [vec![512, 256]]);
    assert_eq!(hidden("hidden = [[512], [256]]"), [vec![512], vec![256]]);
    assert_eq!(hidden("hidden = ['512,3', '256']"), [vec![512, 3], vec![256]]);
    assert_eq!(hidden("hidden = 5"), [vec![5]]);
    assert_eq!(hidden("hidden = ''"), [Vec::<usize>::new()]);
    let two = parse("activations = ['relu', 'tanh']\nhidden = [3, 3]").unwrap().0;
    assert_eq!(two.base().activations.len(), 2);
    for (text, expected) in [
        ("lr = [0.1, 'x']", "lr: `x`: expected a number"),
        ("jobs = -1", "jobs"),
        ("hidden = '3;x'", "expected sizes"),
    ] {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
