//! docs/reference/numbers.md: parts between markers are written by the bench, what lies around them by people.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Replaces the part called `name` of the page, or adds it at the end.
///
/// # Errors
/// When the page cannot be read or written.
pub(crate) fn replace(page: &Path, name: &str, text: &str) -> Result<()> {
    let old = match std::fs::read_to_string(page) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "# Numbers\n".to_owned(),
        Err(error) => return Err(error).with_context(|| format!("could not read {}", page.display())),
    };
    let new = replaced(&old, name, text);
    std::fs::write(page, new).with_context(|| format!("could not write {}", page.display()))
}

fn replaced(old: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->\n"));
    let part = format!("{begin}{}\n{end}", text.trim_end());
    let place = old.find(&begin).and_then(|from| Some((from, from + old[from..].find(&end)? + end.len())));
    match place {
        Some((from, to)) => format!("{}{part}{}", &old[..from], &old[to..]),
        None => format!("{}\n\n{part}", old.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_the_named_part_changes() {
        let page = replaced("# Numbers\n", "host", "one");
        assert_eq!(page, "# Numbers\n\n<!-- begin host -->\none\n<!-- end host -->\n");
        let page = replaced(&page, "compile", "two\n") + "\nBy hand.\n";
        let page = replaced(&page, "host", "three");
        assert!(page.contains("three\n<!-- end host -->\n\n<!-- begin compile -->\ntwo\n"), "{page}");
        assert!(page.ends_with("\nBy hand.\n") && !page.contains("one"), "{page}");
    }
}
