//! Rust: a copy of the package with what is missing added, built by Cargo into a binary or a component.
//!
//! Every app of every tenant has a copy and a target directory of its own. Since the copy is brought up to date file by
//! file, what Cargo finds in the target directory is either of these very sources or older than a file of them, and is
//! then compiled again. What apps have in common, their compiled dependencies, is provided by [`dependencies`].

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};
use ignite_compiler_plan::rust::{Package, SDK_FOLDER};
use ignite_compiler_plan::{KeyBuilder, Mistake, Mistakes};
use ignite_compiler_sandbox::{Access, Mount, Phase, ToolRoot};
use ignite_core_artifact::Dependency;
use ignite_core_model::Target;
use ignite_core_model::toolchain::Tool;

use super::{Context, PackedFile, Payload};
use crate::cache::{kind, made};
use crate::depot;
use crate::error::CompileError;
use crate::origin::{Origin, Part, Whence};
use crate::packages::LockText;
use crate::sandbox::{plain_file, plain_text};
use crate::sdk;
use crate::session::{Run, Session};
use crate::stage::Stage;
use crate::tools::{FoundTool, Tools};

mod config;
mod dependencies;
pub(super) mod lock;
mod skeleton;

/// The target of components.
const WASM: &str = "wasm32-wasip2";
/// What replaces the profile of a quick compile: the first one, with all dependencies, is waited for too.
const QUICK: [&str; 4] = [
    "profile.release.lto=\"off\"",
    "profile.release.codegen-units=64",
    "profile.release.incremental=true",
    "profile.release.opt-level=1",
];
/// Where the work folder is seen in a sandbox, whichever it is: paths are part of what Cargo knows a crate by.
const INSIDE: &str = "/ignite/work";
/// Where Cargo's home is seen there.
const INSIDE_HOME: &str = "/ignite/cargo";
/// Where the linker of components is seen there.
const LINKER: &str = "/ignite/wasm-component-ld";

/// Cargo, or for components, where its toolchain has not got the target, a root file system with one that has.
pub(super) fn tools(target: Target, tools: &Tools) -> Result<Vec<FoundTool>, CompileError> {
    if target == Target::Native {
        return Ok(vec![tools.find(Tool::Cargo)?]);
    }
    if let Some(cargo) = cargo_of_components(tools) {
        return Ok(vec![cargo]);
    }
    Ok(vec![tools.find(Tool::WasmRoot)?, tools.find(Tool::WasmLinker)?])
}

/// Cargo, where its toolchain has the target of components.
pub(crate) fn cargo_of_components(tools: &Tools) -> Option<FoundTool> {
    let cargo = tools.find(Tool::Cargo).ok()?;
    tools.rust(&cargo)?.sysroot.join("lib/rustlib").join(WASM).is_dir().then_some(cargo)
}

pub(super) fn build(context: &Context<'_>, session: &mut Session<'_>) -> Result<Payload, CompileError> {
    let package = Package::read(context.tree, &context.plan.entry)?;
    let key =
        KeyBuilder::new("rust work 2").with("work", context.work_key().as_bytes()).with("folder", &package.folder);
    let key = context.tools.iter().fold(key, |key, tool| key.with(tool.tool.as_str(), tool.version.to_string()));
    let sdk = sdk::digest(sdk::RUST);
    let key = key.with("target", context.plan.target.as_str()).with("seed", lock::SEED).with("sdk", sdk.as_bytes());
    let (work, lock) = context.cache.locked(kind::RUST, key.finish(), &session.wait())?;
    let app = work.join("app");
    stage(context, &package, &app)?;
    dependencies::date_sdk(&app).map_err(|cause| CompileError::Cache { path: app.clone(), cause })?;

    let cargo = Cargo::new(context, &work, session.is_sandboxed()?)?;
    session.show(&cargo.seen(&app), "");
    session.show(&cargo.home, "");
    let metadata = cargo.metadata(session, &package)?;
    let (kind, name) = cargo_target(&metadata, &package, &cargo.seen(&app))?;
    cargo.fetch(session, &work)?;
    // Before anyone's code runs: what is told about the artifact is what it was made of.
    let locked = plain_text(&app, "Cargo.lock");
    dependencies::Wanted { context, package: &package, metadata: &metadata, kind }.provide(&cargo, &work, session)?;
    let run = build_command(&cargo, context, &package, kind, &name)?;
    session.run_hinted("cargo build", &run, &build_hint)?;

    let built = match (context.plan.target, kind) {
        (Target::Native, Kind::Program) => name,
        (Target::Native, Kind::Library) => ignite_compiler_plan::rust::WORKER_BIN.to_owned(),
        (Target::Wasm, _) => format!("{name}.wasm"),
    };
    let built = Path::new("target").join(&cargo.triple).join("release").join(built);
    let content = plain_file(&work, &built).map_err(|cause| CompileError::Cache { path: work.join(&built), cause })?;
    let file = PackedFile {
        path: context.plan.entrypoint.clone(),
        content,
        executable: context.plan.target == Target::Native,
    };
    let dependencies = dependencies(&locked);
    Ok(Payload { files: vec![file], dependencies, lock_text: Some(LockText::Cargo(locked)), locks: vec![lock] })
}

/// The build, of the app or of a skeleton of it: what decides how dependencies are compiled is the same.
fn build_command(
    cargo: &Cargo<'_>,
    context: &Context<'_>,
    package: &Package,
    kind: Kind,
    name: &str,
) -> Result<Run, CompileError> {
    let run = match (context.plan.target, kind) {
        (Target::Wasm, Kind::Library) => cargo.command(Phase::Build).args(["rustc", "--lib", "--crate-type", "cdylib"]),
        (_, Kind::Program) => cargo.command(Phase::Build).args(["build", "--bin", name]),
        (Target::Native, Kind::Library) => {
            cargo.command(Phase::Build).args(["build", "--bin", ignite_compiler_plan::rust::WORKER_BIN])
        }
    };
    let manifest = manifest_path(package);
    let run = run.args(["--release", "--offline", "--manifest-path", &manifest, "--target", &cargo.triple]);
    let run = run.args(cargo.remap());
    Ok(if context.quick { run.args(QUICK.iter().flat_map(|setting| ["--config", setting])) } else { run })
}

/// The SDK's sources as they stand in a copy: path and content.
fn sdk_files() -> impl Iterator<Item = (String, Vec<u8>)> {
    sdk::RUST.iter().map(|(path, content)| {
        let path = format!("{SDK_FOLDER}/{path}");
        match std::str::from_utf8(content).ok().filter(|_| path.ends_with("Cargo.toml")) {
            Some(manifest) => (path, without_warnings(manifest).into_bytes()),
            None => (path, content.to_vec()),
        }
    })
}

/// Brings the copy up to date.
fn stage(context: &Context<'_>, package: &Package, app: &Path) -> Result<(), CompileError> {
    let mut stage = Stage::of(context.root, context.tree);
    for (path, content) in sdk_files() {
        stage = stage.with(path, content);
    }
    for (path, text) in package.rewritten(context.plan.target) {
        stage = stage.with(path, text);
    }
    // The toolchain is pinned; these would make rustup look for another.
    for name in ["rust-toolchain", "rust-toolchain.toml"] {
        stage = stage.without(name);
    }
    let lock = app.join("Cargo.lock");
    let failed = |cause| CompileError::Cache { path: lock.clone(), cause };
    if context.tree.has("Cargo.lock") {
        // Cargo adds to it what was added to the manifest; putting it back would make Cargo do that again each time.
        let stamp = app.join(".ignite-lock");
        let digest = context.tree.find_file("Cargo.lock").map(|file| file.digest.to_string()).unwrap_or_default();
        if lock.is_file() && fs::read_to_string(&stamp).is_ok_and(|text| text == digest) && !context.no_cache {
            return stage.without("Cargo.lock").keeping("Cargo.lock").keeping(".ignite-lock").sync(app);
        }
        let author = context.tree.find_text("Cargo.lock").unwrap_or_default();
        return stage.with(".ignite-lock", digest).with("Cargo.lock", lock::with_seed(author)).sync(app);
    }
    stage.keeping("Cargo.lock").sync(app)?;
    if !lock.is_file() || context.no_cache {
        // Without a lock file of the author, the versions this compiler was tested with.
        fs::write(&lock, lock::SEED).map_err(failed)?;
    }
    Ok(())
}

/// A manifest of the SDK whose warnings are not the author's concern.
fn without_warnings(manifest: &str) -> String {
    let Ok(mut document) = manifest.parse::<toml_edit::DocumentMut>() else { return manifest.to_owned() };
    document.remove("lints");
    format!("{}\n[lints.rust]\nwarnings = \"allow\"\n", document.to_string().trim_end())
}

fn manifest_path(package: &Package) -> String {
    if package.folder == "." { "Cargo.toml".to_owned() } else { format!("{}/Cargo.toml", package.folder) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Library,
    Program,
}

/// The Cargo target whose root is the file with the handler.
fn cargo_target(metadata: &Metadata, package: &Package, app: &Path) -> Result<(Kind, String), CompileError> {
    let handler = app.join(&package.handler);
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let found = targets.filter(|target| target.src_path.as_std_path() == handler).find_map(|target| {
        if target.is_bin() {
            return Some((Kind::Program, target.name.clone()));
        }
        let library = target.is_lib() || target.is_cdylib() || target.is_rlib();
        library.then(|| (Kind::Library, target.name.replace('-', "_")))
    });
    found.ok_or_else(|| {
        let mistake =
            Mistake::new(format!("{} is neither the library nor a program of {}", package.handler, package.name))
                .next("take `autolib`, `autobins` or `path` out of Cargo.toml, so that Cargo finds the file");
        CompileError::Mistakes(mistake.into())
    })
}

/// Where the certificates of this machine are in an image.
const CERTIFICATES: &str = "/ignite/ca.crt";

/// How Cargo is called: with this machine's programs, or those of the root file system.
struct Cargo<'a> {
    context: &'a Context<'a>,
    program: PathBuf,
    /// Its home, as it sees it.
    home: PathBuf,
    outside_home: PathBuf,
    /// The work folder, as it sees it.
    work: PathBuf,
    outside_work: PathBuf,
    triple: String,
    root: ToolRoot,
    /// What it needs beside its root.
    reads: Vec<Mount>,
}

impl<'a> Cargo<'a> {
    fn new(context: &'a Context<'a>, work: &Path, sandboxed: bool) -> Result<Self, CompileError> {
        let home = context.home_of("cargo")?;
        made(work.join("target"))?;
        config::write(context.env, &home)?;
        let outside_work = work.to_owned();
        if let Ok(root) = context.tool(Tool::WasmRoot) {
            let linker = context.tool(Tool::WasmLinker)?.path.clone();
            let linker = Mount { source: linker, inside: LINKER.into(), access: Access::ReadOnly };
            return Ok(Self {
                context,
                program: "/usr/bin/cargo".into(),
                outside_home: home,
                home: INSIDE_HOME.into(),
                work: INSIDE.into(),
                outside_work,
                triple: WASM.to_owned(),
                root: ToolRoot::Image(root.path.clone()),
                reads: vec![linker],
            });
        }
        let cargo = context.tool(Tool::Cargo)?;
        let rust = context.finder.rust(cargo).ok_or_else(|| CompileError::Answer {
            step: "rustc".to_owned(),
            cause: "it does not tell its host".to_owned(),
        })?;
        // What stands on the path may be rustup, which needs a home and can be told to start something else.
        let own = rust.sysroot.join("bin/cargo");
        let program = if own.is_file() { own } else { cargo.path.clone() };
        let triple = match context.plan.target {
            Target::Wasm => WASM.to_owned(),
            Target::Native => rust.host,
        };
        let mut reads = vec![Mount::read_only(&rust.sysroot)];
        if !program.starts_with(&rust.sysroot) {
            reads.push(Mount::read_only(&program));
        }
        let (inside_home, inside_work) = match sandboxed {
            true => (PathBuf::from(INSIDE_HOME), PathBuf::from(INSIDE)),
            false => (home.clone(), outside_work.clone()),
        };
        Ok(Self {
            context,
            program,
            outside_home: home,
            home: inside_home,
            work: inside_work,
            outside_work,
            triple,
            root: ToolRoot::Machine,
            reads,
        })
    }

    /// A path of the work folder as Cargo sees it.
    fn seen(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.outside_work).map_or_else(|_| path.to_owned(), |below| self.work.join(below))
    }

    /// Cargo in the copy. Only what fetches may see the network and write to Cargo's home, and only what fetches runs no
    /// code of others.
    fn command(&self, phase: Phase) -> Run {
        let context = self.context;
        let mut run = Run::new(phase, &self.program, self.work.join("app"))
            .env("CARGO_HOME", &self.home)
            .env("CARGO_TARGET_DIR", self.work.join("target"))
            // What is kept is decided here, and not by what Cargo last used: it cannot note that in a home it only reads.
            .env("CARGO_CACHE_AUTO_CLEAN_FREQUENCY", "never")
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_PROGRESS_WHEN", "never");
        run.root = self.root.clone();
        run.mounts.clone_from(&self.reads);
        if matches!(self.root, ToolRoot::Image(_)) {
            run = run.env("CARGO_TARGET_WASM32_WASIP2_LINKER", LINKER);
        }
        let mount = |source: PathBuf, inside: PathBuf, access| Mount { source, inside, access };
        let (home, inside_home) = (self.outside_home.clone(), self.home.clone());
        match phase {
            Phase::Build => {
                // Not the work folder itself: what we note there is not theirs to change.
                for name in ["app", "target"] {
                    // It may have been removed to begin anew; if it cannot be made, the mount will say so.
                    let _ = fs::create_dir_all(self.outside_work.join(name));
                    run.mounts.push(mount(self.outside_work.join(name), self.work.join(name), Access::ReadWrite));
                }
                run.mounts.push(mount(home, inside_home, Access::ReadOnly));
                // Where packages lie is told, and not with which password they came.
                let config = (self.outside_home.join(config::PUBLIC), self.home.join("config.toml"));
                run.mounts.push(mount(config.0, config.1, Access::ReadOnly));
                run
            }
            Phase::Fetch => {
                let app = self.outside_work.join("app");
                run.mounts.push(mount(app.clone(), self.seen(&app), Access::ReadWrite));
                run.mounts.push(mount(home, inside_home, Access::ReadWrite));
                let mut run = context.fetching(run).envs(context.pass(&["CARGO_NET_GIT_FETCH_WITH_CLI"]));
                // An image has certificates of its own, and not those that this machine's network may need.
                if matches!(self.root, ToolRoot::Image(_))
                    && let Some(file) = context.certificates()
                {
                    run.mounts.push(mount(file, CERTIFICATES.into(), Access::ReadOnly));
                    run = run.env("CARGO_HTTP_CAINFO", CERTIFICATES);
                }
                run.envs(config::credentials(context.env))
            }
        }
    }

    fn metadata(&self, session: &mut Session<'_>, package: &Package) -> Result<Metadata, CompileError> {
        const STEP: &str = "cargo metadata";
        let manifest = manifest_path(package);
        let run = self.command(Phase::Build).args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
            "--manifest-path",
            &manifest,
        ]);
        let answer = session.ask(STEP, &run)?;
        MetadataCommand::parse(answer)
            .map_err(|cause| CompileError::Answer { step: STEP.to_owned(), cause: cause.to_string() })
    }

    /// Downloads what the lock file names; nothing at all when that was done before.
    fn fetch(&self, session: &mut Session<'_>, work: &Path) -> Result<(), CompileError> {
        const STEP: &str = "cargo fetch";
        let (app, stamp) = (work.join("app"), work.join("fetched"));
        let mark = self.context.mark_of("cargo")?;
        let told = |whence, detail| Origin { part: Part::Downloads, whence, detail };
        let now = || {
            let lock = plain_text(&app, "Cargo.lock");
            let manifests = self.context.tree.files().iter().filter(|file| file.path.ends_with("Cargo.toml"));
            let key = KeyBuilder::new("fetched 2").with("home", &mark).with("lock", lock);
            manifests.fold(key, |key, file| key.with(&file.path, file.digest.as_bytes())).finish().to_string()
        };
        if !self.context.no_cache && fs::read_to_string(&stamp).is_ok_and(|before| before == now()) {
            session.cached(STEP);
            session.came_from(told(Whence::Kept, String::new()));
            return Ok(());
        }
        let cache = self.context.cache;
        let known = depot::crates(&plain_text(&app, "Cargo.lock"));
        let given = depot::give(cache, &self.outside_home, &known);
        let run = self.command(Phase::Fetch).args(["fetch", "--target", &self.triple]);
        session.run_hinted(STEP, &run, &fetch_hint)?;
        let named = depot::crates(&plain_text(&app, "Cargo.lock"));
        let admitted = depot::admit(cache, &self.outside_home, &named)?;
        let whence = if admitted == 0 && given > 0 { Whence::Shared } else { Whence::Made };
        session.came_from(told(whence, format!("{given} of {} crates shared, {admitted} new", named.len())));
        fs::write(&stamp, now()).map_err(|cause| CompileError::Cache { path: stamp.clone(), cause })
    }

    /// Takes the folders Cargo sees out of what is compiled, so that it is the same elsewhere. In a sandbox they are the
    /// same for every copy, so that dependencies compiled with these flags serve all.
    fn remap(&self) -> [String; 2] {
        let flags = [format!("{}=/ignite", self.work.display()), format!("{}=/cargo", self.home.display())];
        let flags: Vec<String> =
            flags.iter().map(|pair| format!("{:?}", format!("--remap-path-prefix={pair}"))).collect();
        // As configuration it is added to the author's own flags, where the environment would replace them.
        ["--config".to_owned(), format!("build.rustflags=[{}]", flags.join(","))]
    }

    /// The paths of which something may be left in what is compiled.
    fn paths(&self) -> Vec<String> {
        vec![self.home.display().to_string(), self.work.display().to_string()]
    }
}

fn fetch_hint(lines: &[String]) -> Option<String> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    if has("no matching package found") {
        return Some("write the dependency as its package is called, in upper and lower case too".to_owned());
    }
    if has("no matching package named") {
        return Some("check the spelling of the dependency in Cargo.toml".to_owned());
    }
    (has("Couldn't resolve host") || has("failed to download") || has("Could not resolve"))
        .then(|| "the registry cannot be reached; check the network".to_owned())
}

fn build_hint(lines: &[String]) -> Option<String> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    has("linker `cc` not found").then(|| "install a C compiler: Rust links with it (`apt-get install gcc`)".to_owned())
}

/// The packages of a lock file that come from elsewhere.
fn dependencies(lock: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
            Some(line.trim_end().trim_end_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(_)) = (field("name"), field("version"), field("source")) {
            let digest = field("checksum").and_then(|hex| format!("sha256:{hex}").parse().ok());
            found.push(Dependency { name, version, digest });
        }
    }
    found
}

impl From<Mistake> for CompileError {
    fn from(mistake: Mistake) -> Self {
        Self::Mistakes(Mistakes(vec![mistake]))
    }
}
