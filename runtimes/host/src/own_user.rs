//! A user namespace of the host's own.
//!
//! Hosts of one machine run as one user. To the kernel that user may look into each of its processes: read their memory,
//! their environment, their descriptors. In namespaces of their own they may not: neither a host nor its workers have any
//! capability over what is outside, and no process there passes as their own.

use std::fs;
use std::io;

use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

/// Puts this process, and all it will start, into a user namespace in which it is who it was. To be called while there is
/// one thread.
///
/// # Errors
/// When the system has none for this user. The process is of no use then: it may be in one already, as nobody.
pub(crate) fn enter() -> io::Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    #[expect(deprecated, reason = "the successor is unsafe for the sake of a flag that is not used here")]
    rustix::thread::unshare(UnshareFlags::NEWUSER)?;
    // Who is not root may map a group only when groups cannot be dropped any more.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}
