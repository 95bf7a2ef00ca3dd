//! One requirement of Python, as in `requirements.txt` and in `pyproject.toml`.

use super::file::inside;
use super::url::refused_git;
use crate::tree::SourceTree;

/// What is wrong, and what to do next.
pub(super) type Refusal = (String, &'static str);

const INDEX_NEXT: &str =
    "name a package and its version; from which index it comes is set by whoever runs the compiler";
const WHEEL_NEXT: &str = "name a version that an index has; sources are built from there only";

/// Why a requirement is refused; `None` for one that may be fetched.
pub(super) fn refused(tree: &SourceTree, folder: &str, requirement: &str) -> Option<Refusal> {
    if requirement.contains("${") {
        return Some((
            format!("`{requirement}` takes a part from the environment, and a compile has none"),
            "write the value itself",
        ));
    }
    // Behind the semicolon stands when it counts.
    let before = requirement.split(';').next().unwrap_or_default().trim();
    let is_file = [".whl", ".tar.gz", ".zip"].iter().any(|end| before.ends_with(end));
    // `NAME @ ADDRESS`; an `@` elsewhere stands in an address.
    let address = match before.split_once('@') {
        Some((name, address)) if is_name(name.split('[').next().unwrap_or_default().trim()) => address.trim(),
        _ if is_name(name_of(before)) && !is_file && !before.contains('/') => return None,
        _ => before,
    };
    let lower = address.to_ascii_lowercase();
    if lower.starts_with("git+") || lower.starts_with("hg+") || lower.starts_with("svn+") || lower.starts_with("bzr+") {
        let why = refused_git(address).unwrap_or("its code would have to be run to install it");
        return Some((format!("`{requirement}` cannot be fetched: {why}"), WHEEL_NEXT));
    }
    let path = lower.split(['#', '?']).next().unwrap_or_default();
    if lower.starts_with("https://") {
        return (!path.ends_with(".whl")).then(|| {
            (format!("`{requirement}` is no wheel: its code would have to be run to install it"), WHEEL_NEXT)
        });
    }
    if lower.starts_with("http:") {
        return Some((format!("`{requirement}` cannot be fetched: nothing protects it on its way"), INDEX_NEXT));
    }
    if lower.starts_with("file:") {
        return Some((
            format!("`{requirement}` is on the disk of whoever compiles"),
            "name a wheel in this folder by its path",
        ));
    }
    if lower.contains("://") {
        return Some((format!("`{requirement}` cannot be fetched: only https can be"), INDEX_NEXT));
    }
    let path = address.split(['#', '?']).next().unwrap_or_default().trim();
    match inside(folder, path) {
        None => Some((
            format!("`{requirement}` is outside this folder, and only this folder is compiled"),
            "put the wheel into this folder, and name it there",
        )),
        Some(_) if !path.ends_with(".whl") => Some((
            format!("`{requirement}` is a folder or a source: its code would have to be run to install it"),
            WHEEL_NEXT,
        )),
        Some(file) if !tree.has(&file) => Some((
            format!("there is no {file}, which `{requirement}` names"),
            "check the path, and that .gitignore and .igniteignore do not leave it out",
        )),
        Some(_) => None,
    }
}

/// The beginning of a requirement that can be a name.
fn name_of(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(text.len());
    &text[..end]
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && name_of(text) == text && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}
