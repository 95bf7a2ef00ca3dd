//! The five languages: which tools, which steps, which files.

mod component;
mod deno;
mod go;
mod python;
pub(crate) mod rust;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ignite_compiler_plan::{KeyBuilder, Plan, SourceTree};
use ignite_core_artifact::Dependency;
use ignite_core_model::Runtime;
use ignite_core_model::toolchain::Tool;

use crate::cache::{Cache, Holding, Lock, Wait, kind, made};
use crate::compile::Env;
use crate::error::CompileError;
use crate::identity::Identities;
use crate::packages::LockText;
use crate::session::{Run, Session};
use crate::tools::{FoundTool, Tools, write_whole};

/// Longest wait for a home of a tool that is just being removed.
const HOME_WAIT_MAX: Duration = Duration::from_secs(60);

/// The file of a home that no other home has the same of.
const HOME_MARK: &str = ".ignite-home";

/// What a language needs to know of a compile.
pub(crate) struct Context<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) env: &'a Env,
    /// The author's folder, without links in its path.
    pub(crate) root: &'a Path,
    pub(crate) tree: &'a SourceTree,
    pub(crate) plan: &'a Plan,
    pub(crate) tools: &'a [FoundTool],
    pub(crate) finder: &'a Tools,
    pub(crate) identities: &'a Identities,
    /// For whom; see `CompileRequest`.
    pub(crate) tenant: &'a str,
    pub(crate) app: Option<&'a str>,
    /// The homes of tools that this compile uses, and what keeps them there.
    pub(crate) homes: RefCell<BTreeMap<&'static str, (PathBuf, Lock)>>,
    pub(crate) no_cache: bool,
    pub(crate) quick: bool,
}

/// What goes into an artifact.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    pub(crate) files: Vec<PackedFile>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Where a tool wrote down what the app depends on.
    pub(crate) lock_text: Option<LockText>,
    /// Held until the files are packed, since another compile may change them.
    pub(crate) locks: Vec<crate::cache::Lock>,
}

/// A file to pack.
#[derive(Debug)]
pub(crate) struct PackedFile {
    /// Its path in the artifact.
    pub(crate) path: String,
    /// Where its content is.
    pub(crate) content: PathBuf,
    pub(crate) executable: bool,
}

fn is_place(path: &Path) -> bool {
    path.is_absolute() && path.exists()
}

impl Context<'_> {
    pub(crate) fn tool(&self, tool: Tool) -> Result<&FoundTool, CompileError> {
        self.tools
            .iter()
            .find(|found| found.tool == tool)
            .ok_or_else(|| CompileError::Answer { step: tool.to_string(), cause: "it was not looked for".to_owned() })
    }

    /// The folder in which a tool keeps what it downloads for this tenant. It stays for as long as the compile runs.
    pub(crate) fn home_of(&self, tool: &'static str) -> Result<PathBuf, CompileError> {
        self.home(tool, Some(self.tenant))
    }

    /// The same for what all tenants may share, because no code but the tool's own ever runs where it is written to.
    pub(crate) fn shared_home_of(&self, tool: &'static str) -> Result<PathBuf, CompileError> {
        self.home(tool, None)
    }

    fn home(&self, tool: &'static str, tenant: Option<&str>) -> Result<PathBuf, CompileError> {
        if let Some((home, _)) = self.homes.borrow().get(tool) {
            return Ok(home.clone());
        }
        let key = KeyBuilder::new("home 2").with_option("tenant", tenant).with("tool", tool).finish();
        // Only who removes it waits for nobody else to use it, so there is nothing to wait for but that.
        let limit = HOME_WAIT_MAX;
        let wait = Wait { until: Instant::now() + limit, limit, cancel: None };
        let (home, lock) = self.cache.place(kind::DOWNLOADS, key, Holding::WithOthers, &wait)?;
        let home = made(home)?;
        let mark = home.join(HOME_MARK);
        if !mark.is_file() {
            let own = self.cache.fresh()?.path().file_name().unwrap_or_default().to_owned();
            write_whole(&mark, own.as_encoded_bytes()).map_err(|cause| CompileError::Cache { path: mark, cause })?;
        }
        self.homes.borrow_mut().insert(tool, (home.clone(), lock));
        Ok(home)
    }

    /// What tells a home from one that was there before: what was fetched is noted with it.
    pub(crate) fn mark_of(&self, tool: &'static str) -> Result<Vec<u8>, CompileError> {
        let mark = self.home_of(tool)?.join(HOME_MARK);
        fs::read(&mark).map_err(|cause| CompileError::Cache { path: mark, cause })
    }

    /// The digest of what a tool consists of.
    pub(crate) fn tool_digest(&self, tool: &FoundTool) -> Option<ignite_core_model::Digest> {
        self.identities.digest(tool, self.finder)
    }

    /// The key of the folder in which this author's folder is worked on, by no other tenant and for no other app.
    pub(crate) fn work_key(&self) -> ignite_core_model::Digest {
        let key = KeyBuilder::new("work 2").with("tenant", self.tenant).with_option("app", self.app);
        let root = self.root.as_os_str().as_encoded_bytes();
        let key = key.with_option("root", self.app.is_none().then_some(root));
        key.with("runtime", self.plan.runtime.as_str()).finish()
    }

    /// Those of these variables that are set.
    pub(crate) fn pass(&self, names: &[&str]) -> Vec<(OsString, OsString)> {
        let set = |name: &&str| (self.env)(name).filter(|value| !value.is_empty()).map(|value| (name.into(), value));
        names.iter().filter_map(set).collect()
    }

    /// What every tool needs to reach registries from where this machine is.
    pub(crate) fn network_env(&self) -> Vec<(OsString, OsString)> {
        self.pass(&[
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
        ])
    }

    /// Those of these variables that name a file or folder which exists; a step that gets them is to see it.
    pub(crate) fn named(&self, names: &[&str]) -> Vec<PathBuf> {
        self.pass(names).into_iter().map(|(_, value)| PathBuf::from(value)).filter(|path| is_place(path)).collect()
    }

    /// Those of these files and folders below the author's home that exist: what a tool that fetches reads there, such as
    /// the passwords of registries. Nothing else of the home is seen, and nothing by what does not fetch.
    pub(crate) fn of_home(&self, names: &[&str]) -> Vec<PathBuf> {
        let home = (self.env)("HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
        let Some(home) = home else { return Vec::new() };
        names.iter().map(|name| home.join(name)).filter(|path| is_place(path)).collect()
    }

    /// The file of the certificates that this machine trusts: the one that is named, or the system's.
    pub(crate) fn certificates(&self) -> Option<PathBuf> {
        const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
        let named = self.named(&["SSL_CERT_FILE"]).into_iter().next();
        named.or_else(|| Some(PathBuf::from(SYSTEM))).filter(|file| file.is_file())
    }

    /// A step that fetches: with the author's home in its environment, the network, and certificates.
    pub(crate) fn fetching(&self, run: Run) -> Run {
        let run = run.envs(self.pass(&["HOME"])).envs(self.network_env());
        run.reads(self.named(&["SSL_CERT_FILE", "SSL_CERT_DIR"])).reads(self.of_home(&[".netrc", ".gitconfig"]))
    }
}

/// The tools this plan needs.
pub(crate) fn tools(plan: &Plan, tree: &SourceTree, tools: &Tools) -> Result<Vec<FoundTool>, CompileError> {
    match plan.runtime {
        Runtime::Python => python::tools(tree, tools),
        Runtime::Go => Ok(vec![tools.find(Tool::Go)?]),
        Runtime::Deno => Ok(vec![tools.find(Tool::Deno)?]),
        Runtime::Rust => rust::tools(plan.target, tools),
        Runtime::Component => Ok(Vec::new()),
    }
}

/// What the artifact depends on besides sources and tools.
pub(crate) fn sdk_key(plan: &Plan) -> Option<ignite_core_model::Digest> {
    match plan.runtime {
        Runtime::Go => Some(crate::sdk::digest(crate::sdk::GO)),
        Runtime::Deno => Some(crate::sdk::digest(crate::sdk::DENO)),
        Runtime::Rust => {
            let sdk = crate::sdk::digest(crate::sdk::RUST);
            Some(KeyBuilder::new("rust sdk 1").with("sdk", sdk.as_bytes()).with("seed", rust::lock::SEED).finish())
        }
        // The worker brings the SDK of Python; a component brings its own.
        Runtime::Python | Runtime::Component => None,
    }
}

/// Runs the steps.
pub(crate) fn build(context: &Context<'_>, session: &mut Session<'_>) -> Result<Payload, CompileError> {
    match context.plan.runtime {
        Runtime::Python => python::build(context, session),
        Runtime::Go => go::build(context, session),
        Runtime::Deno => deno::build(context, session),
        Runtime::Rust => rust::build(context, session),
        Runtime::Component => component::build(context),
    }
}
