//! How processors are shared among the threads and processes that a request crosses.
//!
//! A thread of the usual policy that is woken may take the processor from the one that woke it. Where requests go from a gateway to
//! a host to a worker and back, every write to a socket is then a switch: each thread finds one request, passes it on and
//! sleeps again. Under the batch policy (`SCHED_BATCH`, sched(7)) a thread that is woken waits until a processor is free or the
//! running one has had its share; by then several requests have come, and are read, run and answered together. On idle
//! processors it runs at once, as ever.

use std::io;

/// Puts the calling thread under the batch policy, and with it all threads and processes that it starts from now on. Weights
/// (`nice(2)`) stay as they are.
///
/// # Errors
/// Where the system does not allow it, as in some sandboxes. All goes on as before then.
pub fn prefer_batches() -> io::Result<()> {
    // This policy has no priorities: sched_setscheduler(2) takes 0 alone.
    let none = libc::sched_param { sched_priority: 0 };
    #[allow(unsafe_code, reason = "the libraries of system calls that the workspace has do not know this one")]
    // SAFETY: the call reads one structure, which outlives it; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const none) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::process::Command;
    use std::thread;

    use super::*;

    /// The policy, 41st of the fields that proc_pid_stat(5) lists.
    fn policy(stat: &str) -> i32 {
        // The name of the program, in brackets, may hold anything; it is the second.
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    fn own() -> i32 {
        policy(&std::fs::read_to_string("/proc/thread-self/stat").unwrap())
    }

    #[test]
    fn what_is_started_later_has_it_too_and_nothing_else() {
        let before = own();
        assert_ne!(before, libc::SCHED_BATCH);
        thread::spawn(|| {
            prefer_batches().unwrap();
            assert_eq!(own(), libc::SCHED_BATCH);
            thread::spawn(|| assert_eq!(own(), libc::SCHED_BATCH)).join().unwrap();
            let child = Command::new("cat").arg("/proc/self/stat").output().unwrap();
            assert_eq!(policy(&String::from_utf8(child.stdout).unwrap()), libc::SCHED_BATCH);
        })
        .join()
        .unwrap();
        assert_eq!(own(), before);
    }
}
