//! From where code may be fetched.

/// Why a repository cannot be fetched from `url`; `None` when it can.
pub(super) fn refused_git(url: &str) -> Option<&'static str> {
    let url = url.strip_prefix("git+").unwrap_or(url);
    let lower = url.to_ascii_lowercase();
    if lower.starts_with("https://") {
        return None;
    }
    Some(if lower.starts_with("ext::") || lower.starts_with("fd::") || lower.contains("::") && !lower.contains("://") {
        "it names a program that is to be run instead of a server"
    } else if lower.starts_with("file:") || url.starts_with(['/', '.', '~']) {
        "it is on the disk of whoever compiles"
    } else if lower.starts_with("ssh:") || !lower.contains("://") {
        "it needs a key, and a compile is given none"
    } else {
        "nothing protects it on its way"
    })
}

/// What to do about it.
pub(super) const GIT_NEXT: &str = "name it by `https://`, or put its code into this folder";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_taken() {
        assert_eq!(refused_git("https://example.com/a.git"), None);
        assert_eq!(refused_git("git+https://example.com/a.git"), None);
        for (url, why) in [
            ("file:///srv/a.git", "on the disk"),
            ("/srv/a.git", "on the disk"),
            ("../a.git", "on the disk"),
            ("ext::sh -c id", "a program"),
            ("EXT::sh -c id", "a program"),
            ("hg::https", "a program"),
            ("ssh://git@example.com/a.git", "a key"),
            ("git@example.com:a.git", "a key"),
            ("http://example.com/a.git", "nothing protects"),
            ("git://example.com/a.git", "nothing protects"),
        ] {
            assert!(refused_git(url).is_some_and(|words| words.contains(why)), "{url}");
        }
    }
}
