//! Compiled dependencies: made once for everyone who has the same, and never by anyone's own code.
//!
//! What compiles share is made by compiling a [`Skeleton`] in a fresh folder: of the author's folder it holds the names
//! and versions of dependencies, and no code. What runs meanwhile is build scripts and macros of those very packages, so
//! whoever uses the result would have run the same ones. The result is sealed with the digest of every file and
//! published in one step; a compile copies it, each file proved, into its private target folder, and only there do the
//! author's build scripts and macros run. Nothing is ever taken out of a private target folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cargo_metadata::Metadata;
use ignite_compiler_plan::KeyBuilder;
use ignite_compiler_plan::rust::{Package, SDK_FOLDER};
use ignite_core_model::Digest;
use serde::{Deserialize, Serialize};

use super::skeleton::Skeleton;
use super::{Cargo, Kind, QUICK, build_command, build_hint};
use crate::cache::{Holding, kind, snapshot};
use crate::error::CompileError;
use crate::language::Context;
use crate::origin::{Origin, Part, Whence};
use crate::sandbox::plain_folder;
use crate::sdk;
use crate::session::Session;
use crate::tools::write_whole;

/// The step in which they are compiled.
const STEP: &str = "cargo build (dependencies)";
/// The file of a work folder that holds the key of the dependencies in its target folder.
const STAMP: &str = "dependencies";
/// The time that the SDK's sources bear in every copy. What decides which SDK it is, is the key of the copy; Cargo, which
/// goes by times, is to find them older than whatever was compiled of them.
const SDK_TIME: Duration = Duration::from_secs(946_684_800);

/// What a set of compiled dependencies says about itself.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    /// Of tools, target and flags: what all sets that fit together have in common.
    base: Digest,
    /// The tenant it is for; everyone if absent.
    tenant: Option<String>,
    packages: BTreeSet<String>,
}

/// What is being compiled, as far as dependencies are concerned.
pub(super) struct Wanted<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) package: &'a Package,
    pub(super) metadata: &'a Metadata,
    pub(super) kind: Kind,
}

impl Wanted<'_> {
    /// Sees to it that the target folder of `work` holds what is known of the dependencies.
    pub(super) fn provide(
        &self,
        cargo: &Cargo<'_>,
        work: &Path,
        session: &mut Session<'_>,
    ) -> Result<(), CompileError> {
        let (context, target, stamp) = (self.context, work.join("target"), work.join(STAMP));
        let told = |whence, detail: &str| Origin { part: Part::Dependencies, whence, detail: detail.to_owned() };
        if context.no_cache {
            context.cache.remove(&target)?;
            session.came_from(told(Whence::Made, "--no-cache"));
            return Ok(());
        }
        if cargo.seen(work) == work {
            // Paths are part of what Cargo knows a crate by, and without a sandbox every copy has another.
            session.came_from(told(Whence::Kept, "compiled with the app: shared only where there is a sandbox"));
            return Ok(());
        }
        let app = work.join("app");
        let Some(skeleton) = Skeleton::of(&app, &cargo.seen(&app), self.metadata, self.package, self.kind) else {
            session.came_from(told(Whence::Kept, "compiled with the app: they are replaced by files of its own"));
            return Ok(());
        };
        let base = self.base(cargo);
        let tenant = (!skeleton.public).then(|| context.tenant.to_owned());
        let key = KeyBuilder::new("rust dependencies 2").with("base", base.as_bytes());
        let key = skeleton.key(key.with_option("tenant", tenant.as_deref())).finish();
        let has_target = target.join(&cargo.triple).is_dir();
        if has_target && fs::read_to_string(&stamp).is_ok_and(|text| text == key.to_string()) {
            session.came_from(told(Whence::Kept, ""));
            return Ok(());
        }
        let about = About { base, tenant, packages: skeleton.packages.clone() };
        let count = format!("{} packages", about.packages.len());
        let set = |whence| -> Result<Origin, CompileError> {
            write_whole(&stamp, key.to_string().as_bytes())
                .map_err(|cause| CompileError::Cache { path: stamp.clone(), cause })?;
            Ok(told(whence, &count))
        };
        let (entry, lock) = context.cache.place(kind::DEPENDENCIES, key, Holding::WithOthers, &session.wait())?;
        if self.take(&entry, &target)? {
            session.came_from(set(Whence::Shared)?);
            return Ok(());
        }
        drop(lock);
        if has_target {
            // Most of them are there already: an author who adds one waits for that one only.
            session.came_from(set(Whence::Kept)?);
            return Ok(());
        }
        let (entry, _lock) = context.cache.place(kind::DEPENDENCIES, key, Holding::Alone, &session.wait())?;
        // Whoever held the lock may just have made them.
        let made = !self.take(&entry, &target)?;
        if made && !(self.make(&skeleton, &about, &entry, session)? && self.take(&entry, &target)?) {
            session.came_from(told(Whence::Made, "compiled with the app: they do not compile without it"));
            return Ok(());
        }
        session.came_from(set(if made { Whence::Made } else { Whence::Shared })?);
        Ok(())
    }

    /// Of everything that must be the same for compiled packages to fit, besides what the author chose.
    fn base(&self, cargo: &Cargo<'_>) -> Digest {
        let mut key = KeyBuilder::new("rust base 1").with("triple", &cargo.triple);
        for tool in self.context.tools {
            key = key.with(tool.tool.as_str(), tool.version.to_string());
            key = key.with_option("digest", self.context.tool_digest(tool).map(|digest| digest.to_hex()));
        }
        key = key.with("sdk", sdk::digest(sdk::RUST).as_bytes());
        for part in cargo.paths() {
            key = key.with("path", part);
        }
        if self.context.quick { key.with("quick", QUICK.join("\n")) } else { key }.finish()
    }

    /// Copies a set into the private target folder; false where there is none that can be used.
    fn take(&self, entry: &Path, target: &Path) -> Result<bool, CompileError> {
        if snapshot::about::<About>(entry).is_none() {
            return Ok(false);
        }
        // Not into the work folder, in which an author's code may have laid links.
        let fresh = self.context.cache.fresh()?;
        if snapshot::copy(entry, &fresh.path().join("target")).is_err() {
            // Damaged, or no room; it is made anew.
            return Ok(false);
        }
        self.context.cache.remove(target)?;
        fs::rename(fresh.path().join("target"), target)
            .map_err(|cause| CompileError::Cache { path: target.to_owned(), cause })?;
        Ok(true)
    }

    /// Compiles the skeleton and publishes what comes of it; false where it does not compile.
    fn make(
        &self,
        skeleton: &Skeleton,
        about: &About,
        entry: &Path,
        session: &mut Session<'_>,
    ) -> Result<bool, CompileError> {
        let cache = self.context.cache;
        let fresh = cache.fresh()?;
        let (app, files) = (fresh.path().join("app"), snapshot::files(fresh.path()));
        let failed = |cause| CompileError::Cache { path: fresh.path().to_owned(), cause };
        for (path, content) in &skeleton.files {
            let path = app.join(path);
            path.parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::write(&path, content))
                .map_err(failed)?;
        }
        for (path, content) in super::sdk_files() {
            let path = app.join(path);
            path.parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::write(&path, content))
                .map_err(failed)?;
        }
        date_sdk(&app).map_err(failed)?;
        if let Some(smaller) = self.largest_within(about) {
            let _held = cache.hold(kind::DEPENDENCIES, &smaller);
            if snapshot::copy(&smaller, &fresh.path().join("target")).is_err() {
                fs::remove_dir_all(fresh.path().join("target")).map_err(failed)?;
            }
        }
        let cargo = Cargo::new(self.context, fresh.path(), session.is_sandboxed()?)?;
        let name = ignite_compiler_plan::rust::WORKER_BIN;
        let run = build_command(&cargo, self.context, self.package, self.kind, name)?;
        match session.run_hinted(STEP, &run, &build_hint) {
            Ok(()) => {}
            // They may need what only the author's code has; what is wrong is then said of the app itself.
            Err(CompileError::Step { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        fs::rename(fresh.path().join("target"), &files).map_err(failed)?;
        fs::remove_dir_all(&app).map_err(failed)?;
        for folder in [Path::new("release"), &Path::new(&cargo.triple).join("release")] {
            // A build script could have put a link in its place.
            let folder = plain_folder(&files, folder).map_err(failed)?;
            prepare(&folder, skeleton).map_err(failed)?;
        }
        if let Err(error) = snapshot::seal(fresh.path(), about) {
            // Not shared then; too large is no reason to fail.
            let told = CompileError::Cache { path: fresh.path().to_owned(), cause: std::io::Error::other(error) };
            session.remark(&told.report());
            return Ok(false);
        }
        fresh.publish(entry).map_err(|cause| CompileError::Cache { path: entry.to_owned(), cause })?;
        cache.prune(kind::DEPENDENCIES);
        Ok(true)
    }

    /// The largest set all of whose packages are wanted here too: nothing ran while it was made that does not run anyway.
    fn largest_within(&self, wanted: &About) -> Option<std::path::PathBuf> {
        let fits = |about: &About| {
            about.base == wanted.base
                && (about.tenant.is_none() || about.tenant == wanted.tenant)
                && about.packages.is_subset(&wanted.packages)
        };
        let entries = self.context.cache.entries(kind::DEPENDENCIES).into_iter();
        let sets = entries.filter_map(|entry| Some((snapshot::about::<About>(&entry)?, entry)));
        let largest = sets.filter(|(about, _)| fits(about)).max_by_key(|(about, _)| about.packages.len());
        largest.map(|(_, entry)| entry)
    }
}

/// Leaves only what is the same for everyone: no stub, no program, nothing that only this folder needed.
fn prepare(folder: &Path, skeleton: &Skeleton) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let path = entry.path();
        match name.to_str() {
            Some("deps") => {}
            Some(".fingerprint" | "build") => {
                for unit in fs::read_dir(plain_folder(folder, Path::new(&name))?)? {
                    let unit = unit?;
                    if !unit.file_name().to_str().is_some_and(|unit| skeleton.keeps(unit)) {
                        fs::remove_dir_all(unit.path())?;
                    }
                }
            }
            _ if entry.file_type()?.is_dir() => fs::remove_dir_all(&path)?,
            _ => fs::remove_file(&path)?,
        }
    }
    Ok(())
}

/// Gives the SDK's sources in a copy their time.
pub(super) fn date_sdk(app: &Path) -> std::io::Result<()> {
    let time = SystemTime::UNIX_EPOCH + SDK_TIME;
    for (path, _) in sdk::RUST {
        let file = app.join(SDK_FOLDER).join(path);
        if fs::metadata(&file)?.modified()? != time {
            fs::File::options().write(true).open(&file)?.set_modified(time)?;
        }
    }
    Ok(())
}
