//! Which settings change nothing beside the others.

use super::{OptimizerKind, Schedule, TrainConfig};
use crate::model::Norm;

/// Settings, and why they change nothing.
type Reason = (&'static [&'static str], &'static str);

impl TrainConfig {
    /// The settings that have no effect beside the others, by their keys, with the reason: `momentum`, because the optimizer is adam.
    /// Whether a user has given them, the caller knows.
    pub fn without_effect(&self) -> Vec<(&'static str, &'static str)> {
        let is_sgd = self.optimizer == OptimizerKind::Sgd;
        let of_other: Reason = match is_sgd {
            true => (&["beta1", "beta2", "eps"], "the optimizer is sgd"),
            false => (&["momentum", "nesterov"], "the optimizer is adam"),
        };
        let cycled: &[&str] = if is_sgd { &["momentum"] } else { &["beta1"] };
        let one_cycle = (self.schedule == Schedule::OneCycle)
            .then_some((cycled, "the one-cycle schedule moves it from 0.95 to 0.85 and back"));
        let of_hidden: Option<Reason> = self.hidden.is_empty().then_some((
            &["activations", "norm", "norm_gain", "dropout", "noise"],
            "there are no hidden layers",
        ));
        let of_norm: Option<Reason> = (self.norm == Norm::None && !self.hidden.is_empty())
            .then_some((&["norm_gain"], "there is no norm"));
        let of_frozen: Option<Reason> = (self.freeze.unwrap_or(0) > 0)
            .then_some((&["input_scales"], "the first layer is frozen"));
        let of_batch_norm: Option<Reason> =
            (self.norm != Norm::Batch).then_some((&["clean_statistics"], "there is no batch norm"));
        let reasons = [Some(of_other), one_cycle, of_hidden, of_norm, of_batch_norm, of_frozen];
        let all = reasons.into_iter().flatten();
        all.flat_map(|(keys, reason)| keys.iter().map(move |&key| (key, reason))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::setting::Configuration as _;

    #[test]
    fn what_has_no_effect_follows_from_the_others() {
        let keys = |change: &dyn Fn(&mut TrainConfig)| {
            let found = TrainConfig::default().with(change).without_effect();
            assert!(found.iter().all(|(key, _)| TrainConfig::setting(key).is_some()));
            found.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ")
        };
        let sgd = |c: &mut TrainConfig| c.optimizer = OptimizerKind::Sgd;
        let cycle = |c: &mut TrainConfig| c.schedule = Schedule::OneCycle;
        let normed = |c: &mut TrainConfig| c.norm = Norm::Layer;
        assert_eq!(keys(&|_| ()), "momentum nesterov norm_gain clean_statistics");
        assert_eq!(keys(&normed), "momentum nesterov clean_statistics");
        assert_eq!(keys(&|c| c.norm = Norm::Batch), "momentum nesterov");
        let frozen = |c: &mut TrainConfig| (c.norm, c.freeze) = (Norm::Batch, Some(1));
        assert_eq!(keys(&frozen), "momentum nesterov input_scales");
        assert_eq!(keys(&|c| (sgd(c), normed(c)).0), "beta1 beta2 eps clean_statistics");
        assert_eq!(keys(&|c| (cycle(c), normed(c)).0), "momentum nesterov beta1 clean_statistics");
        assert_eq!(
            keys(&|c| (sgd(c), cycle(c), normed(c)).0),
            "beta1 beta2 eps momentum clean_statistics"
        );
        let expected =
            "momentum nesterov activations norm norm_gain dropout noise clean_statistics";
        assert_eq!(keys(&|c| c.hidden.clear()), expected);
    }
}
