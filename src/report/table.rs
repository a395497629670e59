//! Tables that fit the terminal: where it is narrow, columns are left out in an order that the table gives.

use console::measure_text_width;

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    head: &'static str,
    /// Blanks before it.
    gap: usize,
    /// The least width.
    width: usize,
    is_left: bool,
    /// The column with the highest number is left out first; one with 0 never is.
    drop: u8,
}

impl Column {
    /// A column of figures.
    pub const fn right(head: &'static str, gap: usize, width: usize, drop: u8) -> Self {
        Self { head, gap, width, is_left: false, drop }
    }

    /// A column of words.
    pub const fn left(head: &'static str, gap: usize, width: usize, drop: u8) -> Self {
        Self { head, gap, width, is_left: true, drop }
    }
}

/// The columns that are shown, and how wide they are.
#[derive(Clone, Debug)]
pub struct Layout<'a> {
    columns: &'a [Column],
    /// Numbers of columns and their widths.
    shown: Vec<(usize, usize)>,
}

impl PartialEq for Layout<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown
    }
}

impl<'a> Layout<'a> {
    /// Of rows that are not known yet: every column has its least width, and all of them fit into `available`, if it is known.
    pub fn new(columns: &'a [Column], available: Option<usize>) -> Self {
        Self::of_widths(columns, columns.iter().map(|column| column.width), available)
    }

    /// Of these rows: every column is as wide as what it holds.
    pub fn of<const N: usize>(
        columns: &'a [Column; N],
        rows: &[[String; N]],
        available: Option<usize>,
    ) -> Self {
        let widest = |i: usize| rows.iter().map(|row| measure_text_width(&row[i])).max();
        let widths = columns.iter().enumerate().map(|(i, column)| {
            let head = measure_text_width(column.head);
            widest(i).unwrap_or(0).max(head).max(column.width)
        });
        Self::of_widths(columns, widths, available)
    }

    fn of_widths(
        columns: &'a [Column],
        widths: impl Iterator<Item = usize>,
        available: Option<usize>,
    ) -> Self {
        let mut layout = Self { columns, shown: widths.enumerate().collect() };
        while available.is_some_and(|available| layout.total() > available) {
            let candidates = layout.shown.iter().map(|&(i, _)| i).filter(|&i| columns[i].drop > 0);
            let Some(dropped) = candidates.max_by_key(|&i| columns[i].drop) else { break };
            layout.shown.retain(|&(i, _)| i != dropped);
        }
        layout
    }

    /// The columns of the terminal that a row takes.
    pub fn total(&self) -> usize {
        self.shown.iter().map(|&(i, width)| self.columns[i].gap + width).sum()
    }

    /// The line above the rows.
    pub fn head(&self) -> String {
        self.row(self.columns.iter().map(|column| column.head))
    }

    /// A row of cells, one for each column, shown or not. A cell that is too wide is not cut.
    pub fn row<C: AsRef<str>>(&self, cells: impl IntoIterator<Item = C>) -> String {
        let cells: Vec<C> = cells.into_iter().collect();
        let mut line = String::new();
        for &(i, width) in &self.shown {
            let (column, cell) = (&self.columns[i], cells[i].as_ref());
            let blanks = " ".repeat(width.saturating_sub(measure_text_width(cell)));
            line += &" ".repeat(column.gap);
            match column.is_left {
                true => line.extend([cell, &blanks]),
                false => line.extend([&blanks, cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::right("epoch", 0, 7, 0),
        Column::right("loss", 1, 8, 1),
        Column::right("rate", 1, 9, 2),
        Column::left("run", 2, 3, 0),
    ];

    #[test]
    fn columns_are_left_out_in_their_order_until_the_rest_fits() {
        let head = |available| Layout::new(&COLUMNS, available).head();
        assert_eq!(head(None), "  epoch     loss      rate  run");
        assert_eq!(head(Some(31)), head(None));
        assert_eq!(head(Some(30)), "  epoch     loss  run");
        assert_eq!(head(Some(20)), "  epoch  run");
        assert_eq!(head(Some(3)), "  epoch  run", "two of them always stay");
    }

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let cells = ["1", "0.5", "a wide rate", "数据"].map(str::to_owned);
        let layout = Layout::of(&COLUMNS, std::slice::from_ref(&cells), None);
        assert_eq!(layout.head(), "  epoch     loss        rate  run");
        assert_eq!(layout.row(cells), "      1      0.5 a wide rate  数据");
        assert_eq!(layout.total(), 7 + 9 + 12 + 6);
    }
}
