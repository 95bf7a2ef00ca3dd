//! The platform's log: JSON lines on stderr, for whoever runs it.

use tracing_subscriber::EnvFilter;

/// What is logged where `IGNITE_LOG` says nothing: what needs somebody's attention.
const DEFAULT: &str = "warn";

/// Logs from now on. A second call changes nothing.
pub(crate) fn start(filter: Option<&str>) {
    let filter = EnvFilter::builder().parse_lossy(filter.unwrap_or(DEFAULT));
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .try_init();
}
