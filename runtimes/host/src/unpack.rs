//! An artifact becomes a folder.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ignite_core_artifact::{FileEntry, Manifest, ReadArtifact, ReadError, ReadLimits, Sink, read};

/// Bytes written at once: a start waits for each of these calls.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// Unpacks `input` into the folder `dir`, which must be new and empty.
///
/// # Errors
/// As [`read`]. What was written until then stays behind in `dir` and must not be used.
pub fn unpack(input: &mut dyn Read, limits: &ReadLimits, dir: &Path) -> Result<ReadArtifact, ReadError> {
    read(input, limits, &mut Folder(dir.to_owned()))
}

struct Folder(PathBuf);

impl Sink for Folder {
    fn begin(&mut self, _manifest: &Manifest) -> io::Result<()> {
        Ok(())
    }

    /// The reader has checked the path: relative, without `..`, and no two alike. `create_new` refuses to follow anything
    /// that should not be there.
    fn file(&mut self, file: &FileEntry, content: &mut dyn Read) -> io::Result<()> {
        let path = self.0.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let capacity = usize::try_from(file.size).unwrap_or(WRITE_BYTES_MAX).clamp(1, WRITE_BYTES_MAX);
        let mut out = BufWriter::with_capacity(capacity, out);
        io::copy(content, &mut out)?;
        let out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        // After the content, and whatever the umask is: a program must not be run while it is written.
        out.set_permissions(fs::Permissions::from_mode(file.mode))
    }
}
