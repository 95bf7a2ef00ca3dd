//! What is meant, once environment and defaults are taken in. Pure.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use ignite_core_model::Secret;

use crate::args::{Args, Command};
use crate::connection::Flags;
use crate::exit::{CliError, Exit};

/// Reads an environment variable.
pub type Env = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// What every command may need to know about its surroundings.
#[derive(Clone)]
pub struct Settings {
    /// Where artifacts, downloads and compiled dependencies are kept. `IGNITE_CACHE_DIR`, else `ignite` under
    /// `XDG_CACHE_HOME`, else `~/.cache/ignite`.
    pub cache_dir: PathBuf,
    /// The environment, for the rooms that find their tools by it.
    pub env: Env,
    /// Where the platform is, as far as it was typed.
    pub(crate) flags: Flags,
}

impl Settings {
    /// Takes arguments and environment together.
    ///
    /// # Errors
    /// When there is no place for the cache.
    pub fn resolve(args: &Args, env: Env) -> Result<Self, CliError> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache_dir = set("IGNITE_CACHE_DIR")
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("ignite")))
            .or_else(|| set("HOME").map(|dir| dir.join(".cache/ignite")))
            .ok_or_else(|| {
                CliError::new(Exit::InvalidArgument, "could not find a place for the cache")
                    .because("neither IGNITE_CACHE_DIR, XDG_CACHE_HOME nor HOME is set")
                    .hint("set IGNITE_CACHE_DIR to a folder that may be written to")
            })?;
        // The rooms below need a path that means the same in every folder.
        let cache_dir = std::path::absolute(&cache_dir).map_err(|error| {
            CliError::new(Exit::InvalidArgument, format!("could not use `{}` as the cache", cache_dir.display()))
                .caused_by(&error)
        })?;
        let flags = Flags {
            api_endpoint: args.platform.api_endpoint.clone(),
            // There `--token` is the one that is stored.
            token: args.platform.token.clone().filter(|_| !matches!(args.command, Command::Secret(_))).map(Secret::new),
            org: args.platform.org.clone(),
            timeout: args.platform.timeout.clone(),
        };
        Ok(Self { cache_dir, env, flags })
    }
}

/// `dodil ignite …` is the same program under another name: called as `dodil`, the word `ignite` is dropped.
#[must_use]
pub fn without_dodil_prefix(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let called_dodil =
        arguments.first().is_some_and(|program| PathBuf::from(program).file_stem().is_some_and(|stem| stem == "dodil"));
    if called_dodil && arguments.get(1).is_some_and(|word| word == "ignite") {
        arguments.remove(1);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_name_takes_one_word_more() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(without_dodil_prefix(words("/usr/bin/dodil ignite run")), words("/usr/bin/dodil run"));
        assert_eq!(without_dodil_prefix(words("ignite ignite run")), words("ignite ignite run"));
    }
}
