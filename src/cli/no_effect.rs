//! Says which settings were given although they change nothing.

use super::asked::Asked;
use super::print_note;
use crate::train::TrainConfig;
use crate::train::setting::Configuration as _;

/// Prints a note about the settings that were asked for and have no effect in any of some runs.
pub fn note_settings_without_effect(asked: &Asked, runs: &[&TrainConfig]) {
    let mut notes: Vec<(String, Vec<String>)> = Vec::new();
    let candidates = runs.first().map(|run| run.without_effect()).into_iter().flatten();
    for (key, _) in candidates.filter(|(key, _)| is_given(asked, key, runs)) {
        let Some(reason) = shared_reason(key, runs) else { continue };
        let name = match asked.is_flag(key) {
            true => format!("--{}", key.replace('_', "-")),
            false => format!("`{key}`"),
        };
        match notes.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(name),
            None => notes.push((reason, vec![name])),
        }
    }
    let sentence = |(reason, names): &(String, Vec<String>)| match &names[..] {
        [name] => format!("{name} has no effect: {reason}"),
        names => format!("{} have no effect: {reason}", names.join(", ")),
    };
    if !notes.is_empty() {
        print_note(&notes.iter().map(sentence).collect::<Vec<_>>().join("; "));
    }
}

/// Why a setting has no effect in any of the runs; `None` if it has one.
fn shared_reason(key: &str, runs: &[&TrainConfig]) -> Option<String> {
    let mut reasons: Vec<&str> = Vec::new();
    for run in runs {
        let (_, reason) = run.without_effect().into_iter().find(|(found, _)| *found == key)?;
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Some(reasons.join(", or "))
}

/// Whether a user means a setting: as a flag, or in a file with another value than the default. The files that runs leave have all
/// settings. A preset means all of its settings together.
fn is_given(asked: &Asked, key: &str, runs: &[&TrainConfig]) -> bool {
    let default = TrainConfig::default();
    let differs = |run: &&TrainConfig| {
        TrainConfig::setting(key)
            .is_some_and(|setting| (setting.get)(run) != (setting.get)(&default))
    };
    asked.is_flag(key) || asked.has(key) && !asked.is_of_preset(key) && runs.iter().any(differs)
}
