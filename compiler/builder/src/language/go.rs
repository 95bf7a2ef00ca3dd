//! Go: a copy with the SDK beside it, tidied and built into one static program.

use ignite_compiler_plan::KeyBuilder;
use ignite_compiler_plan::go::{SDK_MODULE, SDK_VERSION, module_file};
use ignite_compiler_sandbox::Phase;
use ignite_core_artifact::Dependency;
use ignite_core_model::toolchain::Tool;

use super::{Context, PackedFile, Payload};
use crate::cache::made;
use crate::depot;
use crate::error::CompileError;
use crate::origin::{Origin, Part, Whence};
use crate::packages::LockText;
use crate::sandbox::plain_text;
use crate::sdk;
use crate::session::{Run, Session};
use crate::stage::Stage;
use crate::tools::write_whole;

pub(super) fn build(context: &Context<'_>, session: &mut Session<'_>) -> Result<Payload, CompileError> {
    let go = context.tool(Tool::Go)?;
    let (work, lock) = context.cache.locked("work", context.work_key(), &session.wait())?;
    let (app, sdk_folder) = (work.join("app"), work.join("sdk"));
    let mut stage = Stage::of(context.root, context.tree);
    let (stamp, now) = (work.join("tidied"), imports_key(context)?);
    let is_tidy = !context.no_cache
        && app.join("go.mod").is_file()
        && std::fs::read_to_string(&stamp).is_ok_and(|before| before == now);
    if is_tidy {
        // Put back, they would have to be tidied again.
        for name in ["go.mod", "go.sum"] {
            stage = stage.without(name).keeping(name);
        }
    } else if !context.tree.has("go.mod") {
        stage = stage.with("go.mod", module_file(&go.version.to_string()));
    }
    stage.sync(&app)?;
    // Beside the copy, so that the relative path in the program's build information is the same for everyone.
    Stage::of_sdk(sdk::GO).sync(&sdk_folder)?;
    session.show(&app, "");
    session.show(&sdk_folder, "ignite/");

    let out_folder = made(work.join("out"))?;
    let (program, tool_root) = context.finder.program(go);
    let command = |phase: Phase, args: &[&str]| {
        let mut run = Run::new(phase, &program, &app).args(args.iter().copied());
        run = run.reads(tool_root.iter()).writes([&app]).reads([&sdk_folder]);
        let (cache, modules, path) =
            (context.shared_home_of("go-build")?, context.home_of("go-mod")?, context.home_of("go-path")?);
        for (name, folder) in [("GOCACHE", &cache), ("GOMODCACHE", &modules), ("GOPATH", &path)] {
            run = run.env(name, folder);
        }
        run = run.writes([&cache]);
        run = match phase {
            Phase::Fetch => {
                let run = context.fetching(run).writes([&modules, &path]).envs(context.pass(FETCH_VARIABLES));
                run.reads(context.named(&["GOENV"])).reads(context.of_home(&[".config/go/env"]))
            }
            Phase::Build => {
                // In its folder for settings go keeps counts of its own use, and starts a process that would send them. It
                // takes no relative folder, and then does neither.
                let run = run.env("GOPROXY", "off").env("XDG_CONFIG_HOME", "none");
                // What was fetched is not to be changed by what is built from it.
                run.reads([&modules]).writes([&out_folder])
            }
        };
        for (name, value) in [
            ("GOFLAGS", "-mod=mod -modcacherw"),
            ("GOTOOLCHAIN", "local"),
            ("GOWORK", "off"),
            ("GOOS", "linux"),
            ("GOARCH", "amd64"),
            ("GOAMD64", "v1"),
            ("CGO_ENABLED", "0"),
        ] {
            run = run.env(name, value);
        }
        Ok::<Run, CompileError>(run)
    };
    if is_tidy {
        session.cached(TIDY);
        session.came_from(Origin { part: Part::Downloads, whence: Whence::Kept, detail: String::new() });
    } else {
        session.run(
            "go mod edit",
            &command(
                Phase::Build,
                &[
                    "mod",
                    "edit",
                    &format!("-dropreplace={SDK_MODULE}"),
                    &format!("-require={SDK_MODULE}@{SDK_VERSION}"),
                    &format!("-replace={SDK_MODULE}=../sdk"),
                ],
            )?,
        )?;
        let modules = context.home_of("go-mod")?;
        // What no public log of sums vouches for is this tenant's own.
        let public = context.pass(PRIVATE_VARIABLES).is_empty();
        let known = |text: &str| if public { depot::modules(text) } else { Vec::new() };
        let given = depot::give(context.cache, &modules, &known(&plain_text(&app, "go.sum")));
        session.run_hinted(TIDY, &command(Phase::Fetch, &["mod", "tidy"])?, &hint)?;
        let named = known(&plain_text(&app, "go.sum"));
        let admitted = depot::admit(context.cache, &modules, &named)?;
        if !named.is_empty() {
            let whence = if admitted == 0 && given > 0 { Whence::Shared } else { Whence::Made };
            let detail = format!("{given} of {} modules shared, {admitted} new", named.len());
            session.came_from(Origin { part: Part::Downloads, whence, detail });
        }
        write_whole(&stamp, now.as_bytes()).map_err(|cause| CompileError::Cache { path: stamp, cause })?;
    }
    let out = out_folder.join("app");
    let package = if context.plan.entry == "." { ".".to_owned() } else { format!("./{}", context.plan.entry) };
    let build = command(Phase::Build, &["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"])?;
    session.run_hinted("go build", &build.arg(&out).arg(package), &hint)?;

    let sums = plain_text(&app, "go.sum");
    let file = PackedFile { path: context.plan.entrypoint.clone(), content: out, executable: true };
    let dependencies = dependencies(&sums);
    Ok(Payload { files: vec![file], dependencies, lock_text: Some(LockText::Go(sums)), locks: vec![lock] })
}

/// The step in which modules are looked for and fetched.
const TIDY: &str = "go mod tidy";

/// Changes whenever another module may be needed: of the files that name modules, of every line of the program in which
/// a path or a condition for the build may stand, and of where modules were fetched to.
fn imports_key(context: &Context<'_>) -> Result<String, CompileError> {
    let mut key = KeyBuilder::new("go imports 1").with("home", context.mark_of("go-mod")?);
    key = key.with("go", context.tool(Tool::Go)?.version.to_string()).with("sdk", sdk::digest(sdk::GO).as_bytes());
    for file in context.tree.files() {
        match &file.text {
            Some(text) if file.path.ends_with(".go") => {
                let decides = |line: &&str| line.contains(['"', '`']) || line.trim_start().starts_with("//go:");
                let lines: Vec<&str> = text.lines().filter(decides).collect();
                key = key.with(&file.path, lines.join("\n"));
            }
            _ if file.path.ends_with(".go") || file.path.ends_with("go.mod") || file.path.ends_with("go.sum") => {
                key = key.with(&file.path, file.digest.as_bytes());
            }
            _ => {}
        }
    }
    Ok(key.finish().to_string())
}

/// Variables by which modules are exempt from the public log of sums.
const PRIVATE_VARIABLES: &[&str] = &["GONOSUMDB", "GOPRIVATE", "GOINSECURE", "GOSUMDB", "GONOSUMCHECK"];

/// Where an author's modules come from; for what fetches them.
const FETCH_VARIABLES: &[&str] =
    &["GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOAUTH", "GOENV"];

fn hint(lines: &[String]) -> Option<String> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    if has("ignite.Handler") || has("argument to ignite.Start") {
        return Some("a handler is `func(payload []byte, ctx *ignite.Context) ([]byte, error)`".to_owned());
    }
    if has("GOTOOLCHAIN=local") {
        return Some("lower the `go` line of go.mod: the toolchain is pinned".to_owned());
    }
    if has("is not in std") {
        return Some("an import path without a domain is Go's own library; check its spelling".to_owned());
    }
    let missing = ["cannot find module providing package", "unrecognized import path", ": reading http"];
    missing
        .iter()
        .any(|words| has(words))
        .then(|| "check the import path, and that the module can be downloaded (GOPROXY, GOPRIVATE)".to_owned())
}

/// The modules that `go.sum` has contents of.
fn dependencies(sums: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = sums
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (name, version) = (words.next()?, words.next()?);
            // The other lines are of modules of which only go.mod was read.
            (!version.ends_with("/go.mod")).then(|| Dependency {
                name: name.to_owned(),
                version: version.to_owned(),
                digest: None,
            })
        })
        .collect();
    found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_with_contents_are_listed() {
        let sums = "a.b/c v1.0.0 h1:x=\na.b/c v1.0.0/go.mod h1:y=\nd.e/f v0.1.0/go.mod h1:z=\n";
        let found = dependencies(sums);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].version.as_str()), ("a.b/c", "v1.0.0"));
    }
}
