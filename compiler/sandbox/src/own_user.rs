//! A user that nobody else is, for compilers that run as root.
//!
//! A user namespace alone would not help there: inside it may look like an ordinary user, but to the kernel it is still
//! root, who owns every file of the machine and to whom the limit on processes does not apply. So the step gets a user of
//! its own, and its mounts are mapped: what root owns in the work folder, the step owns as it sees it, and what the step
//! makes there belongs to root. Nothing is ever changed on disk for it.
#![expect(unsafe_code, reason = "a process that only holds a namespace")]

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::process::{Signal, WaitId, WaitIdOptions, geteuid, pidfd_send_signal, waitid};

use crate::sys::{self, Cloned};

/// The user and group on this machine; above the ranges that distributions and container tools give out.
pub(crate) const ID: u32 = 2_147_000_001;

/// Whether the compiler runs as root, and so needs one.
pub(crate) fn is_needed() -> bool {
    geteuid().is_root()
}

/// A namespace that maps root to [`ID`]; made once.
pub(crate) fn mapping() -> io::Result<BorrowedFd<'static>> {
    static MAPPING: OnceLock<Result<OwnedFd, i32>> = OnceLock::new();
    let made = MAPPING.get_or_init(|| make().map_err(|error| error.raw_os_error().unwrap_or(libc::EIO)));
    made.as_ref().map(AsFd::as_fd).map_err(|errno| io::Error::from_raw_os_error(*errno))
}

fn make() -> io::Result<OwnedFd> {
    let parent = std::process::id();
    // SAFETY: the child makes system calls only.
    match unsafe { sys::clone_into(libc::CLONE_NEWUSER as u64) }? {
        Cloned::Child => hold(parent),
        Cloned::Parent(pid, handle) => {
            let proc = format!("/proc/{pid}");
            let map = format!("0 {ID} 1");
            let opened = fs::write(format!("{proc}/uid_map"), &map)
                .and_then(|()| fs::write(format!("{proc}/gid_map"), &map))
                .and_then(|()| File::open(format!("{proc}/ns/user")));
            let _ = pidfd_send_signal(&handle, Signal::KILL);
            let _ = waitid(WaitId::PidFd(handle.as_fd()), WaitIdOptions::EXITED);
            opened.map(OwnedFd::from)
        }
    }
}

/// Stays until it is killed.
fn hold(parent: u32) -> ! {
    // SAFETY: numbers only.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        if libc::getppid() == i32::try_from(parent).unwrap_or(-1) {
            loop {
                libc::pause();
            }
        }
        libc::_exit(0)
    }
}
