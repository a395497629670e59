//! Lines at the bottom of the terminal that change: bars, with rows printed above them.
//!
//! The cursor waits at the beginning of the first of these lines. Erasing them is then the same after the terminal has been resized,
//! whether it rewraps what it shows or not, and after it has echoed `^C`.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use console::{Term, measure_text_width};

use super::say;
use super::style::{Paint, Stream, Text};
use super::table::Layout;

/// Whether lines are shown, for the signal handler.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Lines that change, on standard error.
#[derive(Debug)]
pub struct Live {
    /// `None` where standard error is no terminal, or one that cannot move its cursor.
    term: Option<Term>,
    lines: Vec<Text>,
    /// The columns under the last header.
    layout: Option<Layout<'static>>,
}

impl Live {
    /// Shows nothing yet. `is_wanted` says whether anything but rows ever is.
    pub fn new(is_wanted: bool) -> Self {
        let term = Term::buffered_stderr();
        let usable =
            is_wanted && term.is_term() && !console::is_dumb() && Stream::Err.width().is_some();
        Self { term: usable.then_some(term), lines: Vec::new(), layout: None }
    }

    /// Whether nothing but rows is ever shown.
    pub fn is_hidden(&self) -> bool {
        self.term.is_none()
    }

    /// Replaces the lines by those that are made for the width of the terminal.
    pub fn draw(&mut self, lines: impl FnOnce(usize) -> Vec<Text>) {
        if let (Some(_), Some(width)) = (&self.term, Stream::Err.width()) {
            self.lines = lines(width);
            self.redraw(None);
        }
    }

    /// Prints a row above the lines.
    pub fn print(&mut self, row: &Text) {
        match self.is_hidden() {
            true => say(row.clone()),
            false => self.redraw(Some(row)),
        }
    }

    /// Prints the header of a table whose rows follow, and `after` at its end, unless the last header has the same columns.
    pub fn print_head(&mut self, layout: &Layout<'static>, after: &str) {
        if self.layout.as_ref() != Some(layout) {
            self.print(&Text::default().with(Paint::Head, layout.head() + after));
            self.layout = Some(layout.clone());
        }
    }

    /// Removes the lines.
    pub fn clear(&mut self) {
        if !self.lines.is_empty() {
            self.lines.clear();
            self.redraw(None);
        }
    }

    /// Writes everything at once. A terminal that has gone away is no reason to stop.
    fn redraw(&self, row: Option<&Text>) {
        let Some(term) = &self.term else { return };
        let (rows, columns) = term.size();
        // the last column stays free, where terminals differ
        let width = usize::from(columns).saturating_sub(1);
        let lines = &self.lines[..self.lines.len().min(usize::from(rows).saturating_sub(1))];
        let write = || -> std::io::Result<()> {
            term.write_str("\r")?;
            term.clear_to_end_of_screen()?;
            if let Some(row) = row {
                term.write_str(&row.for_stream(Stream::Err))?;
                term.write_str("\n")?;
            }
            for (i, line) in lines.iter().enumerate() {
                let end = if i + 1 < lines.len() { "\n" } else { "\r" };
                term.write_str(&line.truncated(width).for_stream(Stream::Err))?;
                term.write_str(end)?;
            }
            term.move_cursor_up(lines.len().saturating_sub(1))?;
            term.flush()
        };
        SHOWN.store(!lines.is_empty(), Relaxed);
        drop(write());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Removes the lines of a process that is about to leave in a signal handler: allocates nothing and takes no lock.
#[cfg(unix)]
pub fn erase_in_signal_handler() {
    use std::io::Write as _;
    use std::os::fd::FromRawFd as _;
    if SHOWN.swap(false, Relaxed) {
        // SAFETY: standard error stays open, because the file is never dropped.
        #[allow(unsafe_code)]
        let stderr = unsafe { std::fs::File::from_raw_fd(2) };
        drop((&*std::mem::ManuallyDrop::new(stderr)).write_all(b"\r\x1b[J"));
    }
}

/// The narrowest and the widest bar.
const SHORTEST: usize = 6;
const LONGEST: usize = 40;

/// `prefix ━━━━╸      part  part` in less than `width` columns. Parts are left out until the rest fits: the one with the highest
/// number first, that with 0 never.
pub fn bar(prefix: &str, share: f64, parts: &[(u8, String)], width: usize) -> Text {
    let mut parts: Vec<&(u8, String)> = parts.iter().collect();
    let room = width.saturating_sub(measure_text_width(prefix) + 2);
    let length = |parts: &[&(u8, String)]| -> usize {
        parts.iter().map(|(_, part)| 2 + measure_text_width(part)).sum()
    };
    while length(&parts) + SHORTEST > room {
        let dropped = parts.iter().map(|(drop, _)| *drop).max().filter(|&drop| drop > 0);
        let Some(dropped) = dropped else { break };
        parts.retain(|(drop, _)| *drop != dropped);
    }
    let cells = room.saturating_sub(length(&parts)).min(LONGEST);
    let mut line = format!("{prefix} ");
    if cells >= SHORTEST {
        let done = (share.clamp(0.0, 1.0) * cells as f64) as usize;
        let tip = if done < cells { "╸" } else { "" };
        line += &format!("{}{tip}{}", "━".repeat(done), " ".repeat(cells.saturating_sub(done + 1)));
    }
    parts.iter().for_each(|(_, part)| line.extend(["  ", part]));
    Text::from(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_narrower_than_the_terminal_at_any_width() {
        let parts = [(2, "loss 0.1234"), (3, "97.12 %"), (4, "50,000/s"), (0, "3 min 20 s left")];
        let parts = parts.map(|(drop, part)| (drop, part.to_owned()));
        let shown = |width| bar("   3/20", 0.5, &parts, width).plain();
        for width in 32..200 {
            let line = shown(width);
            assert!(measure_text_width(&line) < width, "{width}: {line}");
            assert!(
                line.starts_with("   3/20 ━━━") && line.ends_with("  3 min 20 s left"),
                "{line}"
            );
        }
        assert!(shown(80).contains("  loss 0.1234  97.12 %  50,000/s  "), "{}", shown(80));
        assert_eq!(shown(40), "   3/20 ━━━━━━━╸        3 min 20 s left");
        assert_eq!(shown(200).matches(['━', '╸']).count(), 21);
    }
}
