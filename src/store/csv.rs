//! Fields of comma-separated tables.

use std::borrow::Cow;

use crate::text::safe;

/// A field for a program: every character as it is, quoted where it has to be (RFC 4180).
pub fn csv_exact(text: &str) -> Cow<'_, str> {
    match text.contains([',', '"', '\n', '\r']) {
        true => Cow::Owned(format!("\"{}\"", text.replace('"', "\"\""))),
        false => Cow::Borrowed(text),
    }
}

/// A field without control characters, quoted where it has to be (RFC 4180).
pub fn csv_field(text: &str) -> String {
    csv_exact(&safe(text)).into_owned()
}
