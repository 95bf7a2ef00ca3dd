//! The Python worker that this crate carries, and where it is unpacked.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ignite_core_model::Digest;

/// Every module: its path within the package `ignite`, and its text.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/python_worker.rs"));

/// The package's name, and so the name of its folder.
const PACKAGE: &str = "ignite";

/// Unpacks the Python worker below `cache`, unless the same one is there already, and returns the folder that contains
/// the package: what [`crate::ProcessRuntime::Python`] asks for.
///
/// The folder is named by the worker's digest, so that versions live side by side, and is written at once or not at all.
/// Python keeps its byte code in it, which makes every start but the first faster.
///
/// # Errors
/// When it cannot be written, or what is there belongs to somebody else or is not this worker: it would run as the app.
pub fn install_python_worker(cache: &Path) -> io::Result<PathBuf> {
    let parent = cache.join("python-worker");
    DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
    let folder = parent.join(&digest().to_hex()[..16]);
    if !folder.exists() {
        let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&parent)?;
        write(&new.path().join(PACKAGE))?;
        let new = new.keep();
        if let Err(error) = fs::rename(&new, &folder) {
            // Another host may have been faster; what it wrote is checked below like any other.
            let _ = fs::remove_dir_all(&new);
            if !folder.exists() {
                return Err(error);
            }
        }
    }
    check(&folder)?;
    Ok(folder)
}

fn digest() -> Digest {
    let mut all = Vec::new();
    for (name, text) in FILES {
        all.extend_from_slice(name.as_bytes());
        all.push(0);
        all.extend_from_slice(&text.len().to_le_bytes());
        all.extend_from_slice(text);
    }
    Digest::of(&all)
}

fn write(package: &Path) -> io::Result<()> {
    for (name, text) in FILES {
        let path = package.join(name);
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?.write_all(text)?;
    }
    Ok(())
}

fn check(folder: &Path) -> io::Result<()> {
    let refuse = |what: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return refuse(format!("`{}` is not a folder that only this user can write", folder.display()));
    }
    for (name, text) in FILES {
        if fs::read(folder.join(PACKAGE).join(name))? != *text {
            return refuse(format!("`{}` was changed; remove it", folder.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_unpacked_once_and_checked_each_time() {
        let cache = tempfile::tempdir().unwrap();
        let folder = install_python_worker(cache.path()).unwrap();
        let entry = folder.join("ignite/_main.py");
        let written = fs::metadata(&entry).unwrap().ino();
        assert_eq!(install_python_worker(cache.path()).unwrap(), folder);
        assert_eq!(fs::metadata(&entry).unwrap().ino(), written);

        fs::write(&entry, "import evil").unwrap();
        assert!(install_python_worker(cache.path()).unwrap_err().to_string().contains("was changed"));
        fs::remove_dir_all(&folder).unwrap();
        install_python_worker(cache.path()).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(install_python_worker(cache.path()).is_err());
    }
}
