//! The configuration of the command line, `config.toml`: where the platform is, and the token that asks there.
//!
//! The file is read and written whole. It is for its owner alone, because it may hold a token.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ignite_core_model::{OrganizationId, Secret};
use toml_edit::DocumentMut;

use crate::client::Endpoint;
use crate::exit::{CliError, Exit};
use crate::settings::Env;

/// The name of the file, in the configuration's folder.
const FILE: &str = "config.toml";

/// Largest configuration that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

/// How alike a key must be to one there is, from 0 to 1, to be taken for a slip of it.
const LIKENESS_MIN: f64 = 0.7;

/// What may be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// Where the API is.
    ApiEndpoint,
    /// Who asks.
    Token,
    /// The organisation of apps that are named without one.
    Org,
}

impl Key {
    pub(crate) const ALL: [Self; 3] = [Self::ApiEndpoint, Self::Token, Self::Org];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ApiEndpoint => "api_endpoint",
            Self::Token => "token",
            Self::Org => "org",
        }
    }

    /// Other spellings that `config set` takes.
    fn others(self) -> &'static [&'static str] {
        match self {
            Self::ApiEndpoint => &["endpoint", "api-endpoint"],
            Self::Token => &[],
            Self::Org => &["org_id", "org_name", "organization"],
        }
    }

    /// The value as it is written down, or why it cannot be.
    fn check(self, value: &str) -> Result<String, String> {
        match self {
            Self::ApiEndpoint => value.parse::<Endpoint>().map(|_| value.to_owned()).map_err(|error| error.to_string()),
            Self::Org => value.parse::<OrganizationId>().map(|org| org.to_string()).map_err(|error| error.to_string()),
            Self::Token => token(value).map(|token| token.reveal().clone()).map_err(str::to_owned),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|key| key.as_str() == text || key.others().contains(&text));
        found.ok_or_else(|| unknown(text))
    }
}

fn unknown(key: &str) -> String {
    let shown: String = key.chars().take(80).collect();
    let likeness = |known: Key| strsim::jaro_winkler(&shown.to_lowercase(), known.as_str());
    let alike = Key::ALL.into_iter().max_by(|one, other| likeness(*one).total_cmp(&likeness(*other)));
    match alike.filter(|alike| likeness(*alike) >= LIKENESS_MIN) {
        Some(alike) => format!("there is no key `{shown}`; did you mean `{alike}`?"),
        None => format!("there is no key `{shown}`; there are {}", Key::ALL.map(|key| format!("`{key}`")).join(", ")),
    }
}

/// A token, if the text can be one. The error never repeats it.
pub(crate) fn token(text: &str) -> Result<Secret<String>, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        Err("the token is empty")
    } else if text.len() > TOKEN_BYTES_MAX {
        Err("the token is longer than 1024 bytes")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("the token has characters that no token has")
    } else {
        Ok(Secret::new(text.to_owned()))
    }
}

/// What the file says. Every value is checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) api_endpoint: Option<Endpoint>,
    pub(crate) token: Option<Secret<String>>,
    pub(crate) org: Option<OrganizationId>,
}

/// Where the file is: in `IGNITE_CONFIG_DIR`, else in `ignite` under `XDG_CONFIG_HOME`, else in `~/.config/ignite`.
pub(crate) fn path(env: &Env) -> Result<PathBuf, CliError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = set("IGNITE_CONFIG_DIR")
        .or_else(|| set("XDG_CONFIG_HOME").map(|dir| dir.join("ignite")))
        .or_else(|| set("HOME").map(|dir| dir.join(".config/ignite")))
        .ok_or_else(|| {
            CliError::new(Exit::InvalidArgument, "could not find a place for the configuration")
                .because("neither IGNITE_CONFIG_DIR, XDG_CONFIG_HOME nor HOME is set")
                .hint("set IGNITE_CONFIG_DIR to a folder of yours")
        })?;
    Ok(dir.join(FILE))
}

/// Reads the file. One that is absent says nothing.
pub(crate) fn load(path: &Path) -> Result<Config, CliError> {
    let refused = |causes: Vec<String>| {
        let mut error =
            CliError::new(Exit::InvalidArgument, format!("could not use the configuration at {}", path.display()));
        error.causes = causes;
        error
    };
    let Some(text) = text(path).map_err(|error| refused(vec![error.to_string()]))? else {
        return Ok(Config::default());
    };
    parse(&text).map_err(|faults| refused(faults).hint("correct the file, or remove it and use `ignite login`"))
}

/// Reads a configuration, or tells all that is wrong with it.
fn parse(text: &str) -> Result<Config, Vec<String>> {
    let document = document(text)?;
    let (mut config, mut faults) = (Config::default(), Vec::new());
    for (name, item) in document.iter() {
        let Some(key) = Key::ALL.into_iter().find(|key| key.as_str() == name) else {
            faults.push(unknown(name));
            continue;
        };
        let Some(value) = item.as_str() else {
            faults.push(format!("`{key}` must be text in quotes"));
            continue;
        };
        match key.check(value) {
            Err(fault) => faults.push(format!("`{key}`: {fault}")),
            // Each was just checked.
            Ok(value) => match key {
                Key::ApiEndpoint => config.api_endpoint = value.parse().ok(),
                Key::Token => config.token = Some(Secret::new(value)),
                Key::Org => config.org = value.parse().ok(),
            },
        }
    }
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// The parser's own words would show the line, and so perhaps the token.
fn document(text: &str) -> Result<DocumentMut, Vec<String>> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        let at = error.span().map_or_else(String::new, |span| {
            let line = text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1;
            format!(" in line {line}")
        });
        vec![format!("it is not TOML{at}")]
    })
}

fn text(path: &Path) -> std::io::Result<Option<String>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(Some(text))
}

/// Writes values into the file, which is made when it is absent. What else stands in it stays, comments too.
pub(crate) fn set(path: &Path, values: &[(Key, &str)]) -> Result<(), CliError> {
    let failed = |exit, cause: String| {
        CliError::new(exit, format!("could not write the configuration at {}", path.display())).because(cause)
    };
    let mut checked = Vec::new();
    for (key, value) in values {
        let value = key
            .check(value)
            .map_err(|fault| CliError::new(Exit::InvalidArgument, format!("could not set `{key}`")).because(fault))?;
        checked.push((*key, value));
    }
    let old = text(path).map_err(|error| failed(Exit::InvalidArgument, error.to_string()))?.unwrap_or_default();
    // A key that is not known is refused here too, so that no slip stays in the file unseen.
    parse(&old).map_err(|faults| failed(Exit::InvalidArgument, faults.join("; ")))?;
    let mut document = document(&old).map_err(|faults| failed(Exit::InvalidArgument, faults.join("; ")))?;
    for (key, value) in checked {
        document[key.as_str()] = toml_edit::value(value);
    }
    write(path, &document.to_string()).map_err(|error| failed(Exit::InvalidArgument, error.to_string()))
}

/// Writes endpoint and token into the configuration when it has neither: the first start of a platform on this machine.
/// Tells where they were written, or `None` where a configuration is somebody's own.
pub(crate) fn adopt(env: &Env, endpoint: &str, token: &str, org: &str) -> Result<Option<PathBuf>, CliError> {
    let path = path(env)?;
    let config = load(&path)?;
    if config.token.is_some() || config.api_endpoint.is_some() {
        return Ok(None);
    }
    let mut values = vec![(Key::ApiEndpoint, endpoint), (Key::Token, token)];
    if config.org.is_none() {
        values.push((Key::Org, org));
    }
    set(&path, &values)?;
    Ok(Some(path))
}

/// Whole or not at all, and for its owner alone from the first byte on.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    // Behind a link, the file it leads to is replaced and not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let dir = path.parent().unwrap_or(Path::new("."));
    if !dir.is_dir() {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Arc;

    use super::*;

    fn faults(text: &str) -> String {
        parse(text).unwrap_err().join("\n")
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_and_no_token_with_it() {
        expect_test::expect![[r#"
            there is no key `api_endpiont`; did you mean `api_endpoint`?
            `token` must be text in quotes
            `org`: `Acme` is not a name: use 1 to 63 of a-z, 0-9 and `-`, beginning with a letter and not ending with `-`
            there is no key `colour`; there are `api_endpoint`, `token`, `org`"#]]
        .assert_eq(&faults("api_endpiont = \"x\"\ntoken = 5\norg = \"Acme\"\ncolour = true\n"));
        let broken = faults("org = \"acme\"\ntoken = \"hunter2\n");
        assert_eq!(broken, "it is not TOML in line 2");
        let odd = faults("token = \"hunter2 \\u0007 x\"\n");
        assert!(!odd.contains("hunter2"), "{odd}");
    }

    #[test]
    fn the_file_is_its_owners_and_keeps_what_else_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.toml");
        set(&path, &[(Key::Token, " secret\n"), (Key::ApiEndpoint, "localhost:1")]).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(&path, "# mine\ntoken = \"secret\" # keep\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        set(&path, &[(Key::Org, "acme")]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine\ntoken = \"secret\" # keep\norg = \"acme\"\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let config = load(&path).unwrap();
        assert_eq!((config.token.unwrap().reveal().as_str(), config.org.unwrap().as_str()), ("secret", "acme"));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_stays_a_link_and_a_bad_value_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.toml"), dir.path().join("config.toml"));
        std::fs::write(&real, "org = \"acme\"\n").unwrap();
        symlink(&real, &link).unwrap();
        set(&link, &[(Key::Org, "other")]).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "org = \"other\"\n");
        for (key, value) in [(Key::Org, "Bad Org"), (Key::ApiEndpoint, "ftp://x"), (Key::Token, "a b")] {
            assert_eq!(set(&link, &[(key, value)]).unwrap_err().exit, Exit::InvalidArgument, "{key}");
        }
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "org = \"other\"\n");
        std::fs::write(&real, "wrong = 1\n").unwrap();
        set(&link, &[(Key::Org, "acme")]).unwrap_err();
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "wrong = 1\n");
    }

    #[test]
    fn a_platform_writes_itself_down_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_owned();
        let env: Env = Arc::new(move |name| (name == "IGNITE_CONFIG_DIR").then(|| home.clone().into()));
        let path = adopt(&env, "http://127.0.0.1:7070", "first", "local").unwrap().unwrap();
        assert_eq!(path, dir.path().join("config.toml"));
        assert_eq!(adopt(&env, "http://127.0.0.1:7071", "second", "local").unwrap(), None);
        let config = load(&path).unwrap();
        assert_eq!(config.token.unwrap().reveal(), "first");
        assert_eq!(config.api_endpoint.unwrap().to_string(), "http://127.0.0.1:7070");
    }

    #[test]
    fn keys_have_the_spellings_of_before() {
        for (text, key) in [("org_id", Key::Org), ("api_endpoint", Key::ApiEndpoint), ("token", Key::Token)] {
            assert_eq!(text.parse(), Ok(key));
        }
        assert_eq!("tokn".parse::<Key>().unwrap_err(), "there is no key `tokn`; did you mean `token`?");
    }
}
