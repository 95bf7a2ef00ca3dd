//! What the first process of a sandbox does: it builds the file system, gives up every right, starts the program, and
//! then only waits, as the process that the kernel makes the parent of all that are left alone.
//!
//! The process is a copy of the compiler's, made while other threads may have held any lock. So everything it needs is
//! made before, in [`Script`], and here are system calls only: no allocation, no lock, no panic.
#![expect(unsafe_code, reason = "system calls between clone and exec")]

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::ptr;

use crate::sys::{self, Errno};

/// Everything the process needs.
pub(crate) struct Script {
    /// Standard input, output and error, and the socket to the compiler. All are above [`Script::first_free`].
    pub(crate) stdio: [RawFd; 3],
    pub(crate) control: RawFd,
    /// The mounts to attach.
    pub(crate) sources: Vec<Source>,
    /// A folder that exists, over which the new root is mounted.
    pub(crate) anchor: CString,
    /// How the new root is built, in it.
    pub(crate) ops: Vec<Op>,
    /// The user and group it becomes.
    pub(crate) id: u32,
    /// Whether it may and must leave its other groups.
    pub(crate) leaves_groups: bool,
    /// Resources and their limits.
    pub(crate) limits: Vec<(libc::__rlimit_resource_t, u64)>,
    /// The filter of system calls; empty for none.
    pub(crate) filter: Vec<libc::sock_filter>,
    pub(crate) program: CString,
    pub(crate) arguments: Strings,
    pub(crate) environment: Strings,
    pub(crate) folder: CString,
}

impl Script {
    /// The lowest descriptor that is not one of the process's own: below are the standard ones, the socket, the mounts.
    pub(crate) fn first_free(&self) -> RawFd {
        CONTROL + 1 + RawFd::try_from(self.sources.len()).unwrap_or(RawFd::MAX - CONTROL - 1)
    }
}

/// A list as `execve` wants it.
pub(crate) struct Strings {
    pointers: Vec<*const libc::c_char>,
    _texts: Vec<CString>,
}

impl Strings {
    pub(crate) fn new(texts: Vec<CString>) -> Self {
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _texts: texts }
    }
}

/// A mount to attach.
pub(crate) struct Source {
    /// A copy of the mounts; or where to take it from, and the attributes it gets.
    pub(crate) tree: Result<RawFd, (CString, u64)>,
}

/// One step of building the root; paths are relative to it.
pub(crate) enum Op {
    /// Makes a folder, if it is not there.
    Folder(CString),
    /// Writes a file.
    File(CString, Vec<u8>),
    /// Makes a link: where, and to what.
    Link(CString, CString),
    /// Attaches a source.
    Mount(CString, usize),
    /// Mounts a file system in memory with these options; whether files in it can be executed.
    Memory(CString, CString, bool),
    /// Mounts the list of processes.
    Processes(CString),
}

/// The descriptor of the socket in the process.
const CONTROL: RawFd = 3;

/// What the process tells: kind, stage, place in the list of the stage, number.
pub(crate) type Message = [u8; 8];
/// The sandbox stands; `/proc` of it comes along.
pub(crate) const READY: u8 = b'R';
/// The sandbox could not be built: stage, place, error.
pub(crate) const FAILED: u8 = b'F';
/// The program could not be executed: error.
pub(crate) const NOT_EXECUTED: u8 = b'X';
/// The program ended: status.
pub(crate) const ENDED: u8 = b'E';

/// What failed, as an index of this list.
pub(crate) const STAGES: [&str; 10] = [
    "take over descriptors",
    "wait for the compiler",
    "change the user",
    "copy a mount",
    "mount the root",
    "build the root",
    "enter the root",
    "set a limit",
    "give up rights",
    "load the filter of system calls",
];

struct Failure(u8, u16, Errno);

fn message(kind: u8, stage: u8, place: u16, number: i32) -> Message {
    let (place, number) = (place.to_ne_bytes(), number.to_ne_bytes());
    [kind, stage, place[0], place[1], number[0], number[1], number[2], number[3]]
}

/// Runs the script and never returns.
///
/// # Safety
/// To be called in a process made by [`sys::clone_into`] with new user, mount and pid namespaces, and nowhere else.
pub(crate) unsafe fn main(script: &mut Script) -> ! {
    if let Err(Failure(stage, place, errno)) = take_descriptors(script) {
        send(script.control, &message(FAILED, stage, place, errno));
        exit();
    }
    if let Err(Failure(stage, place, errno)) = build(script) {
        send(CONTROL, &message(FAILED, stage, place, errno));
        exit();
    }
    // SAFETY: as for this function.
    match unsafe { sys::fork() } {
        Ok(0) => execute(script),
        Ok(program) => wait_for(program),
        Err(errno) => {
            send(CONTROL, &message(NOT_EXECUTED, 0, 0, errno));
            exit()
        }
    }
}

fn exit() -> ! {
    // SAFETY: ends the process without handlers of the C library.
    unsafe { libc::_exit(0) }
}

/// Brings descriptors to their places, from above them, and closes all others.
fn take_descriptors(script: &mut Script) -> Result<(), Failure> {
    let failed = |place| Failure(0, place, sys::errno());
    // SAFETY: descriptors are numbers; none of them is owned by a value of this process that would close it again.
    unsafe {
        for (target, fd) in (0..).zip(script.stdio) {
            if libc::dup2(fd, target) < 0 {
                return Err(failed(0));
            }
        }
        if libc::dup3(script.control, CONTROL, libc::O_CLOEXEC) < 0 {
            return Err(failed(1));
        }
        let mut next = CONTROL + 1;
        for source in &mut script.sources {
            if let Ok(tree) = &mut source.tree {
                if libc::dup3(*tree, next, libc::O_CLOEXEC) < 0 {
                    return Err(failed(2));
                }
                *tree = next;
                next += 1;
            }
        }
        // Whatever else the compiler has open is none of the step's business, and would be held open by it.
        if libc::syscall(libc::SYS_close_range, next, libc::c_uint::MAX, 0) < 0 {
            return Err(Failure(0, 3, sys::errno()));
        }
    }
    Ok(())
}

fn build(script: &mut Script) -> Result<(), Failure> {
    // The compiler says go once user and group are mapped. If it is gone, so is the other end.
    let mut go = [0_u8; 1];
    // SAFETY: one byte is read into a buffer of one byte.
    let read = unsafe { libc::read(CONTROL, go.as_mut_ptr().cast(), 1) };
    if read != 1 {
        return Err(Failure(1, 0, if read < 0 { sys::errno() } else { libc::EPIPE }));
    }
    become_user(script)?;
    mount_root(script)?;
    limit(script)?;
    // SAFETY: opens a folder; the descriptor is handed to the compiler and closed.
    let processes = unsafe { libc::open(c"/proc".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    give_up_rights(script)?;
    if !send_with(CONTROL, &message(READY, 0, 0, 0), processes) {
        return Err(Failure(1, 1, sys::errno()));
    }
    // SAFETY: closes what was opened above.
    unsafe { libc::close(processes) };
    Ok(())
}

fn become_user(script: &Script) -> Result<(), Failure> {
    let failed = |place| Failure(2, place, sys::errno());
    // SAFETY: numbers only. The calls are made directly, since the C library's would also tell other threads, which this
    // process does not have.
    unsafe {
        if script.leaves_groups && libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) < 0 {
            return Err(failed(0));
        }
        if libc::syscall(libc::SYS_setresgid, script.id, script.id, script.id) < 0 {
            return Err(failed(1));
        }
        if libc::syscall(libc::SYS_setresuid, script.id, script.id, script.id) < 0 {
            return Err(failed(2));
        }
        // After the change of user, which takes it back. The compiler was there when it said go; should it have ended
        // since, the message that the sandbox is ready finds nobody.
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) < 0 {
            return Err(failed(3));
        }
        // This process still has a copy of the compiler's memory: nobody inside may look at it.
        if libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 {
            return Err(failed(4));
        }
        if libc::setsid() < 0 {
            return Err(failed(5));
        }
        libc::umask(0o022);
    }
    Ok(())
}

fn mount_root(script: &mut Script) -> Result<(), Failure> {
    let private = mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None);
    private.map_err(|errno| Failure(3, u16::MAX, errno))?;
    // All are copied first: the new root will hide whatever lies below the anchor.
    for (place, source) in (0..).zip(&mut script.sources) {
        if let Err((path, attributes)) = &source.tree {
            let tree = sys::open_tree(path).map_err(|errno| Failure(3, place, errno))?;
            sys::set_attributes(tree, *attributes, None).map_err(|errno| Failure(3, place, errno))?;
            source.tree = Ok(tree);
        }
    }
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    mount(Some(c"root"), &script.anchor, Some(c"tmpfs"), flags, Some(c"size=16m,nr_inodes=16384,mode=0755"))
        .map_err(|errno| Failure(4, 0, errno))?;
    change_to(&script.anchor).map_err(|errno| Failure(4, 1, errno))?;
    for (place, op) in (0..).zip(&script.ops) {
        apply(op, &script.sources).map_err(|errno| Failure(5, place, errno))?;
    }
    let failed = |place| move |errno| Failure(6, place, errno);
    // SAFETY: two C strings.
    if unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) } < 0 {
        return Err(Failure(6, 0, sys::errno()));
    }
    // The old root now lies over the new one, and goes.
    // SAFETY: a C string.
    if unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) } < 0 {
        return Err(Failure(6, 1, sys::errno()));
    }
    change_to(c"/").map_err(failed(2))?;
    sys::set_attributes_at(c"/", sys::RDONLY).map_err(failed(3))?;
    for source in &script.sources {
        if let Ok(tree) = source.tree {
            // SAFETY: it was made for this process, which needs it no more.
            unsafe { libc::close(tree) };
        }
    }
    Ok(())
}

fn mount(
    from: Option<&CStr>,
    to: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> Result<(), Errno> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: C strings or null, as mount(2) allows.
    let done = unsafe { libc::mount(pointer(from), to.as_ptr(), pointer(kind), flags, pointer(options).cast()) };
    if done < 0 { Err(sys::errno()) } else { Ok(()) }
}

fn change_to(folder: &CStr) -> Result<(), Errno> {
    // SAFETY: a C string.
    if unsafe { libc::chdir(folder.as_ptr()) } < 0 { Err(sys::errno()) } else { Ok(()) }
}

fn apply(op: &Op, sources: &[Source]) -> Result<(), Errno> {
    let made = |done: libc::c_int| match done {
        0 => Ok(()),
        _ => Err(sys::errno()).or_else(|errno| if errno == libc::EEXIST { Ok(()) } else { Err(errno) }),
    };
    match op {
        // SAFETY: a C string.
        Op::Folder(path) => made(unsafe { libc::mkdir(path.as_ptr(), 0o755) }),
        // SAFETY: two C strings.
        Op::Link(path, to) => made(unsafe { libc::symlink(to.as_ptr(), path.as_ptr()) }),
        Op::File(path, content) => write(path, content),
        Op::Mount(path, source) => match sources.get(*source).map(|source| &source.tree) {
            Some(Ok(tree)) => sys::move_mount(*tree, path),
            _ => Err(libc::EINVAL),
        },
        Op::Memory(path, options, executable) => {
            let flags = libc::MS_NOSUID | libc::MS_NODEV | if *executable { 0 } else { libc::MS_NOEXEC };
            mount(Some(c"tmpfs"), path, Some(c"tmpfs"), flags, Some(options))
        }
        Op::Processes(path) => {
            // Read-only: whoever may write to it otherwise could change how the machine runs, as root even restart it.
            let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
            mount(Some(c"proc"), path, Some(c"proc"), flags, None)
        }
    }
}

fn write(path: &CStr, content: &[u8]) -> Result<(), Errno> {
    // SAFETY: a C string, and a buffer with its length; the descriptor is closed on every way.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
        let file = libc::open(path.as_ptr(), flags, 0o644);
        if file < 0 {
            return Err(sys::errno());
        }
        let written = libc::write(file, content.as_ptr().cast(), content.len());
        let errno = if written < 0 { sys::errno() } else { libc::ENOSPC };
        libc::close(file);
        if usize::try_from(written).is_ok_and(|written| written == content.len()) { Ok(()) } else { Err(errno) }
    }
}

fn limit(script: &Script) -> Result<(), Failure> {
    for (place, (resource, max)) in (0..).zip(&script.limits) {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the structure is valid for the calls.
        unsafe {
            if libc::getrlimit(*resource, &raw mut limit) < 0 {
                return Err(Failure(7, place, sys::errno()));
            }
            // A limit that was lower before stays.
            limit.rlim_max = limit.rlim_max.min(*max);
            limit.rlim_cur = limit.rlim_max;
            if libc::setrlimit(*resource, &raw const limit) < 0 {
                return Err(Failure(7, place, sys::errno()));
            }
        }
    }
    Ok(())
}

/// The highest capability there can be; the kernel ends the loop before.
const CAPABILITIES_MAX: libc::c_ulong = 63;

fn give_up_rights(script: &Script) -> Result<(), Failure> {
    let failed = |place| Failure(8, place, sys::errno());
    let name = c"ignite";
    // Header and sets of capset(2), version 3: two halves of effective, permitted and inheritable.
    let (header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    // SAFETY: numbers, and buffers that are valid for the calls.
    unsafe {
        if libc::sethostname(name.as_ptr(), name.count_bytes()) < 0 {
            return Err(failed(0));
        }
        for capability in 0..=CAPABILITIES_MAX {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 {
                break;
            }
        }
        if libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 {
            return Err(failed(1));
        }
        if libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) < 0 {
            return Err(failed(2));
        }
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 {
            return Err(failed(3));
        }
        if script.filter.is_empty() {
            return Ok(());
        }
        let length = libc::c_ushort::try_from(script.filter.len()).unwrap_or(0);
        let program = libc::sock_fprog { len: length, filter: script.filter.as_ptr().cast_mut() };
        if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) < 0 {
            return Err(Failure(9, 0, sys::errno()));
        }
    }
    Ok(())
}

/// Becomes the program.
fn execute(script: &Script) -> ! {
    // SAFETY: the signal set is made before it is used; lists and strings end with zero.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        // Rust programs ignore it, and what is ignored stays so.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if libc::chdir(script.folder.as_ptr()) == 0 {
            libc::execve(
                script.program.as_ptr(),
                script.arguments.pointers.as_ptr(),
                script.environment.pointers.as_ptr(),
            );
        }
    }
    send(CONTROL, &message(NOT_EXECUTED, 0, 0, sys::errno()));
    exit()
}

/// Reaps whatever ends, until the program does. The kernel kills the rest when this process is gone.
fn wait_for(program: libc::pid_t) -> ! {
    // SAFETY: numbers and a place for the status.
    unsafe {
        for fd in 0..CONTROL {
            libc::close(fd);
        }
        loop {
            let mut status = 0;
            match libc::waitpid(-1, &raw mut status, 0) {
                pid if pid == program => {
                    send(CONTROL, &message(ENDED, 0, 0, status));
                    exit();
                }
                pid if pid < 0 && sys::errno() != libc::EINTR => exit(),
                _ => {}
            }
        }
    }
}

fn send(socket: RawFd, message: &Message) {
    // SAFETY: a buffer with its length. If nobody listens any more, there is nobody to tell.
    unsafe { libc::send(socket, message.as_ptr().cast(), message.len(), libc::MSG_NOSIGNAL) };
}

/// Room for the header of one control message and one descriptor, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 24]);

fn send_with(socket: RawFd, message: &Message, fd: RawFd) -> bool {
    if fd < 0 {
        return false;
    }
    let mut control = Control([0; 24]);
    // SAFETY: all pointers are to values that live until the end of the call; the control message has room for what is
    // written to it, as the assertion says.
    unsafe {
        let mut part = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = size_of::<Control>();
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(first).cast::<RawFd>().write_unaligned(fd);
        libc::sendmsg(socket, &raw const header, libc::MSG_NOSIGNAL) >= 0
    }
}
