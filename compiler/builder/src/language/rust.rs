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
use ignite_compiler_sandbox::{Access, Mount, Place};
use ignite_core_artifact::Dependency;
use ignite_core_model::Target;
use ignite_core_model::toolchain::Tool;

use super::{Context, PackedFile, Payload};
use crate::cache::{kind, made};
use crate::error::CompileError;
use crate::packages::LockText;
use crate::sdk;
use crate::session::{Run, Session};
use crate::stage::Stage;
use crate::tools::{FoundTool, Tools, rustup_home};

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
/// Where the work folder is seen inside the root file system.
const INSIDE: &str = "/ignite/work";

/// Cargo, or for components, where its toolchain has not got the target, a root file system with one that has.
pub(super) fn tools(target: Target, tools: &Tools) -> Result<Vec<FoundTool>, CompileError> {
    if target == Target::Native {
        return Ok(vec![tools.find(Tool::Cargo)?]);
    }
    if let Ok(cargo) = tools.find(Tool::Cargo)
        && tools.rust(&cargo).is_some_and(|rust| rust.sysroot.join("lib/rustlib").join(WASM).is_dir())
    {
        return Ok(vec![cargo]);
    }
    Ok(vec![tools.find(Tool::WasmRoot)?, tools.find(Tool::WasmLinker)?])
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

    let cargo = Cargo::new(context, &work)?;
    session.show(&cargo.seen(&app), "");
    session.show(&cargo.home, "");
    let metadata = cargo.metadata(session, &package)?;
    let (kind, name) = cargo_target(&metadata, &package, &cargo.seen(&app))?;
    cargo.fetch(session, &work)?;
    dependencies::Wanted { context, package: &package, metadata: &metadata, kind }.provide(&cargo, &work, session)?;
    let run = build_command(&cargo, context, &package, kind, &name)?;
    session.run_hinted("cargo build", &run, &build_hint)?;

    let built = match (context.plan.target, kind) {
        (Target::Native, Kind::Program) => name,
        (Target::Native, Kind::Library) => ignite_compiler_plan::rust::WORKER_BIN.to_owned(),
        (Target::Wasm, _) => format!("{name}.wasm"),
    };
    let content = work.join("target").join(&cargo.triple).join("release").join(built);
    let locked = fs::read_to_string(app.join("Cargo.lock")).unwrap_or_default();
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
        (Target::Wasm, Kind::Library) => cargo.command(false)?.args(["rustc", "--lib", "--crate-type", "cdylib"]),
        (_, Kind::Program) => cargo.command(false)?.args(["build", "--bin", name]),
        (Target::Native, Kind::Library) => {
            cargo.command(false)?.args(["build", "--bin", ignite_compiler_plan::rust::WORKER_BIN])
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

/// How Cargo is called: on this machine, or inside the root file system.
struct Cargo<'a> {
    context: &'a Context<'a>,
    program: PathBuf,
    /// Its home, as it sees it.
    home: PathBuf,
    /// The work folder, as it sees it.
    work: PathBuf,
    outside_work: PathBuf,
    triple: String,
    inside: Option<Inside>,
}

struct Inside {
    root: PathBuf,
    mounts: Vec<Mount>,
    certificates: bool,
}

impl<'a> Cargo<'a> {
    fn new(context: &'a Context<'a>, work: &Path) -> Result<Self, CompileError> {
        let home = context.cache.folder("cargo")?;
        made(work.join("target"))?;
        config::write(context.env, &home)?;
        if let Ok(root) = context.tool(Tool::WasmRoot) {
            let linker = &context.tool(Tool::WasmLinker)?.path;
            let mount = |source: &Path, inside: &str, access| Mount {
                source: source.to_owned(),
                inside: inside.into(),
                access,
            };
            let mut mounts = vec![
                mount(work, INSIDE, Access::ReadWrite),
                mount(&home, "/ignite/cargo", Access::ReadWrite),
                mount(linker, "/ignite/wasm-component-ld", Access::ReadOnly),
            ];
            for name in ["/etc/resolv.conf", "/etc/hosts"] {
                if Path::new(name).is_file() && root.path.join(&name[1..]).is_file() {
                    mounts.push(mount(Path::new(name), name, Access::ReadOnly));
                }
            }
            let certificates = (context.env)("SSL_CERT_FILE").map(PathBuf::from).filter(|path| path.is_file());
            let certificates = certificates
                .or_else(|| Some(PathBuf::from("/etc/ssl/certs/ca-certificates.crt")).filter(|path| path.is_file()));
            if let Some(file) = &certificates {
                mounts.push(mount(file, "/ignite/ca.crt", Access::ReadOnly));
            }
            let inside = Inside { root: root.path.clone(), mounts, certificates: certificates.is_some() };
            return Ok(Self {
                context,
                program: "/usr/bin/cargo".into(),
                home: "/ignite/cargo".into(),
                work: INSIDE.into(),
                outside_work: work.to_owned(),
                triple: WASM.to_owned(),
                inside: Some(inside),
            });
        }
        let cargo = context.tool(Tool::Cargo)?;
        let triple = match context.plan.target {
            Target::Wasm => WASM.to_owned(),
            Target::Native => {
                context
                    .finder
                    .rust(cargo)
                    .ok_or_else(|| CompileError::Answer {
                        step: "rustc".to_owned(),
                        cause: "it does not tell its host".to_owned(),
                    })?
                    .host
            }
        };
        let program = cargo.path.clone();
        let work = work.to_owned();
        Ok(Self { context, program, home, outside_work: work.clone(), work, triple, inside: None })
    }

    /// A path of the work folder as Cargo sees it.
    fn seen(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.outside_work).map_or_else(|_| path.to_owned(), |below| self.work.join(below))
    }

    /// Cargo in the copy. Only what fetches may see the network and the author's home, and only what fetches runs no
    /// code of others.
    fn command(&self, fetches: bool) -> Result<Run, CompileError> {
        let context = self.context;
        let mut run = Run::new(&self.program, self.work.join("app"))
            .env("CARGO_HOME", &self.home)
            .env("CARGO_TARGET_DIR", self.work.join("target"))
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_PROGRESS_WHEN", "never");
        if let Some(inside) = &self.inside {
            run.place = Place::Rootfs { root: inside.root.clone(), mounts: inside.mounts.clone(), network: fetches };
            run = run
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env("HOME", "/tmp")
                .env("CARGO_TARGET_WASM32_WASIP2_LINKER", "/ignite/wasm-component-ld");
            if inside.certificates {
                run = run.env("SSL_CERT_FILE", "/ignite/ca.crt").env("CARGO_HTTP_CAINFO", "/ignite/ca.crt");
            }
        } else {
            run = run.envs(context.pass(&["PATH", "RUSTUP_TOOLCHAIN"])).env("RUSTUP_AUTO_INSTALL", "0");
            run = run.env("RUSTC_WRAPPER", wrapper(context)?).env("IGNITE_WORK", &self.work);
            if let Some(home) = rustup_home(context.env) {
                run = run.env("RUSTUP_HOME", home);
            }
            run = match (context.env)("HOME").filter(|_| fetches) {
                Some(home) => run.env("HOME", home),
                None => run.env("HOME", context.cache.folder("home")?),
            };
        }
        if fetches {
            let proxies = context.network_env().into_iter();
            run =
                run.envs(proxies.filter(|(name, _)| {
                    self.inside.is_none() || name.to_string_lossy().to_lowercase().ends_with("proxy")
                }));
            run = run.envs(context.pass(&["CARGO_NET_GIT_FETCH_WITH_CLI", "SSH_AUTH_SOCK"]));
            run = run.envs(config::credentials(context.env));
        }
        Ok(run)
    }

    fn metadata(&self, session: &mut Session<'_>, package: &Package) -> Result<Metadata, CompileError> {
        const STEP: &str = "cargo metadata";
        let manifest = manifest_path(package);
        let run = self.command(false)?.args([
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
        let now = || {
            let lock = fs::read(app.join("Cargo.lock")).unwrap_or_default();
            let manifests = self.context.tree.files().iter().filter(|file| file.path.ends_with("Cargo.toml"));
            let key = KeyBuilder::new("fetched 1").with("lock", lock);
            manifests.fold(key, |key, file| key.with(&file.path, file.digest.as_bytes())).finish().to_string()
        };
        if !self.context.no_cache && fs::read_to_string(&stamp).is_ok_and(|before| before == now()) {
            session.cached(STEP);
            return Ok(());
        }
        let run = self.command(true)?.args(["fetch", "--target", &self.triple]);
        session.run_hinted(STEP, &run, &fetch_hint)?;
        fs::write(&stamp, now()).map_err(|cause| CompileError::Cache { path: stamp.clone(), cause })
    }

    /// Takes the folders Cargo sees out of what is compiled, so that it is the same elsewhere. Outside of a root file
    /// system every copy has another path, and a flag with a path in it would make Cargo compile all dependencies again;
    /// there a wrapper adds the flags behind Cargo's back.
    fn remap(&self) -> Vec<String> {
        if self.inside.is_none() {
            return Vec::new();
        }
        let flags = [format!("{}=/ignite", self.work.display()), format!("{}=/cargo", self.home.display())];
        let flags: Vec<String> =
            flags.iter().map(|pair| format!("{:?}", format!("--remap-path-prefix={pair}"))).collect();
        // As configuration it is added to the author's own flags, where the environment would replace them.
        vec!["--config".to_owned(), format!("build.rustflags=[{}]", flags.join(","))]
    }

    /// The paths of which something may be left in what is compiled.
    fn paths(&self) -> Vec<String> {
        let home = self.home.display().to_string();
        if self.inside.is_some() { vec![home, self.work.display().to_string()] } else { vec![home] }
    }
}

/// Called by Cargo in place of rustc, with rustc as the first argument.
const WRAPPER: &str =
    "#!/bin/sh\nexec \"$@\" --remap-path-prefix=\"$IGNITE_WORK=/ignite\" --remap-path-prefix=\"$CARGO_HOME=/cargo\"\n";

/// Where the wrapper is; written when it is not there.
fn wrapper(context: &Context<'_>) -> Result<PathBuf, CompileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = context.cache.folder("bin")?.join("rustc");
    if fs::read_to_string(&path).is_ok_and(|text| text == WRAPPER) {
        return Ok(path);
    }
    let failed = |cause| CompileError::Cache { path: path.clone(), cause };
    let fresh = context.cache.fresh()?;
    let file = fresh.path().join("rustc");
    fs::write(&file, WRAPPER).map_err(failed)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    fs::rename(&file, &path).map_err(failed)?;
    Ok(path)
}

fn fetch_hint(lines: &[String]) -> Option<String> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
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
