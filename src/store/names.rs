//! The names of the files in the directories of runs and sweeps.

/// The settings of a run.
pub const CONFIG: &str = "config.toml";
/// The figures of its epochs, a line each.
pub const METRICS: &str = "metrics.jsonl";
/// The model of the best epoch.
pub const BEST: &str = "best.safetensors";
/// The model of the last finished epoch.
pub const LAST: &str = "last.safetensors";
/// The whole state, to resume from.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The checkpoint before it, for when that one is damaged.
pub const PREVIOUS: &str = "checkpoint-previous.safetensors";
/// A checkpoint that was found damaged when the run was resumed.
pub const DAMAGED: &str = "checkpoint-damaged.safetensors";
/// What a finished run came to.
pub const RESULTS: &str = "results.json";
/// The page about a run or a sweep.
pub const REPORT: &str = "report.html";
/// The settings of a sweep, whose directory has no `config.toml`.
pub const GRID: &str = "sweep.toml";
/// The results of a sweep as a table.
pub const RESULTS_CSV: &str = "results.csv";
/// The same, an object a line.
pub const RESULTS_JSON: &str = "results.jsonl";
/// What the models of a cross-validation say of the samples that they were not trained on.
pub const PREDICTIONS: &str = "predictions.csv";
