//! Text for people: made safe, then coloured where a terminal shows colour, and broken or cut to its width.
//!
//! Here alone is decided whether there is colour: on a terminal, unless `NO_COLOR` is set, `CLICOLOR` is 0 or `TERM` is `dumb`;
//! and everywhere where `CLICOLOR_FORCE` is set.

use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use console::{Term, measure_text_width};

/// What a part of a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// Nothing special.
    #[default]
    Plain,
    /// The best epoch, the winner, a final score.
    Best,
    /// The head of a table.
    Head,
    /// A path, or a command to copy.
    Path,
    /// The word before a remark.
    Note,
    /// The word before an error.
    Error,
}

impl Paint {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Best => AnsiColor::Green.on_default().bold(),
            Self::Head => Style::new().dimmed(),
            Self::Path => AnsiColor::Cyan.on_default(),
            Self::Note => AnsiColor::Yellow.on_default(),
            Self::Error => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// Standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Results.
    Out,
    /// Everything else.
    Err,
}

impl Stream {
    fn has_colour(self) -> bool {
        let choice = match self {
            Self::Out => AutoStream::choice(&std::io::stdout()),
            Self::Err => AutoStream::choice(&std::io::stderr()),
        };
        choice != ColorChoice::Never
    }

    /// The columns of the terminal at this moment; `None` where there is no terminal, or it does not say.
    pub fn width(self) -> Option<usize> {
        let term = match self {
            Self::Out => Term::stdout(),
            Self::Err => Term::stderr(),
        };
        let (_, columns) = term.size_checked().filter(|_| term.is_term())?;
        Some(usize::from(columns)).filter(|&columns| columns > 0)
    }
}

/// To be called once, before anything is written: a terminal that is `dumb` gets no colour, help and errors of the command line included.
///
/// `anstream` alone would colour it wherever the variable `CI` is set, because the logs of most such services show colour.
pub fn respect_dumb_terminal() {
    if console::is_dumb() && std::env::var_os("CLICOLOR_FORCE").is_none() {
        ColorChoice::Never.write_global();
    }
}

/// Text in several paints. Its characters are safe for a terminal: what would command it is escaped on the way in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    spans: Vec<(Paint, String)>,
}

impl Text {
    /// The text with more at its end.
    #[must_use]
    pub fn with(mut self, paint: Paint, text: impl AsRef<str>) -> Self {
        self.push(paint, text.as_ref());
        self
    }

    /// The text with a path at its end.
    #[must_use]
    pub fn path(self, path: &Path) -> Self {
        self.with(Paint::Path, path.to_string_lossy())
    }

    /// The text with another one at its end.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.spans.extend(other.spans);
        self
    }

    fn push(&mut self, paint: Paint, text: &str) {
        let text = crate::text::lines(text);
        match self.spans.last_mut() {
            Some((last, known)) if *last == paint => known.push_str(&text),
            _ => self.spans.push((paint, text.into_owned())),
        }
    }

    /// The text without paint.
    pub fn plain(&self) -> String {
        self.spans.iter().map(|(_, text)| &text[..]).collect()
    }

    /// The text as a stream shows it, with or without colour.
    pub fn for_stream(&self, stream: Stream) -> String {
        self.rendered(stream.has_colour())
    }

    fn rendered(&self, colour: bool) -> String {
        if !colour {
            return self.plain();
        }
        let spans = self.spans.iter().map(|(paint, text)| {
            let style = paint.style();
            format!("{style}{text}{style:#}")
        });
        spans.collect()
    }

    /// The text with its lines broken between words, so that they fit; those that follow are indented. A longer word stays whole.
    #[must_use]
    pub fn wrapped(&self, width: Option<usize>, indent: usize) -> Self {
        let Some(width) = width else { return self.clone() };
        let all: Vec<(Paint, char)> = self.characters().collect();
        let mut wrapped = Self::default();
        for (i, line) in all.split(|(_, c)| *c == '\n').enumerate() {
            if i > 0 {
                wrapped.push(Paint::Plain, "\n");
            }
            let mut column = 0;
            for word in line.split_inclusive(|(_, c)| *c == ' ') {
                let length = width_of(word.iter().map(|(_, c)| *c).filter(|c| *c != ' '));
                if column + length > width && column > indent {
                    wrapped.trim_end();
                    wrapped.push(Paint::Plain, &format!("\n{}", " ".repeat(indent)));
                    column = indent;
                }
                column += width_of(word.iter().map(|(_, c)| *c));
                for (paint, c) in word {
                    wrapped.push(*paint, c.encode_utf8(&mut [0; 4]));
                }
            }
        }
        wrapped
    }

    /// As much of one line as fits.
    #[must_use]
    pub fn truncated(&self, width: usize) -> Self {
        let mut cut = Self::default();
        let mut column = 0;
        for (paint, c) in self.characters() {
            column += width_of([c]);
            if column > width {
                break;
            }
            cut.push(paint, c.encode_utf8(&mut [0; 4]));
        }
        cut
    }

    fn characters(&self) -> impl Iterator<Item = (Paint, char)> {
        self.spans.iter().flat_map(|(paint, text)| text.chars().map(|c| (*paint, c)))
    }

    fn trim_end(&mut self) {
        if let Some((_, last)) = self.spans.last_mut() {
            last.truncate(last.trim_end_matches(' ').len());
        }
    }
}

impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Self {
        Self::default().with(Paint::Plain, text)
    }
}

fn width_of(characters: impl IntoIterator<Item = char>) -> usize {
    measure_text_width(&characters.into_iter().collect::<String>())
}

/// A name of at most `width` columns: of a longer one, the beginning and the end, which tell names of runs apart.
pub fn cut(name: &str, width: usize) -> String {
    let name = crate::text::lines(name);
    if measure_text_width(&name) <= width {
        return name.into_owned();
    }
    let all: Vec<char> = name.chars().collect();
    let (mut front, mut back) = (String::new(), String::new());
    let fits = |front: &str, back: &str, c: char| {
        measure_text_width(front) + measure_text_width(back) + width_of([c]) < width
    };
    for (&first, &last) in all.iter().zip(all.iter().rev()) {
        if !fits(&front, &back, first) {
            break;
        }
        front.push(first);
        if !fits(&front, &back, last) {
            break;
        }
        back.insert(0, last);
    }
    if width == 0 { String::new() } else { format!("{front}…{back}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_added_after_text_is_made_safe() {
        let text = Text::from("model: ").path("a\u{1b}[2J".as_ref());
        assert_eq!(text.rendered(false), "model: a\\u{1b}[2J");
        assert_eq!(text.rendered(true), "model: \u{1b}[36ma\\u{1b}[2J\u{1b}[0m");
    }

    #[test]
    fn lines_break_between_words_and_keep_their_paint() {
        let text =
            Text::from("cache   one two ").with(Paint::Best, "three four").then("\nx".into());
        assert_eq!(text.wrapped(None, 2), text);
        assert_eq!(text.wrapped(Some(12), 2).plain(), "cache   one\n  two three\n  four\nx");
        let long = Text::from("a runs/averylongpath b").wrapped(Some(6), 0);
        assert_eq!(long.plain(), "a\nruns/averylongpath\nb");
        assert_eq!(text.wrapped(Some(12), 2).spans[1], (Paint::Best, "three".into()));
    }

    #[test]
    fn names_lose_their_middle_and_lines_their_end() {
        assert_eq!(cut("01_784-784-784_lr0.01_b100", 26), "01_784-784-784_lr0.01_b100");
        assert_eq!(cut("01_784-784-784_lr0.01_b100", 13), "01_784…1_b100");
        assert_eq!(
            (cut("abc", 1), cut("abc", 0), cut("a\u{1b}", 9)),
            ("…".into(), "".into(), "a\\u{1b}".into())
        );
        assert!(measure_text_width(&cut("数据数据数据", 6)) <= 6);
        assert_eq!(Text::from("━━ loss").truncated(4).plain(), "━━ l");
    }
}
