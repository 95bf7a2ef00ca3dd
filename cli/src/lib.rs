//! The ignite command.
