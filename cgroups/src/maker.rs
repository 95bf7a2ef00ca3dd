//! Names of groups, which say who made them.
//!
//! `ignite-PID-START-NAMESPACE-WORD-COUNT`: process number and time of start of the maker, which together never come again,
//! the namespace in which that number counts, what the group is for, and a number.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What every name of ours begins with.
const PREFIX: &str = "ignite-";

/// A new name; no other group has it.
pub(crate) fn new_name(word: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{}{word}-{}", own(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Whether a group of this name is one of ours, of this process or another.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// For a group whose maker has ended, what it was for.
///
/// `None` as well for a maker in another process namespace, of whom nothing is known here: it may well run.
pub(crate) fn word_of_gone(name: &str) -> Option<&str> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let (pid, start, namespace, word) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_number = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    let is_gone = is_number && namespace == own_namespace() && started(pid).as_deref() != Some(start);
    is_gone.then_some(word)
}

/// How names of this process begin. Asked once: it is wanted for each group.
fn own() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let started = started("self").unwrap_or_default();
        format!("{PREFIX}{}-{started}-{}-", std::process::id(), own_namespace())
    })
}

/// The number of the process namespace of this process; 0 where the kernel does not tell.
fn own_namespace() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let digits: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        if digits.is_empty() { "0".to_owned() } else { digits }
    })
}

/// When a process was started, in ticks since the machine was; the 22nd field, and the second may hold anything.
fn started(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_come_twice_and_are_of_a_living_maker() {
        let (one, other) = (new_name("test"), new_name("test"));
        assert_ne!(one, other);
        assert!(is_ours(&one));
        assert_eq!(word_of_gone(&one), None, "this process lives");
    }

    #[test]
    fn a_maker_is_gone_when_its_number_is_somebody_elses() {
        let name = |pid: &str, start: &str, namespace: &str| format!("ignite-{pid}-{start}-{namespace}-test-0");
        let own = std::process::id().to_string();
        let start = started("self").unwrap_or_default();
        let here = own_namespace();
        assert_eq!(word_of_gone(&name(&own, &start, here)), None);
        assert_eq!(word_of_gone(&name(&own, "1", here)), Some("test"), "started at another time");
        assert_eq!(word_of_gone(&name("4194305", "1", here)), Some("test"), "no process can have this number");
        assert_eq!(word_of_gone(&name(&own, "1", "12")), None, "numbers of another namespace say nothing");
        for not_ours in ["system.slice", "ignite-", "ignite-self-1", "ignite-1-2", "ignite-../1-1-0-x-0"] {
            assert_eq!(word_of_gone(not_ours), None, "{not_ours}");
        }
        assert_eq!(word_of_gone(&name("self", "1", here)), None, "no number");
    }
}
