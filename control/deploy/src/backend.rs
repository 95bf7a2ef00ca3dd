//! What runs instances.

use std::sync::Arc;

use ignite_core_model::{FunctionId, HostAddress, InstanceId, InstanceSpec};
use tokio::sync::mpsc;

pub use ignite_core_model::LogLine;

/// Runs instances in one way: as processes, as containers, on a cluster.
///
/// Both methods return at once; what becomes of an instance is told by reports, the last of which is [`Said::Ended`]. A backend
/// ends by itself whatever it started when the process it lives in ends, however that ends.
pub trait Backend: Send + Sync + 'static {
    /// Starts an instance.
    fn start(&self, id: InstanceId, spec: Arc<InstanceSpec>, reports: Reports);

    /// Lets an instance finish what it has and end, and ends it after its drain time. One that is not known, or is on its way
    /// out, is left alone.
    fn drain(&self, id: InstanceId);
}

/// Where reports go. Bounded: who reports faster than reports are taken waits.
pub type Reports = mpsc::Sender<Report>;

/// One thing that became of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The instance.
    pub id: InstanceId,
    /// What.
    pub said: Said,
}

/// What became of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It answers its probe, and requests, at this address.
    Healthy(HostAddress),
    /// It answered and does not now.
    Unhealthy(String),
    /// It wrote a line.
    Line(LogLine),
    /// It is no more. `failed` is the reason if it never became healthy and was not asked to end.
    Ended {
        /// For the author.
        failed: Option<String>,
    },
}

/// The log stream that the lines of an app's instances are appended to.
#[must_use]
pub fn logs_stream(app: &FunctionId) -> String {
    format!("{app}/logs")
}
