//! What only a folder has.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ignite_core_model::{Digest, Fault};
use ignite_store_objects::{Content, Location, ObjectKey, Objects, ObjectsError, PART_BYTES};

use crate::support::{folder, key, noise, signer};

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[tokio::test]
async fn no_key_leads_through_a_link() {
    let store = folder();
    let root = store.folder.path().join("deep/objects");
    let outside = store.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "x").unwrap();
    std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
    std::os::unix::fs::symlink(outside.join("secret"), root.join("file")).unwrap();
    let content = Content::of(b"y");
    for text in ["link/secret", "link/new", "file"] {
        let error = store.objects.get_bytes(&key(text), 10).await.unwrap_err();
        assert!(matches!(error, ObjectsError::Link(_)), "{error}");
        let error = store.objects.put_bytes(&key(text), Bytes::from_static(b"y"), &content).await.unwrap_err();
        assert!(matches!(error, ObjectsError::Link(_)), "{error}");
        assert!(matches!(store.objects.delete(&key(text)).await, Err(ObjectsError::Link(_))));
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test]
async fn the_folder_is_its_owners_and_holds_nothing_half_done() {
    let store = folder();
    let root = store.folder.path().join("deep/objects");
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let bytes = noise(PART_BYTES + 5);
    store.objects.put_bytes(&key("a/b"), bytes.clone(), &Content::of(&bytes)).await.unwrap();
    let wrong = Content { size: bytes.len() as u64, ..Content::of(b"other") };
    store.objects.put_bytes(&key("a/c"), bytes, &wrong).await.unwrap_err();
    assert_eq!(files(&root), [root.join("a/b").display().to_string()]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for root in [file.clone(), file.join("below")] {
        let error = Objects::open(&Location::Folder { root, signer: signer() }).unwrap_err();
        assert_eq!(error.fault(), Fault::Internal, "{error}");
        assert!(matches!(error, ObjectsError::Denied(_)), "{error}");
    }
}

/// A disk of 64 kB, which only root can make: where tests run as somebody else the kernel is asked in vain.
#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let flags = rustix::mount::MountFlags::empty();
    let mounted = rustix::mount::mount("tmpfs", folder.path(), "tmpfs", flags, Some(c"size=64k"));
    if mounted.is_err() {
        assert!(!rustix::process::geteuid().is_root(), "root can mount: {mounted:?}");
        return;
    }
    let objects = Objects::open(&Location::Folder { root: folder.path().join("o"), signer: signer() }).unwrap();
    let bytes = noise(200_000);
    let error = objects.put_bytes(&key("a"), bytes.clone(), &Content::of(&bytes)).await.unwrap_err();
    let list = objects.list("", None, 10).await.unwrap();
    drop(objects);
    rustix::mount::unmount(folder.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(matches!(error, ObjectsError::Full(_)), "{error:?}");
    assert_eq!((error.fault(), list), (Fault::Busy, Vec::new()));
}

#[tokio::test]
async fn what_a_killed_put_left_is_swept() {
    let store = folder();
    let root = store.folder.path().join("deep/objects");
    store.objects.put_bytes(&key("a/b"), Bytes::from_static(b"x"), &Content::of(b"x")).await.unwrap();
    let now = SystemTime::now();
    for (name, age) in [("a/b#1", 7200), ("a/c#2", 7200), ("a/d#1", 0)] {
        let file = std::fs::File::create(root.join(name)).unwrap();
        file.set_modified(now - Duration::from_secs(age)).unwrap();
    }
    assert_eq!(store.objects.list("", None, 10).await.unwrap().len(), 1, "they are not listed");
    assert_eq!(store.objects.sweep_unfinished(now - Duration::from_secs(3600)).await.unwrap(), 2);
    let mut left = files(&root);
    left.sort();
    assert_eq!(left, ["a/b", "a/d#1"].map(|name| root.join(name).display().to_string()));
}

const CHILD: &str = "IGNITE_TEST_OBJECTS_CHILD";

/// Not a test by itself: what the child of the test below does until it is killed.
#[tokio::test]
async fn child_that_puts() {
    let Ok(root) = std::env::var(CHILD) else { return };
    let objects = Objects::open(&Location::Folder { root: root.into(), signer: signer() }).unwrap();
    for number in std::process::id().. {
        let bytes = Bytes::from(number.to_be_bytes().repeat(200_000));
        let content = Content::of(&bytes);
        objects.put_bytes(&ObjectKey::artifact(&content.digest), bytes, &content).await.unwrap();
        let mut out = std::io::stdout().lock();
        // A closed pipe is the end, too.
        if writeln!(out, "acknowledged {}", content.digest).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_nothing_is_there_by_half() {
    let store = folder();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "folder::child_that_puts", "--nocapture"])
            .env(CHILD, store.folder.path().join("deep/objects"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acknowledged: Vec<Digest> = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            // The harness writes to the same pipe, and may do so on the same line.
            let Some((_, digest)) = line.split_once("acknowledged ") else { continue };
            acknowledged.push(digest.trim().parse().unwrap());
            if acknowledged.len() == 5 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= 5 * round, "the child ended by itself");
        for digest in &acknowledged {
            let content = Content { size: 800_000, digest: *digest };
            store.objects.verify(&ObjectKey::artifact(digest), &content).await.unwrap();
        }
        // The last may have been stored and not yet told: it is whole, too.
        for object in store.objects.list("", None, 1000).await.unwrap() {
            let (_, hex) = object.key.as_str().rsplit_once('/').unwrap();
            let content = Content { size: 800_000, digest: format!("sha256:{hex}").parse().unwrap() };
            store.objects.verify(&object.key, &content).await.unwrap();
        }
    }
}
