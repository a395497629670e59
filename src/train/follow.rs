//! The settings that follow from a table, where they are not given.

use toml::Value;

use super::setting::{Setting, UNSET};
use super::{Grid, OptimizerKind, TrainConfig};
use crate::data::Dataset;
use crate::error::Result;
use crate::model::{Activation, Layout};

/// The most arithmetic of a training whose epochs follow, in floating-point operations: about 20 minutes of one core.
const MOST_FLOPS: f64 = 4e13;

/// The strongest weight decay that follows. More of it than that keeps networks for a few hundred rows from learning.
const STRONGEST_DECAY: f64 = 4.0;

/// The rate of Adam by which weight decays were found.
const ADAM_RATE: f64 = 2e-3;

/// The settings that follow from a table.
pub const FOLLOWING: [&str; 7] =
    ["hidden", "activations", "batch_size", "lr", "weight_decay", "epochs", "patience"];

/// The value of a setting as a file has it. One that is not set has a word where it would follow from a table otherwise.
pub fn written(setting: &Setting<TrainConfig>, config: &TrainConfig) -> Option<Value> {
    let unset = || FOLLOWING.contains(&setting.key).then(|| UNSET.into());
    (setting.get)(config).or_else(unset)
}

impl TrainConfig {
    /// Chooses `hidden`, `activations`, `batch_size`, `lr`, `weight_decay`, `epochs` and `patience` for a table, unless `is_given`
    /// says that the user has. The choice depends on the numbers of rows, inputs and outputs, on the task, and on what is given:
    ///
    /// | setting | value |
    /// |---|---|
    /// | `hidden` | 128, 64; doubled up to twice while the second layer is narrower than the outputs |
    /// | `activations` | GELU for numbers, which are smoother functions of their inputs; ReLU for classes |
    /// | `batch_size` | the power of two that makes at most 100 steps of an epoch, from 64 to 1024 |
    /// | `lr` | 0.002; 0.003 for batches of 256 and more; 0.05 for SGD |
    /// | `weight_decay` | a tenth of the parameters that learn for each training row, at most 4: the fewer rows, the more the prior counts |
    /// | `epochs` | 10,000 / √rows, at most 100, and at most 4e13 floating-point operations, but at least one epoch |
    /// | `patience` | a fifth of the epochs, at least 3; none without a validation part, or where the learning rate is planned for all epochs |
    ///
    /// The numbers come from validation scores on 18 tables; `docs/tables.md` has the results.
    ///
    /// # Errors
    /// If the data cannot be split as asked, or activations that are given do not fit the layers.
    pub fn follow(&mut self, data: &Dataset, is_given: impl Fn(&str) -> bool) -> Result<()> {
        data.require_labels()?;
        let parts = self.parts(data)?;
        let rows = parts.train.len().max(1);
        if !is_given("hidden") {
            self.hidden = hidden_for(data.n_outputs());
        }
        if !is_given("activations") {
            let regression = data.is_regression();
            self.activations = vec![if regression { Activation::Gelu } else { Activation::Relu }];
        }
        if !is_given("batch_size") {
            self.batch_size = rows.div_ceil(100).clamp(64, 1024).next_power_of_two();
        }
        if !is_given("lr") {
            self.lr = if self.batch_size < 256 { 2e-3 } else { 3e-3 };
        }
        self.follow_optimizer(&is_given);
        let mut layout = Layout::new(&self.spec(data.n_features(), data.n_outputs())?)?;
        let parameters = layout.parameters() as f64;
        layout.freeze(self.freeze.unwrap_or(0).min(self.hidden.len()));
        let learning = layout.parameters() as f64 / layout.members() as f64;
        if !is_given("weight_decay") {
            // a product of 1 with the learning rate is rejected
            let strongest = STRONGEST_DECAY.min(0.5 / self.lr);
            // found with Adam, whose steps multiply weights by 1 - lr decay; other rates come to the same
            let rate = if self.optimizer == OptimizerKind::Sgd { ADAM_RATE / self.lr } else { 1.0 };
            let decay = rate * (learning / (10.0 * rows as f64)).min(strongest);
            // three digits are read more easily, and do as well
            self.weight_decay = format!("{decay:.2e}").parse().unwrap_or(decay);
        }
        if !is_given("epochs") {
            let flops = 6.0 * parameters * rows as f64;
            let epochs = (10_000.0 / (rows as f64).sqrt()).min(MOST_FLOPS / flops);
            self.epochs = (epochs as usize).clamp(1, 100);
        }
        if !is_given("patience") {
            let is_cut = !(parts.val.is_empty() || self.plans_epochs());
            self.patience = is_cut.then(|| (self.epochs / 5).max(3));
        }
        Ok(())
    }
}

impl Grid {
    /// Chooses settings for a table as [`TrainConfig::follow`] does, also those that the default grid varies, unless the user has given
    /// them. Where nothing is left to vary, and the user has given neither networks nor learning rates, the grid becomes nine runs:
    /// three networks around the one that follows, with a third of the learning rate that follows, that, and three times as much. A
    /// grid of one run stays one.
    ///
    /// Where the optimizer varies, runs with SGD have a learning rate and a weight decay of their own. Where the learning rate of any run
    /// is planned for all epochs, no run has patience, so that all have the same epochs.
    ///
    /// # Errors
    /// As [`TrainConfig::follow`].
    pub fn follow(&mut self, data: &Dataset, is_given: impl Fn(&str) -> bool) -> Result<()> {
        let is_one_run = !self.varies();
        for key in ["hidden", "lr", "batch_size"] {
            if !is_given(key) {
                self.fix(key);
            }
        }
        // the data is that of the first run, whose training part the settings follow from
        let mut runs = self.runs(1, 1)?;
        let plans_epochs = runs.iter().any(|run| run.config.plans_epochs());
        let first = runs.swap_remove(0).config;
        let own = (self.base().split, self.base().split_seed);
        let mut followed = self.base().clone();
        (followed.split, followed.split_seed) = (first.split, first.split_seed);
        if self.varies_in("lr") {
            followed.lr = first.lr;
        }
        if self.varies_in("optimizer") {
            let mut sgd = followed.clone().with(|sgd| sgd.optimizer = OptimizerKind::Sgd);
            sgd.follow(data, &is_given)?;
            if !is_given("lr") {
                self.sgd.sgd_lr = Some(sgd.lr);
            }
            if !is_given("weight_decay") {
                self.sgd.sgd_weight_decay = Some(sgd.weight_decay);
            }
            followed.optimizer = OptimizerKind::Adam;
        }
        followed.follow(data, &is_given)?;
        if plans_epochs && !is_given("patience") {
            followed.patience = None; // runs that are compared have the same epochs
        }
        (followed.split, followed.split_seed) = own;
        *self.base_mut() = followed;
        if is_one_run || self.varies() || is_given("hidden") || is_given("lr") {
            return Ok(());
        }
        let lr = self.base().lr;
        let (first, last) = match self.base().hidden[..] {
            [first, .., last] => (first, last),
            _ => return Ok(()),
        };
        let networks =
            [first.to_string(), format!("{first},{last}"), format!("{},{first},{last}", 2 * first)];
        self.vary("hidden", networks)?;
        // as they are written: 0.0006, not 0.00059999
        self.vary("lr", [lr / 3.0, lr, lr * 3.0].map(|lr| format!("{lr:.1e}")))
    }
}

/// Two layers, of which the second has at least as many units as there are outputs, up to 256.
fn hidden_for(n_outputs: usize) -> Vec<usize> {
    let last = n_outputs.next_power_of_two().clamp(64, 256);
    vec![2 * last, last]
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::data::Split;

    /// Settings that follow from this many rows, of which `val` validate.
    fn followed(rows: [usize; 2], n_features: usize, n_classes: u32, given: &str) -> TrainConfig {
        let [train, val] = rows;
        let x = Array2::<f32>::zeros((train + val, n_features));
        let labels: Vec<u32> = (0..train + val).map(|i| i as u32 % n_classes).collect();
        let data = Dataset::from_arrays(x.view(), &labels).unwrap();
        follow(&data, [train, val, 0], given)
    }

    fn follow(data: &Dataset, counts: [usize; 3], given: &str) -> TrainConfig {
        let mut config = TrainConfig::default().with(|c| c.split = Split::Counts(counts));
        config.follow(data, |key| given.split(' ').any(|given| given == key)).unwrap();
        config.check().unwrap();
        config
    }

    #[test]
    fn given_settings_stay() {
        let before = TrainConfig::default();
        let mut after = followed([500, 100], 3, 4, &FOLLOWING.join(" "));
        after.split = before.split;
        assert_eq!(after, before);

        let after = followed([500, 100], 3, 4, "hidden epochs");
        assert_eq!((&after.hidden, after.epochs), (&before.hidden, before.epochs));
        assert_eq!((after.batch_size, after.patience), (64, Some(4)));
    }

    #[test]
    fn tiny_tables_have_many_epochs_and_a_strong_decay() {
        for rows in [1, 2, 63, 100] {
            let config = followed([rows, 2], 5, 2, "");
            assert_eq!((config.batch_size, config.epochs, config.patience), (64, 100, Some(20)));
            assert_eq!((config.lr, config.weight_decay), (2e-3, STRONGEST_DECAY));
        }
    }

    #[test]
    fn large_tables_have_large_batches_and_few_epochs() {
        let mut before = followed([100, 10], 4, 2, "");
        for rows in [1_000, 10_000, 100_000, 1_000_000] {
            let config = followed([rows, 10], 4, 2, "");
            assert!(config.batch_size >= before.batch_size && config.lr >= before.lr);
            assert!(config.epochs <= before.epochs && config.patience <= before.patience);
            assert!(config.weight_decay <= before.weight_decay);
            before = config;
        }
        assert_eq!((before.batch_size, before.epochs, before.patience), (1024, 10, Some(3)));
    }

    #[test]
    fn arithmetic_is_bounded() {
        let rows = 20_000;
        assert_eq!(followed([rows, 10], 3, 2, "").epochs, 70);
        let x = Array2::<f32>::zeros((rows, 3));
        let data = Dataset::from_arrays(x.view(), vec![1; rows]).unwrap();
        let split = Split::Counts([rows, 0, 0]);
        for (width, expected) in [(8192, 4), (32_768, 1)] {
            let mut config = TrainConfig::default().with(|c| c.hidden = vec![width; 2]);
            config.split = split;
            config.follow(&data, |key| key == "hidden").unwrap();
            assert_eq!(config.epochs, expected);
        }
    }

    #[test]
    fn nothing_is_patient_without_a_validation_part() {
        assert_eq!(followed([300, 0], 3, 2, "").patience, None);
        assert_eq!(followed([300, 1], 3, 2, "").patience, Some(20));
    }

    #[test]
    fn patience_cuts_no_schedule_short() {
        let x = Array2::<f32>::zeros((400, 3));
        let data = Dataset::from_arrays(x.view(), vec![1; 400]).unwrap();
        let patience = |grid: &mut Grid, given: &str| {
            grid.follow(&data, |key| given.split(' ').any(|given| given == key)).unwrap();
            grid.base().patience
        };
        let one = |schedule: &str| {
            Grid::new(TrainConfig::default().with(|c| c.schedule = schedule.parse().unwrap()))
        };
        assert_eq!(patience(&mut one("constant"), ""), Some(20));
        assert_eq!(patience(&mut one("cosine"), ""), None);
        let mut given = one("cosine");
        given.base_mut().patience = Some(7);
        assert_eq!(patience(&mut given, "patience"), Some(7));
        let mut several = one("constant");
        several.vary("schedule", ["constant", "linear:0.5"]).unwrap();
        assert_eq!(patience(&mut several, ""), None, "all runs have the same epochs");
    }

    #[test]
    fn each_optimizer_has_its_own_rate() {
        let x = Array2::<f32>::zeros((400, 3));
        let data = Dataset::from_arrays(x.view(), vec![1; 400]).unwrap();
        let rates = |grid: &Grid| {
            let runs = grid.runs(3, 2).unwrap();
            runs.into_iter().map(|run| (run.config.lr, run.config.weight_decay)).collect::<Vec<_>>()
        };
        let both = || {
            let mut grid = Grid::new(TrainConfig::default());
            grid.vary("optimizer", ["sgd", "adam"]).unwrap();
            grid
        };
        let mut grid = both();
        assert_eq!(rates(&grid), [(1e-3, 0.0); 2], "as the library's settings are");
        grid.follow_optimizer(|_| false);
        assert_eq!(rates(&grid), [(0.05, 0.0), (1e-3, 0.0)]);
        let written: toml::Table = grid.entries().map(|(k, v)| (k.to_owned(), v)).collect();
        let mut again = Grid::new(TrainConfig::default());
        again.take_from(&mut written.clone()).unwrap();
        assert_eq!(rates(&again), rates(&grid));
        // of a table, as a training with each alone
        let mut grid = both();
        grid.follow(&data, |_| false).unwrap();
        for (run, optimizer) in
            rates(&grid).into_iter().zip([OptimizerKind::Sgd, OptimizerKind::Adam])
        {
            let mut alone = TrainConfig::default().with(|c| c.optimizer = optimizer);
            alone.follow(&data, |_| false).unwrap();
            assert_eq!(run, (alone.lr, alone.weight_decay), "{optimizer:?}");
        }
        // a rate that is given, or varies, is that of all
        let mut grid = both();
        grid.follow_optimizer(|key| key == "lr");
        assert_eq!(rates(&grid), [(1e-3, 0.0); 2]);
        let mut grid = both();
        grid.vary("lr", [0.1, 0.2]).unwrap();
        grid.follow_optimizer(|_| false);
        assert_eq!(
            rates(&grid).iter().map(|rates| rates.0).collect::<Vec<_>>(),
            [0.1, 0.2, 0.1, 0.2]
        );
    }

    #[test]
    fn layers_are_as_wide_as_outputs_need() {
        for (n_outputs, expected) in
            [(1, [128, 64]), (64, [128, 64]), (65, [256, 128]), (1000, [512, 256])]
        {
            assert_eq!(hidden_for(n_outputs), expected);
        }
    }

    #[test]
    fn activations_depend_on_the_task_and_a_high_rate_limits_the_decay() {
        assert_eq!(followed([300, 0], 3, 2, "").activations, [Activation::Relu]);
        let x = Array2::<f32>::zeros((50, 2));
        let y = Array2::from_shape_fn((50, 1), |(i, _)| i as f32);
        let data = Dataset::from_targets(x.view(), y.view()).unwrap();
        let mut config = TrainConfig { lr: 0.4, ..TrainConfig::default() };
        config.follow(&data, |key| key == "lr").unwrap();
        config.check().unwrap();
        assert_eq!(config.activations, [Activation::Gelu]);
        assert_eq!(config.weight_decay, 1.25);
    }
}
