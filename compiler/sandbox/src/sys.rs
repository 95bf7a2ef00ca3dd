//! System calls that no crate here wraps, as plain functions. None of them allocates, so that they can be used between
//! clone and exec.
#![expect(unsafe_code, reason = "raw system calls")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The number of an error.
pub(crate) type Errno = i32;

/// Mount attributes (linux/mount.h).
pub(crate) const RDONLY: u64 = 0x1;
pub(crate) const NOSUID: u64 = 0x2;
pub(crate) const NODEV: u64 = 0x4;
pub(crate) const NOEXEC: u64 = 0x8;
const IDMAP: u64 = 0x0010_0000;

const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const AT_EMPTY_PATH: libc::c_uint = 0x1000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// `struct clone_args`, up to what Linux 5.5 knows.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

pub(crate) fn errno() -> Errno {
    // SAFETY: the address is that of a variable of this thread, and valid as long as it runs.
    unsafe { *libc::__errno_location() }
}

fn answer(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

/// The process made by [`clone_into`].
pub(crate) enum Cloned {
    /// This is the new process.
    Child,
    /// This is the caller: number of the new process, and a handle to it.
    Parent(u32, OwnedFd),
}

/// Makes a process in new namespaces; `namespaces` is a set of `CLONE_NEW*`. Its signal handlers are the default ones.
///
/// # Safety
/// What the child does until it executes or exits makes system calls only: other threads of this process may have held
/// any lock, also that of the allocator.
pub(crate) unsafe fn clone_into(namespaces: u64) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let args = CloneArgs {
        flags: namespaces | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    // SAFETY: the arguments are valid for the call; without CLONE_VM the child has memory of its own, like after fork.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match answer(pid).map_err(io::Error::from_raw_os_error)? {
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel has put a new descriptor there.
        pid => Ok(Cloned::Parent(u32::try_from(pid).unwrap_or_default(), unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Like fork, but without handlers of the C library; the same rules as for [`clone_into`].
pub(crate) unsafe fn fork() -> Result<i32, Errno> {
    // SAFETY: no stack and no memory is shared.
    answer(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })
        .map(|pid| i32::try_from(pid).unwrap_or(-1))
}

/// A copy of the mounts at `path`, attached nowhere.
pub(crate) fn open_tree(path: &CStr) -> Result<RawFd, Errno> {
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
    // SAFETY: the path is a C string.
    answer(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
        .map(|fd| i32::try_from(fd).unwrap_or(-1))
}

/// Sets attributes of a copy of mounts; `users` maps the owners of its files.
pub(crate) fn set_attributes(tree: RawFd, set: u64, users: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let userns = users.map_or(0, |fd| fd.as_raw_fd() as u64);
    let attr = MountAttr { set: set | if users.is_some() { IDMAP } else { 0 }, clear: 0, propagation: 0, userns };
    let flags = AT_EMPTY_PATH | AT_RECURSIVE;
    // SAFETY: the structure is valid for the call.
    answer(unsafe {
        libc::syscall(libc::SYS_mount_setattr, tree, c"".as_ptr(), flags, &raw const attr, size_of::<MountAttr>())
    })
    .map(drop)
}

/// Sets attributes of the one mount at `path`.
pub(crate) fn set_attributes_at(path: &CStr, set: u64) -> Result<(), Errno> {
    let attr = MountAttr { set, clear: 0, propagation: 0, userns: 0 };
    // SAFETY: path and structure are valid for the call.
    answer(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            0,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Attaches a copy of mounts at `path`.
pub(crate) fn move_mount(tree: RawFd, path: &CStr) -> Result<(), Errno> {
    // SAFETY: both paths are C strings.
    answer(unsafe {
        libc::syscall(libc::SYS_move_mount, tree, c"".as_ptr(), libc::AT_FDCWD, path.as_ptr(), MOVE_MOUNT_F_EMPTY_PATH)
    })
    .map(drop)
}
