//! Says which settings were given although they change nothing.

use super::asked::Asked;
use super::print_note;
use crate::train::TrainConfig;
use crate::train::setting::Configuration as _;

/// Prints a note about the settings that were asked for and have no effect in any of some runs.
pub fn note_settings_without_effect(asked: &Asked, runs: &[&TrainConfig]) {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for (key, reason) in runs.first().map(|run| run.without_effect()).into_iter().flatten() {
        let is_without = |run: &&TrainConfig| run.without_effect().iter().any(|(k, _)| *k == key);
        if !(is_given(asked, key, runs) && runs.iter().all(is_without)) {
            continue;
        }
        let name = match asked.is_flag(key) {
            true => format!("--{}", key.replace('_', "-")),
            false => format!("`{key}`"),
        };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(name),
            None => reasons.push((reason, vec![name])),
        }
    }
    let sentence = |(reason, names): &(&str, Vec<String>)| match &names[..] {
        [name] => format!("{name} has no effect: {reason}"),
        names => format!("{} have no effect: {reason}", names.join(", ")),
    };
    if !reasons.is_empty() {
        print_note(&reasons.iter().map(sentence).collect::<Vec<_>>().join("; "));
    }
}

/// Whether somebody means a setting: as a flag, or in a file with another value than the default. The files that runs leave have all
/// settings.
fn is_given(asked: &Asked, key: &str, runs: &[&TrainConfig]) -> bool {
    let default = TrainConfig::default();
    let differs = |run: &&TrainConfig| {
        TrainConfig::setting(key)
            .is_some_and(|setting| (setting.get)(run) != (setting.get)(&default))
    };
    asked.is_flag(key) || asked.has(key) && runs.iter().any(differs)
}
