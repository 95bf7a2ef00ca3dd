//! The filter of system calls: what no compiler needs and what has most often been a way out of a sandbox is refused.
//!
//! Everything a program may need is allowed, since the tools of five languages and whatever authors' build scripts start
//! must run. What is newer than this list, of another instruction set, or of the x32 table is refused as unknown, so that
//! nothing comes in by a door nobody has looked at.

use libc::{c_long, sock_filter};

use crate::step::Phase;

/// Where the parts of `struct seccomp_data` are.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The lower half of an argument; both architectures below are little-endian.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

#[cfg(target_arch = "x86_64")]
const OWN_ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const OWN_ARCHITECTURE: u32 = 0xC000_00B7;
/// Of x32, which shares its architecture with x86-64.
const X32: u32 = 0x4000_0000;
/// The newest call this list knows (`mseal`, Linux 6.10).
const NEWEST: u32 = 462;

/// Refused with "operation not permitted".
const REFUSED: &[c_long] = &[
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Programs and memory inside the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_memfd_secret,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_lookup_dcookie,
    // Keys of the user.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Files by handles, watches over whole file systems, quotas.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
];

/// Refused likewise; not every architecture has them.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS__sysctl,
    libc::SYS_sysfs,
    libc::SYS_ustat,
];
#[cfg(target_arch = "aarch64")]
const REFUSED_HERE: &[c_long] = &[];

/// Refused with "not implemented": programs then take the older way, whose arguments can be looked at.
const UNKNOWN: &[c_long] = &[
    libc::SYS_clone3,
    libc::SYS_openat2,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Makes namespaces (`CLONE_NEW*`).
const NAMESPACES: u32 = 0x7E02_0080;
/// The setuid and setgid bits of a file's mode: a file in a work folder lies on this machine's disk.
const SET_ID: u32 = 0o6000;
/// Flags of open that take a mode: `O_CREAT`, and the own bit of `O_TMPFILE`.
const MAKES_FILE: u32 = 0o100 | 0o20_000_000;
/// Pushing characters into a terminal (`TIOCSTI`, `TIOCLINUX`).
const TERMINAL: [u32; 2] = [0x5412, 0x541C];

/// Whether there is a filter for this machine.
pub(crate) const fn is_there() -> bool {
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
}

/// The filter for a phase.
pub(crate) fn filter(phase: Phase) -> Vec<sock_filter> {
    let mut code = Code::default();
    code.load(ARCHITECTURE);
    code.unless_equal(OWN_ARCHITECTURE, KILL);
    code.load(NUMBER);
    #[cfg(target_arch = "x86_64")]
    code.if_at_least(X32, errno(libc::ENOSYS));
    code.if_at_least(NEWEST + 1, errno(libc::ENOSYS));
    for call in REFUSED.iter().chain(REFUSED_HERE) {
        code.if_equal(number(*call), errno(libc::EPERM));
    }
    for call in UNKNOWN {
        code.if_equal(number(*call), errno(libc::ENOSYS));
    }
    code.if_bits(libc::SYS_clone, 0, NAMESPACES);
    for (call, mode) in [(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (libc::SYS_fchmodat2, 2)] {
        code.if_bits(call, mode, SET_ID);
    }
    code.if_bits(libc::SYS_mknodat, 2, SET_ID);
    code.if_bits(libc::SYS_mkdirat, 2, SET_ID);
    code.if_makes_with_bits(libc::SYS_openat, 2, 3, SET_ID);
    #[cfg(target_arch = "x86_64")]
    {
        for (call, mode) in [(libc::SYS_chmod, 1), (libc::SYS_creat, 1), (libc::SYS_mknod, 1), (libc::SYS_mkdir, 1)] {
            code.if_bits(call, mode, SET_ID);
        }
        code.if_makes_with_bits(libc::SYS_open, 1, 2, SET_ID);
    }
    code.if_argument(libc::SYS_ioctl, 1, &TERMINAL);
    // Sockets: Unix sockets inside, or the internet and the kernel's routing tables; nothing else in either phase.
    let families: &[i32] = match phase {
        Phase::Build => &[libc::AF_UNIX],
        Phase::Fetch => &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
    };
    code.unless_argument(libc::SYS_socket, 0, families, errno(libc::EAFNOSUPPORT));
    code.answer(ALLOW);
    code.0
}

const ALLOW: u32 = 0x7FFF_0000;
const KILL: u32 = 0x8000_0000;

const fn errno(number: i32) -> u32 {
    0x0005_0000 | (number as u32 & 0xFFFF)
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// Instructions of classic BPF. The number of the call is always what is loaded between two rules.
#[derive(Default)]
struct Code(Vec<sock_filter>);

const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const BITS: u16 = 0x45;
const ANSWER: u16 = 0x06;

impl Code {
    fn push(&mut self, code: u16, then: u8, otherwise: u8, k: u32) {
        self.0.push(sock_filter { code, jt: then, jf: otherwise, k });
    }

    fn load(&mut self, offset: u32) {
        self.push(LOAD, 0, 0, offset);
    }

    fn answer(&mut self, answer: u32) {
        self.push(ANSWER, 0, 0, answer);
    }

    fn unless_equal(&mut self, value: u32, answer: u32) {
        self.push(EQUAL, 1, 0, value);
        self.answer(answer);
    }

    fn if_equal(&mut self, value: u32, answer: u32) {
        self.push(EQUAL, 0, 1, value);
        self.answer(answer);
    }

    fn if_at_least(&mut self, value: u32, answer: u32) {
        self.push(AT_LEAST, 0, 1, value);
        self.answer(answer);
    }

    /// Refuses `call` when any of `bits` is set in an argument.
    fn if_bits(&mut self, call: c_long, index: u32, bits: u32) {
        self.push(EQUAL, 0, 4, number(call));
        self.load(argument(index));
        self.push(BITS, 0, 1, bits);
        self.answer(errno(libc::EPERM));
        self.load(NUMBER);
    }

    /// Refuses `call` when its flags make a file and any of `bits` is set in its mode, which is read only then.
    fn if_makes_with_bits(&mut self, call: c_long, flags: u32, mode: u32, bits: u32) {
        self.push(EQUAL, 0, 6, number(call));
        self.load(argument(flags));
        self.push(BITS, 0, 3, MAKES_FILE);
        self.load(argument(mode));
        self.push(BITS, 0, 1, bits);
        self.answer(errno(libc::EPERM));
        self.load(NUMBER);
    }

    /// Refuses `call` when an argument is one of `values`.
    fn if_argument(&mut self, call: c_long, index: u32, values: &[u32]) {
        self.push(EQUAL, 0, u8::try_from(2 + 2 * values.len()).unwrap_or(u8::MAX), number(call));
        self.load(argument(index));
        for value in values {
            self.if_equal(*value, errno(libc::EPERM));
        }
        self.load(NUMBER);
    }

    /// Gives `answer` for `call` when an argument is none of `values`.
    fn unless_argument(&mut self, call: c_long, index: u32, values: &[i32], answer: u32) {
        let count = u8::try_from(values.len()).unwrap_or(0);
        self.push(EQUAL, 0, count + 3, number(call));
        self.load(argument(index));
        for (left, value) in (1..=count).rev().zip(values) {
            // Past the other values and the answer.
            self.push(EQUAL, left, 0, u32::try_from(*value).unwrap_or(u32::MAX));
        }
        self.answer(answer);
        self.load(NUMBER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn run(filter: &[sock_filter], architecture: u32, call: u32, arguments: [u32; 6]) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = filter[at];
            let jump = |taken| at + 1 + usize::from(if taken { step.jt } else { step.jf });
            at = match step.code {
                LOAD => {
                    loaded = match step.k {
                        NUMBER => call,
                        ARCHITECTURE => architecture,
                        offset => arguments[(offset as usize - 16) / 8],
                    };
                    at + 1
                }
                EQUAL => jump(loaded == step.k),
                AT_LEAST => jump(loaded >= step.k),
                BITS => jump(loaded & step.k != 0),
                _ => return step.k,
            };
        }
    }

    fn check(phase: Phase, call: c_long, arguments: [u32; 6]) -> u32 {
        run(&filter(phase), OWN_ARCHITECTURE, number(call), arguments)
    }

    #[test]
    fn what_compilers_need_is_allowed() {
        for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_mmap, libc::SYS_futex, libc::SYS_socketpair] {
            assert_eq!(check(Phase::Build, call, [0; 6]), ALLOW, "{call}");
        }
        assert_eq!(check(Phase::Build, libc::SYS_clone, [libc::SIGCHLD as u32, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(check(Phase::Build, libc::SYS_openat, [0, 0, 0o101, 0o644, 0, 0]), ALLOW);
        // Without a flag that makes a file there is no mode, and what stands in its place means nothing.
        assert_eq!(check(Phase::Build, libc::SYS_openat, [0, 0, 0, 0o6777, 0, 0]), ALLOW);
        assert_eq!(check(Phase::Build, libc::SYS_ioctl, [0, 0x5401, 0, 0, 0, 0]), ALLOW);
    }

    #[test]
    fn ways_out_are_refused() {
        let refused = errno(libc::EPERM);
        for call in REFUSED.iter().chain(REFUSED_HERE) {
            assert_eq!(check(Phase::Build, *call, [0; 6]), refused, "{call}");
        }
        assert_eq!(check(Phase::Build, libc::SYS_clone, [libc::CLONE_NEWUSER as u32, 0, 0, 0, 0, 0]), refused);
        assert_eq!(check(Phase::Build, libc::SYS_fchmodat, [0, 0, 0o4755, 0, 0, 0]), refused);
        assert_eq!(check(Phase::Build, libc::SYS_openat, [0, 0, 0o101, 0o4755, 0, 0]), refused);
        assert_eq!(check(Phase::Build, libc::SYS_ioctl, [0, 0x5412, 0, 0, 0, 0]), refused);
        assert_eq!(check(Phase::Fetch, libc::SYS_clone3, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(run(&filter(Phase::Build), OWN_ARCHITECTURE, NEWEST + 1, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(run(&filter(Phase::Build), OWN_ARCHITECTURE ^ 1, 0, [0; 6]), KILL);
    }

    #[test]
    fn sockets_are_those_of_the_phase() {
        let allowed = |phase| {
            let opens = |family: i32| check(phase, libc::SYS_socket, [family as u32, 0, 0, 0, 0, 0]) == ALLOW;
            let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];
            families.map(opens)
        };
        assert_eq!(allowed(Phase::Build), [true, false, false, false, false]);
        assert_eq!(allowed(Phase::Fetch), [false, true, true, true, false]);
    }
}
