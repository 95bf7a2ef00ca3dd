//! JSON with comments and trailing commas, as `deno.json` and `deno.jsonc` may be written.

/// The text as plain JSON of the same length: comments and trailing commas are blank, so that places stay.
pub(crate) fn to_json(text: &str) -> String {
    let mut out: Vec<u8> = text.as_bytes().to_vec();
    let bytes = text.as_bytes();
    let mut last_comma = None;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                last_comma = None;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    out[at] = b' ';
                    at += 1;
                }
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let end = text[at + 2..].find("*/").map_or(bytes.len(), |end| at + 2 + end + 2);
                blank(&mut out[at..end]);
                at = end;
                continue;
            }
            b',' => last_comma = Some(at),
            b'}' | b']' => {
                if let Some(comma) = last_comma.take() {
                    out[comma] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => last_comma = None,
        }
        at += 1;
    }
    // Only whole comments and single commas were blanked, so what was UTF-8 still is.
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn comments_and_trailing_commas_go() {
        let text = "{ // é\n \"a\": \"x // y /* ,\\\"}\", /* ü\n */ \"b\": [1, 2, /**/ ], }";
        let value: serde_json::Value = serde_json::from_str(&to_json(text)).unwrap();
        assert_eq!(value, serde_json::json!({ "a": "x // y /* ,\"}", "b": [1, 2] }));
        for odd in ["", "\"", "\"\\", "/*", "//", "[,]", "/"] {
            let _ = to_json(odd);
        }
    }
}
