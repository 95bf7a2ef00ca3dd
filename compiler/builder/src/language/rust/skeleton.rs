//! A package with the same dependencies as the author's, and nothing of the author's code.
//!
//! It is what the dependencies are compiled by, for everyone who has the same: the manifests keep what decides which
//! packages are compiled and how, and lose names, versions and everything else that tells one app from another. Sources
//! are stubs, so nothing that an author wrote is read or run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{Metadata, Package as CargoPackage};
use ignite_compiler_plan::KeyBuilder;
use ignite_compiler_plan::rust::{Package, WORKER_BIN};
use serde_json::{Map, Value, json};

use super::{Kind, manifest_path};
use crate::packages::CRATES_IO;

/// What the author's package is called here.
const NAME: &str = "ignite-skeleton";
const LIBRARY: &str = "ignite_stub_lib.rs";
const PROGRAM: &str = "ignite_stub_bin.rs";
const BUILD: &str = "ignite_stub_build.rs";
const MAIN: &str = "fn main() {}\n";
/// Largest file of a copy that is read here, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The package, before it lies anywhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Skeleton {
    /// Path and content, in the order of the paths.
    pub(super) files: BTreeMap<String, String>,
    /// Every package that is not of the author's folder: name, version, and what proves its content.
    pub(super) packages: BTreeSet<String>,
    /// Whether all of them are public and proved by a checksum.
    pub(super) public: bool,
}

impl Skeleton {
    /// The skeleton of the package in the copy `app`, which Cargo sees as `seen`. `None` where the dependencies need the
    /// author's own files, or cannot be read: they are then compiled with the app.
    pub(super) fn of(app: &Path, seen: &Path, metadata: &Metadata, package: &Package, kind: Kind) -> Option<Self> {
        let read = |path: &str| {
            let path = app.join(path);
            let fits = path.metadata().is_ok_and(|metadata| metadata.len() <= FILE_BYTES_MAX);
            fits.then(|| std::fs::read_to_string(path).ok())?
        };
        let lock = Lock::read(&read("Cargo.lock")?);
        let root = manifest_path(package);
        let mut files = BTreeMap::new();
        let mut local = BTreeSet::new();
        for member in &metadata.packages {
            let path = member.manifest_path.as_std_path().strip_prefix(seen).ok()?.to_str()?.to_owned();
            let is_root = path == root;
            let folder = path.strip_suffix("Cargo.toml")?.to_owned();
            let mut manifest = table(&read(&path)?)?;
            stripped(&mut manifest, member, is_root.then_some(kind), &lock)?;
            files.insert(path, toml_edit::ser::to_string_pretty(&manifest).ok()?);
            if member.targets.iter().any(is_library) {
                files.insert(format!("{folder}{LIBRARY}"), String::new());
            }
            if needs_build(&manifest, member) {
                files.insert(format!("{folder}{BUILD}"), MAIN.to_owned());
            }
            if is_root {
                files.insert(format!("{folder}{PROGRAM}"), MAIN.to_owned());
            }
            local.insert(member.name.to_string());
        }
        if !files.contains_key(&root) {
            return None;
        }
        if !files.contains_key("Cargo.toml") {
            let mut workspace = table(&read("Cargo.toml")?)?;
            workspace.retain(|name, _| matches!(name.as_str(), "workspace" | "profile" | "patch" | "replace"));
            common(&mut workspace)?;
            files.insert("Cargo.toml".to_owned(), toml_edit::ser::to_string_pretty(&workspace).ok()?);
        }
        let own = metadata.packages.iter().find(|member| member.manifest_path.ends_with(&root))?;
        files.insert("Cargo.lock".to_owned(), lock.renamed(&own.name, &own.version.to_string()));
        let mut public = true;
        // Flags and such reach dependencies too. Who wrote them is who they are for.
        for path in [".cargo/config.toml", ".cargo/config"] {
            if let Some(text) = read(path) {
                files.insert(path.to_owned(), text);
                public = false;
            }
        }
        let packages = lock.foreign(&mut public);
        Some(Self { files, packages, public })
    }

    /// Of everything the author's folder has a say in.
    pub(super) fn key(&self, key: KeyBuilder) -> KeyBuilder {
        self.files.iter().fold(key, |key, (path, content)| key.with(path, content))
    }

    /// Whether what Cargo calls `unit`, a name and a hash, is of a package that is the same for everyone.
    pub(super) fn keeps(&self, unit: &str) -> bool {
        let name = unit.rsplit_once('-').map_or(unit, |(name, _)| name);
        let of = |package: &String| package.split(' ').next() == Some(name);
        self.packages.iter().any(of) || ["ignite", "ignite-macros", "ignite-core-abi"].contains(&name)
    }
}

fn table(text: &str) -> Option<Map<String, Value>> {
    toml_edit::de::from_str(text).ok()
}

/// A build script is stood in for only where it has dependencies, which Cargo compiles for nothing else.
fn needs_build(manifest: &Map<String, Value>, package: &CargoPackage) -> bool {
    let targets = manifest.get("target").and_then(Value::as_object).into_iter().flatten().map(|(_, target)| target);
    let mut tables = std::iter::once(manifest.get("build-dependencies"))
        .chain(targets.map(|target| target.get("build-dependencies")))
        .flatten();
    package.targets.iter().any(cargo_metadata::Target::is_custom_build)
        && tables.any(|table| table.as_object().is_some_and(|table| !table.is_empty()))
}

fn is_library(target: &cargo_metadata::Target) -> bool {
    target.is_lib()
        || target.is_rlib()
        || target.is_cdylib()
        || target.is_dylib()
        || target.is_staticlib()
        || target.is_proc_macro()
}

/// Takes out of a manifest what does not reach dependencies. `root` is set for the package with the handler.
fn stripped(manifest: &mut Map<String, Value>, package: &CargoPackage, root: Option<Kind>, lock: &Lock) -> Option<()> {
    let resolver = resolver(manifest);
    let kept = ["dependencies", "build-dependencies", "target", "features", "workspace", "profile", "patch", "replace"];
    manifest.retain(|name, _| kept.contains(&name.as_str()));
    common(manifest)?;
    let (name, version) = match root {
        Some(_) => (NAME.to_owned(), "0.0.0".to_owned()),
        None => (package.name.to_string(), package.version.to_string()),
    };
    let build = if needs_build(manifest, package) { json!(BUILD) } else { json!(false) };
    let mut head = json!({
        "name": name, "version": version, "edition": package.edition.as_str(), "build": build,
        "autolib": false, "autobins": false, "autoexamples": false, "autotests": false, "autobenches": false,
    });
    // Which features are on depends on it where there is no workspace to say it.
    if let (Some(resolver), Some(head)) = (resolver, head.as_object_mut()) {
        head.insert("resolver".to_owned(), resolver);
    }
    manifest.insert("package".to_owned(), head);
    if let Some(library) = package.targets.iter().find(|target| is_library(target)) {
        let mut lib = Map::new();
        lib.insert("path".to_owned(), json!(LIBRARY));
        if library.is_proc_macro() {
            lib.insert("proc-macro".to_owned(), json!(true));
        } else {
            let kinds: Vec<String> = library.crate_types.iter().map(ToString::to_string).collect();
            lib.insert("crate-type".to_owned(), json!(kinds));
        }
        manifest.insert("lib".to_owned(), Value::Object(lib));
    }
    if root.is_some() {
        manifest.insert("bin".to_owned(), json!([{ "name": WORKER_BIN, "path": PROGRAM }]));
    }
    exact(manifest, &package.name, &package.version.to_string(), lock);
    Some(())
}

fn resolver(manifest: &Map<String, Value>) -> Option<Value> {
    let in_workspace = manifest.get("workspace").is_some_and(|workspace| workspace.get("resolver").is_some());
    if in_workspace { None } else { manifest.get("package")?.get("resolver").cloned() }
}

/// What holds for a workspace. `None` where dependencies are replaced: that may be by files of the author's.
fn common(manifest: &mut Map<String, Value>) -> Option<()> {
    if manifest.contains_key("patch") || manifest.contains_key("replace") {
        return None;
    }
    if let Some(workspace) = manifest.get_mut("workspace").and_then(Value::as_object_mut) {
        workspace.retain(|name, _| matches!(name.as_str(), "members" | "exclude" | "resolver" | "dependencies"));
    }
    Some(())
}

/// Asks for the very versions of the lock file, so that `1`, `1.0` and `^1.0.3` are one. What is ambiguous stays.
fn exact(manifest: &mut Map<String, Value>, name: &str, version: &str, lock: &Lock) {
    let resolved = lock.dependencies(name, version);
    let pin = |table: Option<&mut Value>| {
        for (key, dependency) in table.and_then(Value::as_object_mut).into_iter().flatten() {
            let package = dependency.get("package").and_then(Value::as_str).unwrap_or(key).to_owned();
            let mut versions = resolved.iter().filter(|(name, _)| *name == package).map(|(_, version)| version);
            let (Some(version), None) = (versions.next(), versions.next()) else { continue };
            let wanted = json!(format!("={version}"));
            match dependency {
                Value::String(text) => *text = format!("={version}"),
                Value::Object(table) if table.contains_key("version") => {
                    table.insert("version".to_owned(), wanted);
                }
                _ => {}
            }
        }
    };
    for table in ["dependencies", "build-dependencies"] {
        pin(manifest.get_mut(table));
    }
    for (_, target) in manifest.get_mut("target").and_then(Value::as_object_mut).into_iter().flatten() {
        for table in ["dependencies", "build-dependencies"] {
            pin(target.get_mut(table));
        }
    }
}

/// A lock file, cut into its packages.
struct Lock {
    head: String,
    packages: Vec<String>,
}

impl Lock {
    fn read(text: &str) -> Self {
        let mut parts = text.split("[[package]]\n");
        let head = parts.next().unwrap_or_default().to_owned();
        Self { head, packages: parts.map(str::to_owned).collect() }
    }

    /// With another name and version for the author's package, and in the order that follows from them.
    fn renamed(&self, name: &str, version: &str) -> String {
        let rename = |package: &String| {
            let own = field(package, "source").is_none()
                && field(package, "name") == Some(name)
                && field(package, "version") == Some(version);
            let rest = package.split_once("version = ").and_then(|(_, rest)| rest.split_once('\n'));
            let package = match rest.filter(|_| own) {
                Some((_, rest)) => format!("name = \"{NAME}\"\nversion = \"0.0.0\"\n{rest}"),
                None => package.clone(),
            };
            // The last one ends the file, and has an empty line less.
            format!("[[package]]\n{}\n", package.trim_end())
        };
        let mut packages: Vec<String> = self.packages.iter().map(rename).collect();
        packages.sort();
        format!("{}\n\n{}", self.head.trim_end(), packages.join("\n"))
    }

    /// Names and versions of what a package of the author's folder depends on.
    fn dependencies(&self, name: &str, version: &str) -> Vec<(String, String)> {
        let own = self.packages.iter().find(|package| {
            field(package, "source").is_none()
                && field(package, "name") == Some(name)
                && field(package, "version") == Some(version)
        });
        let list = own.and_then(|own| own.split_once("dependencies = [")).map_or("", |(_, list)| list);
        let list = list.split(']').next().unwrap_or_default();
        let entries = list.split('"').skip(1).step_by(2);
        entries
            .filter_map(|entry| {
                let mut words = entry.split(' ');
                let name = words.next()?;
                let version = match words.next() {
                    Some(version) => version.to_owned(),
                    // The version stands there only where there are several.
                    None => {
                        let found = self.packages.iter().find(|package| field(package, "name") == Some(name))?;
                        field(found, "version")?.to_owned()
                    }
                };
                Some((name.to_owned(), version))
            })
            .collect()
    }

    /// The packages from elsewhere; `public` is cleared when one is not from the public registry or not proved.
    fn foreign(&self, public: &mut bool) -> BTreeSet<String> {
        let mut packages = BTreeSet::new();
        for package in &self.packages {
            let Some(source) = field(package, "source") else { continue };
            let (name, version) = (field(package, "name"), field(package, "version"));
            let checksum = field(package, "checksum");
            if source != CRATES_IO || checksum.is_none() {
                *public = false;
            }
            let proof = checksum.unwrap_or(source);
            packages.insert(format!("{} {} {proof}", name.unwrap_or_default(), version.unwrap_or_default()));
        }
        packages
    }
}

fn field<'a>(package: &'a str, name: &str) -> Option<&'a str> {
    let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
    Some(line.trim_end().trim_end_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC_SOURCE: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

    fn lock(name: &str, before: bool) -> String {
        let own = format!(
            "[[package]]\nname = \"{name}\"\nversion = \"1.2.3\"\ndependencies = [\n \"dep\",\n \"two 2.0.0\",\n]\n"
        );
        let dep = format!("[[package]]\nname = \"dep\"\nversion = \"1.0.7\"\n{PUBLIC_SOURCE}\nchecksum = \"00\"\n");
        let two = |version: &str| {
            format!("[[package]]\nname = \"two\"\nversion = \"{version}\"\n{PUBLIC_SOURCE}\nchecksum = \"{version}\"\n")
        };
        let others = [dep, two("1.0.0"), two("2.0.0")].join("\n");
        let packages = if before { format!("{own}\n{others}") } else { format!("{others}\n{own}") };
        format!("# made by Cargo\nversion = 4\n\n{packages}")
    }

    #[test]
    fn the_name_of_the_app_is_taken_out_of_the_lock_file() {
        let renamed = |name: &str, before| Lock::read(&lock(name, before)).renamed(name, "1.2.3");
        assert_eq!(renamed("app", true), renamed("zebra", false), "its place follows from its name");
        assert!(renamed("app", true).contains("name = \"ignite-skeleton\"\nversion = \"0.0.0\"\ndependencies"));
    }

    #[test]
    fn requirements_become_the_versions_of_the_lock_file() {
        let lock = Lock::read(&lock("app", true));
        let pinned = |text: &str| {
            let mut manifest = table(text).unwrap_or_default();
            exact(&mut manifest, "app", "1.2.3", &lock);
            manifest
        };
        let one = pinned(
            "[dependencies]\ndep = \"1\"\nrenamed = { package = \"two\", version = \"2\" }\n[target.'cfg(unix)'.dependencies]\ndep = \"1.0\"\n",
        );
        let other = pinned(
            "[dependencies]\ndep = \"^1.0.3\"\nrenamed = { package = \"two\", version = \">=2\" }\n[target.'cfg(unix)'.dependencies]\ndep = \"*\"\n",
        );
        assert_eq!(one, other);
        assert_eq!(
            (&one["dependencies"]["dep"], &one["dependencies"]["renamed"]["version"]),
            (&json!("=1.0.7"), &json!("=2.0.0"))
        );
    }

    #[test]
    fn what_is_not_public_and_proved_is_told() {
        let told = |text: &str| {
            let mut public = true;
            (Lock::read(text).foreign(&mut public).len(), public)
        };
        let with =
            |source: &str| format!("{}\n[[package]]\nname = \"x\"\nversion = \"1.0.0\"\n{source}\n", lock("app", true));
        assert_eq!(told(&lock("app", true)), (3, true));
        assert_eq!(told(&with("source = \"git+https://example.com/x#abc\"")), (4, false));
        assert_eq!(told(&with("source = \"registry+https://example.com/index\"\nchecksum = \"00\"")), (4, false));
        assert_eq!(told(&with(PUBLIC_SOURCE)), (4, false), "not proved");
    }
}
