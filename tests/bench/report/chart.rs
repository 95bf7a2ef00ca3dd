//! Bar charts as SVG. A page of bars needs rectangles and text and no library; colours hold on a light and a dark ground.

use std::fmt::Write as _;

/// One bar.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Beside the bar.
    pub(crate) label: String,
    pub(crate) kind: Kind,
}

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Limit,
    Ours,
    Peer,
}

impl Kind {
    fn colour(self) -> &'static str {
        match self {
            Self::Limit => "#9a8f6a",
            Self::Ours => "#e4572e",
            Self::Peer => "#5b8db8",
        }
    }
}

const WIDTH: f64 = 860.0;
const NAMES_WIDTH: f64 = 190.0;
const LABELS_WIDTH: f64 = 110.0;
const ROW: f64 = 24.0;
const TOP: f64 = 58.0;

/// A chart of horizontal bars, drawn in the order given. `note` stands under the title.
pub(crate) fn bars(title: &str, note: &str, bars: &[Bar]) -> String {
    let greatest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + ROW * bars.len() as f64 + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" width=\"{WIDTH:.0}\" \
         height=\"{height:.0}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#7a7f87\">\n\
         <title>{}</title>\n<text x=\"8\" y=\"22\" font-size=\"17\" font-weight=\"600\">{}</text>\n\
         <text x=\"8\" y=\"42\">{}</text>\n",
        escaped(title),
        escaped(title),
        escaped(note)
    );
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        let length = (WIDTH - NAMES_WIDTH - LABELS_WIDTH) * bar.value.max(0.0) / greatest;
        let weight = if bar.kind == Kind::Ours { 600 } else { 400 };
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" font-weight=\"{weight}\">{}</text>\n\
             <rect x=\"{NAMES_WIDTH:.0}\" y=\"{:.0}\" width=\"{:.1}\" height=\"16\" rx=\"2\" fill=\"{}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.0}\">{}</text>\n",
            NAMES_WIDTH - 8.0,
            y + 13.0,
            escaped(&bar.name),
            y,
            length.max(1.0),
            bar.kind.colour(),
            NAMES_WIDTH + length.max(1.0) + 6.0,
            y + 13.0,
            escaped(&bar.label)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_its_room() {
        let bar = |name: &str, value| Bar { name: name.into(), value, label: "x".into(), kind: Kind::Peer };
        let svg = bars("a < b", "", &[bar("one", 50.0), bar("two & three", 100.0), bar("none", 0.0)]);
        assert!(
            svg.contains("width=\"280.0\"") && svg.contains("width=\"560.0\"") && svg.contains("width=\"1.0\""),
            "{svg}"
        );
        assert!(svg.contains("<title>a &lt; b</title>") && svg.contains("two &amp; three"), "{svg}");
    }
}
