//! The versions that are used where an author has no lock file.

/// The part of this repository's lock file that holds what the compiler adds to a package, as of when the compiler was
/// built: the versions it was tested with, on whatever day it compiles. Cargo drops what a package does not need.
pub(crate) const SEED: &str = include_str!(concat!(env!("OUT_DIR"), "/seed.lock"));

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
}
