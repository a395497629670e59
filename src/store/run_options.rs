//! What a run remembers besides the settings of its training.

use super::CheckpointEvery;
use crate::data::prepare::{Missing, Scale, TaskChoice};
use crate::data::{ClassWeight, ImageSize, Source};
use crate::train::config::group::{DATA, NETWORK, OUTPUT};
use crate::train::setting::{Sweep, settings};

/// No system opens a longer path.
const LONGEST_PATH: usize = 4096;

settings! {
    /// What a run remembers besides the settings of its training: where its data and first weights come from, and when it
    /// is saved.
    pub struct RunOptions {
        /// mnist; a directory of IDX files, or with a folder of PNG or JPEG images for each class; a table (.csv, .tsv, .txt or .svm, also
        /// .gz or .zst; .parquet); NumPy's arrays (.npz)
        data: String = "mnist".to_owned(), {
            value_name: "DATA", positional: true, resume: true,
            check: |c| c.data.len() <= LONGEST_PATH, expected: "a path of at most 4096 bytes",
        }
        /// A file or a directory with the validation part: a table for tables, images for images
        valid: Option<String> = None, {
            value_name: "PATH", group: DATA, resume: true,
            check: |c| c.valid.as_ref().is_none_or(|path| path.len() <= LONGEST_PATH), expected: "a path of at most 4096 bytes",
        }
        /// A file or a directory with the test part
        test: Option<String> = None, {
            value_name: "PATH", group: DATA, resume: true,
            check: |c| c.test.as_ref().is_none_or(|path| path.len() <= LONGEST_PATH), expected: "a path of at most 4096 bytes",
        }
        /// The columns to predict
        target: Vec<String> = Vec::new(), {
            value_name: "COL,...", group: DATA, default: Some("the last column"),
        }
        /// Classes or numbers; auto: classes where the target is a text, or whole numbers with at most 20 values
        task: TaskChoice = TaskChoice::Auto, { value_name: "TASK", group: DATA }
        /// Columns that are no inputs
        ignore: Vec<String> = Vec::new(), { value_name: "COL,...", group: DATA }
        /// Columns whose values are names, even if they are numbers or hardly repeat
        categorical: Vec<String> = Vec::new(), { value_name: "COL,...", group: DATA }
        /// The column with the weights of the rows, which multiply their losses
        weight: Option<String> = None, { value_name: "COL", group: DATA }
        /// Whether rare classes count as much as frequent ones
        class_weight: ClassWeight = ClassWeight::None, { value_name: "WEIGHT", group: DATA }
        /// How numbers are scaled, by the training part: unit is 0 to 1, standard mean 0 and deviation 1, robust median 0 and distance
        /// of the quartiles 1; smooth does as robust with all inputs, also those of texts, and bends them so that none exceeds 3; auto is standard
        scale: Scale = Scale::Auto, { value_name: "SCALE", group: DATA }
        /// What is done about numbers that are missing: impute takes the training part's median and adds an input that says so
        missing: Missing = Missing::Impute, { value_name: "WHAT", group: DATA }
        /// Train on the first K principal components of a table's inputs, learnt from the training part
        pca: Option<usize> = None, {
            value_name: "K", group: DATA, default: Some("the inputs themselves"),
            check: |c| c.pca != Some(0), expected: "at least 1",
        }
        /// Names of the classes of images, by number, or a file with one a line
        class_names: Option<String> = None, { value_name: "A,B,...|FILE", group: DATA }
        /// The size to which images of folders are stretched
        image_size: Option<ImageSize> = None, {
            value_name: "WxH", group: DATA, default: Some("that of the images, if they have one"),
        }
        /// Start from the weights of a model file, also of a PyTorch state dict in safetensors; it determines the sizes, and the
        /// activations if it contains them
        init_from: Option<String> = None, { value_name: "MODEL", group: NETWORK, sweep: Sweep::Absent }
        /// Start with a new output layer on the model of --init-from, for other classes or targets
        new_head: Option<bool> = None, { group: NETWORK, implied: Some("on"), sweep: Sweep::Absent, default: Some("off") }
        /// Save the state within epochs too: every 30s, 10m or 2h, or every N steps
        checkpoint_every: Option<CheckpointEvery> = None, {
            value_name: "TIME|N steps", group: OUTPUT, resume: true,
            default: Some("after epochs, at most once a second"),
        }
    }
}

impl RunOptions {
    /// Whether the model to start from gets a new output layer.
    pub fn has_new_head(&self) -> bool {
        self.new_head == Some(true)
    }

    /// Where the data is, and what is to be made of it.
    pub fn source(&self) -> Source {
        let mut source = Source::of(&self.data[..]);
        (source.valid, source.test) = (self.valid.clone(), self.test.clone());
        (source.class_weight, source.class_names) = (self.class_weight, self.class_names.clone());
        source.image_size = self.image_size;
        let table = &mut source.table;
        (table.target, table.task) = (self.target.clone(), self.task);
        (table.ignore, table.categorical) = (self.ignore.clone(), self.categorical.clone());
        (table.weight, table.scale) = (self.weight.clone(), self.scale);
        (table.missing, table.pca) = (self.missing, self.pca);
        source
    }
}
