//! Cells in columns that fit on a screen.
//!
//! Columns are as wide as their widest cell, as long as all fit: into the terminal where stdout is one, else into
//! `MOST`. Where they do not, the widest columns give way first, down to `LEAST`, and their cells end in `…`. The whole
//! text is in the JSON of the same command.

use console::{Term, measure_text_width, truncate_str};

use super::tables::Align;

/// Width of a table where nothing tells how wide the screen is.
const MOST: usize = 160;
/// Width below which no column shrinks.
const LEAST: usize = 12;
/// What stands between two columns.
const GAP: &str = "  ";

/// How wide a table may be.
pub fn room() -> usize {
    let terminal = Term::stdout();
    let size = terminal.is_term().then(|| terminal.size_checked()).flatten();
    size.map_or(MOST, |(_, columns)| usize::from(columns)).max(2 * LEAST)
}

/// Lines of cells, aligned, of at most `room` characters as far as columns can shrink.
///
/// ```
/// use mnas::report::columns::aligned;
/// use mnas::report::tables::Align;
/// let rows = [vec!["a".to_owned(), "b".repeat(100)], vec!["c".to_owned(), "d".to_owned()]];
/// let lines = aligned(&[Align::Left, Align::Left], &rows, 30);
/// assert_eq!(lines[0].chars().count(), 30);
/// assert!(lines[0].ends_with("b…") && lines[1] == "c  d");
/// ```
pub fn aligned(columns: &[Align], rows: &[Vec<String>], room: usize) -> Vec<String> {
    let widths = widths(columns.len(), rows, room);
    rows.iter().map(|row| line(columns, &widths, row)).collect()
}

/// How wide so many columns are.
pub(super) fn widths(columns: usize, rows: &[Vec<String>], room: usize) -> Vec<usize> {
    let widest = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell)).max().unwrap_or(0)
    };
    shrunk((0..columns).map(widest).collect(), room)
}

/// One line of cells in columns of these widths.
pub(super) fn line(columns: &[Align], widths: &[usize], row: &[String]) -> String {
    let cells = row.iter().zip(columns).zip(widths).map(|((cell, align), width)| {
        let cell = truncate_str(cell, *width, "…");
        let blanks = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
        match align {
            Align::Left => format!("{cell}{blanks}"),
            Align::Right => format!("{blanks}{cell}"),
        }
    });
    cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

/// The widths of columns that together have so much room: the widest of them are cut to one width.
fn shrunk(mut widths: Vec<usize>, room: usize) -> Vec<usize> {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    let room = room.saturating_sub(gaps);
    while widths.iter().sum::<usize>() > room {
        let excess = widths.iter().sum::<usize>() - room;
        let Some(widest) = widths.iter().copied().max().filter(|widest| *widest > LEAST) else { break };
        let second = widths.iter().copied().filter(|width| *width < widest).max().unwrap_or(0);
        let count = widths.iter().filter(|width| **width == widest).count();
        let to = widest.saturating_sub(excess.div_ceil(count)).max(second).max(LEAST);
        widths.iter_mut().filter(|width| **width == widest).for_each(|width| *width = to);
    }
    widths
}
