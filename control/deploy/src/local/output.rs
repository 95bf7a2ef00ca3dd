//! What a host process writes.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::InstanceLine;

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
    message: String,
    address: Option<String>,
    error: Option<String>,
}

/// What a line means.
pub(super) enum Meaning {
    /// The host listens here.
    Listening(SocketAddr),
    /// A line to keep.
    Line(InstanceLine),
}

/// Reads one line. What is no JSON (a fault of the host before its logs are up) is kept as it is.
pub(super) fn read(bytes: &[u8]) -> Meaning {
    let Ok(written) = serde_json::from_slice::<Written>(bytes) else {
        let text = String::from_utf8_lossy(bytes).into_owned();
        return Meaning::Line(InstanceLine {
            stream: "host".to_owned(),
            level: "error".to_owned(),
            text,
            ..InstanceLine::default()
        });
    };
    if written.stream == "host"
        && written.message == "listening"
        && let Some(address) = written.address.as_deref().and_then(|address| address.parse().ok())
    {
        return Meaning::Listening(address);
    }
    let text = match written.error {
        Some(error) => format!("{}: {error}", written.message),
        None => written.message,
    };
    Meaning::Line(InstanceLine {
        instance_id: String::new(),
        execution_id: written.execution_id,
        stream: written.stream,
        level: written.level,
        text,
    })
}
