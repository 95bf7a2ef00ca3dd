//! `ignite dev`, part by part.

pub(crate) mod watch;
