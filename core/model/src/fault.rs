//! Whose fault an error is, and so what may be done about it.

/// The class of an error. One table per edge maps it to an exit code, an HTTP status or a gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The caller sent or wrote something that cannot work; the same again fails again.
    Caller,
    /// What was named does not exist.
    Missing,
    /// It exists already, or changed meanwhile.
    Conflict,
    /// Not now: a bound is reached or a part is away; later may work.
    Busy,
    /// Ours. The details go to the log, the caller gets an id.
    Internal,
}
