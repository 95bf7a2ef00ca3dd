//! What is to be compiled, for what, into which form.

use ignite_core_model::{ArtifactKind, Digest, Runtime, Target};

use crate::detect::detect;
use crate::guard::guard;
use crate::mistake::{Mistake, Mistakes};
use crate::tree::SourceTree;
use crate::{component, deno, go, python, rust};

/// What the author asked for, in flags or in the manifest; flags have won already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The language; found by the files if absent.
    pub runtime: Option<Runtime>,
    /// The machine.
    pub target: Option<Target>,
    /// The form of the artifact.
    pub kind: Option<ArtifactKind>,
    /// The file the handler stands in (Python, Deno), the folder of the program (Go) or the component file.
    pub entrypoint: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The language.
    pub runtime: Runtime,
    /// The machine.
    pub target: Target,
    /// The form of the artifact.
    pub kind: ArtifactKind,
    /// Where to begin in the source tree: a file, or a folder for Go and Rust (`.` is the root).
    pub entry: String,
    /// Where the host begins in the artifact.
    pub entrypoint: String,
    /// Of the source tree.
    pub source: Digest,
    /// Files of the tree that steer tools and that no tool is to see.
    pub left_out: Vec<String>,
    /// What of the source does not count, a sentence for each, for the log.
    pub notes: Vec<String>,
}

/// Decides what is to be compiled, and refuses what cannot be.
///
/// # Errors
/// Every mistake that can be seen without running a tool.
pub fn plan(tree: &SourceTree, wishes: &Wishes) -> Result<Plan, Mistakes> {
    let runtime = match wishes.runtime {
        Some(runtime) => runtime,
        None => match wishes.entrypoint.as_deref().and_then(runtime_of_entrypoint) {
            Some(runtime) => runtime,
            None => detect(tree)?,
        },
    };
    let (target, kind) = form(runtime, wishes)?;
    if let Some(entrypoint) = &wishes.entrypoint
        && (entrypoint.starts_with('/') || entrypoint.split('/').any(|part| part == ".."))
    {
        return Err(Mistake::new(format!("entrypoint `{entrypoint}` leaves the folder")).into());
    }
    let wished = wishes.entrypoint.as_deref().map(|path| path.trim_start_matches("./").trim_end_matches('/'));
    let entry = match runtime {
        Runtime::Python => python::entry(tree, wished)?,
        Runtime::Go => go::entry(tree, wished)?,
        Runtime::Deno => deno::entry(tree, wished)?,
        Runtime::Rust => rust::entry(tree, wished)?,
        Runtime::Component => component::entry(tree, wished)?,
    };
    let entrypoint = match (runtime, kind) {
        (Runtime::Python, _) => entry.clone(),
        (_, ArtifactKind::Bundle) => "main.js".to_owned(),
        (_, ArtifactKind::Component) => "app.wasm".to_owned(),
        _ => "app".to_owned(),
    };
    let aside = guard(tree, runtime, &entry)?;
    let source = tree.digest();
    Ok(Plan { runtime, target, kind, entry, entrypoint, source, left_out: aside.files, notes: aside.notes })
}

fn runtime_of_entrypoint(path: &str) -> Option<Runtime> {
    match path.rsplit_once('.')?.1 {
        "py" => Some(Runtime::Python),
        "go" => Some(Runtime::Go),
        "ts" | "js" | "mts" | "mjs" | "tsx" | "jsx" => Some(Runtime::Deno),
        "rs" => Some(Runtime::Rust),
        "wasm" => Some(Runtime::Component),
        _ => None,
    }
}

/// The forms each language compiles to; the first is the default.
fn forms(runtime: Runtime) -> &'static [(Target, ArtifactKind)] {
    match runtime {
        Runtime::Python => &[(Target::Native, ArtifactKind::Packed)],
        Runtime::Go => &[(Target::Native, ArtifactKind::Binary)],
        Runtime::Deno => &[(Target::Native, ArtifactKind::Bundle), (Target::Native, ArtifactKind::Binary)],
        Runtime::Rust => &[(Target::Native, ArtifactKind::Binary), (Target::Wasm, ArtifactKind::Component)],
        Runtime::Component => &[(Target::Wasm, ArtifactKind::Component)],
    }
}

fn form(runtime: Runtime, wishes: &Wishes) -> Result<(Target, ArtifactKind), Mistakes> {
    let forms = forms(runtime);
    let fits = |(target, kind): &&(Target, ArtifactKind)| {
        wishes.target.is_none_or(|wished| wished == *target) && wishes.kind.is_none_or(|wished| wished == *kind)
    };
    forms.iter().find(fits).copied().ok_or_else(|| {
        let wished = match (wishes.target, wishes.kind) {
            (Some(target), Some(kind)) => format!("target `{target}` and kind `{kind}`"),
            (Some(target), None) => format!("target `{target}`"),
            (None, Some(kind)) => format!("kind `{kind}`"),
            (None, None) => "nothing in particular".to_owned(),
        };
        let known: Vec<String> =
            forms.iter().map(|(target, kind)| format!("target `{target}` with kind `{kind}`")).collect();
        Mistake::new(format!("a {runtime} handler cannot be compiled for {wished}"))
            .next(format!("it compiles for {}; leave `target` and `kind` out for the first", known.join(", or ")))
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::tree;
    use expect_test::{Expect, expect};

    fn check(files: &[(&str, &str)], wishes: Wishes, expected: &Expect) {
        let text: String = match plan(&tree(files), &wishes) {
            Ok(plan) => format!("{} {} {} {} {}", plan.runtime, plan.target, plan.kind, plan.entry, plan.entrypoint),
            Err(Mistakes(mistakes)) => mistakes
                .iter()
                .map(|mistake| format!("{mistake}\nhint: {}", mistake.next.as_deref().unwrap_or("-")))
                .collect(),
        };
        expected.assert_eq(&text);
    }

    const GO: &str = "package main\nimport \"ignite\"\nfunc main() { ignite.Start(h) }\n";
    const DENO: &str = "import { start } from \"ignite\";\nstart(() => 1);\n";
    const CARGO: &str = "[package]\nname = \"hello\"\nversion = \"0.1.0\"\n";

    #[test]
    fn defaults_are_those_of_the_language() {
        let none = Wishes::default;
        check(&[("handler.py", "")], none(), &expect!["python native packed handler.py handler.py"]);
        check(&[("main.go", GO)], none(), &expect!["go native binary . app"]);
        check(&[("main.ts", DENO)], none(), &expect!["deno native bundle main.ts main.js"]);
        check(
            &[("Cargo.toml", CARGO), ("src/lib.rs", "#[ignite::main]")],
            none(),
            &expect!["rust native binary . app"],
        );
        check(&[("x.wasm", "")], none(), &expect!["component wasm component x.wasm app.wasm"]);
    }

    #[test]
    fn wishes_decide() {
        check(
            &[("Cargo.toml", CARGO), ("src/lib.rs", "#[ignite::main]"), ("handler.py", "")],
            Wishes { runtime: Some(Runtime::Rust), target: Some(Target::Wasm), ..Wishes::default() },
            &expect!["rust wasm component . app.wasm"],
        );
        check(
            &[("main.ts", DENO), ("x.py", "")],
            Wishes { kind: Some(ArtifactKind::Binary), ..Wishes::default() },
            &expect!["deno native binary main.ts app"],
        );
        check(
            &[("api/app.py", ""), ("main.ts", "")],
            Wishes { entrypoint: Some("./api/app.py".into()), ..Wishes::default() },
            &expect!["python native packed api/app.py api/app.py"],
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        check(
            &[("handler.py", "")],
            Wishes { target: Some(Target::Wasm), ..Wishes::default() },
            &expect![[r#"
                a python handler cannot be compiled for target `wasm`
                hint: it compiles for target `native` with kind `packed`; leave `target` and `kind` out for the first"#]],
        );
        check(
            &[("handler.py", "")],
            Wishes { entrypoint: Some("../x.py".into()), ..Wishes::default() },
            &expect![[r#"
                entrypoint `../x.py` leaves the folder
                hint: -"#]],
        );
    }
}
