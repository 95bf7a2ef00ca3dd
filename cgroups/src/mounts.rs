//! Lines of `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A mounted hierarchy of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The group that is seen at the mount point.
    root: PathBuf,
    /// The mount point.
    pub(crate) point: PathBuf,
    /// `cgroup` or `cgroup2`.
    kind: String,
    /// Of the file system: in v1 the names of its controllers are among them.
    options: String,
}

impl Mount {
    /// Every hierarchy in this text.
    pub(crate) fn all(text: &str) -> impl Iterator<Item = Self> {
        text.lines().filter_map(Self::parse).filter(|mount| mount.kind.starts_with("cgroup"))
    }

    /// Whether it is the one hierarchy of v2.
    pub(crate) fn is_unified(&self) -> bool {
        self.kind == "cgroup2"
    }

    /// Whether it is a hierarchy of v1 with this controller.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.kind == "cgroup" && self.options.split(',').any(|option| option == controller)
    }

    /// Where a group is seen, by its path in `/proc/self/cgroup`.
    pub(crate) fn folder_of(&self, group: &str) -> PathBuf {
        let group = Path::new(group);
        // A container that sees its own part of the hierarchy as a whole.
        let below = group.strip_prefix(&self.root).or_else(|_| group.strip_prefix("/")).unwrap_or(group);
        match below.as_os_str().is_empty() {
            true => self.point.clone(),
            false => self.point.join(below),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let mut after = after.split(' ');
        let (root, point) = (unescaped(before.next()?), unescaped(before.next()?));
        Some(Self { root, point, kind: after.next()?.to_owned(), options: after.nth(1)?.to_owned() })
    }
}

/// The kernel writes blanks, tabs, line feeds and backslashes as a backslash and three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| *byte == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 4 } else { 1 };
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn mount(line: &str) -> Mount {
        Mount::all(line).next().unwrap()
    }

    #[test]
    fn hierarchies_are_told_apart() {
        let both = mount("33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct");
        assert!(both.has("cpu") && both.has("cpuacct") && !both.has("cpuset") && !both.is_unified());
        let unified = mount("41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate");
        assert!(unified.is_unified() && !unified.has("nsdelegate"));
        assert_eq!(Mount::all("22 1 0:20 / /proc rw - proc proc rw\nnonsense\n\n- - -").count(), 0);
    }

    #[test]
    fn a_group_is_found_below_the_mount_point() {
        let whole = mount("41 31 0:38 / /at rw - cgroup2 cgroup2 rw");
        assert_eq!(whole.folder_of("/"), Path::new("/at"));
        assert_eq!(whole.folder_of("/a/b"), Path::new("/at/a/b"));
        let part = mount("41 31 0:38 /box /at rw - cgroup2 cgroup2 rw");
        assert_eq!(part.folder_of("/box"), Path::new("/at"));
        assert_eq!(part.folder_of("/box/c"), Path::new("/at/c"));
        // Another group whose name only begins alike.
        assert_eq!(part.folder_of("/boxes"), Path::new("/at/boxes"));
    }

    #[test]
    fn names_with_blanks_are_read() {
        let odd = mount(r"41 31 0:38 / /my\040groups\134x rw - cgroup2 cgroup2 rw");
        assert_eq!(odd.point, Path::new(r"/my groups\x"));
        assert_eq!(unescaped(r"a\04"), Path::new(r"a\04"));
        assert_eq!(unescaped(r"a\777"), Path::new(r"a\777"));
    }
}
