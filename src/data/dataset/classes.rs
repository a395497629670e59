//! The classes of a data set: which occur, their names, and how much they count.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::Dataset;
use crate::error::{Error, Result};
use crate::text::plural;

impl Dataset {
    /// Numbers the classes that occur from 0 on, in order; their names stay the numbers that the labels were.
    pub(crate) fn with_occurring_classes(mut self) -> Self {
        let mut numbers = vec![u32::MAX; self.classes.len()];
        self.labels.iter().for_each(|&label| numbers[label as usize] = 0);
        let occurring = numbers.iter_mut().filter(|number| **number == 0);
        (0..).zip(occurring).for_each(|(next, number)| *number = next);
        self.labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
        let mut occurs = numbers.iter().map(|&number| number != u32::MAX);
        self.classes.retain(|_| occurs.next() == Some(true));
        self
    }

    /// The same samples with these classes, such as those of a model, matched by name. A class that no sample has gets an output too.
    ///
    /// # Errors
    /// If a sample's class is not among them.
    pub fn with_classes_of(self, classes: &[String]) -> Result<Self> {
        self.matched_to(classes, "known to the model")
    }

    /// [`Dataset::with_classes_of`], with what a message says of the classes that are missing.
    pub(super) fn matched_to(mut self, classes: &[String], known: &str) -> Result<Self> {
        if self.classes == classes {
            return Ok(self);
        }
        let of_model: HashMap<&str, u32> =
            classes.iter().zip(0..).map(|(class, number)| (&class[..], number)).collect();
        let numbers = self.classes.iter().map(|class| of_model.get(&class[..]).copied());
        let Some(numbers) = numbers.collect::<Option<Vec<u32>>>() else {
            let unknown = self.classes.iter().find(|class| !classes.contains(class));
            let problem = format!(
                "class {} is not {known}; expected one of {}",
                unknown.map_or("", |class| class),
                listed(classes)
            );
            return Err(Error::invalid(self.name, problem));
        };
        self.labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
        self.classes = classes.to_vec();
        self.fingerprint = OnceLock::new();
        Ok(self)
    }

    /// The same samples with other names of their classes: one for each, or one for each number up to the largest class, where classes
    /// are numbers.
    ///
    /// # Errors
    /// If it is a regression, or there are too few names, or two are the same.
    pub fn with_class_names(mut self, names: &[String]) -> Result<Self> {
        let refuse = |problem: String| Err(Error::usage(format!("class names: {problem}")));
        if self.is_regression() {
            return refuse(format!("{} has targets that are numbers, and no classes", self.name));
        }
        let mut seen = HashSet::new();
        if let Some(again) = names.iter().find(|name| !seen.insert(&name[..])) {
            return refuse(format!("`{again}` occurs twice; expected names that differ"));
        }
        let numbers: Option<Vec<usize>> = self.classes.iter().map(|c| c.parse().ok()).collect();
        let by_number = |numbers: Vec<usize>| -> Option<Vec<String>> {
            numbers.into_iter().map(|number| names.get(number).cloned()).collect()
        };
        let named = match names.len() == self.classes.len() {
            true => Some(names.to_vec()),
            false => numbers.and_then(by_number),
        };
        let Some(classes) = named else {
            return refuse(format!(
                "{}; expected {}, one for each of {}",
                plural(names.len(), "name"),
                self.n_classes(),
                listed(&self.classes)
            ));
        };
        self.classes = classes;
        self.fingerprint = OnceLock::new();
        Ok(self)
    }

    /// The same samples with weights by which all classes count alike in the rows of `train`.
    ///
    /// # Errors
    /// If it is a regression.
    pub(crate) fn with_balanced_classes(self, train: &[u32]) -> Result<Self> {
        if self.is_regression() {
            let problem = "class weights: the targets are numbers; expected classes";
            return Err(Error::usage(problem));
        }
        let mut counts = vec![0u32; self.n_classes()];
        train.iter().for_each(|&row| counts[self.labels[row as usize] as usize] += 1);
        let occurring = counts.iter().filter(|count| **count > 0).count();
        let weight = |&count: &u32| match count {
            // no training sample has it: any weight will do
            0 => 1.0,
            count => train.len() as f64 / (occurring as f64 * f64::from(count)),
        };
        let of_class: Vec<f64> = counts.iter().map(weight).collect();
        let own = |row: usize| self.weights.as_ref().map_or(1.0, |weights| f64::from(weights[row]));
        let weights = self.labels.iter().enumerate();
        let weights =
            weights.map(|(row, &label)| (own(row) * of_class[label as usize]) as f32).collect();
        self.with_weights(weights)
    }
}

/// Names in a row, shortened where there are many.
fn listed(names: &[String]) -> String {
    match names {
        [first, .., last] if names.len() > 20 => format!("{first} to {last}"),
        _ => names.join(", "),
    }
}
