//! What the processes of a sandbox use, read from its own `/proc`.

use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags, openat};

/// Processes that are looked at at most; their limit is lower.
const LOOKED_AT_MAX: usize = 65_536;
/// Longest text of a process that is read, in bytes.
const TEXT_BYTES_MAX: u64 = 4096;

/// What all processes use together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processes and threads.
    pub(crate) tasks: u64,
    /// Memory that is theirs and not of a file, in bytes. What two processes share since a fork is counted twice.
    pub(crate) memory: u64,
}

/// Adds up what the processes in `proc` use. What ends meanwhile is not counted.
pub(crate) fn usage(proc: &OwnedFd) -> Usage {
    let mut usage = Usage::default();
    let Ok(folder) = Dir::read_from(proc) else { return usage };
    let names = folder.flatten().map(|entry| entry.file_name().to_owned());
    for name in names.filter(|name| name.to_bytes().iter().all(u8::is_ascii_digit)).take(LOOKED_AT_MAX) {
        let Ok(name) = name.to_str() else { continue };
        if let Some(stat) = read(proc.as_fd(), &format!("{name}/stat")) {
            usage.tasks += threads(&stat).unwrap_or(1);
        }
        if let Some(pages) = read(proc.as_fd(), &format!("{name}/statm")).and_then(|statm| own_pages(&statm)) {
            usage.memory += pages * page_bytes();
        }
    }
    usage
}

fn read(proc: BorrowedFd<'_>, path: &str) -> Option<String> {
    let file = openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = String::new();
    std::fs::File::from(file).take(TEXT_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The 20th field of `/proc/N/stat`; the second one is a name that may hold anything, also brackets.
fn threads(stat: &str) -> Option<u64> {
    stat.rsplit(')').next()?.split_whitespace().nth(17)?.parse().ok()
}

/// Resident pages without those of files, from `/proc/N/statm`.
fn own_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

#[expect(unsafe_code, reason = "a number the C library knows")]
fn page_bytes() -> u64 {
    // SAFETY: it takes a number and gives one.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 13 0 100 1000 50 1\n";
        assert_eq!(threads(stat), Some(13));
        assert_eq!(own_pages("1000 300 100 1 0 1 0\n"), Some(200));
        assert_eq!(own_pages(""), None);
    }

    #[test]
    fn this_process_is_seen() {
        let proc = std::fs::File::open("/proc").map(OwnedFd::from).expect("there is a /proc");
        let usage = usage(&proc);
        assert!(usage.tasks >= 1 && usage.memory > 0, "{usage:?}");
    }
}
