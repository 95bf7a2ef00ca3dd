//! The versions that are used where an author has no lock file.

/// The part of this repository's lock file that holds what the compiler adds to a package, as of when the compiler was
/// built: the versions it was tested with, on whatever day it compiles. Cargo drops what a package does not need.
pub(crate) const SEED: &str = include_str!(concat!(env!("OUT_DIR"), "/seed.lock"));

/// The author's lock file and those packages of the seed that it has no version of. What is added to the package is then
/// at tested versions too, rather than at the newest of the day; Cargo drops what is not needed.
pub(super) fn with_seed(author: &str) -> String {
    let known: Vec<&str> = author.lines().filter(|line| line.starts_with("name = ")).collect();
    let mut text = author.trim_end().to_owned();
    text.push('\n');
    for package in SEED.split("[[package]]").skip(1) {
        if package.lines().find(|line| line.starts_with("name = ")).is_some_and(|name| !known.contains(&name)) {
            text.push_str("\n[[package]]");
            text.push_str(package.trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_holds_what_is_added_and_nothing_else() {
        for name in ["ignite", "serde", "serde_derive", "serde_json", "tokio", "syn"] {
            assert!(SEED.contains(&format!("name = \"{name}\"\n")), "{name}");
        }
        assert!(!SEED.contains("name = \"wasmtime\""));
    }

    #[test]
    fn an_authors_versions_stay() {
        let author = "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.100\"\n";
        let merged = with_seed(author);
        assert_eq!(merged.matches("name = \"serde\"\n").count(), 1);
        assert!(merged.starts_with(author) && merged.contains("name = \"tokio\"\n"));
        merged.parse::<toml_edit::DocumentMut>().expect("it is TOML");
    }
}
