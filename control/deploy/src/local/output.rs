//! What a host process writes.

use ignite_core_model::HostAddress;
use serde::Deserialize;
use serde_json::Value;

use crate::LogLine;

/// Longest line that is read, in bytes; the rest of a longer one is dropped.
pub(super) const OUTPUT_LINE_BYTES_MAX: usize = 128 * 1024;

/// A line of a host, as it writes them.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    level: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    execution_id: String,
    #[serde(default)]
    trace_id: String,
    #[serde(default)]
    message: String,
    address: Option<String>,
    error: Option<String>,
    /// What else there is: members that the author gave their logger, figures of the host.
    #[serde(flatten)]
    further: serde_json::Map<String, Value>,
}

/// Members that say again what is known of an instance.
const KNOWN: [&str; 3] = ["time", "instance", "function_id"];

/// What a line means.
pub(super) enum Meaning {
    /// The host listens here.
    Listening(HostAddress),
    /// The host can be given an app.
    Warm,
    /// A line to keep.
    Line(LogLine),
}

/// Reads one line. What is no JSON (a fault of the host before its logs are up) is kept as it is.
pub(super) fn read(bytes: &[u8]) -> Meaning {
    let Ok(written) = serde_json::from_slice::<Written>(bytes) else {
        let text = String::from_utf8_lossy(bytes).into_owned();
        return Meaning::Line(LogLine {
            stream: "host".to_owned(),
            level: "error".to_owned(),
            text,
            ..LogLine::default()
        });
    };
    if written.stream == "host" {
        if written.message == "listening"
            && let Some(address) = written.address.as_deref().and_then(|address| address.parse().ok())
        {
            return Meaning::Listening(address);
        }
        if written.message == "warm" {
            return Meaning::Warm;
        }
    }
    let mut text = written.message;
    if let Some(error) = written.error {
        text.push_str(": ");
        text.push_str(&error);
    }
    let mut further = written.further;
    further.retain(|name, _| !KNOWN.contains(&name.as_str()));
    further.extend(written.address.map(|address| ("address".to_owned(), address.into())));
    if !further.is_empty() {
        text.push(' ');
        text.push_str(&Value::Object(further).to_string());
    }
    Meaning::Line(LogLine {
        instance_id: String::new(),
        execution_id: written.execution_id,
        trace_id: written.trace_id,
        stream: written.stream,
        level: written.level,
        text,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test")]
    use expect_test::{Expect, expect};

    use super::*;

    fn check(line: &str, expected: &Expect) {
        let text = match read(line.as_bytes()) {
            Meaning::Listening(address) => format!("listens at {address}"),
            Meaning::Warm => "is warm".to_owned(),
            Meaning::Line(line) => format!("{} {} [{}] {}", line.stream, line.level, line.execution_id, line.text),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn lines_of_a_host() {
        let own = r#""time":"2026-01-01T00:00:00.000Z","instance":"i""#;
        check(
            &format!(
                r#"{{{own},"level":"info","stream":"host","message":"listening","address":"127.0.0.1:80","admin":null}}"#
            ),
            &expect!["listens at 127.0.0.1:80"],
        );
        check(
            &format!(r#"{{{own},"level":"info","stream":"host","message":"warm","runtime":"go","took_ms":1}}"#),
            &expect!["is warm"],
        );
        check(
            &format!(r#"{{{own},"level":"error","stream":"host","message":"not specialized","error":"no such file"}}"#),
            &expect!["host error [] not specialized: no such file"],
        );
        check(
            &format!(r#"{{{own},"level":"info","stream":"stdout","execution_id":"x","message":"listening"}}"#),
            &expect!["stdout info [x] listening"],
        );
        check(
            &format!(r#"{{{own},"level":"warn","stream":"logger","message":"paint","colour":"mauve"}}"#),
            &expect![[r#"logger warn [] paint {"colour":"mauve"}"#]],
        );
        check("error: could not start the host", &expect!["host error [] error: could not start the host"]);
    }
}
