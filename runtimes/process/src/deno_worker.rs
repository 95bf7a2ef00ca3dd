//! The warm Deno worker that this crate carries, and where it is laid down.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ignite_core_model::Digest;

/// Waits for an app and imports it.
const WARM: &str = include_str!("../../deno/warm.js");

/// Writes the warm worker below `cache`, Deno's own cache folder, unless it is there already, and returns its path. It is
/// named by its digest, and its content is looked at each time.
///
/// # Errors
/// When it cannot be written, or the folder may be written by others.
pub(crate) fn install_warm_worker(cache: &Path) -> io::Result<PathBuf> {
    let folder = cache.join("ignite-worker");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let metadata = fs::symlink_metadata(&folder)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        let what = format!("`{}` is not a folder that only this user can write", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    let path = folder.join(format!("{}.js", &Digest::of(WARM.as_bytes()).to_hex()[..16]));
    if fs::read(&path).is_ok_and(|found| found == WARM.as_bytes()) {
        return Ok(path);
    }
    let mut new = tempfile::NamedTempFile::new_in(&folder)?;
    new.write_all(WARM.as_bytes())?;
    new.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn it_is_written_once_and_mended_where_it_was_changed() {
        let cache = tempfile::tempdir().unwrap();
        let path = install_warm_worker(cache.path()).unwrap();
        let written = fs::metadata(&path).unwrap().ino();
        assert_eq!(install_warm_worker(cache.path()).unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().ino(), written);
        fs::write(&path, "evil()").unwrap();
        assert_eq!(install_warm_worker(cache.path()).unwrap(), path);
        assert_eq!(fs::read_to_string(&path).unwrap(), WARM);
    }
}
