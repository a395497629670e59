//! The learning rate of each step.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::engine::{Adam, Sgd, Step, Steps};
use crate::error::{Error, Result};

/// How the learning rate changes over the planned training. With `t` the share of the planned steps that is done before a step, from 0 to 1, and
/// `lr` the learning rate that was set:
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Schedule {
    /// `lr`
    #[default]
    Constant,
    /// `lr (1 + cos(pi t)) / 2` (Loshchilov and Hutter, 2017, without restarts)
    Cosine {
        /// The first share of the training, in which the rate stays as it is; `t` then counts from its end. 0 for none.
        flat: f64,
    },
    /// `lr (1 - t)`
    Linear {
        /// Likewise.
        flat: f64,
    },
    /// `lr (1 - cos(2 pi log2(1 + 15 t))) / 2`: four waves, each twice as long as the one before (Holzmüller et al., 2024, arXiv 2407.04491, section 3)
    LogCosine,
    /// Up to `lr` and down again, and momentum (Adam's first decay) down and up: `torch.optim.lr_scheduler.OneCycleLR` with its defaults (Smith and Topin, 2018).
    OneCycle,
    /// `lr` times `factor` for each `epochs` epochs that are done
    Step {
        /// How many epochs have the same rate.
        epochs: usize,
        /// What the rate is multiplied by after them.
        factor: f64,
    },
}

/// A linear start from 0, part of the planned training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Warmup {
    /// So many steps.
    Steps(u64),
    /// Such a share of the planned steps.
    Share(f64),
}

/// The forms that a schedule can have, for messages.
const FORMS: &str = "constant, cosine or linear (also with a flat first share, such as linear:0.5), log-cosine, one-cycle, or step:N:F such as step:30:0.1";

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = || Error::usage(format!("schedule `{text}`: expected {FORMS}"));
        let mut parts = text.trim().split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("constant"), None, ..) => Ok(Self::Constant),
            (Some(kind @ ("cosine" | "linear")), flat, None, _) => {
                let is_share = |flat: &f64| (0.0..1.0).contains(flat);
                let flat = flat.unwrap_or("0").parse().ok().filter(is_share).ok_or_else(refuse)?;
                Ok(if kind == "cosine" { Self::Cosine { flat } } else { Self::Linear { flat } })
            }
            (Some("log-cosine"), None, ..) => Ok(Self::LogCosine),
            (Some("one-cycle"), None, ..) => Ok(Self::OneCycle),
            (Some("step"), Some(epochs), Some(factor), None) => {
                let epochs = epochs.parse().ok().filter(|&epochs| epochs > 0).ok_or_else(refuse)?;
                let is_factor = |factor: &f64| (0.0..=1.0).contains(factor);
                let factor = factor.parse().ok().filter(is_factor).ok_or_else(refuse)?;
                Ok(Self::Step { epochs, factor })
            }
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Cosine { flat: 0.0 } => f.write_str("cosine"),
            Self::Linear { flat: 0.0 } => f.write_str("linear"),
            Self::Cosine { flat } => write!(f, "cosine:{flat}"),
            Self::Linear { flat } => write!(f, "linear:{flat}"),
            Self::LogCosine => f.write_str("log-cosine"),
            Self::OneCycle => f.write_str("one-cycle"),
            Self::Step { epochs, factor } => write!(f, "step:{epochs}:{factor}"),
        }
    }
}

impl FromStr for Warmup {
    type Err = Error;

    /// A whole number is one of steps; one with a decimal point is a share.
    fn from_str(text: &str) -> Result<Self> {
        let (text, is_share) = (text.trim(), text.contains('.'));
        let steps = text.parse().ok().map(Self::Steps).filter(|_| !is_share);
        let share = || text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        steps.or_else(|| share().filter(|_| is_share).map(Self::Share)).ok_or_else(|| {
            Error::usage(format!(
                "warm-up `{text}`: expected a number of steps, such as 500, or a share of the training, such as 0.05"
            ))
        })
    }
}

impl fmt::Display for Warmup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps}"),
            Self::Share(share) => write!(f, "{share:?}"),
        }
    }
}

/// Text in files, as on the command line.
macro_rules! as_text {
    ($($Type:ty),+) => {$(
        impl From<$Type> for String {
            fn from(value: $Type) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $Type {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }
    )+};
}

as_text!(Schedule, Warmup);

/// The first share of a one-cycle schedule, in which the rate rises.
const RISING: f64 = 0.3;
/// The peak by the first rate, and the first rate by the last one.
const DIVISORS: (f64, f64) = (25.0, 1e4);
/// The momentum at the peak, and at both ends.
const MOMENTA: (f64, f64) = (0.85, 0.95);

/// The optimizer and the learning rate of each step of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    pub warmup: Option<Warmup>,
    /// The steps of an epoch, and of all planned epochs.
    pub epoch_steps: u64,
    pub steps: u64,
}

/// What changes the parameters, with the settings of a step whose rate no schedule changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Optimizer {
    Adam(Adam),
    Sgd(Sgd),
}

impl Optimizer {
    fn lr(&self) -> f64 {
        match self {
            Self::Adam(adam) => adam.lr,
            Self::Sgd(sgd) => sgd.lr,
        }
    }
}

impl Plan {
    /// Rejects a warm-up that leaves a falling rate no step: it would rise to 0.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn check(&self) -> Result<()> {
        match (self.warmup, self.schedule) {
            (Some(warmup), schedule)
                if schedule != Schedule::Constant && self.warmup_steps() >= self.steps =>
            {
                let expected = format!("less than the training's {} steps", self.steps);
                Err(Error::argument("warmup", warmup.to_string(), expected))
            }
            _ => Ok(()),
        }
    }

    fn warmup_steps(&self) -> u64 {
        match self.warmup {
            None => 0,
            Some(Warmup::Steps(steps)) => steps,
            Some(Warmup::Share(share)) => (share * self.steps as f64).round() as u64,
        }
    }

    /// The learning rate after `done` steps.
    pub fn rate(&self, done: u64) -> f64 {
        self.optimizer.lr() * self.share(done)
    }

    /// The rate after `done` steps by the one that was set.
    fn share(&self, done: u64) -> f64 {
        let warmup = self.warmup_steps();
        // the start rises to where the schedule is when it ends
        match done < warmup {
            true => done as f64 / warmup as f64 * self.scheduled(warmup),
            false => self.scheduled(done),
        }
    }

    fn scheduled(&self, done: u64) -> f64 {
        // more steps are done than planned where epochs were added to a constant rate alone
        let t = (done as f64 / self.steps.max(1) as f64).min(1.0);
        let after = |flat: f64| ((t - flat) / (1.0 - flat)).max(0.0);
        match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine { flat } => (1.0 + (PI * after(flat)).cos()) / 2.0,
            Schedule::Linear { flat } => 1.0 - after(flat),
            Schedule::LogCosine => (1.0 - (2.0 * PI * (1.0 + 15.0 * t).log2()).cos()) / 2.0,
            Schedule::OneCycle => {
                let first = 1.0 / DIVISORS.0;
                match self.cycle(done) {
                    (true, share) => annealed(first, 1.0, share),
                    (false, share) => annealed(1.0, first / DIVISORS.1, share),
                }
            }
            Schedule::Step { epochs, factor } => {
                let periods = done / (epochs as u64).saturating_mul(self.epoch_steps).max(1);
                factor.powi(i32::try_from(periods).unwrap_or(i32::MAX))
            }
        }
    }

    /// Where a one-cycle schedule is: whether it rises, and the share of that part that is done. The last step ends it.
    fn cycle(&self, done: u64) -> (bool, f64) {
        let (done, steps) = (done as f64, self.steps as f64);
        let (top, end) = (RISING * steps - 1.0, steps - 1.0);
        match done <= top {
            true => (true, if top > 0.0 { done / top } else { 1.0 }),
            false => (false, ((done - top) / (end - top)).min(1.0)),
        }
    }

    /// The momentum after `done` steps, where the schedule changes it.
    fn momentum(&self, done: u64) -> Option<f64> {
        let (low, high) = MOMENTA;
        (self.schedule == Schedule::OneCycle).then(|| match self.cycle(done) {
            (true, share) => annealed(high, low, share),
            (false, share) => annealed(low, high, share),
        })
    }
}

/// From one number to another along half a cosine.
fn annealed(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (PI * share).cos())
}

impl Steps for Plan {
    fn epoch(&self, t: u64) -> u64 {
        1 + (t - 1) / self.epoch_steps.max(1)
    }

    fn step(&self, t: u64) -> Step {
        let done = t - 1;
        let (lr, momentum) = (self.rate(done), self.momentum(done));
        match self.optimizer {
            Optimizer::Adam(adam) => {
                let beta1 = momentum.unwrap_or(adam.beta1);
                Steps::step(&Adam { lr, beta1, ..adam }, t)
            }
            Optimizer::Sgd(sgd) => {
                // without momentum there is none to change
                let momentum = momentum.filter(|_| sgd.momentum > 0.0).unwrap_or(sgd.momentum);
                Steps::step(&Sgd { lr, momentum, ..sgd }, t)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(schedule: &str, warmup: Option<&str>, steps: u64) -> Plan {
        Plan {
            optimizer: Optimizer::Adam(Adam { lr: 0.5, ..Adam::default() }),
            schedule: schedule.parse().unwrap(),
            warmup: warmup.map(|text| text.parse().unwrap()),
            epoch_steps: 10,
            steps,
        }
    }

    #[test]
    fn rates_are_the_definitions() {
        for (schedule, done, rate) in [
            ("constant", 70, 0.5),
            ("cosine", 0, 0.5),
            ("cosine", 50, 0.25),
            ("cosine", 25, 0.25 * (1.0 + 0.5f64.sqrt())),
            ("linear", 0, 0.5),
            ("linear", 75, 0.125),
            ("linear", 100, 0.0),
            ("linear:0.6", 60, 0.5),
            ("linear:0.6", 80, 0.25),
            ("cosine:0.5", 50, 0.5),
            ("cosine:0.5", 75, 0.25),
            ("log-cosine", 0, 0.0),
            ("log-cosine", 20, 0.0), // 1 + 15 t is 4
            ("log-cosine", 100, 0.0),
            ("log-cosine", 50, 0.25 * (1.0 - (2.0 * PI * 8.5f64.log2()).cos())),
            ("step:3:0.1", 29, 0.5),
            ("step:3:0.1", 30, 0.05),
            ("step:3:0.1", 99, 0.0005),
        ] {
            let found = plan(schedule, None, 100).rate(done);
            assert!((found - rate).abs() < 1e-12, "{schedule} {done}: {found}, expected {rate}");
        }
    }

    /// `torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=20)` of PyTorch 1.13, with Adam: the rate and the first decay
    /// before some steps.
    #[test]
    fn one_cycle_is_that_of_pytorch() {
        let plan = plan("one-cycle", None, 20);
        for (done, rate, momentum) in ONE_CYCLE {
            assert!((plan.rate(done) - rate).abs() < 1e-9, "{done}: {}", plan.rate(done));
            assert!((plan.momentum(done).unwrap() - momentum).abs() < 1e-9, "{done}");
        }
        // a plan of one step, or of none
        for steps in [0, 1, 2, 3] {
            assert!(super::Plan { steps, ..plan }.rate(0).is_finite());
            assert!(super::Plan { steps, ..plan }.rate(steps).is_finite());
        }
    }

    const ONE_CYCLE: [(u64, f64, f64); 8] = [
        (0, 0.02, 0.95),
        (1, 0.06583592135, 0.940450849719),
        (3, 0.33416407865, 0.884549150281),
        (5, 0.5, 0.85),
        (6, 0.493732003118, 0.851253604391),
        (10, 0.358471500896, 0.878305813044),
        (15, 0.0941291730251, 0.931174490093),
        (19, 2e-06, 0.95),
    ];

    #[test]
    fn warm_up_is_linear_from_0_and_part_of_the_plan() {
        let (by_steps, by_share) =
            (plan("cosine", Some("20"), 100), plan("cosine", Some("0.2"), 100));
        let at_end = 0.25 * (1.0 + (0.2 * PI).cos());
        for (done, rate) in [(0, 0.0), (5, at_end / 4.0), (20, at_end), (50, 0.25), (100, 0.0)] {
            for plan in [by_steps, by_share] {
                assert!((plan.rate(done) - rate).abs() < 1e-12, "{done} {}", plan.rate(done));
            }
        }
        assert_eq!(plan("constant", Some("10"), 100).rate(9), 0.45);
        assert!(plan("cosine", Some("99"), 100).check().is_ok());
        assert!(plan("constant", Some("1000"), 100).check().is_ok());
        for warmup in ["100", "1.0"] {
            let message = plan("linear", Some(warmup), 100).check().unwrap_err().to_string();
            assert!(message.contains("less than the training's 100 steps"), "{message}");
        }
        // longer than the training
        assert_eq!(plan("constant", Some("1000"), 100).rate(100), 0.05);
    }

    #[test]
    fn texts_round_trip_and_others_are_refused() {
        for text in [
            "constant",
            "cosine",
            "linear",
            "cosine:0.5",
            "linear:0.67",
            "one-cycle",
            "step:30:0.1",
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "exp",
            "step",
            "step:0:0.1",
            "step:3:2",
            "step:3",
            "cosine:1",
            "linear:x",
            "linear:-1",
            "cosine:0.1:2",
            "step:3:0.1:4",
        ] {
            let message = text.parse::<Schedule>().unwrap_err().to_string();
            assert!(message.contains("expected constant, cosine"), "{message}");
        }
        for text in ["0", "500", "0.05", "1.0"] {
            assert_eq!(text.parse::<Warmup>().unwrap().to_string(), text);
        }
        for text in ["", "-1", "1.5", "x", "NaN", "1e3"] {
            let message = text.parse::<Warmup>().unwrap_err().to_string();
            assert!(message.contains("expected a number of steps"), "{message}");
        }
    }
}
