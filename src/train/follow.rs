//! The settings that follow from a table, where they are not given.

use super::TrainConfig;
use crate::data::Dataset;
use crate::error::Result;

impl TrainConfig {
    /// Chooses `hidden`, `batch_size`, `epochs`, `patience` and `lr` for a table, unless `is_given` says that the user has. They depend
    /// on the sizes of the table alone.
    ///
    /// # Errors
    /// If the data cannot be split as asked.
    pub fn follow(&mut self, data: &Dataset, is_given: impl Fn(&str) -> bool) -> Result<()> {
        let parts = self.parts(data)?;
        let rows = parts.train.len();
        if !is_given("hidden") {
            self.hidden = vec![256, 128];
        }
        if !is_given("batch_size") {
            self.batch_size = match rows {
                0..4_000 => 32,
                4_000..20_000 => 64,
                20_000..100_000 => 128,
                _ => 256,
            };
        }
        if !is_given("epochs") {
            self.epochs = (4_000_000 / rows.max(1)).clamp(20, 200);
        }
        if !is_given("patience") && !parts.val.is_empty() {
            self.patience = Some((self.epochs / 5).clamp(5, 30));
        }
        if !is_given("lr") {
            self.lr = 1e-3;
        }
        Ok(())
    }
}
