//! The Executor trait, invocation, reply and limits; a fake for tests.
