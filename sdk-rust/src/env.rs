//! Environment variables.

use std::collections::BTreeMap;
use std::fmt;

/// The app's environment variables, as set in `ignite.toml` or on the platform.
#[derive(Debug, Clone, Copy)]
pub struct Env(());

impl Env {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// The value of `name`; `None` where it is not set or not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.require(name).ok()
    }

    /// The value of `name`.
    ///
    /// # Errors
    /// When it is not set or not UTF-8; the message names the variable.
    pub fn require(&self, name: &str) -> Result<String, EnvError> {
        std::env::var(name).map_err(|cause| EnvError { name: name.to_owned(), cause })
    }

    /// All variables whose name and value are UTF-8, by name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, String> {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(utf8).collect()
    }
}

/// An environment variable that a handler needs and does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvError {
    name: String,
    cause: std::env::VarError,
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            std::env::VarError::NotPresent => write!(f, "environment variable `{}` is not set", self.name),
            // The value may be a secret.
            std::env::VarError::NotUnicode(_) => write!(f, "environment variable `{}` is not UTF-8", self.name),
        }
    }
}

impl std::error::Error for EnvError {}
