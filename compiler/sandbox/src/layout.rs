//! What the file system of a sandbox looks like: which mounts it has, and how its root is built. Reads, changes nothing.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::child::Op;
use crate::step::{Access, Phase, Sandbox, StepError, StepLimits, ToolRoot};
use crate::sys::{NODEV, NOEXEC, NOSUID, RDONLY};

/// Where programs and libraries are.
const TOP: [&str; 9] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix/store", "gnu/store"];
/// What of `/etc` a tool needs to find programs, libraries and certificates.
const ETC: [&str; 12] = [
    "alternatives",
    "ca-certificates.conf",
    "ca-certificates/extracted",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "pki/tls/cert.pem",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
];
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Largest file of `/etc` that is copied, in bytes.
const ETC_BYTES_MAX: u64 = 1024 * 1024;
/// The user inside.
pub(crate) const USER: u32 = 1000;

/// A mount to make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) from: PathBuf,
    pub(crate) attributes: u64,
    /// Whether it belongs to the user who compiles, and so to the step.
    pub(crate) mapped: bool,
}

/// The mounts and how the root is built from them.
#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) mounts: Vec<Wanted>,
    pub(crate) ops: Vec<Op>,
    folders: BTreeSet<PathBuf>,
    /// Where something is mounted already: folders below are there or are not to be made.
    covered: Vec<PathBuf>,
}

impl Layout {
    /// # Errors
    /// When a mount of the step does not exist, or a path cannot be handed to the kernel.
    pub(crate) fn new(sandbox: &Sandbox, limits: &StepLimits) -> Result<Self, StepError> {
        let mut layout = Self::default();
        let root = match &sandbox.root {
            ToolRoot::Machine => Path::new("/"),
            ToolRoot::Image(root) => root,
        };
        for name in TOP {
            layout.tool(root, name)?;
        }
        layout.etc(root, sandbox.phase)?;
        layout.devices()?;
        // What was fetched is not run before the network is gone, from wherever it lies.
        let runs = sandbox.phase == Phase::Build;
        layout.memory("dev/shm", "size=64m,nr_inodes=4096,mode=1777", runs)?;
        layout.memory("tmp", &format!("size={},nr_inodes=262144,mode=1777", limits.tmp_bytes_max), runs)?;
        layout.link("var/tmp", Path::new("/tmp"))?;
        layout.folder(Path::new("proc"))?;
        layout.ops.push(Op::Processes(c_path(Path::new("proc"))?));
        layout.own(sandbox)?;
        Ok(layout)
    }

    /// A folder or link of the root that programs are in.
    fn tool(&mut self, root: &Path, name: &str) -> Result<(), StepError> {
        let from = root.join(name);
        let Ok(metadata) = from.symlink_metadata() else { return Ok(()) };
        if metadata.is_symlink() {
            let to = fs::read_link(&from).unwrap_or_default();
            return self.link(name, &to);
        }
        self.mount(from, Path::new(name), RDONLY | NOSUID | NODEV, false)
    }

    fn etc(&mut self, root: &Path, phase: Phase) -> Result<(), StepError> {
        for name in ETC {
            let (from, at) = (root.join("etc").join(name), Path::new("etc").join(name));
            match fs::metadata(&from) {
                Ok(metadata) if metadata.is_dir() => self.mount(from, &at, RDONLY | NOSUID | NODEV, false)?,
                Ok(metadata) if metadata.is_file() && metadata.len() <= ETC_BYTES_MAX => {
                    let content = fs::read(&from).unwrap_or_default();
                    self.file(&at, content)?;
                }
                _ => {}
            }
        }
        let users = "root:x:0:0:root:/:/bin/false\nignite:x:1000:1000:ignite:/tmp:/bin/sh\n\
                     nobody:x:65534:65534:nobody:/:/bin/false\n";
        self.file(Path::new("etc/passwd"), users)?;
        self.file(Path::new("etc/group"), "root:x:0:\nignite:x:1000:\nnogroup:x:65534:\n")?;
        let order =
            "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n";
        self.file(Path::new("etc/nsswitch.conf"), order)?;
        let of_machine = |name: &str| {
            let fits = fs::metadata(name).is_ok_and(|metadata| metadata.len() <= ETC_BYTES_MAX);
            fits.then(|| fs::read(name).ok()).flatten()
        };
        let localhost = || b"127.0.0.1 localhost\n::1 localhost\n".to_vec();
        match phase {
            Phase::Build => self.file(Path::new("etc/hosts"), localhost()),
            Phase::Fetch => {
                self.file(Path::new("etc/hosts"), of_machine("/etc/hosts").unwrap_or_else(localhost))?;
                self.file(Path::new("etc/resolv.conf"), of_machine("/etc/resolv.conf").unwrap_or_default())
            }
        }
    }

    fn devices(&mut self) -> Result<(), StepError> {
        for name in DEVICES {
            let at = Path::new("dev").join(name);
            self.file(&at, "")?;
            self.attach(Path::new("/dev").join(name), &at, NOSUID | NOEXEC, false)?;
        }
        self.link("dev/fd", Path::new("/proc/self/fd"))?;
        for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
            self.link(&format!("dev/{name}"), Path::new(&format!("/proc/self/fd/{number}")))?;
        }
        Ok(())
    }

    /// The mounts the step asks for, the shallow ones first.
    fn own(&mut self, sandbox: &Sandbox) -> Result<(), StepError> {
        let mut mounts: Vec<_> = sandbox.mounts.iter().collect();
        mounts.sort_by(|a, b| a.inside.cmp(&b.inside));
        for mount in mounts {
            let at: PathBuf = mount.inside.components().filter(|part| matches!(part, Component::Normal(_))).collect();
            let seen = sandbox.root == ToolRoot::Machine
                && mount.source == mount.inside
                && TOP.iter().any(|top| at.starts_with(top));
            if seen && mount.access == Access::ReadOnly {
                continue;
            }
            let from = mount.source.canonicalize().map_err(|cause| StepError::Sandbox {
                what: format!("there is no {} to mount", mount.source.display()),
                cause,
            })?;
            let attributes = match (mount.access, sandbox.phase) {
                (Access::ReadOnly, _) => RDONLY | NOSUID | NODEV,
                (Access::Inert, _) => RDONLY | NOSUID | NODEV | NOEXEC,
                (Access::ReadWrite, Phase::Build) => NOSUID | NODEV,
                (Access::ReadWrite, Phase::Fetch) => NOSUID | NODEV | NOEXEC,
            };
            self.mount(from, &at, attributes, true)?;
        }
        Ok(())
    }

    fn mount(&mut self, from: PathBuf, at: &Path, attributes: u64, mapped: bool) -> Result<(), StepError> {
        if !self.is_covered(at) {
            if from.is_dir() {
                self.folder(at)?;
            } else {
                self.file(at, "")?;
            }
        }
        self.attach(from, at, attributes, mapped)
    }

    fn attach(&mut self, from: PathBuf, at: &Path, attributes: u64, mapped: bool) -> Result<(), StepError> {
        self.ops.push(Op::Mount(c_path(at)?, self.mounts.len()));
        self.mounts.push(Wanted { from, attributes, mapped });
        self.covered.push(at.to_owned());
        Ok(())
    }

    fn memory(&mut self, at: &str, options: &str, executable: bool) -> Result<(), StepError> {
        self.folder(Path::new(at))?;
        self.ops.push(Op::Memory(c_path(Path::new(at))?, c_text(options.into())?, executable));
        Ok(())
    }

    fn link(&mut self, at: &str, to: &Path) -> Result<(), StepError> {
        self.parent(Path::new(at))?;
        self.ops.push(Op::Link(c_path(Path::new(at))?, c_path(to)?));
        Ok(())
    }

    fn file(&mut self, at: &Path, content: impl Into<Vec<u8>>) -> Result<(), StepError> {
        self.parent(at)?;
        self.ops.push(Op::File(c_path(at)?, content.into()));
        Ok(())
    }

    fn parent(&mut self, at: &Path) -> Result<(), StepError> {
        at.parent().map_or(Ok(()), |parent| self.folder(parent))
    }

    /// Makes a folder and those above it.
    fn folder(&mut self, at: &Path) -> Result<(), StepError> {
        if at.as_os_str().is_empty() || self.folders.contains(at) || self.is_covered(at) {
            return Ok(());
        }
        self.parent(at)?;
        self.ops.push(Op::Folder(c_path(at)?));
        self.folders.insert(at.to_owned());
        Ok(())
    }

    fn is_covered(&self, at: &Path) -> bool {
        self.covered.iter().any(|covered| at.starts_with(covered))
    }
}

/// A path for the kernel.
pub(crate) fn c_path(path: &Path) -> Result<CString, StepError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| StepError::ZeroByte(path.as_os_str().to_owned()))
}

/// A text for the kernel.
pub(crate) fn c_text(text: std::ffi::OsString) -> Result<CString, StepError> {
    CString::new(text.as_bytes()).map_err(|_| StepError::ZeroByte(text))
}
