//! What matters in the data, for people.

use maud::{Markup, html};

use super::format::plural;
use super::style::{Paint, Text, cut};
use super::table::{Column, Layout};
use crate::task::Metric;
use crate::train::Importance;

const COLUMNS: [Column; 3] = [
    Column::left("column", 0, 6, 0),
    Column::right("matters by", 2, 10, 0),
    Column::right("deviation", 2, 9, 1),
];

/// A name may be as long as this on a terminal.
const LONGEST_NAME: usize = 40;

/// The columns that pages show: others matter less.
const SHOWN: usize = 30;

/// How much columns matter to a model.
#[derive(Clone, Debug)]
pub struct Important {
    /// By which it is measured.
    pub metric: Metric,
    /// How many samples were measured.
    pub samples: usize,
    /// The most important column first.
    pub columns: Vec<Importance>,
}

impl Important {
    /// What the numbers are.
    fn meaning(&self) -> String {
        let (title, samples) = (self.metric.title(), plural(self.samples, "sample"));
        format!("how much worse {title} becomes when a column is shuffled among {samples}")
    }

    /// A table that fits a terminal that is so wide.
    pub fn table(&self, width: Option<usize>) -> Text {
        let name = |column: &str| match width {
            Some(_) => cut(column, LONGEST_NAME),
            None => column.to_owned(),
        };
        let value = |value: f64| self.metric.text(value);
        let rows: Vec<[String; 3]> = (self.columns.iter())
            .map(|one| [name(&one.column), value(one.mean), value(one.sd)])
            .collect();
        let layout = Layout::of(&COLUMNS, &rows, width);
        let text = Text::from(self.meaning()).wrapped(width, 2);
        let head = text.with(Paint::Plain, "\n").with(Paint::Head, layout.head());
        rows.iter()
            .fold(head, |text, row| text.with(Paint::Plain, format!("\n{}", layout.row(row))))
    }

    /// The same for a page, with a bar for each column.
    pub fn section(&self) -> Markup {
        let Self { metric, columns, .. } = self;
        let most = columns.iter().map(|one| one.mean).fold(0.0, f64::max);
        let share = |one: &Importance| (100.0 * one.mean / most).clamp(0.0, 100.0);
        let rest = columns.len().saturating_sub(SHOWN);
        html! {
            p.muted { (self.meaning()) }
            div.scroll { table.settings {
                @for one in &columns[..columns.len().min(SHOWN)] {
                    tr {
                        td { (one.column) }
                        td { (metric.text(one.mean)) " ± " (metric.text(one.sd)) }
                        td.left { @if most > 0.0 { div.bar style=(format!("width:{:.1}em", share(one) / 5.0)) {} } }
                    }
                }
            } }
            @if rest > 0 { p.muted { (rest) " further columns matter less" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn important() -> Important {
        let json = r#"[{"column":"rooms","mean":0.25,"sd":0.01},{"column":"a & b","mean":-0.001,"sd":0.002}]"#;
        let columns = serde_json::from_str(json).unwrap();
        Important { metric: Metric::Accuracy, samples: 70, columns }
    }

    #[test]
    fn columns_are_listed_with_what_they_matter() {
        let text = important().table(None).plain();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].contains("accuracy") && lines[0].contains("70 samples"), "{text}");
        assert!(lines[2].starts_with("rooms") && lines[2].contains("25"), "{text}");
        assert!(lines[3].contains("-0.1"), "{text}");
        let page = important().section().into_string();
        assert!(page.contains("a &amp; b") && page.contains("width:20.0em"), "{page}");
        assert!(page.contains("width:0.0em"), "{page}");
    }
}
