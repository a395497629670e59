//! How images are augmented, as a setting.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the images of a training change from epoch to epoch: not at all, or by one or several kinds of change, each with a strength.
///
/// | kind | what it does at strength 1 |
/// |---|---|
/// | `shift` | moves the image by whole pixels, up to 1/14 of each side: 2 pixels of 28 |
/// | `flip` | mirrors the image, left to right, with a probability of 1/2; at strength 2 always |
/// | `affine` | scales height and width by up to 17.5 % each, and rotates or shears the image, as a coin decides, by up to 15 degrees |
/// | `elastic` | displaces each pixel by a smooth random field, as Simard's with sigma 5.4 and alpha 37 on 29x29 pixels: both directions have a standard deviation of 3.9 % of the side |
///
/// All draws are uniform, except for those of `elastic`, which are close to normal. The strength multiplies every range, and the probability of `flip`. Written as
/// in a configuration: `none`, `shift`, `affine,elastic`, `affine:0.5,elastic:1.2`.
///
/// The strengths are those of Cireșan, Meier, Gambardella and Schmidhuber (2010, arXiv:1003.0358), for handwritten digits; they
/// spared the digits 1 and 7 half of the rotation. Elastic deformations are by Simard, Steinkraus and Platt (2003).
///
/// ```
/// use densely::data::Augment;
///
/// let augment: Augment = "elastic, affine:0.5".parse()?;
/// assert_eq!(augment.to_string(), "affine:0.5,elastic");
/// assert!("none".parse::<Augment>()?.is_none());
/// # Ok::<(), densely::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Augment {
    pub(super) shift: Option<f64>,
    pub(super) flip: Option<f64>,
    pub(super) affine: Option<f64>,
    pub(super) elastic: Option<f64>,
}

/// At larger strengths, nothing is left of an image.
const MOST: f64 = 4.0;

/// The word for no augmentation.
const NONE: &str = "none";

impl Augment {
    /// The kinds of change.
    pub const KINDS: [&str; 4] = ["shift", "flip", "affine", "elastic"];

    /// Whether images stay as they are.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Whether pixels come from elsewhere than by a shift.
    pub(super) fn warps(self) -> bool {
        self.flip.is_some() || self.affine.is_some() || self.elastic.is_some()
    }

    /// The strength of each kind.
    fn strengths(self) -> [Option<f64>; 4] {
        [self.shift, self.flip, self.affine, self.elastic]
    }
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str(NONE);
        }
        let kinds = Self::KINDS.into_iter().zip(self.strengths());
        let given = kinds.filter_map(|(kind, strength)| Some((kind, strength?)));
        for (i, (kind, strength)) in given.enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match strength {
                1.0 => write!(f, "{comma}{kind}")?,
                strength => write!(f, "{comma}{kind}:{strength}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Augment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.trim() == NONE {
            return Ok(Self::default());
        }
        let refuse = |problem: String| {
            Error::usage(format!(
                "`{text}`: {problem}; expected none, or one or several of {}, such as affine,elastic or affine:0.5",
                Self::KINDS.join(", ")
            ))
        };
        let mut strengths = [None; 4];
        for part in text.split(',').map(str::trim) {
            let (kind, strength) = part.split_once(':').unwrap_or((part, "1"));
            let Some(place) = Self::KINDS.iter().position(|known| *known == kind.trim_end()) else {
                return Err(refuse(format!("`{part}` is no kind of change")));
            };
            let strength: Option<f64> = strength.trim().parse().ok();
            let Some(strength) = strength.filter(|&x| 0.0 < x && x <= MOST) else {
                return Err(refuse(format!("`{part}` has no strength above 0 and up to {MOST}")));
            };
            if strengths[place].replace(strength).is_some() {
                return Err(refuse(format!("`{kind}` twice")));
            }
        }
        let [shift, flip, affine, elastic] = strengths;
        Ok(Self { shift, flip, affine, elastic })
    }
}

impl TryFrom<String> for Augment {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Augment> for String {
    fn from(augment: Augment) -> Self {
        augment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn augmentations_are_read_and_written() {
        for name in [
            "none",
            "shift",
            "affine",
            "elastic",
            "affine,elastic",
            "shift,elastic",
            "shift,flip,affine,elastic",
            "flip:0.5",
            "affine:0.5",
            "affine:0.5,elastic:1.25",
        ] {
            let augment: Augment = name.parse().unwrap();
            assert_eq!(augment.to_string(), name);
            assert_eq!(augment.is_none(), name == "none");
            let json = serde_json::to_string(&augment).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Augment>(&json).unwrap(), augment);
        }
        for (name, canonical) in [
            (" none ", "none"),
            ("elastic , shift:1", "shift,elastic"),
            ("affine : 2.0", "affine:2"),
        ] {
            assert_eq!(name.parse::<Augment>().unwrap().to_string(), canonical);
        }
        for (wrong, problem) in [
            ("", "`` is no kind of change"),
            ("rotate", "`rotate` is no kind of change"),
            ("affine,", "`` is no kind of change"),
            ("none,affine", "`none` is no kind of change"),
            ("affine,affine:2", "`affine` twice"),
            ("affine:0", "`affine:0` has no strength above 0 and up to 4"),
            ("affine:-1", "has no strength"),
            ("affine:nan", "has no strength"),
            ("affine:5", "has no strength"),
            ("affine:", "has no strength"),
        ] {
            let message = wrong.parse::<Augment>().unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
            assert!(message.contains("expected none, or one or several of shift"), "{message}");
        }
    }
}
