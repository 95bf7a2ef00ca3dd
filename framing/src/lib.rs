//! Frames over a socket: many in one write, many in one read.
//!
//! A host speaks them with its workers and a gateway with a host (`core/abi/FRAMES.md`). What goes out waits in a [`Link`]
//! until everybody who is ready has added theirs; what comes in is taken off a [`FrameReader`] without a copy; a streamed
//! body is held by [`Arriving`] within the credit its sender was given.

mod arriving;
mod headers;
mod link;
mod reader;
mod socket;

pub use arriving::{Arriving, Next, Overrun};
pub use headers::{HeadersError, header_map};
pub use link::{Flush, Link, Stuck, TOGETHER_MIN};
pub use reader::{FrameReader, Incoming, Payload, ReadEnd};
pub use socket::Socket;
