//! Tables and figures in Markdown.

use std::fmt::Write as _;

/// A table; columns after the first are aligned to the right.
pub(crate) struct Table {
    text: String,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut text = format!("| {} |\n| ---", columns.join(" | "));
        for _ in 1..columns.len() {
            text.push_str(" | ---:");
        }
        text.push_str(" |\n");
        Self { text }
    }

    /// As [`Table::new`], for words.
    pub(crate) fn of_words(columns: &[&str]) -> Self {
        let text = format!("| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len()));
        Self { text }
    }

    pub(crate) fn row(&mut self, fields: &[String]) {
        let _ = writeln!(self.text, "| {} |", fields.iter().map(|field| cell(field)).collect::<Vec<_>>().join(" | "));
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// Text that cannot leave its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// `12,345`.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Microseconds, in milliseconds from 10,000 on.
pub(crate) fn microseconds(us: f64) -> String {
    if us < 100.0 {
        format!("{us:.1} µs")
    } else if us < 10_000.0 {
        format!("{us:.0} µs")
    } else {
        format!("{:.1} ms", us / 1e3)
    }
}

/// Milliseconds.
pub(crate) fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.1} ms") }
}

/// Megabytes of a million bytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A ratio; a dash where there is nothing to compare with.
pub(crate) fn ratio(figure: f64, to: Option<f64>) -> String {
    match to.filter(|to| *to > 0.0) {
        Some(to) => format!("{:.2}", figure / to),
        None => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(
            (thousands(1_234_567.4), thousands(999.0), thousands(1000.0)),
            ("1,234,567".into(), "999".into(), "1,000".into())
        );
        assert_eq!(
            (microseconds(12.34), microseconds(1234.0), microseconds(12_340.0)),
            ("12.3 µs".into(), "1234 µs".into(), "12.3 ms".into())
        );
        assert_eq!(
            (ratio(1.0, Some(2.0)), ratio(1.0, None), ratio(1.0, Some(0.0))),
            ("0.50".into(), "–".into(), "–".into())
        );
    }

    #[test]
    fn a_cell_stays_a_cell() {
        let mut table = Table::of_words(&["a", "b"]);
        table.row(&["x|y\nz".into(), String::new()]);
        assert_eq!(table.finish(), "| a | b |\n| --- | --- |\n| x\\|y z |  |\n");
    }
}
