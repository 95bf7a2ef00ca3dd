//! One folder on a disk.

use std::io::{self, Read, Write};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use ignite_core_source::{Folder, Item, ItemKind, Sink, SourceEntry};

/// Bytes that are copied before a cancel is looked for.
const CHUNK_BYTES: usize = 256 * 1024;

/// A folder that is read.
pub(super) struct OnDisk(Dir);

impl OnDisk {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Dir::open_ambient_dir(path, ambient_authority()).map(Self)
    }

    fn kind(&self, path: &Path, metadata: &Metadata) -> io::Result<ItemKind> {
        Ok(if metadata.is_symlink() {
            // As it is written: it may lead out, which is for others to judge.
            let target = self.0.read_link_contents(path)?;
            ItemKind::Link { target: target.into_os_string().into_encoded_bytes() }
        } else if metadata.is_dir() {
            ItemKind::Folder
        } else if metadata.is_file() {
            ItemKind::File { size: metadata.len(), executable: metadata.mode() & 0o100 != 0 }
        } else {
            ItemKind::Other
        })
    }
}

/// The root is the empty path here and `.` to the system.
fn or_root(path: &str) -> &Path {
    Path::new(if path.is_empty() { "." } else { path })
}

impl Folder for OnDisk {
    fn list(&self, folder: &str) -> io::Result<Vec<Item>> {
        let mut items = Vec::new();
        for entry in self.0.read_dir(or_root(folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let kind = self.kind(&or_root(folder).join(&name), &entry.metadata()?)?;
            items.push(Item { name: name.into_encoded_bytes(), kind });
        }
        Ok(items)
    }

    fn find(&self, path: &str) -> io::Result<Option<ItemKind>> {
        match self.0.symlink_metadata(or_root(path)) {
            Ok(metadata) => self.kind(or_root(path), &metadata).map(Some),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0.open(path)?))
    }
}

/// A new folder that is filled.
pub(super) struct Filling<'a> {
    dir: Dir,
    /// The folder that was made last.
    made: String,
    stop: &'a dyn Fn() -> io::Result<()>,
}

impl<'a> Filling<'a> {
    /// `stop` fails when no more is to be written.
    pub(super) fn open(path: &Path, stop: &'a dyn Fn() -> io::Result<()>) -> io::Result<Self> {
        Ok(Self { dir: Dir::open_ambient_dir(path, ambient_authority())?, made: String::new(), stop })
    }

    fn write(&mut self, file: &SourceEntry, content: &mut dyn Read) -> io::Result<()> {
        if let Some((folder, _)) = file.path.rsplit_once('/')
            && folder != self.made
        {
            self.dir.create_dir_all(folder)?;
            folder.clone_into(&mut self.made);
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(if file.executable { 0o755 } else { 0o644 });
        let mut out = self.dir.open_with(&file.path, &options)?;
        let mut chunk = vec![0; usize::try_from(file.size).unwrap_or(CHUNK_BYTES).clamp(1, CHUNK_BYTES)];
        loop {
            (self.stop)()?;
            match content.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(read) => out.write_all(&chunk[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Sink for Filling<'_> {
    fn file(&mut self, file: &SourceEntry, content: &mut dyn Read) -> io::Result<()> {
        self.write(file, content)
    }

    fn copy(&mut self, from: &str, file: &SourceEntry) -> io::Result<()> {
        let mut content = self.dir.open(from)?;
        self.write(file, &mut content)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Whatever the checks of names let through, and whatever else lies in the folder.
    #[test]
    fn the_system_itself_keeps_every_path_below_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        fs::write(dir.path().join("guarded"), "as it was").unwrap();
        symlink("..", into.join("up")).unwrap();
        symlink(dir.path(), into.join("absolute")).unwrap();
        symlink("../guarded", into.join("file")).unwrap();
        let stop = || Ok(());
        let mut filling = Filling::open(&into, &stop).unwrap();
        let outside = dir.path().join("evil").to_string_lossy().into_owned();
        for path in ["../evil", "a/../../evil", "up/evil", "absolute/evil", "up/guarded", "file", &outside] {
            let entry = SourceEntry { path: path.to_owned(), size: 1, executable: false };
            filling.file(&entry, &mut &b"x"[..]).unwrap_err();
            let copied = SourceEntry { path: "copy".to_owned(), size: 1, executable: false };
            filling.copy(path, &copied).unwrap_err();
        }
        assert_eq!(fs::read_to_string(dir.path().join("guarded")).unwrap(), "as it was");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing was written beside");
    }

    #[test]
    fn a_folder_is_listed_as_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), "text").unwrap();
        symlink("/etc/passwd", dir.path().join("link")).unwrap();
        let folder = OnDisk::open(dir.path()).unwrap();
        assert_eq!(folder.list("sub").unwrap().len(), 1);
        assert_eq!(folder.find("sub/file").unwrap(), Some(ItemKind::File { size: 4, executable: false }));
        assert_eq!(folder.find("link").unwrap(), Some(ItemKind::Link { target: b"/etc/passwd".to_vec() }));
        assert_eq!(folder.find("sub/none").unwrap(), None);
        assert_eq!(folder.find("sub/file/below").unwrap(), None);
        assert!(folder.open("link").is_err(), "it leads out");
        assert!(folder.find("../x").is_err());
    }
}
