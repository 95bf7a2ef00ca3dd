//! The five languages: which tools, which steps, which files.

mod component;
mod deno;
mod go;
mod python;
mod rust;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ignite_compiler_plan::{KeyBuilder, Plan, SourceTree};
use ignite_core_artifact::Dependency;
use ignite_core_model::Runtime;
use ignite_core_model::toolchain::Tool;

use crate::cache::Cache;
use crate::compile::Env;
use crate::error::CompileError;
use crate::identity::Identities;
use crate::packages::LockText;
use crate::session::{Run, Session};
use crate::tools::{FoundTool, Tools};

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
