//! From the bytes of a pipe to clean lines.

use std::io::{BufRead as _, Read};

/// Cuts a stream of bytes into lines of at most `max` bytes; what is longer is cut and marked.
pub(crate) struct Lines<R> {
    from: R,
    max: usize,
}

/// What to do with the lines that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Hand them on.
    More,
    /// Only count them.
    Count,
    /// Stop reading.
    Stop,
}

/// Bytes read from a pipe at once.
const CHUNK_BYTES: usize = 64 * 1024;

impl<R: Read> Lines<R> {
    pub(crate) fn new(from: R, max: usize) -> Self {
        Self { from, max }
    }

    /// Reads to the end and hands every line to `each`, until it asks for something else. Answers how many lines were
    /// only counted.
    pub(crate) fn for_each(mut self, mut each: impl FnMut(String) -> Then) -> usize {
        let mut chunk = vec![0; CHUNK_BYTES];
        let (mut line, mut piece) = (Vec::new(), Vec::new());
        let (mut cut, mut then, mut counted) = (false, Then::More, 0);
        loop {
            let read = match self.from.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let mut rest = &chunk[..read];
            while !rest.is_empty() && then == Then::More {
                piece.clear();
                // A slice is read without fail.
                let _ = rest.read_until(b'\n', &mut piece);
                let ended = piece.last() == Some(&b'\n');
                let body = piece.strip_suffix(b"\n").unwrap_or(&piece);
                let room = body.len().min(self.max - line.len());
                line.extend_from_slice(&body[..room]);
                cut |= room < body.len();
                if ended {
                    then = each(finish(&line, cut));
                    line.clear();
                    cut = false;
                }
            }
            if then == Then::Stop {
                return counted;
            }
            while !rest.is_empty() {
                let skipped = rest.skip_until(b'\n').unwrap_or(0);
                counted += usize::from(skipped > 0);
            }
        }
        if !line.is_empty() {
            each(finish(&line, cut));
        }
        counted
    }
}

fn finish(line: &[u8], cut: bool) -> String {
    let mut text = clean(&String::from_utf8_lossy(line));
    if cut {
        text.push('…');
    }
    text
}

/// The text without escape sequences and control characters, as it would be read on a terminal: what stands before a
/// carriage return was overwritten and is gone. Tabs stay.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // CSI: parameters and intermediates, then one final byte (ECMA-48 §5.4).
                Some('[') => {
                    for c in chars.by_ref() {
                        if ('\u{40}'..='\u{7e}').contains(&c) {
                            break;
                        }
                    }
                }
                // OSC and the other strings end with BEL or ESC \.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' {
                            break;
                        }
                        if c == '\u{1b}' {
                            chars.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                // Two-character sequences with an intermediate, such as the choice of a character set.
                Some('(' | ')' | '#' | '%' | ' ') => {
                    chars.next();
                }
                _ => {}
            },
            '\r' => out.clear(),
            '\t' => out.push('\t'),
            c if c.is_control() || turns_around(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Whether it changes the direction of the text around it, so that a line reads as something that it is not.
fn turns_around(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], max: usize) -> Vec<String> {
        let mut out = Vec::new();
        Lines::new(bytes, max).for_each(|line| {
            out.push(line);
            Then::More
        });
        out
    }

    #[test]
    fn escape_codes_are_stripped() {
        assert_eq!(clean("\u{1b}[0m\u{1b}[1;38;5;9merror\u{1b}[0m: x"), "error: x");
        assert_eq!(clean("\u{1b}]8;;http://a\u{1b}\\link\u{1b}]8;;\u{7} b"), "link b");
        assert_eq!(clean("10%\r50%\r100%\r"), "100%");
        assert_eq!(clean("a\u{0}\u{8}\tb\u{1b}"), "a\tb");
        assert_eq!(clean("\u{1b}[31"), "");
    }

    #[test]
    fn lines_are_cut_at_the_bound_and_say_so() {
        assert_eq!(lines(b"one\ntwo\r\n\nlast", 100), ["one", "two", "", "last"]);
        assert_eq!(lines(b"abcdef\ngh\n", 4), ["abcd…", "gh"]);
        assert_eq!(lines(b"\xff\xfe\n", 4), ["\u{fffd}\u{fffd}"]);
        assert_eq!(lines(b"", 4), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_wanted_is_counted() {
        let mut seen = Vec::new();
        let counted = Lines::new(&b"one\ntwo\nthree\nfour\n"[..], 100).for_each(|line| {
            seen.push(line);
            if seen.len() < 2 { Then::More } else { Then::Count }
        });
        assert_eq!((seen.len(), counted), (2, 2));
    }
}
