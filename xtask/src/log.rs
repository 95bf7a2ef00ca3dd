//! Lines with the time since the program began, on stderr.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Says one thing, with the time since the program's first line.
pub(crate) fn say(text: &str) {
    eprintln!("[{:>7.1}s] {text}", START.elapsed().as_secs_f64());
}

/// Seconds and minutes as a person reads them.
pub(crate) fn human(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 0.01 => format!("{:.2} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {:02} s", time.as_secs() / 60, (s as u64) % 60),
    }
}

/// Bytes as a person reads them; decimal units, as in the specification.
pub(crate) fn human_bytes(bytes: u64) -> String {
    match bytes {
        b if b < 1_000 => format!("{b} B"),
        b if b < 1_000_000 => format!("{:.1} kB", b as f64 / 1e3),
        b => format!("{:.2} MB", b as f64 / 1e6),
    }
}
