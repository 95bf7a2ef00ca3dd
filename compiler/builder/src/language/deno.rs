//! Deno: what is imported is downloaded, types are checked, then one minified module or one program is made.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use ignite_compiler_plan::KeyBuilder;
use ignite_compiler_plan::deno::config;
use ignite_compiler_sandbox::Phase;
use ignite_core_artifact::Dependency;
use ignite_core_model::ArtifactKind;
use ignite_core_model::toolchain::Tool;

use super::{Context, PackedFile, Payload};
use crate::cache::made;
use crate::error::CompileError;
use crate::packages::LockText;
use crate::sandbox::plain_text;
use crate::sdk;
use crate::session::{Run, Session};
use crate::stage::Stage;

pub(super) fn build(context: &Context<'_>, session: &mut Session<'_>) -> Result<Payload, CompileError> {
    let (work, lock) = context.cache.locked("work", context.work_key(), &session.wait())?;
    let (app, sdk_folder) = (work.join("app"), work.join("sdk"));
    let config = config(context.tree, "../sdk/")?;
    let mut stage = Stage::of(context.root, context.tree).with("deno.json", config).without("deno.jsonc");
    // Without a lock file of the author, the one Deno writes keeps later compiles at the same versions.
    if !context.tree.has("deno.lock") && !context.no_cache {
        stage = stage.keeping("deno.lock");
    }
    stage.sync(&app)?;
    Stage::of_sdk(sdk::DENO).sync(&sdk_folder)?;
    session.show(&app, "");
    session.show(&sdk_folder, "ignite/");

    let entry = context.plan.entry.as_str();
    let executable = context.plan.kind == ArtifactKind::Binary;
    let places = Places { app, sdk: sdk_folder, out: made(work.join("out"))? };
    fetch(context, session, &places, &work.join("fetched"))?;
    if executable {
        fetch_denort(context, session, &places)?;
    } else {
        fetch_bundler(context, session, &places)?;
    }
    let build = |args: &[&str]| command(context, &places, Phase::Build, args);
    let check = build(&["check", "--allow-import", entry])?;
    session.run_hinted("deno check", &check, &download_hint)?;
    let out = places.out.join(&context.plan.entrypoint);
    if executable {
        let run = build(&["compile", "--allow-all", "--no-prompt", "--output"])?;
        session.run_hinted("deno compile", &run.arg(&out).arg(entry), &compile_hint)?;
    } else {
        let run = build(&["bundle", "--quiet", "--allow-import", "--minify", "--platform", "deno", "--output"])?;
        session.run_hinted("deno bundle", &run.arg(&out).arg(entry), &download_hint)?;
    }
    let file = PackedFile { path: context.plan.entrypoint.clone(), content: out, executable };
    let locked = plain_text(&places.app, "deno.lock");
    let dependencies = dependencies(&locked);
    Ok(Payload { files: vec![file], dependencies, lock_text: Some(LockText::Deno(locked)), locks: vec![lock] })
}

/// The packages of a lock file. A key is a name, `@`, a version, and after `_` the versions of peers.
fn dependencies(lock: &str) -> Vec<Dependency> {
    let lock: serde_json::Value = serde_json::from_str(lock).unwrap_or_default();
    let packages = ["jsr", "npm"].into_iter().filter_map(|registry| Some((registry, lock.get(registry)?.as_object()?)));
    let keys = packages.flat_map(|(registry, packages)| packages.keys().map(move |key| (registry, key)));
    let mut found: Vec<Dependency> = keys
        .filter_map(|(registry, key)| {
            let at = key.get(1..)?.find('@')? + 1;
            let version = key[at + 1..].split('_').next()?.to_owned();
            Some(Dependency { name: format!("{registry}:{}", &key[..at]), version, digest: None })
        })
        .collect();
    found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    found.dedup();
    found
}

/// The folders of a compile.
struct Places {
    app: PathBuf,
    sdk: PathBuf,
    out: PathBuf,
}

fn command(context: &Context<'_>, places: &Places, phase: Phase, args: &[&str]) -> Result<Run, CompileError> {
    let (deno, reads) = context.finder.program(context.tool(Tool::Deno)?);
    let cache = deno_folder(context)?;
    let run = Run::new(phase, deno, &places.app).args(args.iter().copied()).reads(reads).reads([&places.sdk]);
    let run = run.writes([&places.app, &cache]).env("DENO_DIR", cache);
    let run = run.env("DENO_NO_UPDATE_CHECK", "1").env("NO_COLOR", "1");
    let run = run.envs(context.pass(&["DENORT_BIN"])).reads(context.named(&["DENORT_BIN"]));
    // The registries' addresses are part of where a package lies in the cache.
    let run = run.envs(context.pass(&["NPM_CONFIG_REGISTRY", "JSR_URL"]));
    if phase == Phase::Build {
        return Ok(run.writes([&places.out]));
    }
    let run = context.fetching(run).envs(context.pass(&["DENO_AUTH_TOKENS", "DENO_CERT"]));
    let run = run.reads(context.named(&["DENO_CERT"])).reads(context.of_home(&[".npmrc"]));
    // The machine's own certificates, as every other tool here uses.
    let store = (context.env)("DENO_TLS_CA_STORE").unwrap_or_else(|| OsString::from("system"));
    Ok(run.env("DENO_TLS_CA_STORE", store))
}

/// Downloads what the modules import; nothing at all when that was done before for the same imports. No script of a
/// package is run.
fn fetch(context: &Context<'_>, session: &mut Session<'_>, places: &Places, stamp: &Path) -> Result<(), CompileError> {
    const STEP: &str = "deno cache";
    let mark = context.mark_of("deno")?;
    let now = || imports_key(context, &mark, plain_text(&places.app, "deno.lock").as_bytes());
    if !context.no_cache && fs::read_to_string(stamp).is_ok_and(|before| before == now()) {
        session.cached(STEP);
        return Ok(());
    }
    let run = command(context, places, Phase::Fetch, &["cache", "--allow-import", &context.plan.entry])?;
    session.run_hinted(STEP, &run, &download_hint)?;
    fs::write(stamp, now()).map_err(|cause| CompileError::Cache { path: stamp.to_owned(), cause })
}

/// Changes whenever something else may be imported: of every line in which a text stands, and of the files that map names
/// to modules.
fn imports_key(context: &Context<'_>, home: &[u8], lock: &[u8]) -> String {
    let mut key = KeyBuilder::new("deno imports 2").with("home", home).with("lock", lock);
    for file in context.tree.files() {
        match &file.text {
            Some(text) if !file.path.ends_with(".json") && !file.path.ends_with(".jsonc") => {
                let lines: Vec<&str> = text.lines().filter(|line| line.contains(['"', '\'', '`'])).collect();
                key = key.with(&file.path, lines.join("\n"));
            }
            _ => key = key.with(&file.path, file.digest.as_bytes()),
        }
    }
    key.finish().to_string()
}

/// The bundler, which Deno downloads when it first bundles: with a module of ours, while there is a network. It cannot be
/// started there, since nothing can that was downloaded in the same phase; that it is there is what counts.
fn fetch_bundler(context: &Context<'_>, session: &mut Session<'_>, places: &Places) -> Result<(), CompileError> {
    let folder = deno_folder(context)?;
    let has_bundler = || fs::read_dir(folder.join("dl")).is_ok_and(|mut entries| entries.next().is_some());
    if has_bundler() {
        return Ok(());
    }
    let empty = empty_module(places)?;
    let mut run = command(context, places, Phase::Fetch, &["bundle", "--no-config", "--no-lock", "empty.ts"])?;
    run.cwd.clone_from(&empty);
    let done = session.run_hinted("deno bundle", &run.writes([&empty]), &download_hint);
    if has_bundler() { Ok(()) } else { done }
}

/// A folder with a module that does nothing.
fn empty_module(places: &Places) -> Result<PathBuf, CompileError> {
    let empty = made(places.out.join("empty"))?;
    match fs::write(empty.join("empty.ts"), "export {};\n") {
        Ok(()) => Ok(empty),
        Err(cause) => Err(CompileError::Cache { path: empty, cause }),
    }
}

/// The cache of this version of Deno.
fn deno_folder(context: &Context<'_>) -> Result<PathBuf, CompileError> {
    made(context.home_of("deno")?.join(context.tool(Tool::Deno)?.version.to_string()))
}

/// The program that `deno compile` puts the code into, likewise: by compiling an empty module.
fn fetch_denort(context: &Context<'_>, session: &mut Session<'_>, places: &Places) -> Result<(), CompileError> {
    if (context.env)("DENORT_BIN").is_some_and(|value| !value.is_empty()) {
        return Ok(());
    }
    let stamp = deno_folder(context)?.join("denort-is-there");
    if stamp.is_file() {
        return Ok(());
    }
    let failed = |cause| CompileError::Cache { path: stamp.clone(), cause };
    let empty = empty_module(places)?;
    let args = ["compile", "--no-config", "--no-lock", "--no-prompt", "--output", "empty", "empty.ts"];
    let mut run = command(context, places, Phase::Fetch, &args)?;
    run.cwd.clone_from(&empty);
    session.run_hinted("deno compile", &run.writes([&empty]), &compile_hint)?;
    fs::write(&stamp, "").map_err(failed)
}

fn download_hint(lines: &[String]) -> Option<String> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    if has("does not exist") && has("npm") {
        return Some("check the spelling of the package after `npm:`".to_owned());
    }
    if has("not a dependency and not in import map") || has("Import \"") && has("not in import map") {
        return Some("add the package: `\"imports\": { \"NAME\": \"npm:NAME@VERSION\" }` in deno.json".to_owned());
    }
    if has("failed to load") && has("jsr") {
        return Some(
            "check the spelling of the package after `jsr:`, and that the registry can be reached (JSR_URL)".to_owned(),
        );
    }
    has("UnknownIssuer").then(|| "set DENO_TLS_CA_STORE=system, or DENO_CERT to your certificate".to_owned())
}

fn compile_hint(lines: &[String]) -> Option<String> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    (has("denort") || has("dl.deno.land")).then(|| {
        "`deno compile` downloads `denort`, the program it puts the code into; where that cannot be reached, set \
         DENORT_BIN to a denort of the same version, or compile a bundle (`--kind bundle`)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_a_lock_file_are_listed() {
        let lock = r#"{"version": "5", "jsr": {"@std/hex@1.0.0": {}}, "npm": {"react-dom@18.2.0_react@18.2.0": {}, "@a/b@1.0.0-rc.1": {}, "odd": {}, "": {}}}"#;
        let found: Vec<String> =
            dependencies(lock).into_iter().map(|found| format!("{} {}", found.name, found.version)).collect();
        assert_eq!(found, ["jsr:@std/hex 1.0.0", "npm:@a/b 1.0.0-rc.1", "npm:react-dom 18.2.0"]);
        assert_eq!(dependencies("").len() + dependencies("[]").len(), 0);
    }
}
