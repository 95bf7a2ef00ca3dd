//! The whole way from a folder to an artifact.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ignite_compiler_plan::{KeyBuilder, Mistake, Patterns, Plan, SourceTree, plan};
use ignite_compiler_sandbox::Features;
use ignite_compiler_sandbox::Stream;
use ignite_core_artifact::ManifestHead;
use ignite_core_artifact::provenance::{PROVENANCE_NAME, SourceEntry, UsedTool};
use ignite_core_model::toolchain::Tool;
use ignite_core_model::{Digest, Runtime};

use crate::attest;
use crate::cache::{Cache, CacheLimits, Fresh, Stored, Wait};
use crate::error::CompileError;
use crate::identity::Identities;
use crate::language::{self, Context, PackedFile, Payload, rust};
use crate::origin::{Origin, Part, Whence};
use crate::pack::pack;
use crate::request::{CompileEvent, CompileRequest, Compiled};
use crate::sandbox::{SandboxOptions, Sandboxes};
use crate::scan::{SourceLimits, manifest_text, scan};
use crate::session::Session;
use crate::settings::Settings;
use crate::source::{Unpacked, is_archive, sweep_unpacked};
use crate::tools::{FoundTool, ToolError, Tools};
use crate::workspace::Workspace;

/// Reads an environment variable. The builder reads no other environment.
pub type Env = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// What a builder needs.
#[derive(Clone)]
pub struct BuilderConfig {
    /// The cache of the product; the builder keeps to `compile` in it. An absolute path.
    pub cache_dir: PathBuf,
    /// The environment: where tools are, how registries are reached.
    pub env: Env,
    /// How large an author's folder may be.
    pub limits: SourceLimits,
    /// How steps are locked up.
    pub sandbox: SandboxOptions,
}

/// What a compile would work with.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The digest of the sources.
    pub source: Digest,
    /// The source files; empty where they are too many to list.
    pub sources: Vec<SourceEntry>,
    /// The tools that would run.
    pub tools: Vec<UsedTool>,
}

/// Compiles. It can be shared between threads; compiles of one folder wait for each other.
pub struct Builder {
    cache: Cache,
    env: Env,
    tools: Tools,
    identities: Identities,
    limits: SourceLimits,
    sandboxes: Sandboxes,
}

/// Changes with the code of the compiler, so that no artifact of another one is taken from the cache.
const REVISION: &str = env!("IGNITE_COMPILER_REVISION");

impl Builder {
    /// A builder. Nothing is written until something is compiled.
    #[must_use]
    pub fn new(config: BuilderConfig) -> Self {
        let cache = Cache::new(config.cache_dir.join("compile"));
        let tools = Tools::new(config.env.clone(), cache.path("tools.json"));
        let sandboxes = Sandboxes::new(config.sandbox, cache.path("scratch"));
        let identities = Identities::new(cache.path("identities.json"));
        Self { cache, env: config.env, tools, identities, limits: config.limits, sandboxes }
    }

    /// The same builder with other bounds for its cache.
    #[must_use]
    pub fn with_cache_limits(mut self, limits: CacheLimits) -> Self {
        self.cache = self.cache.with_limits(limits);
        self
    }

    /// Finds a tool of the pinned version.
    ///
    /// # Errors
    /// When there is none; with what was looked at, and how to get one.
    pub fn find_tool(&self, tool: Tool) -> Result<FoundTool, ToolError> {
        self.tools.find(tool)
    }

    /// Whether a compile may take a tool here. Where Cargo's own toolchain has the target of components, no other is looked for.
    pub fn needs_tool(&self, tool: Tool) -> bool {
        !matches!(tool, Tool::WasmRoot | Tool::WasmLinker) || rust::cargo_of_components(&self.tools).is_none()
    }

    /// What of the sandbox this machine and this user have. A sandbox is made to find out; nothing is run in it.
    ///
    /// # Errors
    /// When the cache, to which steps write, cannot be used.
    pub fn sandbox(&self) -> Result<Features, CompileError> {
        self.sandboxes.look()
    }

    /// Removes what compiles that were killed have left: what was half made in the cache, unpacked sources, control groups.
    /// What others are at work on stays. A compile does so by itself, once for each builder; whoever takes over from one that
    /// was killed need not wait for that.
    pub fn sweep(&self) {
        self.cache.sweep();
        sweep_unpacked(&self.cache);
        ignite_compiler_sandbox::sweep();
    }

    /// A private folder in the cache, on the same disk.
    ///
    /// # Errors
    /// When the cache cannot be used.
    pub fn workspace(&self) -> Result<Workspace, CompileError> {
        self.cache.fresh().map(Workspace::from)
    }

    /// Compiles a folder to an artifact. This blocks; `events` is called from this thread.
    ///
    /// Nothing is written but the cache and `request.out`, which is replaced in one step and only when all went well.
    ///
    /// # Errors
    /// [`CompileError`]; what was at `request.out` is still there.
    pub fn compile(
        &self,
        request: &CompileRequest,
        events: &mut dyn FnMut(CompileEvent<'_>),
    ) -> Result<Compiled, CompileError> {
        let started = Instant::now();
        let source = Source::open(request, &self.cache)?;
        let settings = Settings::read(source.manifest.as_deref(), request)?;
        let tree = source.tree(&settings.patterns, &self.limits, &request.beside)?;
        let plan = plan(&tree, &settings.wishes)?;
        let tree = tree.without(&plan.left_out);
        for note in &plan.notes {
            events(CompileEvent::Line { step: "source", stream: Stream::Stderr, line: &format!("note: {note}") });
        }
        let tools = language::tools(&plan, &tree, &self.tools)?;
        self.cache.sweep();
        let key = self.key(&plan, &settings, &tools, request);
        let log = self.cache.log(key)?;
        if !request.no_cache
            && let Some((file, stored)) = self.cache.find_artifact(key)
        {
            match self.cache.deliver(&file, stored.digest, &request.out) {
                Ok(()) => {
                    let origin = Origin { part: Part::Artifact, whence: Whence::Kept, detail: String::new() };
                    events(CompileEvent::Line { step: "cache", stream: Stream::Stderr, line: &origin.to_string() });
                    let cached = vec!["everything".to_owned()];
                    return Ok(compiled(request, stored, started, (cached, vec![origin], log)));
                }
                Err(Some(error)) => return Err(error),
                // It is damaged, and made anew.
                Err(None) => self.cache.forget_artifact(key),
            }
        }

        let mut session = Session::new(events, &request.cancel, request.time_max, log, &self.sandboxes)?;
        for note in &plan.notes {
            session.note(&format!("note: {note}"));
        }
        let context = Context {
            cache: &self.cache,
            env: &self.env,
            root: &source.root,
            tree: &tree,
            plan: &plan,
            tools: &tools,
            finder: &self.tools,
            identities: &self.identities,
            homes: RefCell::default(),
            tenant: &request.tenant,
            app: request.app.as_deref(),
            no_cache: request.no_cache,
            quick: request.quick,
        };
        let mut payload = language::build(&context, &mut session)?;
        add_included(&mut payload, &settings.patterns, &source.root, &tree, plan.runtime);
        let _said = self.attest(&plan, request.quick, &tree, &tools, &mut payload)?;
        let head = head(&plan, settings, &tools, &mut payload);
        let wait = session.wait();
        let (fresh, written) = pack(&self.cache, head, &payload.files, request.compression, &wait)?;
        drop(payload);
        wait.check()?;
        let stored = Stored { digest: written.digest, bytes: written.bytes, manifest: written.manifest };
        let kept = self.cache.store_artifact(key, fresh, &stored)?;
        self.cache.deliver(&kept, stored.digest, &request.out).map_err(|error| {
            error.unwrap_or_else(|| CompileError::Cache {
                path: kept.clone(),
                cause: std::io::Error::other("the stored artifact is damaged"),
            })
        })?;
        session.came_from(Origin { part: Part::Artifact, whence: Whence::Made, detail: String::new() });
        Ok(compiled(request, stored, started, session.finish()))
    }

    /// Looks at what a compile would work with, and runs nothing but the tools' own word of their versions.
    ///
    /// # Errors
    /// What [`Builder::compile`] would find before it runs a tool.
    pub fn inspect(&self, request: &CompileRequest) -> Result<Inspected, CompileError> {
        let source = Source::open(request, &self.cache)?;
        let settings = Settings::read(source.manifest.as_deref(), request)?;
        let tree = source.tree(&settings.patterns, &self.limits, &request.beside)?;
        let plan = plan(&tree, &settings.wishes)?;
        let tools = language::tools(&plan, &tree, &self.tools)?;
        Ok(Inspected {
            source: plan.source,
            sources: attest::sources(&tree),
            tools: attest::used_tools(&tools, &self.identities, &self.tools),
        })
    }

    /// Adds to the payload the file that says what went into it; the file is gone when what is returned is dropped.
    fn attest(
        &self,
        plan: &Plan,
        quick: bool,
        tree: &SourceTree,
        tools: &[FoundTool],
        payload: &mut Payload,
    ) -> Result<Fresh, CompileError> {
        let fresh = self.cache.fresh()?;
        let content = fresh.path().join("provenance.json");
        let failed = |cause| CompileError::Cache { path: content.clone(), cause };
        let used = attest::used_tools(tools, &self.identities, &self.tools);
        let bytes = attest::provenance(plan, quick, tree, used, payload).to_bytes();
        fs::write(&content, bytes.map_err(std::io::Error::other).map_err(failed)?).map_err(failed)?;
        payload.files.push(PackedFile { path: PROVENANCE_NAME.to_owned(), content, executable: false });
        Ok(fresh)
    }

    /// Of everything that decides what comes out; computed without running a tool.
    fn key(&self, plan: &Plan, settings: &Settings, tools: &[FoundTool], request: &CompileRequest) -> Digest {
        let mut key = KeyBuilder::new("artifact 2")
            .with("revision", REVISION)
            // An app's dependencies that no lock file pins, and private ones, are each tenant's own affair.
            .with("tenant", &request.tenant)
            .with("abi", ignite_core_abi::ABI_VERSION.to_string())
            .with("runtime", plan.runtime.as_str())
            .with("target", plan.target.as_str())
            .with("kind", plan.kind.as_str())
            .with("entry", &plan.entry)
            .with("source", plan.source.as_bytes())
            .with("settings", settings.key().as_bytes())
            .with("compression", request.compression.as_str())
            // Only Rust knows a quick way.
            .with("quick", if request.quick && plan.runtime == Runtime::Rust { "quick" } else { "-" })
            .with("machine", std::env::consts::ARCH)
            .with_option("sdk", language::sdk_key(plan).map(|digest| digest.to_hex()));
        for found in tools {
            key = key.with(found.tool.as_str(), found.version.to_string());
            key = key.with_option("digest", self.identities.digest(found, &self.tools).map(|digest| digest.to_hex()));
        }
        key.finish()
    }
}

type Told = (Vec<String>, Vec<Origin>, PathBuf);

fn compiled(request: &CompileRequest, stored: Stored, started: Instant, (cached, origins, log): Told) -> Compiled {
    Compiled {
        artifact: request.out.clone(),
        digest: stored.digest,
        bytes: stored.bytes,
        manifest: stored.manifest,
        elapsed: started.elapsed(),
        cached,
        origins,
        log,
    }
}

/// What is to be compiled, as it lies on disk.
struct Source {
    root: PathBuf,
    manifest: Option<String>,
    /// The one file that counts, when a file was named.
    only: Option<String>,
    /// The output, if it lies among the sources.
    out: Option<PathBuf>,
    /// What `root` lies in, when an archive was named.
    _unpacked: Option<Unpacked>,
}

impl Source {
    fn open(request: &CompileRequest, cache: &Cache) -> Result<Self, CompileError> {
        let path = &request.source;
        let Ok(canonical) = path.canonicalize() else { return Err(CompileError::NoSource { path: path.clone() }) };
        if canonical.is_dir() {
            let manifest = manifest_text(&canonical)?;
            let folder = request.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let out = folder.canonicalize().ok().zip(request.out.file_name()).map(|(folder, name)| folder.join(name));
            return Ok(Self { root: canonical, manifest, only: None, out, _unpacked: None });
        }
        let name = canonical.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        match (name, canonical.parent()) {
            (Some(name), Some(folder)) if name.ends_with(".wasm") => {
                Ok(Self { root: folder.to_owned(), manifest: None, only: Some(name), out: None, _unpacked: None })
            }
            _ if is_archive(&canonical) => {
                let limit = request.time_max;
                let wait = Wait { until: Instant::now() + limit, limit, cancel: Some(&request.cancel) };
                let unpacked = Unpacked::open(request, cache, &wait)?;
                let root = unpacked.root().to_owned();
                let manifest = manifest_text(&root)?;
                Ok(Self { root, manifest, only: None, out: None, _unpacked: Some(unpacked) })
            }
            _ => Err(Mistake::new(format!("{} is a file, and an app is a folder", path.display()))
                .next("name the folder it lies in, or an archive of it")
                .into()),
        }
    }

    fn tree(&self, patterns: &Patterns, limits: &SourceLimits, beside: &[PathBuf]) -> Result<SourceTree, CompileError> {
        if let Some(name) = &self.only {
            return one_file(&self.root, name);
        }
        let tree = scan(&self.root, patterns, self.out.as_deref(), limits)?;
        // One that is not there yet is none of the files.
        let beside: Vec<PathBuf> = beside.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let is_source = |path: &str| !beside.contains(&self.root.join(path));
        if beside.is_empty() || tree.files().iter().all(|file| is_source(&file.path)) {
            return Ok(tree);
        }
        Ok(SourceTree::new(tree.files().iter().filter(|file| is_source(&file.path)).cloned().collect()))
    }
}

fn one_file(root: &Path, name: &str) -> Result<SourceTree, CompileError> {
    let path = root.join(name);
    let read = || {
        let mut file = fs::File::open(&path)?;
        crate::digest::of(&mut file)
    };
    let (digest, size) = read().map_err(|cause| CompileError::Source { path: path.clone(), cause })?;
    let file = ignite_compiler_plan::SourceFile { path: name.to_owned(), size, executable: false, digest, text: None };
    Ok(SourceTree::new(vec![file]))
}

fn head(plan: &Plan, settings: Settings, tools: &[FoundTool], payload: &mut Payload) -> ManifestHead {
    let toolchain: BTreeMap<String, String> =
        tools.iter().map(|found| (found.tool.as_str().to_owned(), found.version.to_string())).collect();
    ManifestHead {
        runtime: plan.runtime,
        target: plan.target,
        kind: plan.kind,
        entrypoint: plan.entrypoint.clone(),
        abi: ignite_core_abi::ABI_VERSION,
        name: settings.name,
        toolchain,
        source: plan.source,
        limits: settings.limits,
        env: settings.env,
        dependencies: std::mem::take(&mut payload.dependencies),
    }
}

/// Packs the files an author asks for by name beside what was compiled. Python packs the whole folder anyway.
fn add_included(payload: &mut Payload, patterns: &Patterns, root: &Path, tree: &SourceTree, runtime: Runtime) {
    if runtime == Runtime::Python || !patterns.has_includes() {
        return;
    }
    for file in tree.files().iter().filter(|file| patterns.includes(&file.path)) {
        if !payload.files.iter().any(|packed| packed.path == file.path) {
            payload.files.push(PackedFile {
                path: file.path.clone(),
                content: root.join(&file.path),
                executable: file.executable,
            });
        }
    }
}
