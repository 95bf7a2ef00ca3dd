//! Addresses of databases, as a person writes them.

use std::str::FromStr;

use ignite_core_model::Secret;

use crate::Location;

/// What is wrong with an address. It never repeats it: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

impl FromStr for Location {
    type Err = AddressError;

    /// Reads `sqlite:FILE`, `postgres://…` or `postgresql://…`.
    fn from_str(url: &str) -> Result<Self, AddressError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            // An empty host may stand before it.
            let path = path.strip_prefix("//").unwrap_or(path);
            let path = std::path::absolute(path);
            return path.map(Self::Sqlite).map_err(|error| AddressError(format!("its path cannot be used: {error}")));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(Secret::new(url.to_owned())));
        }
        Err(AddressError("it begins with neither `sqlite:` nor `postgres://`".to_owned()))
    }
}

/// Whether the address of a database has a password in it, and so is not for a command line.
#[must_use]
pub fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || url.contains("password=")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (url, path) in [("sqlite:/a/b.db", "/a/b.db"), ("sqlite:///a/b.db", "/a/b.db")] {
            assert!(matches!(url.parse(), Ok(Location::Sqlite(found)) if found.to_str() == Some(path)), "{url}");
        }
        assert!(matches!("postgresql://u:p@h/d".parse(), Ok(Location::Postgres(_))));
        for wrong in ["sqlite:", "mysql://u:hunter2@h", ""] {
            let error = wrong.parse::<Location>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_is_found() {
        for url in ["postgres://user:secret@host/db", "postgres://user@host/db?password=secret"] {
            assert!(has_password(url), "{url}");
        }
        for url in ["postgres://user@host:5432/db", "postgres:///db?host=/run", "sqlite:/a/b.db"] {
            assert!(!has_password(url), "{url}");
        }
    }
}
