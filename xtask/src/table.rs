//! Plain text tables.

/// Columns padded to their widest cell; `right` names the columns that are aligned to the right.
pub(crate) fn render(header: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header_row: Vec<String> = header.iter().map(ToString::to_string).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    [&header_row, &rule].into_iter().chain(rows).map(|row| line(row, &widths, right)).collect()
}

fn line(row: &[String], widths: &[usize], right: &[usize]) -> String {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        if right.contains(&column) { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
    });
    format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "10".into()], vec!["long".into(), "9".into()]];
        let table = super::render(&["name", "n"], &rows, &[1]);
        assert_eq!(table, "name   n\n----  --\na     10\nlong   9\n");
    }
}
