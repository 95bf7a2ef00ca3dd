//! What went into an artifact, for the artifact itself to say.

use std::fs::File;

use ignite_compiler_plan::{Plan, SourceTree};
use ignite_core_artifact::provenance::{
    Options, PROVENANCE_VERSION, Package, Provenance, SOURCES_LISTED_MAX, SourceEntry, UsedTool,
};

use crate::digest;
use crate::identity::Identities;
use crate::language::{self, Payload};
use crate::packages::{distribution, packages};
use crate::tools::{FoundTool, Tools};

/// Changes with the code of the compiler.
const REVISION: &str = env!("IGNITE_COMPILER_REVISION");

/// Everything that is known of a compile whose payload is at hand.
pub(crate) fn provenance(
    plan: &Plan,
    quick: bool,
    tree: &SourceTree,
    tools: Vec<UsedTool>,
    payload: &Payload,
) -> Provenance {
    let mut packages = payload.lock_text.as_ref().map(packages).unwrap_or_default();
    packages.extend(distributions(payload));
    packages.sort();
    packages.dedup();
    Provenance {
        version: PROVENANCE_VERSION,
        compiler: UsedTool {
            name: "ignite".to_owned(),
            version: format!("{}+{REVISION}", env!("CARGO_PKG_VERSION")),
            digest: None,
        },
        options: Options { runtime: plan.runtime, target: plan.target, kind: plan.kind, quick },
        tools,
        sdk: language::sdk_key(plan),
        sources: sources(tree),
        packages,
    }
}

/// The source files, where they are not too many to list.
pub(crate) fn sources(tree: &SourceTree) -> Vec<SourceEntry> {
    if tree.files().len() > SOURCES_LISTED_MAX {
        return Vec::new();
    }
    let entry = |file: &ignite_compiler_plan::SourceFile| SourceEntry {
        path: file.path.clone(),
        digest: file.digest,
        executable: file.executable,
    };
    tree.files().iter().map(entry).collect()
}

/// The tools with their digests.
pub(crate) fn used_tools(tools: &[FoundTool], identities: &Identities, finder: &Tools) -> Vec<UsedTool> {
    let used = |found: &FoundTool| UsedTool {
        name: found.tool.as_str().to_owned(),
        version: found.version.to_string(),
        digest: identities.digest(found, finder),
    };
    tools.iter().map(used).collect()
}

/// Installed Python distributions, by the lists of files that they brought.
fn distributions(payload: &Payload) -> Vec<Package> {
    let lists = payload.files.iter().filter_map(|file| {
        let folder = file.path.strip_prefix("vendor/")?.strip_suffix("/RECORD")?;
        let (record, _) = digest::of(&mut File::open(&file.content).ok()?).ok()?;
        distribution(folder, &record.to_hex())
    });
    lists.collect()
}
