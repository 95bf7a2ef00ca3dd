//! What of this program is mapped into memory.

use std::ffi::c_void;
use std::ops::Range;
use std::{fs, io};

use rustix::mm::{Advice, madvise};

/// Takes the program's own code and constants out of its memory. What is needed of them again is mapped again when it is
/// touched, from the page cache, 64 KiB at a time: tens of microseconds for what one request needs.
///
/// # Errors
/// Where the system does not tell what is mapped, or refuses.
pub(crate) fn unmap_program() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let mappings = fs::read_to_string("/proc/self/maps")?;
    let Some(program) = program.to_str() else { return Err(io::ErrorKind::InvalidFilename.into()) };
    for range in of_program(&mappings, program) {
        #[expect(unsafe_code, reason = "memory is named by its address in no other way")]
        // SAFETY: the range is a private mapping of a file which this process cannot write to and has not written to, see
        // `of_program`. So what is dropped is no more than a copy of the file, of which the system maps the same bytes again
        // where they are touched; a program that runs cannot be written to (ETXTBSY), and one that was replaced is still
        // there as long as it is mapped.
        unsafe { madvise(range.start as *mut c_void, range.len(), Advice::LinuxDontNeed) }?;
    }
    Ok(())
}

/// The ranges of `program` that are as its file is, of lines as in proc_pid_maps(5): its code, and what lies before it, from the
/// beginning of the file. Tables that the loader has written to and made read-only again lie behind.
fn of_program(mappings: &str, program: &str) -> Vec<Range<usize>> {
    let range = |line: &str| {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let (permissions, offset) = (fields.next()?, fields.next()?);
        let path = fields.nth(2)?.trim_start();
        let is_as_file = permissions == "r-xp" || permissions == "r--p" && offset.bytes().all(|digit| digit == b'0');
        let address = |text| usize::from_str_radix(text, 16).ok();
        (path == program && is_as_file).then_some(address(start)?..address(end)?)
    };
    mappings.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    const MAPPINGS: &str = "\
55d0a7a00000-55d0a8000000 r--p 00000000 fe:00 1234                       /bin/ignite host
55d0a8000000-55d0a9000000 r-xp 00600000 fe:00 1234                       /bin/ignite host
55d0a9000000-55d0a90c0000 r--p 01600000 fe:00 1234                       /bin/ignite host
55d0a90c0000-55d0a90d0000 rw-p 016c0000 fe:00 1234                       /bin/ignite host
55d0a90d0000-55d0a90e0000 rw-p 00000000 00:00 0
7f1200000000-7f1200100000 r-xp 00001000 fe:00 99                         /aot/app.cwasm
7f1300000000-7f1300100000 r-xp 00028000 fe:00 77                         /lib/libc.so.6
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn what_was_written_to_and_what_is_anothers_stays() {
        let found = of_program(MAPPINGS, "/bin/ignite host");
        assert_eq!(found, [0x55d0_a7a0_0000..0x55d0_a800_0000, 0x55d0_a800_0000..0x55d0_a900_0000]);
        assert!(of_program(MAPPINGS, "/bin/ignite").is_empty());
        assert!(of_program("", "/bin/ignite").is_empty());
        assert!(of_program("nonsense\n-\n1-2 r-xp\n", "").is_empty());
    }

    /// Bytes of the program's code that are mapped, by the program's own account.
    fn code_bytes() -> u64 {
        let program = fs::read_link("/proc/self/exe").unwrap();
        let all = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = all.lines();
        lines.find(|line| line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap())).unwrap();
        let resident = lines.find(|line| line.starts_with("Rss:")).unwrap();
        resident.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    #[test]
    fn a_program_goes_on_after_its_code_was_unmapped() {
        // All of it is touched first.
        let program = fs::read("/proc/self/exe").unwrap();
        assert_ne!(program, b"");
        let before = code_bytes();
        unmap_program().unwrap();
        let after = code_bytes();
        assert!(after < before, "{before} bytes before, {after} after");
        assert_eq!(of_program(MAPPINGS, "/lib/libc.so.6").len(), 1);
    }
}
