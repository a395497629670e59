//! Fields of comma-separated tables.

use crate::text::safe;

/// A field without control characters, quoted where it has to be (RFC 4180).
pub fn csv_field(text: &str) -> String {
    let text = &*safe(text);
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
