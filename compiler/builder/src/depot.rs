//! Downloads that all tenants share: only what a digest of a lock file proves, and only to be copied.
//!
//! The tools of each tenant have a home of its own, in which they keep what they download. What a lock file names with
//! its digest is copied from there into the depot once its content was compared, and from the depot into the homes of
//! others before their tools look for it; each file is proved again on the way. What nothing proves (indexes, unpacked
//! packages, what private registries gave) stays where it is.

use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use ignite_compiler_plan::KeyBuilder;
use ignite_core_model::Digest;
use serde::{Deserialize, Serialize};

use crate::cache::{Cache, kind, snapshot};
use crate::digest;
use crate::error::CompileError;
use crate::packages::CRATES_IO;

/// One download that a lock file proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A crate of the public registry.
    Crate {
        /// The name of its archive.
        file: String,
        /// Of the archive.
        digest: Digest,
    },
    /// A module of Go.
    Module {
        /// Its folder in the cache of modules.
        folder: String,
        /// Its version, as it is spelled in names of files.
        version: String,
        /// As in `go.sum`.
        sum: String,
    },
}

/// What an entry says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    /// The folder of its files, below the home of the tool.
    place: String,
}

/// The crates of a `Cargo.lock` that come from the public registry.
pub(crate) fn crates(lock: &str) -> Vec<Item> {
    let packages = lock.split("[[package]]").skip(1);
    let items = packages.filter_map(|package| {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
            Some(line.trim_end().trim_end_matches('"'))
        };
        let digest = format!("sha256:{}", field("checksum")?).parse().ok()?;
        let file = format!("{}-{}.crate", field("name")?, field("version")?);
        (field("source")? == CRATES_IO && is_plain(&file)).then_some(Item::Crate { file, digest })
    });
    items.collect()
}

/// The modules of a `go.sum` whose contents it proves.
pub(crate) fn modules(sums: &str) -> Vec<Item> {
    let items = sums.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (module, version, sum) = (words.next()?, words.next()?, words.next()?);
        let folder = format!("cache/download/{}/@v", escaped(module));
        let version = escaped(version);
        let whole = !version.ends_with("/go.mod") && sum.starts_with("h1:");
        (whole && is_plain(&version) && is_below(&folder)).then(|| Item::Module {
            folder,
            version,
            sum: sum.to_owned(),
        })
    });
    items.collect()
}

/// As Go spells paths where upper and lower case may be the same: `!` before what was a capital.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii_uppercase() {
            out.push('!');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// One name of a file.
fn is_plain(name: &str) -> bool {
    !name.contains('/') && is_below(name)
}

fn is_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

impl Item {
    fn key(&self) -> Digest {
        match self {
            Self::Crate { file, digest } => {
                KeyBuilder::new("depot crate 1").with("file", file).with("digest", digest.as_bytes()).finish()
            }
            Self::Module { folder, version, sum } => {
                let key = KeyBuilder::new("depot module 1").with("folder", folder);
                key.with("version", version).with("sum", sum).finish()
            }
        }
    }

    /// Its files in the home of a tool, if it is there and its content is what the lock file says: the folder, below the
    /// home, and their names.
    fn find(&self, home: &Path) -> Option<(PathBuf, Vec<String>)> {
        match self {
            Self::Crate { file, digest } => {
                let registries = fs::read_dir(home.join("registry/cache")).ok()?.flatten();
                let found = registries.map(|registry| registry.path()).find(|registry| {
                    let archive = registry.join(file);
                    is_file(&archive) && proves(&archive, *digest)
                })?;
                Some((found.strip_prefix(home).ok()?.to_owned(), vec![file.clone()]))
            }
            Self::Module { folder, version, sum } => {
                let place = home.join(folder);
                let mut names: Vec<String> = ["zip", "ziphash", "mod"].map(|end| format!("{version}.{end}")).into();
                let all = names.iter().all(|name| is_file(&place.join(name)));
                // Fetched only where the version was not yet known.
                names.extend(Some(format!("{version}.info")).filter(|name| is_file(&place.join(name))));
                // Go wrote it when it had compared the archive with `go.sum` and with the public log of sums.
                let hash = fs::read_to_string(place.join(format!("{version}.ziphash"))).ok()?;
                (all && hash.trim() == sum).then(|| (PathBuf::from(folder), names))
            }
        }
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn proves(path: &Path, wanted: Digest) -> bool {
    File::open(path).and_then(|mut file| digest::of(&mut file)).is_ok_and(|(found, _)| found == wanted)
}

/// Copies into `home` what the depot has of `items`, and tells how many. What is there stays; what cannot be copied is
/// downloaded by the tool.
pub(crate) fn give(cache: &Cache, home: &Path, items: &[Item]) -> usize {
    items.iter().filter(|item| give_one(cache, home, item).is_some()).count()
}

fn give_one(cache: &Cache, home: &Path, item: &Item) -> Option<()> {
    let entry = cache.entry(kind::DEPOT, item.key());
    let Some(about): Option<About> = snapshot::about(&entry) else {
        // Nothing is there, or what a loss of power left: it is admitted anew when the tool has downloaded it.
        let _ = cache.remove(&entry);
        return None;
    };
    let place = Some(home.join(&about.place)).filter(|_| is_below(&about.place))?;
    let fresh = cache.fresh().ok()?;
    let copied = fresh.path().join("files");
    if snapshot::copy(&entry, &copied).is_err() {
        // Damaged; the tool downloads it, and then it is admitted anew.
        let _ = cache.remove(&entry);
        return None;
    }
    fs::create_dir_all(&place).ok()?;
    for file in fs::read_dir(&copied).ok()? {
        let file = file.ok()?;
        let target = place.join(file.file_name());
        if fs::symlink_metadata(&target).is_err() {
            fs::rename(file.path(), target).ok()?;
        }
    }
    Some(())
}

/// Copies into the depot what `home` has of `items` and their digests prove, and tells how many are new there.
///
/// # Errors
/// When the cache cannot be written to.
pub(crate) fn admit(cache: &Cache, home: &Path, items: &[Item]) -> Result<usize, CompileError> {
    let mut admitted = 0;
    for item in items {
        let entry = cache.entry(kind::DEPOT, item.key());
        if entry.is_dir() {
            continue;
        }
        let Some((place, names)) = item.find(home) else { continue };
        let failed = |cause| CompileError::Cache { path: entry.clone(), cause };
        let fresh = cache.fresh()?;
        let files = snapshot::files(fresh.path());
        fs::create_dir_all(&files).map_err(failed)?;
        for name in &names {
            fs::copy(home.join(&place).join(name), files.join(name)).map_err(failed)?;
        }
        // The copy is what others get, so the copy is what is proved.
        if let Item::Crate { file, digest } = item
            && !proves(&files.join(file), *digest)
        {
            continue;
        }
        let about = About { place: place.to_string_lossy().into_owned() };
        snapshot::seal(fresh.path(), about).map_err(|error| failed(std::io::Error::other(error)))?;
        cache.folder(kind::DEPOT)?;
        fresh.publish(&entry).map_err(failed)?;
        admitted += 1;
    }
    Ok(admitted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn lock(digest: Digest, source: &str) -> String {
        format!(
            "[[package]]\nname = \"dep\"\nversion = \"1.0.0\"\nsource = \"{source}\"\nchecksum = \"{}\"\n",
            digest.to_hex()
        )
    }

    #[test]
    fn what_a_lock_file_proves_is_shared_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let archive = one.join("registry/cache/public-0/dep-1.0.0.crate");
        fs::create_dir_all(archive.parent().unwrap()).unwrap();
        fs::write(&archive, "as published").unwrap();

        let forged = crates(&lock(Digest::of(b"forged"), CRATES_IO));
        assert_eq!(admit(&cache, &one, &forged).unwrap(), 0, "not what the lock file says");
        let digest = Digest::of(b"as published");
        assert!(crates(&lock(digest, "registry+https://example.com/index")).is_empty(), "a private registry");
        let items = crates(&lock(digest, CRATES_IO));
        assert_eq!((admit(&cache, &one, &items).unwrap(), admit(&cache, &one, &items).unwrap()), (1, 0));

        assert_eq!(give(&cache, &other, &items), 1);
        let theirs = other.join("registry/cache/public-0/dep-1.0.0.crate");
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "as published");
        // What one does to its copy is nobody else's affair.
        fs::write(&theirs, "changed").unwrap();
        let third = dir.path().join("third");
        assert_eq!(give(&cache, &third, &items), 1);
        let copy = third.join("registry/cache/public-0/dep-1.0.0.crate");
        assert_eq!(fs::read_to_string(copy).unwrap(), "as published");

        // And a damaged entry is not given, but made anew.
        let entry = cache.entry(kind::DEPOT, items[0].key());
        fs::write(snapshot::files(&entry).join("dep-1.0.0.crate"), "as poisoned").unwrap();
        assert_eq!(give(&cache, &dir.path().join("fourth"), &items), 0);
        assert_eq!(admit(&cache, &one, &items).unwrap(), 1);
        // As a loss of power may leave it: the name of a file, and nothing in it.
        for file in fs::read_dir(&entry).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
            fs::write(file, "").unwrap();
        }
        assert_eq!(give(&cache, &dir.path().join("fifth"), &items), 0);
        assert_eq!(admit(&cache, &one, &items).unwrap(), 1);
        assert_eq!(give(&cache, &dir.path().join("sixth"), &items), 1);
    }

    #[test]
    fn modules_are_found_as_go_spells_them() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let home = dir.path().join("one");
        let items = modules("github.com/Some/mod v1.2.3 h1:abc=\ngithub.com/Some/mod v1.2.3/go.mod h1:def=\n");
        assert_eq!(items.len(), 1);
        let place = home.join("cache/download/github.com/!some/mod/@v");
        fs::create_dir_all(&place).unwrap();
        for (end, text) in [("zip", "z"), ("mod", "m"), ("ziphash", "h1:other=")] {
            fs::write(place.join(format!("v1.2.3.{end}")), text).unwrap();
        }
        assert_eq!(admit(&cache, &home, &items).unwrap(), 0, "another sum");
        fs::write(place.join("v1.2.3.ziphash"), "h1:abc=").unwrap();
        assert_eq!(admit(&cache, &home, &items).unwrap(), 1);
        let other = dir.path().join("other");
        assert_eq!(give(&cache, &other, &items), 1);
        assert!(other.join("cache/download/github.com/!some/mod/@v/v1.2.3.zip").is_file());
        assert!(modules("../../etc v1.0.0 h1:x=\n").is_empty() && modules("a/b ../../x h1:x=\n").is_empty());
    }
}
