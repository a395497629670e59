//! What matters in the data, for people.

use maud::{Markup, html};

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

/// What the numbers are.
fn meaning(metric: Metric) -> String {
    let title = metric.title();
    format!("how much worse {title} becomes when a column is shuffled among the samples")
}

/// Columns and how much they matter, as a table that fits a terminal that is so wide.
pub fn important_columns(metric: Metric, columns: &[Importance], width: Option<usize>) -> Text {
    let name = |column: &str| match width {
        Some(_) => cut(column, LONGEST_NAME),
        None => column.to_owned(),
    };
    let rows: Vec<[String; 3]> = columns
        .iter()
        .map(|one| [name(&one.column), metric.text(one.mean), metric.text(one.sd)])
        .collect();
    let layout = Layout::of(&COLUMNS, &rows, width);
    let text = Text::from(meaning(metric)).wrapped(width, 2);
    let head = text.with(Paint::Plain, "\n").with(Paint::Head, layout.head());
    rows.iter().fold(head, |text, row| text.with(Paint::Plain, format!("\n{}", layout.row(row))))
}

/// The same for a page, with a bar for each column.
pub fn important_columns_of_page(metric: Metric, columns: &[Importance]) -> Markup {
    let most = columns.iter().map(|one| one.mean).fold(0.0, f64::max);
    let share = |one: &Importance| (100.0 * one.mean / most).clamp(0.0, 100.0);
    let rest = columns.len().saturating_sub(SHOWN);
    html! {
        p.muted { (meaning(metric)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Importance> {
        let json = r#"[{"column":"rooms","mean":0.25,"sd":0.01},{"column":"a & b","mean":-0.001,"sd":0.002}]"#;
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn columns_are_listed_with_what_they_matter() {
        let text = important_columns(Metric::Accuracy, &columns(), None).plain();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].contains("accuracy"), "{text}");
        assert!(lines[2].starts_with("rooms") && lines[2].contains("25"), "{text}");
        assert!(lines[3].contains("-0.1"), "{text}");
        let page = important_columns_of_page(Metric::Accuracy, &columns()).into_string();
        assert!(page.contains("a &amp; b") && page.contains("width:20.0em"), "{page}");
        assert!(page.contains("width:0.0em"), "{page}");
    }
}
