//! How processors are shared among the threads and processes that a request crosses.
//!
//! A thread of the usual policy that is woken may take the processor from the one that woke it. Where requests go from a gateway to
//! a host to a worker and back, every write to a socket is then a switch: each thread finds one request, passes it on and
//! sleeps again. Under the batch policy (`SCHED_BATCH`, sched(7)) a thread that is woken waits until a processor is free or the
//! running one has had its share; by then several requests have come, and are read, run and answered together. On idle
//! processors it runs at once, as ever.

use std::io;

/// Puts the calling thread under the batch policy, and with it all threads and processes that it starts from now on. Weights
/// (`nice(2)`) stay as they are, and so does a policy other than the usual one: somebody chose it, as with chrt(1).
///
/// # Errors
/// Where the system does not allow it, as in some sandboxes. All goes on as before then.
pub fn prefer_batches() -> io::Result<()> {
    if policy()? == libc::SCHED_OTHER { set(libc::SCHED_BATCH) } else { Ok(()) }
}

fn policy() -> io::Result<i32> {
    #[allow(unsafe_code, reason = "the libraries of system calls that the workspace has do not know this one")]
    // SAFETY: the call takes one number; 0 names the calling thread.
    let policy = unsafe { libc::sched_getscheduler(0) };
    if policy < 0 { Err(io::Error::last_os_error()) } else { Ok(policy) }
}

fn set(policy: i32) -> io::Result<()> {
    // The policies set here have no priorities: sched_setscheduler(2) takes 0 alone.
    let none = libc::sched_param { sched_priority: 0 };
    #[allow(unsafe_code, reason = "the libraries of system calls that the workspace has do not know this one")]
    // SAFETY: the call reads one structure, which outlives it; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const none) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::process::Command;
    use std::thread;

    use super::*;

    /// That of a child, 41st of the fields that proc_pid_stat(5) lists.
    fn of_child() -> i32 {
        let child = Command::new("cat").arg("/proc/self/stat").output().unwrap();
        let stat = String::from_utf8(child.stdout).unwrap();
        // The name of the program, in brackets, may hold anything; it is the second.
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    /// In a thread that begins with a policy, and leaves that of the test as it is.
    fn under(begin: i32, then: impl FnOnce() + Send + 'static) {
        let started = thread::spawn(move || {
            set(begin).unwrap();
            prefer_batches().unwrap();
            then();
        });
        started.join().unwrap();
    }

    #[test]
    fn what_is_started_later_has_it_too_and_nothing_else() {
        let before = policy().unwrap();
        under(libc::SCHED_OTHER, || {
            assert_eq!(policy().unwrap(), libc::SCHED_BATCH);
            thread::spawn(|| assert_eq!(policy().unwrap(), libc::SCHED_BATCH)).join().unwrap();
            assert_eq!(of_child(), libc::SCHED_BATCH);
        });
        assert_eq!(policy().unwrap(), before);
    }

    #[test]
    fn a_policy_that_was_chosen_stays() {
        under(libc::SCHED_IDLE, || assert_eq!(policy().unwrap(), libc::SCHED_IDLE));
    }
}
