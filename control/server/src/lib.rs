//! The control plane.
//!
//! [`Apps`] is the shell around the pipeline's state machine: it loads an app, folds an event, and writes what came of it in
//! one transaction. The [`rounds`] turn what happened elsewhere (a compile ended, an instance is healthy, gateways took up a
//! route, time went on) into events. [`executions`] calls apps through the gateway. None of it runs user code.

mod admin;
pub mod api;
mod apps;
mod clock;
mod events;
pub mod executions;
pub mod rounds;
mod scaler;

pub use admin::AdminServer;
pub use api::compile_stream;
pub use apps::{AppError, Apps, Attached, COMPILE_JOBS, CompileJob};
pub use clock::{Clock, FixedClock, SystemClock};
pub use events::AppEvent;
pub use scaler::Scaler;
