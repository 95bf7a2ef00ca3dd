//! Python: the handler is found by parsing, dependencies are vendored, and everything is compiled to byte code.

mod sources;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use ignite_compiler_plan::python::{Dependencies, VENDOR, dependencies};
use ignite_compiler_plan::{At, KeyBuilder, Mistake, Mistakes, SourceTree};
use ignite_compiler_sandbox::Phase;
use ignite_core_artifact::Dependency;
use ignite_core_model::toolchain::Tool;
use serde::Deserialize;

use super::{Context, PackedFile, Payload};
use crate::cache::made;
use crate::error::CompileError;
use crate::origin::{Origin, Part, Whence};
use crate::session::{Run, Session};
use crate::stage::Stage;
use crate::tools::{FoundTool, Tools, write_whole};

const CHECK: &str = include_str!("check.py");
const VENDOR_SCRIPT: &str = include_str!("vendor.py");

pub(super) fn tools(tree: &SourceTree, tools: &Tools) -> Result<Vec<FoundTool>, CompileError> {
    let mut found = vec![tools.find(Tool::Python)?];
    if dependencies(tree)? != Dependencies::None {
        found.push(tools.find(Tool::Uv)?);
    }
    Ok(found)
}

pub(super) fn build(context: &Context<'_>, session: &mut Session<'_>) -> Result<Payload, CompileError> {
    let (work, lock) = context.cache.locked("work", context.work_key(), &session.wait())?;
    let app = work.join("app");
    Stage::of(context.root, context.tree).sync(&app)?;
    session.show(&app, "");
    let compiled = check(context, session, &app, &work.join("compiled"))?;
    let mut payload = Payload { locks: vec![lock], ..Payload::default() };
    for file in context.tree.files() {
        payload.files.push(PackedFile {
            path: file.path.clone(),
            content: app.join(&file.path),
            executable: file.executable,
        });
    }
    for path in compiled {
        let content = work.join("compiled").join(&path);
        payload.files.push(PackedFile { path, content, executable: false });
    }
    vendor(context, session, &app, &mut payload)?;
    Ok(payload)
}

/// A script of ours in the pinned interpreter: without the site packages, the user's or the current folder's modules,
/// and with one order for everything that is hashed, so that the byte code is the same every time.
fn script(context: &Context<'_>, text: &str, cwd: &Path) -> Result<Run, CompileError> {
    let (python, reads) = context.finder.program(context.tool(Tool::Python)?);
    let run = Run::new(Phase::Build, python, cwd).args(["-s", "-S", "-P", "-X", "utf8", "-c", text]).reads(reads);
    Ok(run.env("PYTHONHASHSEED", "0").env("PYTHONDONTWRITEBYTECODE", "1"))
}

#[derive(Deserialize)]
struct Checked {
    mistakes: Vec<Found>,
    compiled: Vec<String>,
}

#[derive(Deserialize)]
struct Found {
    what: String,
    path: Option<String>,
    line: Option<usize>,
    text: Option<String>,
    detail: Vec<String>,
    next: Option<String>,
}

impl From<Found> for Mistake {
    fn from(found: Found) -> Self {
        let at = match (found.path, found.line) {
            (Some(path), Some(line)) => Some(At { path, line, text: found.text }),
            _ => None,
        };
        Self { what: found.what, at, detail: found.detail, next: found.next }
    }
}

/// Parses every module, looks for the handler, and compiles; tells the paths of the byte code below `out`.
fn check(
    context: &Context<'_>,
    session: &mut Session<'_>,
    app: &Path,
    out: &Path,
) -> Result<Vec<String>, CompileError> {
    const STEP: &str = "check";
    let failed = |cause| CompileError::Cache { path: out.to_owned(), cause };
    if out.exists() {
        fs::remove_dir_all(out).map_err(failed)?;
    }
    made(out.to_owned())?;
    let paths = context.tree.files().iter().map(|file| file.path.as_str()).filter(|path| path.ends_with(".py"));
    fs::write(out.join("modules"), paths.collect::<Vec<_>>().join("\0")).map_err(failed)?;
    let run = script(context, CHECK, app)?.arg(app).arg(&context.plan.entry).arg(out).reads([app]).writes([out]);
    let answer = session.ask(STEP, &run)?;
    let checked: Checked = answered(STEP, &answer)?;
    if checked.mistakes.is_empty() {
        return Ok(checked.compiled);
    }
    Err(Mistakes(checked.mistakes.into_iter().map(Mistake::from).collect()).into())
}

fn answered<'a, T: Deserialize<'a>>(step: &str, answer: &'a str) -> Result<T, CompileError> {
    serde_json::from_str(answer)
        .map_err(|cause| CompileError::Answer { step: step.to_owned(), cause: cause.to_string() })
}

#[derive(Deserialize)]
struct Vendored {
    packages: Vec<(String, String)>,
}

/// Installs the dependencies once for every set of them, and adds them to the payload.
fn vendor(
    context: &Context<'_>,
    session: &mut Session<'_>,
    app: &Path,
    payload: &mut Payload,
) -> Result<(), CompileError> {
    const STEP: &str = "uv pip install";
    let wanted = dependencies(context.tree)?;
    if wanted == Dependencies::None {
        return Ok(());
    }
    let (folder, lock) = context.cache.locked("python", vendor_key(context)?, &session.wait())?;
    payload.locks.push(lock);
    let (done, list) = (folder.join(VENDOR), folder.join("packages.json"));
    if done.is_dir() && list.is_file() && !context.no_cache {
        session.cached(STEP);
        session.came_from(Origin { part: Part::Dependencies, whence: Whence::Kept, detail: String::new() });
    } else {
        session.came_from(Origin { part: Part::Dependencies, whence: Whence::Made, detail: String::new() });
        install(context, session, app, wanted, &folder, &done, &list)?;
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| CompileError::Cache { path, cause }
    };
    let text = fs::read_to_string(&list).map_err(failed(&list))?;
    let vendored: Vendored = answered(STEP, &text)?;
    payload.dependencies =
        vendored.packages.into_iter().map(|(name, version)| Dependency { name, version, digest: None }).collect();
    let mut files = Vec::new();
    list_files(&done, VENDOR, &mut files).map_err(failed(&done))?;
    payload.files.extend(files);
    Ok(())
}

/// Of everything that can decide what is installed: requirement files may name each other, and wheels beside them.
fn vendor_key(context: &Context<'_>) -> Result<ignite_core_model::Digest, CompileError> {
    // What is installed is not proved by digests in every case, and may come from a private index: no other tenant sees it.
    let mut key = KeyBuilder::new("python vendor 2").with("tenant", context.tenant);
    for tool in [Tool::Python, Tool::Uv] {
        key = key.with(tool.as_str(), context.tool(tool)?.version.to_string());
    }
    for (name, value) in context.pass(INDEX_VARIABLES) {
        key = key.with(&name.to_string_lossy(), value.as_encoded_bytes());
    }
    let decides = |path: &str| [".txt", ".in", ".toml", ".lock", ".whl"].iter().any(|end| path.ends_with(end));
    for file in context.tree.files().iter().filter(|file| decides(&file.path)) {
        key = key.with(&file.path, file.digest.as_bytes());
    }
    Ok(key.finish())
}

/// Where an author's packages come from.
const INDEX_VARIABLES: &[&str] =
    &["UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_CONFIG_FILE"];

fn install(
    context: &Context<'_>,
    session: &mut Session<'_>,
    app: &Path,
    wanted: Dependencies,
    folder: &Path,
    done: &Path,
    list: &Path,
) -> Result<(), CompileError> {
    let failed = |cause| CompileError::Cache { path: folder.to_owned(), cause };
    if done.exists() {
        fs::remove_dir_all(done).map_err(failed)?;
    }
    // Where it is made, so that nothing of it stays when it is not made to its end.
    let place = context.cache.fresh()?;
    let (folder, fresh) = (place.path(), made(place.path().join(VENDOR))?);
    let uv = Uv::new(context, app, folder)?;
    let mut requirements = PathBuf::from(match wanted {
        Dependencies::Requirements => "requirements.txt",
        _ => "pyproject.toml",
    });
    if wanted == Dependencies::Locked {
        requirements = folder.join("requirements.txt");
        let export = ["export", "--frozen", "--quiet", "--no-dev", "--no-emit-project", "--format", "requirements-txt"];
        let run = uv.fetch(&context.home_of("uv")?, &export).arg("--python").arg(&uv.python);
        session.run_hinted("uv export", &run.arg("-o").arg(&requirements), &|_| {
            Some("uv.lock is not of this pyproject.toml: run `uv lock`".to_owned())
        })?;
    }
    // Only wheels are installed, so that no code of a package is run although there is a network.
    let run = uv.fetch(&context.home_of("uv")?, &["pip", "install", "--only-binary", ":all:"]);
    let run = uv.installs(run, &fresh, &requirements);
    match session.run_hinted("uv pip install", &run, &install_hint) {
        Err(CompileError::Step { output, .. }) if sources::are_needed(&output) => {
            sources::install(session, &uv, folder, &fresh, &requirements)?;
        }
        done => done?,
    }
    let answer =
        session.ask("compile packages", &script(context, VENDOR_SCRIPT, folder)?.arg(&fresh).writes([folder]))?;
    answered::<Vendored>("compile packages", &answer)?;
    fs::rename(&fresh, done).and_then(|()| write_whole(list, answer.as_bytes())).map_err(failed)
}

/// How uv is started.
struct Uv<'a> {
    context: &'a Context<'a>,
    program: PathBuf,
    python: PathBuf,
    /// Where both are.
    reads: Vec<PathBuf>,
    app: &'a Path,
    /// Where it may write.
    folder: &'a Path,
}

impl<'a> Uv<'a> {
    fn new(context: &'a Context<'a>, app: &'a Path, folder: &'a Path) -> Result<Self, CompileError> {
        let (program, mut reads) = context.finder.program(context.tool(Tool::Uv)?);
        let (python, python_reads) = context.finder.program(context.tool(Tool::Python)?);
        reads.extend(python_reads);
        Ok(Self { context, program, python, reads, app, folder })
    }

    /// A step that fetches.
    fn fetch(&self, cache: &Path, args: &[&str]) -> Run {
        let context = self.context;
        let run = self.with_own(context.fetching(Run::new(Phase::Fetch, &self.program, self.app)), cache, args);
        let run = run.envs(context.pass(INDEX_VARIABLES)).envs(context.pass(&["NETRC"]));
        let run = run.reads(context.named(&["UV_CONFIG_FILE", "UV_FIND_LINKS", "NETRC"]));
        let run = run.reads(context.of_home(&[".config/uv"]));
        let own = own_settings(context);
        let file = own.iter().filter(|(name, _)| name == "UV_CONFIG_FILE").map(|(_, path)| PathBuf::from(path));
        run.reads(file).envs(own.clone())
    }

    /// What all steps of it have.
    fn with_own(&self, run: Run, cache: &Path, args: &[&str]) -> Run {
        let run = run.args(args.iter().copied()).reads(self.reads.iter()).reads([self.app]);
        let run = run.writes([self.folder, cache]).env("UV_CACHE_DIR", cache);
        run.env("UV_PYTHON_DOWNLOADS", "never").env("UV_NO_PROGRESS", "1").env("NO_COLOR", "1")
    }

    /// The same step with what is installed, and where.
    fn installs(&self, run: Run, into: &Path, requirements: &Path) -> Run {
        let run = run.args(["--link-mode", "copy", "--no-progress", "--python"]).arg(&self.python);
        run.arg("--target").arg(into).arg("--requirement").arg(requirements)
    }
}

/// Keeps uv from the settings that lie in the author's folder or above the copy of it: what counts is the file of
/// whoever runs the compiler.
fn own_settings(context: &Context<'_>) -> Option<(OsString, OsString)> {
    if !context.pass(&["UV_CONFIG_FILE"]).is_empty() {
        return None;
    }
    let set = |name| (context.env)(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let file = folder.map(|folder| folder.join("uv/uv.toml")).filter(|file| file.is_file());
    Some(match file {
        Some(file) => ("UV_CONFIG_FILE".into(), file.into()),
        None => ("UV_NO_CONFIG".into(), "1".into()),
    })
}

fn install_hint(lines: &[String]) -> Option<String> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    if has("not found in the package registry") {
        return Some("check the spelling of the package in your requirements".to_owned());
    }
    (has("Failed to fetch") || has("dns error") || has("client error (Connect)"))
        .then(|| "the package index cannot be reached; check the network, or set UV_DEFAULT_INDEX".to_owned())
}

fn list_files(folder: &Path, prefix: &str, files: &mut Vec<PackedFile>) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let (path, content) = (format!("{prefix}/{name}"), entry.path());
        let metadata = fs::symlink_metadata(&content)?;
        if metadata.is_dir() {
            list_files(&content, &path, files)?;
        } else if metadata.is_file() {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            files.push(PackedFile { path, content, executable });
        }
    }
    Ok(())
}
