#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::Read;

use ignite_core_artifact::{FileEntry, MODE_FILE, MODE_PROGRAM};
use ignite_core_model::{ArtifactKind, Runtime, Target};

use super::*;

const FILES: [(&str, u32, &[u8]); 3] =
    [("a/b/deep.txt", MODE_FILE, b"deep"), ("app", MODE_PROGRAM, b"#!/bin/sh\n"), ("empty", MODE_FILE, b"")];

fn artifact(mark: &str) -> ReadArtifact {
    let mut files: Vec<FileEntry> = FILES
        .iter()
        .map(|(path, mode, content)| FileEntry {
            path: (*path).to_owned(),
            size: content.len() as u64,
            mode: *mode,
            sha256: Digest::of(content),
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let head = ignite_core_artifact::ManifestHead {
        runtime: Runtime::Go,
        target: Target::Native,
        kind: ArtifactKind::Binary,
        entrypoint: "app".to_owned(),
        abi: 1,
        name: None,
        toolchain: std::collections::BTreeMap::new(),
        source: Digest::of(mark.as_bytes()),
        limits: ignite_core_artifact::DeclaredLimits::default(),
        env: Vec::new(),
        dependencies: Vec::new(),
    };
    ReadArtifact { manifest: Manifest::new(head, files), digest: Digest::of(mark.as_bytes()), bytes: 0 }
}

struct Folder {
    dir: tempfile::TempDir,
    apps: Apps,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let apps = Apps::open(&dir.path().join("apps")).unwrap();
        Self { dir, apps }
    }

    fn keep(&self, mark: &str) -> ReadArtifact {
        let read = artifact(mark);
        let new = self.apps.begin().unwrap();
        for (path, mode, content) in FILES {
            let path = Apps::content(new.path()).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        self.apps.keep(new, &read).unwrap();
        read
    }

    fn find(&self, mark: &str) -> Option<PathBuf> {
        let to = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        self.apps.find(&Digest::of(mark.as_bytes()), &to).map(|_| to)
    }

    fn kept(&self, mark: &str, path: &str) -> PathBuf {
        self.apps.entry(&Digest::of(mark.as_bytes())).join(CONTENT).join(path)
    }
}

#[test]
fn what_was_kept_is_laid_out_with_its_modes_and_cannot_be_written() {
    let folder = Folder::new();
    assert!(folder.find("one").is_none());
    folder.keep("one");
    let (first, second) = (folder.find("one").unwrap(), folder.find("one").unwrap());
    for (path, mode, content) in FILES {
        for own in [&first, &second] {
            assert_eq!(fs::read(own.join(path)).unwrap(), content);
            assert_eq!(fs::metadata(own.join(path)).unwrap().mode() & 0o777, mode & !0o222);
        }
    }
    // What one host's app adds to its folder is not in another's.
    fs::write(first.join("a/b/new"), "x").unwrap();
    assert!(!second.join("a/b/new").exists());
    assert!(!folder.find("one").unwrap().join("a/b/new").exists());
}

#[test]
fn what_was_changed_is_not_used_again() {
    type Change = fn(&Path);
    let changes: [Change; 4] = [
        |path| fs::write(path, "DEEP").unwrap(),
        |path| fs::remove_file(path).unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/etc/hosts", path).unwrap();
        },
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let folder = Folder::new();
        folder.keep("one");
        let file = folder.kept("one", "a/b/deep.txt");
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        let _ = fs::set_permissions(&file, fs::Permissions::from_mode(0o644));
        change(&file);
        if let Ok(file) = File::options().write(true).open(&file)
            && index == 0
        {
            file.set_times(FileTimes::new().set_modified(before + Duration::from_nanos(1))).unwrap();
        }
        assert!(folder.find("one").is_none(), "change {index}");
        assert!(!folder.apps.entry(&Digest::of(b"one")).exists(), "change {index}: it goes");
        folder.keep("one");
        assert!(folder.find("one").is_some(), "change {index}: it can be kept again");
    }
}

#[test]
fn what_an_earlier_boot_left_is_hashed_before_it_is_used() {
    let folder = Folder::new();
    folder.keep("one");
    let index_path = folder.apps.entry(&Digest::of(b"one")).join(INDEX);
    let rewrite = |change: &dyn Fn(&mut Index)| {
        let mut index: Index = serde_json::from_slice(&fs::read(&index_path).unwrap()).unwrap();
        change(&mut index);
        fs::write(&index_path, serde_json::to_vec(&index).unwrap()).unwrap();
    };
    rewrite(&|index| index.boot = "another".into());
    assert!(folder.find("one").is_some());
    let index: Index = serde_json::from_slice(&fs::read(&index_path).unwrap()).unwrap();
    assert_eq!(index.boot, boot(), "and stamped");

    // Of the right length and with the right times, as after a power cut.
    let file = folder.kept("one", "a/b/deep.txt");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, b"\0\0\0\0").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let stamp = Stamp::of(&file).unwrap();
    rewrite(&|index| index.files[0] = stamp.clone());
    assert!(folder.find("one").is_some(), "in this boot times are believed");
    rewrite(&|index| index.boot = "another".into());
    assert!(folder.find("one").is_none());
}

#[test]
fn the_number_of_apps_is_bounded_and_the_oldest_goes() {
    let folder = Folder::new();
    for index in 0..APPS_MAX {
        let read = folder.keep(&index.to_string());
        let index_file = File::open(folder.apps.entry(&read.digest).join(INDEX)).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(10_000 - index as u64);
        index_file.set_times(FileTimes::new().set_modified(long_ago)).unwrap();
    }
    assert!(folder.find("0").is_some(), "used just now");
    folder.keep("one more");
    assert!(folder.find("0").is_some() && folder.find("1").is_none() && folder.find("2").is_some());
}

#[test]
fn an_artifact_file_is_known_by_its_identity_once_it_has_settled() {
    let folder = Folder::new();
    let path = folder.dir.path().join("artifact");
    fs::write(&path, "x").unwrap();
    let digest = Digest::of(b"one");
    let remember = || {
        let file = File::open(&path).unwrap();
        folder.apps.remember(&file, &digest);
        folder.apps.digest_of(&file)
    };
    assert_eq!(remember(), None, "it could be changed again within the clock's tick");
    let deadline = SystemTime::now() + Duration::from_secs(10);
    while remember().is_none() {
        assert!(SystemTime::now() < deadline);
        std::thread::yield_now();
    }
    fs::write(&path, "y").unwrap();
    assert_eq!(folder.apps.digest_of(&File::open(&path).unwrap()), None);
}

#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("apps");
    assert!(Apps::open(&path).is_some());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(Apps::open(&path).is_none());
}

#[test]
fn an_index_is_read_as_far_as_it_is_ours() {
    let folder = Folder::new();
    folder.keep("one");
    let index_path = folder.apps.entry(&Digest::of(b"one")).join(INDEX);
    let mut text = String::new();
    File::open(&index_path).unwrap().read_to_string(&mut text).unwrap();
    fs::write(&index_path, text.replace("\"form\":1", "\"form\":2")).unwrap();
    assert!(folder.find("one").is_none());
}
