//! A checksum over everything that a file says: its JSON and its vectors.

use serde::Serialize;
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use crate::files::le_bytes;

/// The key of the checksum in the JSON.
const KEY: &str = "checksum";

/// JSON with sorted keys, one of which is a checksum (XXH3, 64 bits) of the rest and of the little-endian bytes of `vectors`.
///
/// # Errors
/// What the serializer says, or if the value is not an object.
pub fn sealed(value: &impl Serialize, vectors: &[&[f32]]) -> Result<String, String> {
    let mut value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    let checksum = of(&value, vectors);
    match value.as_object_mut() {
        Some(object) => drop(object.insert(KEY.to_owned(), checksum.into())),
        None => return Err("expected an object".to_owned()),
    }
    Ok(value.to_string())
}

/// The rest of what [`sealed`] made, and its checksum.
///
/// # Errors
/// If it is not JSON, has no checksum, or is written otherwise than [`sealed`] writes it: the last of 17 digits, for
/// instance, may be another one without another value.
pub fn opened(json: &str) -> Result<(Value, String), String> {
    let mut value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let written = value.to_string();
    if !cfg!(fuzzing) && written != json {
        return Err("its JSON is not written as densely writes it".to_owned());
    }
    match value.as_object_mut().and_then(|object| object.remove(KEY)) {
        Some(Value::String(checksum)) => Ok((value, checksum)),
        _ => Err("it has no checksum".to_owned()),
    }
}

/// Compares a checksum with that of the contents.
///
/// # Errors
/// If they differ.
pub fn verify(checksum: &str, value: &Value, vectors: &[&[f32]]) -> Result<(), String> {
    // a fuzzer would not get past it
    match cfg!(fuzzing) || checksum == of(value, vectors) {
        true => Ok(()),
        false => Err("its checksum is not that of its contents".to_owned()),
    }
}

fn of(value: &Value, vectors: &[&[f32]]) -> String {
    let mut hash = Xxh3::new();
    hash.update(value.to_string().as_bytes()); // `Value` sorts its maps
    for vector in vectors {
        hash.update(&(vector.len() as u64).to_le_bytes());
        hash.update(&le_bytes(vector));
    }
    format!("xxh3:{:016x}", hash.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_turned_bit_is_found() {
        let value = serde_json::json!({
            "seconds": [0.000_417_892_831_231_234_5, 1.000_000_000_000_000_2, 9.007_199_254_740_993e15],
            "name": "a\u{1b}\"b", "steps": 12, "none": null,
        });
        let json = sealed(&value, &[&[1.0]]).unwrap();
        let read = |json: &str| {
            let (value, checksum) = opened(json)?;
            verify(&checksum, &value, &[&[1.0]])
        };
        read(&json).unwrap();
        for position in 0..json.len() {
            for bit in 0..8 {
                let mut bytes = json.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                if let Ok(json) = String::from_utf8(bytes) {
                    assert!(read(&json).is_err(), "{json}");
                }
            }
        }
    }
}
