//! Lists the sources of the SDKs, which are handed to authors' builds, as bytes of this crate.
//!
//! A list of `include_bytes!` rather than a macro over a folder: what no build needs (tests, golden files) stays out,
//! and a changed file is seen by Cargo.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Constant, root of the SDK, folders below it to take.
const SDKS: [(&str, &str, &[&str]); 3] = [
    ("GO", "runtimes/go", &["."]),
    ("DENO", "runtimes/deno", &["."]),
    ("RUST", ".", &["sdk-rust", "sdk-macros", "core/abi"]),
];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let repository = here.join("../..").canonicalize()?;
    let mut code = String::new();
    for (name, root, folders) in SDKS {
        let root = repository.join(root);
        let mut files = Vec::new();
        for folder in folders {
            let folder = if *folder == "." { root.clone() } else { root.join(folder) };
            collect(&folder, &root, is_source, &mut files)?;
        }
        files.sort();
        let _ = writeln!(code, "pub(crate) static {name}: &[(&str, &[u8])] = &[");
        for (path, file) in files {
            let _ = writeln!(code, "    ({path:?}, include_bytes!({file:?})),");
        }
        code.push_str("];\n");
    }
    revision(&repository)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("sdk.rs"), code)?;
    println!("cargo::rerun-if-changed={}", repository.join("Cargo.lock").display());
    fs::write(out.join("seed.lock"), seed(&fs::read_to_string(repository.join("Cargo.lock"))?))
}

/// The folders whose code decides what comes out of the same sources.
const DECIDING: [&str; 3] = ["compiler/plan/src", "compiler/builder/src", "core/artifact/src"];

/// A word that changes with the code of the compiler, so that no artifact of another one is taken from the cache.
fn revision(repository: &Path) -> io::Result<()> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hash = DefaultHasher::new();
    for folder in DECIDING {
        let mut files = Vec::new();
        collect(&repository.join(folder), repository, |_| true, &mut files)?;
        files.sort();
        for (path, file) in files {
            (path, fs::read(file)?).hash(&mut hash);
        }
    }
    println!("cargo::rustc-env=IGNITE_COMPILER_REVISION={:016x}", hash.finish());
    Ok(())
}

/// The packages of a Rust app that has no dependency but those the compiler adds.
const SEEDS: [&str; 6] = ["ignite", "serde", "serde_derive", "serde_json", "tokio", "tokio-macros"];

/// The part of a lock file that holds the seeds and what they need, so that no other change of it changes a cache key.
fn seed(lock: &str) -> String {
    let mut parts = lock.split("[[package]]");
    let mut text = parts.next().unwrap_or_default().to_owned();
    let packages: Vec<&str> = parts.collect();
    let name = |package: &str| field(package, "name");
    let mut wanted: Vec<String> = SEEDS.iter().map(|name| (*name).to_owned()).collect();
    let mut done = 0;
    while let Some(next) = wanted.get(done).cloned() {
        done += 1;
        for package in packages.iter().filter(|package| name(package) == next) {
            let list = package.split_once("dependencies = [").map_or("", |(_, list)| list);
            // An entry is a name, and a version where there are several.
            let names = list.split('"').skip(1).step_by(2).filter_map(|entry| entry.split(' ').next());
            for name in names {
                if !wanted.iter().any(|wanted| wanted == name) {
                    wanted.push(name.to_owned());
                }
            }
        }
    }
    for package in packages.iter().filter(|package| wanted.contains(&name(package))) {
        text.push_str("[[package]]");
        text.push_str(package);
    }
    text
}

fn field(package: &str, name: &str) -> String {
    let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

fn collect(folder: &Path, root: &Path, takes: fn(&str) -> bool, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(
                name.as_str(),
                "tests" | "testdata" | "golden" | "examples" | "wit" | "target" | "benches" | "scripts"
            ) {
                collect(&path, root, takes, files)?;
            }
        } else if takes(&name) {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push((relative, path));
        }
    }
    Ok(())
}

fn is_source(name: &str) -> bool {
    let test = ["_test.go", "_test.ts", ".test.ts"].iter().any(|end| name.ends_with(end));
    !test
        && (name.ends_with(".go")
            || name.ends_with(".ts")
            || name.ends_with(".rs")
            || matches!(name, "go.mod" | "Cargo.toml"))
}
