//! Normalisation of hidden layers: names, tensors, and how batch norm becomes a part of the weights.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Layout, Spec};
use crate::error::{Error, Result};

/// What normalises the pre-activations `z = w x + b` of a hidden layer before its activation. With a mean and a variance of some of them, and `gain` and `shift`
/// learned for each unit, it is `gain (z - mean) / sqrt(variance + eps) + shift`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Norm {
    /// Nothing.
    #[default]
    None,
    /// Over the batch, for each unit, as `torch.nn.BatchNorm1d` (Ioffe and Szegedy, 2015): in training by the batch, elsewhere by running statistics.
    Batch,
    /// Over the units, for each sample, as `torch.nn.LayerNorm` (Ba et al., 2016).
    Layer,
}

/// What is added to a variance, as in PyTorch.
pub const NORM_EPS: f64 = 1e-5;

/// The share of a batch in running statistics, as in PyTorch. Their variance is the unbiased one of the batch, the one that divides is biased.
pub const NORM_MOMENTUM: f32 = 0.1;

impl Norm {
    /// Every norm, in the order of help texts and messages.
    pub const ALL: [Self; 3] = [Self::None, Self::Batch, Self::Layer];

    /// The name in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Batch => "batch",
            Self::Layer => "layer",
        }
    }

    /// The tensors of a norm, each with a value for each unit, and what they hold at first.
    pub(crate) fn tensors(self) -> &'static [(&'static str, f32)] {
        const ALL: [(&str, f32); 4] = [
            ("norm.weight", 1.0),
            ("norm.bias", 0.0),
            ("norm.running_mean", 0.0),
            ("norm.running_var", 1.0),
        ];
        match self {
            Self::None => &[],
            Self::Layer => &ALL[..2],
            Self::Batch => &ALL,
        }
    }
}

impl FromStr for Norm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|norm| norm.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::usage(format!("norm `{text}`: expected one of {names}"))
        })
    }
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Multiplies what evaluations compute with fewer operations into weights and biases, in parameters of a network, or of a member: the factors of the inputs, `w <- w s`, and batch
/// norm with running statistics, `w <- s w` and `b <- s (b - mean) + shift`, with `s = gain / sqrt(variance + eps)`. What is left of these then does nothing.
pub(crate) fn fold(params: &mut [f32], spec: &Spec, layout: &Layout) {
    if let Some(scales) = layout.input_scales() {
        let scales = params[scales.range.clone()].to_vec();
        for row in params[layout.layers()[0].w()].chunks_exact_mut(scales.len()) {
            row.iter_mut().zip(&scales).for_each(|(w, scale)| *w *= scale);
        }
    }
    for (layer, place) in spec.layers().iter().zip(layout.layers()) {
        if layer.norm != Norm::Batch {
            continue;
        }
        let [gains, shifts, means, variances] = [0, 1, 2, 3].map(|i| place.norm(i));
        for unit in 0..place.n_out {
            let at = |range: &std::ops::Range<usize>| f64::from(params[range.start + unit]);
            let scale = at(&gains) / (at(&variances) + NORM_EPS).sqrt();
            let bias = scale * (at(&place.b()) - at(&means)) + at(&shifts);
            params[place.b().start + unit] = bias as f32;
            for w in &mut params[place.w_rows(unit..unit + 1)] {
                *w = (scale * f64::from(*w)) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for norm in Norm::ALL {
            assert_eq!(norm.name().parse::<Norm>().unwrap(), norm);
        }
        let message = "group".parse::<Norm>().unwrap_err().to_string();
        assert!(message.contains("none, batch, layer"), "{message}");
    }

    #[test]
    fn folded_weights_compute_the_same() {
        let spec = Spec::new(2, &[3], &[], 1).unwrap().with_norm(Norm::Batch);
        let layout = Layout::new(&spec).unwrap();
        let mut params: Vec<f32> = (0..layout.len()).map(|i| 0.3 * i as f32 - 1.0).collect();
        let place = &layout.layers()[0];
        params[place.norm(3)].copy_from_slice(&[0.5, 2.0, 0.0]);
        let x = [0.7, -1.1];
        let z = |params: &[f32], unit: usize| {
            let w = &params[place.w_rows(unit..unit + 1)];
            w[0] * x[0] + w[1] * x[1] + params[place.b().start + unit]
        };
        let expected: Vec<f32> = (0..3)
            .map(|unit| {
                let at = |i: usize| params[place.norm(i).start + unit];
                at(0) * (z(&params, unit) - at(2)) / (at(3) + 1e-5).sqrt() + at(1)
            })
            .collect();
        fold(&mut params, &spec, &layout);
        for (unit, expected) in expected.into_iter().enumerate() {
            let found = z(&params, unit);
            assert!(
                (found - expected).abs() < 1e-5 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
    }
}
