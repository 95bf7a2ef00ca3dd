//! Apps that were unpacked and verified before, by the digest of their artifact.
//!
//! Unpacking is the longest part of a start: a program of four megabytes takes nine milliseconds to decompress, hash and
//! write, and a tenth of one to link. A host never runs an app where it is kept. It makes folders of its own and links the
//! files, which nobody may write to, so what an app leaves behind in its folder is gone with its host.
//!
//! Nothing is synced to disk: an entry carries the size and time of each file and the boot it was made in. One of an
//! earlier boot is hashed once before it is used, so what a power cut left half-written is never run.

use std::fs::{self, DirBuilder, File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ignite_core_artifact::{Manifest, ReadArtifact};
use ignite_core_model::Digest;
use serde::{Deserialize, Serialize};

/// The form of an entry; another one is not read.
const FORM: u32 = 1;
/// Entries kept; the ones used longest ago are removed when there are more.
const APPS_MAX: usize = 64;
/// Bytes of all entries together.
const APPS_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Bytes of one entry; a longer app is unpacked at each start.
const APP_BYTES_MAX: u64 = APPS_BYTES_MAX / 4;
/// Longest index that is read, in bytes.
const INDEX_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Artifact files whose digest is remembered.
const FILES_MAX: usize = 512;
/// A file that was changed this shortly before could be changed again without its times telling.
const SETTLED: Duration = Duration::from_millis(50);

/// An entry that is not finished after this long never will be.
const LEFT_BEHIND: Duration = Duration::from_secs(60 * 60);

/// The files of an entry.
const CONTENT: &str = "content";
/// What an entry says about itself; written last.
const INDEX: &str = "index.json";
/// Digests of artifact files, by the files' identities.
const BY_FILE: &str = "by-file";

/// A folder of apps.
#[derive(Debug, Clone)]
pub(crate) struct Apps(PathBuf);

/// An app in a folder of its own.
pub(crate) struct Kept {
    pub(crate) manifest: Manifest,
}

#[derive(Clone, Serialize, Deserialize)]
struct Index {
    form: u32,
    /// The boot in which the content was last known to be what it should be.
    boot: String,
    manifest: Manifest,
    /// Of each file of the manifest, in its order.
    files: Vec<Stamp>,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    inode: u64,
    changed_s: i64,
    changed_ns: i64,
    mode: u32,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self {
            bytes: metadata.len(),
            inode: metadata.ino(),
            changed_s: metadata.mtime(),
            changed_ns: metadata.mtime_nsec(),
            mode: metadata.mode(),
        })
    }
}

impl Apps {
    /// The folder `dir`, made when it is absent; `None` where it cannot be used, and then nothing is kept.
    pub(crate) fn open(dir: &Path) -> Option<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir.join(BY_FILE)).ok()?;
        let metadata = fs::symlink_metadata(dir).ok()?;
        let mine = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
        (metadata.is_dir() && mine).then(|| Self(dir.to_owned()))
    }

    /// Lays the app with the digest `digest` out in the empty folder `to`, if it is kept here and whole.
    pub(crate) fn find(&self, digest: &Digest, to: &Path) -> Option<Kept> {
        let entry = self.entry(digest);
        let index_file = File::open(entry.join(INDEX)).ok()?;
        let index = (index_file.metadata().ok()?.len() <= INDEX_BYTES_MAX)
            .then(|| serde_json::from_reader(io::BufReader::new(&index_file)));
        let index: Index = index?.ok().filter(|index: &Index| index.form == FORM)?;
        if let Err(_unusable) = self.lay_out(&entry, &index, to) {
            // Whatever is wrong with it, it is made anew.
            let _ = remove(&entry);
            let _ = fs::remove_dir_all(to).and_then(|()| fs::create_dir(to));
            return None;
        }
        // What was used last goes last.
        let _ = index_file.set_times(FileTimes::new().set_modified(SystemTime::now()));
        Some(Kept { manifest: index.manifest })
    }

    fn lay_out(&self, entry: &Path, index: &Index, to: &Path) -> io::Result<()> {
        let content = entry.join(CONTENT);
        if index.files.len() != index.manifest.files.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let boot = boot();
        let earlier_boot = boot.is_empty() || index.boot != boot;
        let mut last_parent = to.to_owned();
        for (file, stamp) in index.manifest.files.iter().zip(&index.files) {
            let kept = content.join(&file.path);
            if Stamp::of(&kept)? != *stamp || stamp.bytes != file.size {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if earlier_boot && Digest::of(&fs::read(&kept)?) != file.sha256 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let own = to.join(&file.path);
            if let Some(parent) = own.parent().filter(|parent| *parent != last_parent) {
                fs::create_dir_all(parent)?;
                last_parent = parent.to_owned();
            }
            if fs::hard_link(&kept, &own).is_err() {
                // Another file system, or one without links.
                fs::copy(&kept, &own)?;
            }
        }
        if earlier_boot {
            write_index(entry, &Index { boot, ..index.clone() })?;
        }
        Ok(())
    }

    /// A new folder to unpack into, for [`Apps::keep`].
    pub(crate) fn begin(&self) -> io::Result<tempfile::TempDir> {
        let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.0)?;
        fs::create_dir(new.path().join(CONTENT))?;
        Ok(new)
    }

    /// Where in a folder of [`Apps::begin`] the app is unpacked to.
    pub(crate) fn content(new: &Path) -> PathBuf {
        new.join(CONTENT)
    }

    /// Keeps what was unpacked into `new`, and verified, as the artifact that `read` tells of.
    pub(crate) fn keep(&self, new: tempfile::TempDir, read: &ReadArtifact) -> io::Result<()> {
        if read.manifest.unpacked_bytes() > APP_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let content = new.path().join(CONTENT);
        let mut files = Vec::with_capacity(read.manifest.files.len());
        for file in &read.manifest.files {
            let path = content.join(&file.path);
            fs::set_permissions(&path, fs::Permissions::from_mode(file.mode & !0o222))?;
            files.push(Stamp::of(&path)?);
        }
        write_index(new.path(), &Index { form: FORM, boot: boot(), manifest: read.manifest.clone(), files })?;
        let entry = self.entry(&read.digest);
        let new = new.keep();
        if let Err(error) = fs::rename(&new, &entry) {
            // Another host was faster: its entry is as good.
            let _ = remove(&new);
            if !entry.join(INDEX).exists() {
                return Err(error);
            }
        }
        self.remove_oldest(&entry);
        Ok(())
    }

    /// The digest of the artifact file, where this very file was read before.
    pub(crate) fn digest_of(&self, file: &File) -> Option<Digest> {
        fs::read_to_string(self.memo(&file.metadata().ok()?)).ok()?.parse().ok()
    }

    /// Remembers the digest of an artifact file.
    pub(crate) fn remember(&self, file: &File, digest: &Digest) {
        let Ok(metadata) = file.metadata() else { return };
        let changed =
            Duration::new(metadata.ctime().try_into().unwrap_or(0), metadata.ctime_nsec().try_into().unwrap_or(0));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if now.saturating_sub(changed) >= SETTLED {
            // Only a memo: where it cannot be kept, the next start reads the file.
            let _ = fs::write(self.memo(&metadata), digest.to_string());
        }
    }

    fn memo(&self, metadata: &Metadata) -> PathBuf {
        let identity = format!(
            "{}:{}:{}:{}.{}:{}.{}:{}",
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            boot(),
        );
        self.0.join(BY_FILE).join(&Digest::of(identity.as_bytes()).to_hex()[..32])
    }

    fn entry(&self, digest: &Digest) -> PathBuf {
        self.0.join(digest.to_hex())
    }

    /// Removes what was used longest ago beyond the bounds, never `keep`. Hosts that run it have links of their own.
    fn remove_oldest(&self, keep: &Path) {
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = list(&self.0)
            .filter(|path| path != keep && path.join(INDEX).exists())
            .filter_map(|path| {
                let index = fs::metadata(path.join(INDEX)).ok()?;
                let index_text = fs::read(path.join(INDEX)).ok()?;
                let bytes =
                    serde_json::from_slice::<Index>(&index_text).map_or(0, |index| index.manifest.unpacked_bytes());
                Some((index.modified().ok()?, bytes, path))
            })
            .collect();
        entries.sort();
        let mut bytes: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        let mut count = entries.len() + 1;
        for (_, entry_bytes, path) in entries {
            if count <= APPS_MAX && bytes <= APPS_BYTES_MAX - APP_BYTES_MAX {
                break;
            }
            let _ = remove(&path);
            count -= 1;
            bytes -= entry_bytes;
        }
        // What hosts that were killed have left half-made.
        for path in list(&self.0).filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.'))
        {
            let old = fs::metadata(&path)
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > LEFT_BEHIND));
            if old {
                let _ = fs::remove_dir_all(&path);
            }
        }
        let mut memos: Vec<(SystemTime, PathBuf)> = list(&self.0.join(BY_FILE))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        memos.sort();
        for (_, path) in memos.iter().take(memos.len().saturating_sub(FILES_MAX)) {
            let _ = fs::remove_file(path);
        }
    }
}

fn list(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Takes an entry away at once, so that nobody finds half of it, and then piece by piece.
fn remove(entry: &Path) -> io::Result<()> {
    let gone = tempfile::Builder::new().prefix(".gone-").tempdir_in(entry.parent().unwrap_or(entry))?;
    fs::rename(entry, gone.path().join("entry"))?;
    gone.close()
}

fn write_index(entry: &Path, index: &Index) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(entry)?;
    serde_json::to_writer(io::BufWriter::new(&mut file), index)?;
    file.persist(entry.join(INDEX)).map_err(|error| error.error)?;
    Ok(())
}

/// Names the running boot of this machine; empty where the system does not tell, and then all content is hashed.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
#[path = "apps/tests.rs"]
mod tests;
