//! Files that people take for models: what is in them, and what helps.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};

/// How an archive begins: of NumPy's arrays, or of the pickled objects of `torch.save`.
const ZIP: &[u8] = b"PK\x03\x04";
/// How older versions of PyTorch and Python begin: a pickle of version 2 or later.
const PICKLE: u8 = 0x80;
/// Where an archive has the name of its first file, and the length of that name.
const ZIP_NAME: (usize, usize) = (30, 26);

/// Rejects what people take for a model, with what helps, and files with two tensors of one name.
pub(super) fn require_safetensors(bytes: &[u8]) -> Result<()> {
    let is_pickle = bytes.first() == Some(&PICKLE) && bytes.get(1).is_some_and(|byte| *byte < 6);
    if bytes.is_empty() {
        return Err(invalid("it is empty; expected a model, such as best.safetensors"));
    }
    if bytes.starts_with(ZIP) && first_of_archive(bytes).is_some_and(|name| name.ends_with(b".npy"))
    {
        return Err(invalid(
            "it is an archive of NumPy, which densely does not read as a model; expected a safetensors file, such as best.safetensors of the run",
        ));
    }
    // the length of a header of safetensors begins so too, and eight bytes later its JSON
    if bytes.starts_with(ZIP) || is_pickle && bytes.get(8) != Some(&b'{') {
        return Err(invalid(
            "it is an archive or a pickle, such as torch.save writes; expected a safetensors file: in PyTorch, write it with safetensors.torch.save_file(model.state_dict(), path)",
        ));
    }
    match repeated_name(bytes) {
        None => Ok(()),
        Some(name) => {
            Err(invalid(format!("it holds two tensors called {name}; expected names that differ")))
        }
    }
}

/// The name of the first file of an archive.
fn first_of_archive(bytes: &[u8]) -> Option<&[u8]> {
    let (name, length) = ZIP_NAME;
    let length = u16::from_le_bytes(bytes.get(length..length + 2)?.try_into().ok()?);
    bytes.get(name..name + usize::from(length))
}

/// The first name that two tensors have; `None` also where there is no header to read.
fn repeated_name(bytes: &[u8]) -> Option<String> {
    /// The keys of an object, in their order.
    struct Keys(Vec<String>);

    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Self(Vec::new()))
        }
    }

    impl<'de> Visitor<'de> for Keys {
        type Value = Self;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                self.0.push(key);
            }
            Ok(self)
        }
    }

    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    let json = bytes.get(8..usize::try_from(length).ok()?.checked_add(8)?)?;
    let Keys(mut names) = serde_json::from_slice(json).ok()?;
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid("model", problem)
}
