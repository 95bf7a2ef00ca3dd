//! Brings what runs in line with what should run.
//!
//! The control plane writes rows of desired state; an agent follows them, lets its backend start and end instances, and
//! reports each instance back. The two meet in the words of this file: [`InstanceSpec`] is how to start an instance, in the
//! `spec` of a desired row; [`InstanceState`] and [`InstanceDetail`] are what an agent says of one.

mod spec;
mod state;

pub use spec::InstanceSpec;
pub use state::{InstanceDetail, InstanceState};
