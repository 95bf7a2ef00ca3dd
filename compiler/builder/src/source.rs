//! Sources as archives: an upload is unpacked into a folder of ours, a folder is packed for an upload.
//!
//! What is in an archive is decided by `ignite_core_source`; here is the disk. All of it is reached through a handle of one
//! folder, below which the system itself keeps every path (`openat2` with `RESOLVE_BENEATH` where the kernel has it), so
//! that a mistake in the checks of names would still write nowhere else.

mod disk;
mod opened;
mod pack;
mod unpack;

pub use pack::{PackSourceError, pack_source};
pub use unpack::{UnpackError, unpack_source};

pub(crate) use opened::{Unpacked, is_archive, sweep as sweep_unpacked};
