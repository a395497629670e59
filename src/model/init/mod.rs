//! Initial weights.
//!
//! He, LeCun and Glorot weights are uniform, with the variance of the respective paper. No logarithm or cosine takes part,
//! so every platform draws the same bits. Orthogonal weights depend on LAPACK, and so on the CPU. Biases start at 0. Each
//! layer has a random stream of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Activation, Layout, Spec};
use crate::error::{Error, Result};
use crate::rng::{Purpose, Rng, member_seed};

mod orthogonal;

/// How the initial weights of a layer are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Init {
    /// LeCun for SELU; Glorot for sigmoid, tanh, the identity and the output layer; He for all other activations.
    #[default]
    Auto,
    /// Variance `2 / n_in` (He et al., 2015).
    He,
    /// Variance `1 / n_in` (LeCun et al., 1998).
    Lecun,
    /// Variance `2 / (n_in + n_out)` (Glorot and Bengio, 2010).
    Glorot,
    /// Orthonormal rows or columns (Saxe et al., 2014), from a QR decomposition; needs LAPACK.
    Orthogonal,
    /// Normal with the variance `1/n_in` and biases with the variance 1; the output layer starts at 0, weights and biases (Holzmüller et al., 2024, arXiv 2407.04491,
    /// RealMLP-TD-S).
    Normal,
}

impl Init {
    /// Every scheme, in the order of help texts and messages.
    pub const ALL: [Self; 6] =
        [Self::Auto, Self::He, Self::Lecun, Self::Glorot, Self::Orthogonal, Self::Normal];

    /// The name in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::He => "he",
            Self::Lecun => "lecun",
            Self::Glorot => "glorot",
            Self::Orthogonal => "orthogonal",
            Self::Normal => "normal",
        }
    }

    /// Replaces `Auto` by the scheme for a layer with this activation.
    fn resolve(self, activation: Activation) -> Self {
        match (self, activation) {
            (Self::Auto, Activation::Selu) => Self::Lecun,
            (Self::Auto, Activation::Identity | Activation::Sigmoid | Activation::Tanh) => {
                Self::Glorot
            }
            (Self::Auto, _) => Self::He,
            (named, _) => named,
        }
    }
}

/// Fills `params` (the length of `layout`) with the initial weights and biases of a network, or of an ensemble, whose members have seeds of their own.
///
/// The result depends on `spec`, `init` and `seed` alone; orthogonal weights also depend on LAPACK.
///
/// # Errors
/// [`Error::MissingFeature`] for `orthogonal` in a build without LAPACK.
///
/// # Panics
/// If the length of `params` is not that of the layout.
pub fn initialize(
    params: &mut [f32],
    spec: &Spec,
    layout: &Layout,
    init: Init,
    seed: u64,
) -> Result<()> {
    assert_eq!(
        params.len(),
        layout.len(),
        "initialize: the length of `params` is not that of the layout"
    );
    for member in 0..layout.members() {
        let (params, seed) = (&mut params[layout.member(member)], member_seed(seed, member));
        if let Some(scales) = layout.input_scales() {
            params[scales.range.clone()].fill(1.0);
        }
        for index in 0..layout.layers().len() {
            initialize_layer(params, spec, layout, index, init, seed)?;
        }
    }
    Ok(())
}

/// Fills one layer's part of the parameters of a network, or of a member, with its initial weights and biases; otherwise as [`initialize`].
pub(super) fn initialize_layer(
    params: &mut [f32],
    spec: &Spec,
    layout: &Layout,
    index: usize,
    init: Init,
    seed: u64,
) -> Result<()> {
    let (layer, place) = (&spec.layers()[index], &layout.layers()[index]);
    let mut rng = Rng::new(seed, Purpose::Init, index as u64);
    params[place.b()].fill(0.0);
    for (which, (_, first)) in layer.norm.tensors().iter().enumerate() {
        params[place.norm(which)].fill(*first);
    }
    let w = &mut params[place.w()];
    let (n_in, n_out) = (place.n_in as f64, place.n_out as f64);
    let variance = match init.resolve(layer.activation) {
        Init::Auto | Init::He => 2.0 / n_in,
        Init::Lecun => 1.0 / n_in,
        Init::Glorot => 2.0 / (n_in + n_out),
        Init::Normal => {
            let is_output = index + 1 == layout.layers().len();
            let (w, deviation) = (w.iter_mut(), (1.0 / n_in.sqrt()) as f32);
            w.for_each(|w| *w = if is_output { 0.0 } else { deviation * rng.normal() });
            let b = params[place.b()].iter_mut();
            b.for_each(|b| *b = if is_output { 0.0 } else { rng.normal() });
            return Ok(());
        }
        Init::Orthogonal => return orthogonal::fill(w, place.n_out, place.n_in, &mut rng),
    };
    // the uniform distribution on -bound..bound has the variance bound^2 / 3
    let bound = (3.0 * variance).sqrt() as f32;
    w.iter_mut().for_each(|weight| *weight = bound * rng.symmetric());
    Ok(())
}

impl FromStr for Init {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|init| init.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::usage(format!("initialisation `{text}`: expected one of {names}"))
        })
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Init> for String {
    fn from(init: Init) -> Self {
        init.name().to_owned()
    }
}

impl TryFrom<String> for Init {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(init: Init, activation: Activation, seed: u64) -> Vec<f32> {
        let spec = Spec::new(400, &[300], &[activation], 10).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let mut params = vec![f32::NAN; layout.len()];
        initialize(&mut params, &spec, &layout, init, seed).unwrap();
        assert!(layout.layers().iter().all(|layer| params[layer.b()].iter().all(|&b| b == 0.0)));
        params[layout.layers()[0].w()].to_vec()
    }

    fn variance(weights: &[f32]) -> f64 {
        weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / weights.len() as f64
    }

    #[test]
    fn variances_match_the_papers() {
        for (init, activation, expected) in [
            (Init::He, Activation::Tanh, 2.0 / 400.0),
            (Init::Lecun, Activation::Relu, 1.0 / 400.0),
            (Init::Glorot, Activation::Relu, 2.0 / 700.0),
            (Init::Auto, Activation::Relu, 2.0 / 400.0),
            (Init::Auto, Activation::Gelu, 2.0 / 400.0),
            (Init::Auto, Activation::Selu, 1.0 / 400.0),
            (Init::Auto, Activation::Tanh, 2.0 / 700.0),
        ] {
            let found = variance(&weights(init, activation, 0));
            assert!(
                (found / expected - 1.0).abs() < 0.02,
                "{init} {activation}: {found} {expected}"
            );
        }
    }

    #[test]
    fn the_seed_decides() {
        let draw = |seed| weights(Init::Auto, Activation::Relu, seed);
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }

    #[test]
    fn normal_weights_come_with_biases_and_the_output_layer_starts_at_0() {
        let spec = Spec::new(400, &[300, 200], &[Activation::Selu], 10).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let mut params = vec![f32::NAN; layout.len()];
        initialize(&mut params, &spec, &layout, Init::Normal, 3).unwrap();
        for (layer, n_in) in layout.layers()[..2].iter().zip([400.0, 300.0]) {
            let (w, b) = (variance(&params[layer.w()]), variance(&params[layer.b()]));
            assert!((w * n_in - 1.0).abs() < 0.03, "{w}");
            assert!((b - 1.0).abs() < 0.25, "{b}");
        }
        let last = &layout.layers()[2];
        assert!(params[last.w().start..last.b().end].iter().all(|x| *x == 0.0));
    }

    #[cfg(feature = "openblas")]
    #[test]
    fn orthogonal_weights_are_orthonormal() {
        for (rows, columns) in [(7, 7), (20, 9), (9, 20), (1, 5), (5, 1)] {
            let spec = Spec::new(columns, &[rows], &[], 3).unwrap();
            let layout = Layout::new(&spec).unwrap();
            let mut params = vec![f32::NAN; layout.len()];
            initialize(&mut params, &spec, &layout, Init::Orthogonal, 0).unwrap();
            let w = layout.layers()[0].w_view(&params);
            let w = if rows <= columns { w } else { w.reversed_axes() };
            for (i, a) in w.rows().into_iter().enumerate() {
                for (j, b) in w.rows().into_iter().enumerate() {
                    let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-5, "{rows}x{columns} {i} {j}: {dot}");
                }
            }
        }
    }

    #[cfg(not(feature = "openblas"))]
    #[test]
    fn orthogonal_weights_without_lapack_are_an_error_that_names_the_feature() {
        let spec = Spec::new(4, &[3], &[], 2).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let mut params = vec![0.0; layout.len()];
        let error = initialize(&mut params, &spec, &layout, Init::Orthogonal, 0).unwrap_err();
        assert!(error.to_string().contains("feature `openblas`"), "{error}");
    }
}
