//! Deno: types are checked, then one minified module or one program is made.

use std::ffi::OsString;

use ignite_compiler_plan::deno::config;
use ignite_core_artifact::Dependency;
use ignite_core_model::ArtifactKind;
use ignite_core_model::toolchain::Tool;

use super::{Context, PackedFile, Payload};
use crate::cache::made;
use crate::error::CompileError;
use crate::packages::LockText;
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
    session.run_hinted("deno check", &command(context, &app, &["check", "--allow-import", entry])?, &download_hint)?;
    let out = made(work.join("out"))?.join(&context.plan.entrypoint);
    let executable = context.plan.kind == ArtifactKind::Binary;
    if executable {
        let run = command(context, &app, &["compile", "--allow-all", "--no-prompt", "--output"])?;
        session.run_hinted("deno compile", &run.arg(&out).arg(entry), &compile_hint)?;
    } else {
        let run = command(
            context,
            &app,
            &["bundle", "--quiet", "--allow-import", "--minify", "--platform", "deno", "--output"],
        )?;
        session.run_hinted("deno bundle", &run.arg(&out).arg(entry), &download_hint)?;
    }
    let file = PackedFile { path: context.plan.entrypoint.clone(), content: out, executable };
    let locked = std::fs::read_to_string(app.join("deno.lock")).unwrap_or_default();
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

fn command(context: &Context<'_>, app: &std::path::Path, args: &[&str]) -> Result<Run, CompileError> {
    let deno = &context.tool(Tool::Deno)?.path;
    let run = Run::new(deno, app).args(args.iter().copied()).envs(context.network_env()).envs(context.pass(&[
        "HOME",
        "PATH",
        "NPM_CONFIG_REGISTRY",
        "JSR_URL",
        "DENO_AUTH_TOKENS",
        "DENO_CERT",
        "DENORT_BIN",
    ]));
    // The machine's own certificates, as every other tool here uses.
    let store = (context.env)("DENO_TLS_CA_STORE").unwrap_or_else(|| OsString::from("system"));
    let run = run.env("DENO_TLS_CA_STORE", store).env("DENO_DIR", context.cache.folder("deno")?);
    Ok(run.env("DENO_NO_UPDATE_CHECK", "1").env("NO_COLOR", "1"))
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
