//! Text from outside, made safe to show: names in files, paths, messages of the system.

use std::borrow::Cow;
use std::path::Path;

/// The most characters of one piece of text that are shown.
const LONGEST: usize = 1000;

/// Whether a character commands a terminal, breaks a line, or turns the direction of what follows.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text with the characters escaped that are unsafe.
fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for c in text.chars() {
        match is_unsafe(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// One line without control characters, which are escaped, and of at most 1000 characters.
pub fn safe(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST) {
        None => escaped(text, is_unsafe),
        Some((end, _)) => {
            let count = text.chars().count();
            Cow::Owned(format!("{}... ({count} characters)", escaped(&text[..end], is_unsafe)))
        }
    }
}

/// The most names of a list that are shown.
const LISTED: usize = 8;

/// Names in a row; of many the first ones, and how many more there are.
pub fn listed<S: AsRef<str>>(names: &[S]) -> String {
    match names.len().checked_sub(LISTED) {
        None | Some(0) => joined(names),
        Some(more) => format!("{} and {more} more", joined(&names[..LISTED])),
    }
}

/// Names in a row; of many the first ones alone.
pub fn first_ones<S: AsRef<str>>(names: &[S]) -> String {
    match names.len() > LISTED {
        false => joined(names),
        true => format!("{}, ...", joined(&names[..LISTED])),
    }
}

fn joined<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// [`safe`] of a path.
pub fn safe_path(path: &Path) -> String {
    safe(&path.to_string_lossy()).into_owned()
}

/// Lines for a terminal, without control characters other than the ends of lines.
#[cfg(feature = "cli")]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_unsafe(c))
}

/// Text for a page or a picture: XML has no control characters other than tabs and the ends of lines.
#[cfg(feature = "cli")]
pub fn xml(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| !matches!(c, '\n' | '\t') && is_unsafe(c);
    match text.contains(is_unsafe) {
        true => Cow::Owned(text.replace(is_unsafe, "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

/// A relative path as a link in a page.
#[cfg(feature = "cli")]
pub fn url(path: &Path) -> String {
    let mut url = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b',' => {
                url.push(char::from(byte));
            }
            _ => url += &format!("%{byte:02X}"),
        }
    }
    url
}

/// A path as a POSIX shell has to be given it, for a command to copy.
#[cfg(feature = "cli")]
pub fn shell(path: &Path) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,=:@%".contains(c);
    let bytes = path.as_os_str().as_encoded_bytes();
    // what begins with a hyphen is taken for a flag
    let prefix = if bytes.starts_with(b"-") { "./" } else { "" };
    match path.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => format!("{prefix}{text}"),
        Some(text) if !text.contains(is_unsafe) => {
            format!("'{prefix}{}'", text.replace('\'', "'\\''"))
        }
        // bash, zsh and ksh read escapes in $'...'
        _ => {
            let byte = |&byte: &u8| match byte {
                b'\\' | b'\'' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            format!("$'{prefix}{}'", bytes.iter().map(byte).collect::<String>())
        }
    }
}

/// `1 thread`, `2 threads`.
pub fn plural(n: usize, noun: &str) -> String {
    let ending = match n {
        1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", grouped(n as u64))
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: impl Into<u128>) -> String {
    let digits = n.into().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(safe("a\nb\u{1b}[2J\u{9b}; é"), "a\\nb\\u{1b}[2J\\u{9b}; é");
        assert_eq!(safe("file\u{202e}gpj.exe"), "file\\u{202e}gpj.exe");
        assert_eq!(safe("plain"), "plain");
        let long = safe(&"x".repeat(9_000_000)).into_owned();
        assert!(long.len() < 1100 && long.ends_with("... (9000000 characters)"), "{}", long.len());
        assert_eq!(lines("a\nb\u{7}"), "a\nb\\u{7}");
        assert_eq!(xml("<a>\n\u{1b}</a>"), "<a>\n\u{fffd}</a>");
    }

    #[test]
    fn links_are_percent_encoded() {
        assert_eq!(
            url(Path::new("../my runs/50%#1?é/report.html")),
            "../my%20runs/50%25%231%3F%C3%A9/report.html"
        );
    }

    #[test]
    fn a_shell_gets_the_path_back() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        use std::process::Command;
        for bytes in [
            &b"runs/a"[..],
            b"my runs/it's",
            b"-dash",
            b"a;b",
            b"~x",
            b"$HOME",
            b"`x`",
            b"a\nb",
            b"caf\xe9",
            b"\\'\x1b",
            b"-\xff '",
            b"#1",
            b"*",
        ] {
            let path = Path::new(OsStr::from_bytes(bytes));
            let command = format!("printf %s {}", shell(path));
            let output = Command::new("bash").args(["-c", &command]).output().unwrap();
            let found = output.stdout.strip_prefix(b"./").unwrap_or(&output.stdout);
            assert_eq!(found, bytes, "{command}");
        }
    }
}
