//! Ways out of a sandbox that have worked elsewhere.

use crate::support::{python, said};

/// Makes system calls by their numbers and says which were not refused.
const PROBE: &str = r#"
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *arguments, wanted=(1, 38, 97)):
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    errno = ctypes.get_errno()
    if result >= 0 or errno not in wanted:
        print(name, result, errno)
text = ctypes.create_string_buffer(b"/tmp")
call("mount", 165, text, text, text, 4096, 0)
call("umount", 166, text, 2)
call("unshare user", 272, 0x10000000)
call("unshare mount", 272, 0x20000)
call("setns", 308, 0, 0)
call("clone user", 56, 0x10000000 | 17, 0, 0, 0, 0)
call("clone3", 435, 0, 0)
call("ptrace", 101, 0, 0, 0, 0)
call("process_vm_readv", 310, 1, 0, 0, 0, 0, 0)
call("bpf", 321, 0, 0, 0)
call("perf", 298, 0, 0, 0, 0, 0)
call("userfaultfd", 323, 0)
call("io_uring", 425, 1, 0)
call("keyctl", 250, 0, 0, 0, 0, 0)
call("add_key", 248, 0, 0, 0, 0, 0)
call("chroot", 161, text)
call("pivot_root", 155, text, text)
call("open_by_handle", 304, 0, 0, 0)
call("kexec", 246, 0, 0, 0, 0)
call("init_module", 175, 0, 0, 0)
call("reboot", 169, 0, 0, 0, 0)
call("settime", 227, 0, 0)
call("sethostname", 170, text, 4)
call("syslog", 103, 3, 0, 0)
call("quotactl", 179, 0, 0, 0, 0)
call("pidfd_getfd", 438, 0, 0, 0)
call("newer than the list", 470, 0)
call("x32 getpid", 0x40000000 + 39)
call("setuid root", 105, 0, wanted=(1, 22))
call("setgid root", 106, 0, wanted=(1, 22))
call("setgroups", 116, 0, 0)
call("TIOCSTI", 16, 0, 0x5412, text)
print("tried")
"#;

#[test]
#[cfg(target_arch = "x86_64")]
fn they_are_refused() {
    assert_eq!(said(&python(PROBE, Vec::new())), ["tried"]);
}
