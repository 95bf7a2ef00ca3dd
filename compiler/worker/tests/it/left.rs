//! What a compile may have left on this machine.

use std::fs;
use std::path::Path;

/// Tests with real compiles run when `IGNITE_SLOW=1` is set, as CI does.
pub(crate) fn slow() -> bool {
    let slow = std::env::var_os("IGNITE_SLOW").is_some_and(|value| value == "1");
    if !slow {
        eprintln!("skipped: set IGNITE_SLOW=1 to run tests with compilers");
    }
    slow
}

/// Files of each folder that must be empty once nothing is compiled, and files that were about to replace others.
pub(crate) fn files(cache: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for folder in ["fresh", "source"] {
        let entries = fs::read_dir(cache.join("compile").join(folder)).into_iter().flatten().flatten();
        left.extend(entries.map(|entry| entry.path().display().to_string()));
    }
    parts(&cache.join("compile"), 2, &mut left);
    left
}

fn parts(folder: &Path, depth: u32, left: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".ignite-part-") {
            left.push(entry.path().display().to_string());
        }
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            parts(&entry.path(), depth - 1, left);
        }
    }
}

/// Processes that run in a folder, have it mounted, or name it; this one aside.
pub(crate) fn processes(of: &Path) -> Vec<String> {
    let own = std::process::id().to_string();
    let of = of.to_str().unwrap();
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let has = |bytes: &[u8]| bytes.windows(of.len()).any(|part| part == of.as_bytes());
        let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if cwd.starts_with(of) || ["cmdline", "environ", "mountinfo"].iter().any(|file| has(&read(file))) {
            left.push(format!("{name}: {}", String::from_utf8_lossy(&read("cmdline")).replace('\0', " ")));
        }
    }
    left
}

/// Mounts of this machine that lead to a folder.
pub(crate) fn mounts(of: &Path) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().filter(|line| line.contains(of.to_str().unwrap())).map(str::to_owned).collect()
}

/// Control groups of a compiler with this process number.
pub(crate) fn groups(pid: u32) -> Vec<String> {
    let mut left = Vec::new();
    find(Path::new("/sys/fs/cgroup"), &format!("ignite-{pid}-"), 6, &mut left);
    left
}

fn find(folder: &Path, prefix: &str, depth: u32, left: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            left.push(entry.path().display().to_string());
        } else if depth > 0 {
            find(&entry.path(), prefix, depth - 1, left);
        }
    }
}
