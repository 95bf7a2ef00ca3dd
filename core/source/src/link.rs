//! Where a link leads, by names alone: no link is ever followed on a disk.

use std::collections::HashMap;

use crate::limits::LINK_HOPS_MAX;

/// Why a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkFault {
    /// It leads out of the root.
    Outside,
    /// There is nothing where it leads, or what is there is left out.
    Nowhere,
    /// It leads to a folder.
    Folder,
    /// It leads to itself, or through too many others.
    Loop,
}

/// The path that a link at `path` with the text `target` means, relative to the root.
pub(crate) fn target_path(path: &str, target: &str) -> Result<String, LinkFault> {
    if target.starts_with('/') || target.starts_with('\\') || target.contains('\0') {
        return Err(LinkFault::Outside);
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(LinkFault::Outside)?;
            }
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

/// The file that a link leads to, over other links.
pub(crate) fn resolve(
    path: &str,
    links: &HashMap<String, String>,
    is_file: impl Fn(&str) -> bool,
    is_folder: impl Fn(&str) -> bool,
) -> Result<String, LinkFault> {
    let mut at = path.to_owned();
    for _ in 0..LINK_HOPS_MAX {
        let Some(target) = links.get(&at) else { return Err(LinkFault::Nowhere) };
        at = target_path(&at, target)?;
        if is_file(&at) {
            return Ok(at);
        }
        if at.is_empty() || is_folder(&at) {
            return Err(LinkFault::Folder);
        }
    }
    Err(LinkFault::Loop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_by_name() {
        let links: HashMap<String, String> = [
            ("a", "file"),
            ("d/b", "../a"),
            ("out", "../x"),
            ("abs", "/etc/passwd"),
            ("deep/out", "../../x"),
            ("dir", "d"),
            ("root", "."),
            ("gone", "nothing"),
            ("one", "two"),
            ("two", "one"),
            ("back", "d/../file"),
        ]
        .into_iter()
        .map(|(path, target)| (path.to_owned(), target.to_owned()))
        .collect();
        let to = |path| resolve(path, &links, |at| at == "file", |at| at == "d");
        assert_eq!(to("a"), Ok("file".to_owned()));
        assert_eq!(to("d/b"), Ok("file".to_owned()));
        assert_eq!(to("back"), Ok("file".to_owned()));
        for (path, fault) in [
            ("out", LinkFault::Outside),
            ("abs", LinkFault::Outside),
            ("deep/out", LinkFault::Outside),
            ("dir", LinkFault::Folder),
            ("root", LinkFault::Folder),
            ("gone", LinkFault::Nowhere),
            ("one", LinkFault::Loop),
        ] {
            assert_eq!(to(path), Err(fault), "{path}");
        }
    }
}
