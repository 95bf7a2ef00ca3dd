//! The contract between a runtime host and a function.
//!
//! Two forms of one contract stand here: the *worker frames* that language workers exchange with the host over a socket,
//! and the *WIT world* (`wit/function.wit`) that components export. This crate knows bytes and their meaning; it opens
//! no socket, starts nothing and has no dependency, so that a function can carry it.
//!
//! Begin with [`FRAMES.md`](../FRAMES.md), the protocol in words; [`FrameHeader`] and the payload types of [`payload`]
//! are the same in code, and `golden/frames.json` is what every SDK's codec is tested against.
#![forbid(unsafe_code)]

mod frame;
mod headers;
pub mod payload;
mod wire;

pub use frame::{AHEAD_ID_BIT, FrameError, FrameHeader, FrameKind, HEADER_BYTES, flags, split_frame};
pub use headers::{Headers, HeadersIter, encode_headers};
pub use wire::DecodeError;

/// Version of the worker protocol and of the WIT world. Host and worker speak only when theirs are equal.
pub const ABI_VERSION: u16 = 1;

/// Largest payload of one frame, in bytes, unless the host's HELLO says less: the largest response body plus its head.
pub const FRAME_BYTES_MAX: u32 = 32 * 1024 * 1024;

/// Bytes of one streamed answer that may be under way before the host grants more.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// What a gateway's connection to a host begins with. No request of HTTP/1 begins so, and none of HTTP/2.
pub const PREFACE: &[u8] = b"IGNITE-FRAMES/1\r\n\r\n";

/// Largest payload of one frame between gateway and host, in bytes: whatever is longer goes over HTTP, or in parts.
pub const PREFACED_FRAME_BYTES_MAX: u32 = 256 * 1024;

/// Type of the ERROR that answers an INVOKE which a host did not begin, because it is shutting down.
pub const NOT_BEGUN: &str = "not_begun";

/// Environment variable with the number of the inherited file descriptor on which a worker speaks frames.
pub const ENV_WORKER_FD: &str = "IGNITE_WORKER_FD";

/// Environment variable with the path of the Unix socket to connect to, for runtimes that cannot open an inherited
/// descriptor. Never set together with [`ENV_WORKER_FD`].
pub const ENV_WORKER_SOCKET: &str = "IGNITE_WORKER_SOCKET";
