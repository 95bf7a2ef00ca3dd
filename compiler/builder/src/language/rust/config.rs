//! What of a user's own Cargo configuration counts: where packages come from, and nothing about how they are built.
//!
//! A user's `~/.cargo/config.toml` may set flags, linkers, wrappers and profiles, and the same source would then compile
//! to something else for every user. The tables that name registries and mirrors are copied, the others are not. A
//! `.cargo/config.toml` in the author's folder is part of the source, and counts where the planner did not refuse it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item};

use crate::compile::Env;
use crate::error::CompileError;
use crate::tools::write_whole;

const COPIED: [&str; 5] = ["registries", "registry", "source", "net", "http"];
/// Largest configuration that is read, in bytes.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// What of it is needed where nothing is fetched: where packages lie.
const BUILD: [&str; 3] = ["registries", "registry", "source"];
/// Keys of a registry that only its owner may know.
const SECRET: [&str; 3] = ["token", "secret-key", "secret-key-subject"];
/// The file in Cargo's home that stands in for `config.toml` where code of others runs.
pub(super) const PUBLIC: &str = "config.build.toml";

/// Writes what counts into Cargo's home in the cache: as a whole, and without what is secret.
pub(super) fn write(env: &Env, home: &Path) -> Result<(), CompileError> {
    let config = user_config(env).unwrap_or_default();
    for (name, text) in [("config.toml", copied(&config)), (PUBLIC, public(&config))] {
        let path = home.join(name);
        if fs::read_to_string(&path).is_ok_and(|before| before == text) {
            continue;
        }
        write_whole(&path, text.as_bytes()).map_err(|cause| CompileError::Cache { path, cause })?;
    }
    Ok(())
}

fn public(text: &str) -> String {
    let Ok(mut document) = text.parse::<DocumentMut>() else { return String::new() };
    document.as_table_mut().retain(|name, _| BUILD.contains(&name));
    let without = |table: &mut dyn toml_edit::TableLike| {
        for key in SECRET {
            table.remove(key);
        }
    };
    if let Some(table) = document.get_mut("registry").and_then(Item::as_table_like_mut) {
        without(table);
    }
    if let Some(registries) = document.get_mut("registries").and_then(Item::as_table_like_mut) {
        for (_, registry) in registries.iter_mut() {
            if let Some(table) = registry.as_table_like_mut() {
                without(table);
            }
        }
    }
    document.to_string()
}

fn user_config(env: &Env) -> Option<String> {
    let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("CARGO_HOME").or_else(|| Some(set("HOME")?.join(".cargo")))?;
    let path = home.join("config.toml");
    let fits = fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= CONFIG_BYTES_MAX);
    fits.then(|| fs::read_to_string(path).ok())?
}

fn copied(text: &str) -> String {
    // What Cargo itself could not read is no configuration.
    let Ok(mut document) = text.parse::<DocumentMut>() else { return String::new() };
    document.as_table_mut().retain(|name, _| COPIED.contains(&name));
    document.to_string()
}

/// The tokens of registries, by the variables Cargo reads them from. Only what fetches gets them.
pub(super) fn credentials(env: &Env) -> Vec<(OsString, OsString)> {
    let text = user_config(env).unwrap_or_default();
    let Ok(document) = text.parse::<DocumentMut>() else { return Vec::new() };
    let names = document.get("registries").and_then(Item::as_table_like);
    let names =
        names.map(|table| table.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()).unwrap_or_default();
    let variables =
        names.iter().map(|name| format!("CARGO_REGISTRIES_{}_TOKEN", name.to_uppercase().replace('-', "_")));
    variables.filter_map(|name| Some((name.clone().into(), env(&name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_packages_come_from_is_copied() {
        let text = "[build]\nrustflags = [\"-C\", \"target-cpu=native\"]\n[source.crates-io]\nreplace-with = \"mirror\"\n[profile.release]\nlto = \"fat\"\n";
        assert_eq!(copied(text), "[source.crates-io]\nreplace-with = \"mirror\"\n");
        assert_eq!(copied("[build\n"), "");
    }

    #[test]
    fn no_password_is_there_where_code_of_others_runs() {
        let text = "[http]\nproxy = \"http://me:secret@proxy\"\n[registries.own]\nindex = \"sparse+https://a/\"\ntoken = \"secret\"\n[registry]\ntoken = \"secret\"\n[registries]\nother = { index = \"https://b/\", token = \"secret\" }\n";
        let public = public(text);
        assert!(
            !public.contains("secret") && public.contains("https://a/") && public.contains("https://b/"),
            "{public}"
        );
    }
}
