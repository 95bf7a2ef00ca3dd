//! Python: the author's files, vendored dependencies and byte code in one folder.

use toml_edit::DocumentMut;

use crate::mistake::{Mistake, Mistakes};
use crate::tree::SourceTree;

/// The folder of the artifact in which dependencies stand.
pub const VENDOR: &str = "vendor";

/// The handler's file.
///
/// # Errors
/// When it does not exist.
pub fn entry(tree: &SourceTree, wished: Option<&str>) -> Result<String, Mistakes> {
    let path = wished.unwrap_or("handler.py");
    if tree.has(path) {
        return if path.ends_with(".py") {
            Ok(path.to_owned())
        } else {
            Err(Mistake::new(format!("entrypoint `{path}` is not a Python file")).into())
        };
    }
    if wished.is_some() {
        return Err(Mistake::new(format!("there is no {path}, which `entrypoint` names")).into());
    }
    let others: Vec<&str> =
        tree.root_files().map(|file| file.path.as_str()).filter(|path| path.ends_with(".py")).collect();
    let mistake = Mistake::new("there is no handler.py in this folder");
    Err(match others.as_slice() {
        [] => mistake.next("write handler.py with `def handler(payload, ctx):`"),
        [first, ..] => mistake.next(format!("rename {first}, or set `entrypoint = \"{first}\"` in ignite.toml")),
    }
    .into())
}

/// Where the dependencies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependencies {
    /// There are none.
    None,
    /// `requirements.txt`.
    Requirements,
    /// `pyproject.toml`, with the versions of `uv.lock`.
    Locked,
    /// `pyproject.toml`.
    Project,
}

impl Dependencies {
    /// The files that decide what is installed.
    #[must_use]
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Requirements => &["requirements.txt"],
            Self::Locked => &["pyproject.toml", "uv.lock"],
            Self::Project => &["pyproject.toml"],
        }
    }
}

/// Finds out where the dependencies are written, and that their folder is free.
///
/// # Errors
/// When `pyproject.toml` cannot be read, or the author has a folder of the name that the dependencies get.
pub fn dependencies(tree: &SourceTree) -> Result<Dependencies, Mistakes> {
    let found = written(tree)?;
    let own = tree.files().iter().find(|file| file.path.starts_with("vendor/"));
    match own {
        Some(file) if found != Dependencies::None => {
            Err(Mistake::new(format!("the dependencies are packed in {VENDOR}/, where {} is already", file.path))
                .next(format!("rename the folder, or leave it out with `exclude = [\"{VENDOR}/\"]` in ignite.toml"))
                .into())
        }
        _ => Ok(found),
    }
}

/// Finds out where the dependencies are written. `requirements.txt` wins over `pyproject.toml`: where both exist the
/// first is most often made from the second.
fn written(tree: &SourceTree) -> Result<Dependencies, Mistakes> {
    if let Some(text) = tree.find_text("requirements.txt") {
        let any = text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'));
        return Ok(if any { Dependencies::Requirements } else { Dependencies::None });
    }
    let Some(text) = tree.find_text("pyproject.toml") else { return Ok(Dependencies::None) };
    let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Mistake::new(format!("pyproject.toml cannot be read: {}", error.message().trim().replace('\n', " "))).at(
            "pyproject.toml",
            line,
            text.lines().nth(line - 1),
        )
    })?;
    let project = document.get("project").and_then(|item| item.as_table_like());
    let listed = project.and_then(|table| table.get("dependencies")).and_then(|item| item.as_array());
    let dynamic = project.and_then(|table| table.get("dynamic")).and_then(|item| item.as_array());
    let dynamic = dynamic.is_some_and(|names| names.iter().any(|name| name.as_str() == Some("dependencies")));
    let any = dynamic || listed.is_some_and(|list| !list.is_empty());
    Ok(match (any, tree.has("uv.lock")) {
        (false, _) => Dependencies::None,
        (true, true) => Dependencies::Locked,
        (true, false) => Dependencies::Project,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::tree::tests::tree;

    #[test]
    fn dependencies_are_found_where_they_are_written() {
        let found = |files: &[(&str, &str)]| dependencies(&tree(files)).unwrap();
        let project = "[project]\nname = \"x\"\ndependencies = [\"pydantic\"]\n";
        assert_eq!(found(&[("requirements.txt", "# none\n\n")]), Dependencies::None);
        assert_eq!(found(&[("requirements.txt", "a\n"), ("pyproject.toml", project)]), Dependencies::Requirements);
        assert_eq!(found(&[("pyproject.toml", project)]), Dependencies::Project);
        assert_eq!(found(&[("pyproject.toml", project), ("uv.lock", "")]), Dependencies::Locked);
        assert_eq!(found(&[("pyproject.toml", "[tool.ruff]\n")]), Dependencies::None);
        let clash = [("requirements.txt", "a"), ("vendor/a.py", "")];
        assert!(dependencies(&tree(&clash)).is_err() && dependencies(&tree(&clash[1..])).is_ok());
        let error = dependencies(&tree(&[("pyproject.toml", "[project]\nname = \n")])).unwrap_err();
        assert_eq!(error.0[0].at.as_ref().unwrap().line, 2, "{error}");
    }
}
