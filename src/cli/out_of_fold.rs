//! What the models of a cross-validation say of the samples that they were not trained on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::{Array2, Axis};

use super::raw_outputs::RawOutputs;
use crate::data::{Dataset, SourceData};
use crate::engine::{Engine, EngineOptions, Score};
use crate::error::{Error, Result};
use crate::files;
use crate::gemm::Backend;
use crate::report::{Measured, PredictionFormat, RowPredictions, Samples};
use crate::store::SweepDir;
use crate::store::names::PREDICTIONS;
use crate::train::SweepRun;

/// The outputs of all folds, in the order of the samples.
pub struct OutOfFold {
    /// The data, as it was prepared for the first fold.
    pub data: Arc<Dataset>,
    rows: Vec<u32>,
    /// The fold that each of them is in, from 1.
    folds: Vec<usize>,
    score: Score,
    outputs: RawOutputs,
}

impl OutOfFold {
    /// Lets the model of each run predict the fold that it was tested on. `None` without runs.
    pub fn of<'r>(
        runs: impl Iterator<Item = &'r SweepRun>,
        directory: &SweepDir,
        source: &SourceData,
    ) -> Result<Option<Self>> {
        let mut all: Option<Self> = None;
        let mut order = Vec::new();
        for run in runs {
            let (Some(fold), Some(state)) = (&run.fold, directory.read_run(run)?.state) else {
                return Ok(None);
            };
            let config = state.config();
            let data = source.load(config.split, config.split_seed)?.0;
            let rows = config.parts(&data)?.test;
            let model = state.best_model(&data)?;
            let backend = Backend::of(config.backend)?;
            let options =
                EngineOptions { backend, threads: state.threads(), ..EngineOptions::to_evaluate() };
            let mut engine = Engine::of_model(&model, options)?;
            let score = engine.evaluate(model.params(), &data, &rows);
            let outputs = RawOutputs::of(&mut engine, &model, &data, &rows);
            order.extend_from_slice(&rows);
            let folds = vec![fold.number; rows.len()];
            match &mut all {
                None => all = Some(Self { data, rows, folds, score, outputs }),
                Some(all) => {
                    all.folds.extend(folds);
                    all.score += score;
                    let append = |to: &mut Array2<f32>, more: &Array2<f32>| {
                        to.append(Axis(0), more.view())
                            .map_err(|error| Error::usage(error.to_string()))
                    };
                    append(&mut all.outputs.values, &outputs.values)?;
                    append(&mut all.outputs.logits, &outputs.logits)?;
                }
            }
        }
        Ok(all.map(|all| all.in_order(&order)))
    }

    /// The same in the order of the samples; `rows` says which sample each output is of.
    fn in_order(self, rows: &[u32]) -> Self {
        let mut places: Vec<usize> = (0..rows.len()).collect();
        places.sort_unstable_by_key(|&place| rows[place]);
        Self {
            rows: places.iter().map(|&place| rows[place]).collect(),
            folds: places.iter().map(|&place| self.folds[place]).collect(),
            outputs: RawOutputs {
                values: self.outputs.values.select(Axis(0), &places),
                logits: match self.outputs.logits.is_empty() {
                    true => self.outputs.logits,
                    false => self.outputs.logits.select(Axis(0), &places),
                },
            },
            ..self
        }
    }

    /// Writes `predictions.csv` into the directory: the name of each sample (its file, or the number of its row),
    /// its fold, the truth and the prediction.
    pub fn write(&self, source: &SourceData, directory: &Path) -> Result<PathBuf> {
        let data = &self.data;
        let targets = source.target_names();
        let mut kept: Vec<Vec<String>> = vec![
            self.rows.iter().map(|&row| data.sample_name(row)).collect(),
            self.folds.iter().map(usize::to_string).collect(),
        ];
        let (truths, names): (Vec<String>, Vec<String>) = match data.is_regression() {
            true => {
                let values = data.targets_of(&self.rows);
                let n = data.target_names().len();
                kept.extend((0..n).map(|target| {
                    values.iter().skip(target).step_by(n).map(f32::to_string).collect()
                }));
                // one more for each target that is called so already
                let predicted = |name: &String| {
                    let mut own = format!("{name}_predicted");
                    while data.target_names().contains(&own) {
                        own += "_predicted";
                    }
                    own
                };
                (data.target_names().to_vec(), data.target_names().iter().map(predicted).collect())
            }
            false => {
                let class =
                    |&row: &u32| data.classes()[data.labels()[row as usize] as usize].clone();
                kept.push(self.rows.iter().map(class).collect());
                let name = targets.into_iter().next().unwrap_or_else(|| "class".to_owned());
                (vec![name], data.classes().to_vec())
            }
        };
        let truth = |name: String| match &name[..] {
            "row" | "file" | "fold" | "label" => format!("{name}_true"),
            other if other.starts_with("p_") => format!("{name}_true"),
            _ => name,
        };
        let keep: Vec<String> = [data.sample_noun().to_owned(), "fold".to_owned()]
            .into_iter()
            .chain(truths.into_iter().map(truth))
            .collect();
        let predictions = RowPredictions {
            names: &names,
            keep: &keep,
            is_regression: data.is_regression(),
            format: PredictionFormat::Csv { top: 1, all: true },
            is_terminal: false,
        };
        let path = directory.join(PREDICTIONS);
        let mut text = Vec::new();
        predictions
            .begin(&mut text)
            .and_then(|()| predictions.write(&mut text, 0, &kept, self.outputs.values.view()))
            .map_err(Error::io("write", &path))?;
        files::write_atomic(&path, &text)?;
        Ok(path)
    }

    /// What a page shows of them.
    pub fn measured(&self) -> Measured {
        let RawOutputs { values, logits } = &self.outputs;
        let outputs = RawOutputs { values: values.clone(), logits: logits.clone() };
        let samples = Samples { part: "out-of-fold", rows: self.rows.clone() };
        outputs.measured(&self.data, samples, self.score)
    }
}
