//! Finds which value of a JSON document stands at a position, so that an error can name it.
//!
//! `serde_json` tells line and column only. Tracking the path while reading would cost every good request something and
//! would be compiled once for each type; walking the text once more costs only the bad ones.

use std::fmt::Write as _;

/// Longest path that is written out, in bytes: keys come from the caller.
const PATH_BYTES_MAX: usize = 200;

/// The path of the value at `line` and `column` (both from 1, the column in bytes), as in `items[2].price`; empty at the
/// document's own level.
pub(crate) fn place_of(document: &[u8], line: usize, column: usize) -> String {
    let before: usize =
        document.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let end = (before + column).min(document.len());
    write_path(&open_levels(&document[..end]))
}

/// One object or array that is still open.
enum Level {
    Object { key: Option<String>, in_value: bool },
    Array { index: usize },
}

fn open_levels(text: &[u8]) -> Vec<Level> {
    let mut levels = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'{' => levels.push(Level::Object { key: None, in_value: false }),
            b'[' => levels.push(Level::Array { index: 0 }),
            b'}' | b']' => {
                levels.pop();
            }
            b':' => {
                if let Some(Level::Object { in_value, .. }) = levels.last_mut() {
                    *in_value = true;
                }
            }
            b',' => match levels.last_mut() {
                Some(Level::Object { key, in_value }) => (*key, *in_value) = (None, false),
                Some(Level::Array { index }) => *index += 1,
                None => {}
            },
            b'"' => {
                let end = string_end(text, at);
                if let Some(Level::Object { key, in_value: false }) = levels.last_mut() {
                    *key = serde_json::from_slice(&text[at..end]).ok();
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    levels
}

/// The offset behind the string that begins at `start`; the end of the text where it is not closed.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn write_path(levels: &[Level]) -> String {
    let mut path = String::new();
    for level in levels {
        match level {
            Level::Object { key: Some(key), in_value: true } => {
                let dot = if path.is_empty() { "" } else { "." };
                let _ = write!(path, "{dot}{key}");
            }
            Level::Array { index } => {
                let _ = write!(path, "[{index}]");
            }
            Level::Object { .. } => {}
        }
    }
    if path.len() > PATH_BYTES_MAX {
        path.truncate(path.floor_char_boundary(PATH_BYTES_MAX));
        path.push('…');
    }
    path
}
