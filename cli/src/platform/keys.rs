//! What a new platform makes for itself: a key, an organisation, a token.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ignite_control_server::api::new_secret;
use ignite_control_server::{Clock as _, SystemClock};
use ignite_core_model::{OrganizationId, Secret};
use ignite_store_meta::seal::{Keyring, SealingKey};
use ignite_store_meta::{Meta, Token};

use crate::exit::{CliError, Exit};

/// The organisation of a platform on one machine.
const ORGANIZATION: &str = "local";

/// The token of whoever started a platform.
pub(crate) struct FirstToken {
    /// Shown once.
    pub(crate) secret: String,
    pub(crate) organization: OrganizationId,
}

/// The key in this file, or a new one. Nobody else may read the file.
pub(crate) fn load_or_make(path: &Path) -> Result<Secret<[u8; 32]>, CliError> {
    let failed = |what: &str, error: &std::io::Error| {
        CliError::new(Exit::InvalidArgument, format!("could not {what} the key in {}", path.display())).caused_by(error)
    };
    match fs::read(path) {
        Ok(bytes) => {
            let key: [u8; 32] = bytes.try_into().map_err(|_| {
                CliError::new(Exit::InvalidArgument, format!("{} is not a key: it must have 32 bytes", path.display()))
            })?;
            Ok(Secret::new(key))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (secret, key) = new_secret();
            drop(secret);
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| failed("make", &error))?;
            file.write_all(&key).and_then(|()| file.sync_all()).map_err(|error| failed("write", &error))?;
            Ok(Secret::new(key))
        }
        Err(error) => Err(failed("read", &error)),
    }
}

/// The key that seals secrets, in this file, or a new one. A backup does not hold it: keep a copy elsewhere.
pub(crate) fn sealing(path: &Path) -> Result<Keyring, CliError> {
    let failed = |what: &str, error: &dyn std::error::Error| {
        let what = format!("could not {what} the sealing key in {}", path.display());
        CliError::new(Exit::InvalidArgument, what).caused_by(error)
    };
    let key = match fs::read_to_string(path) {
        Ok(text) => SealingKey::parse(&Secret::new(text)).map_err(|error| failed("use", &error))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = SealingKey::generate().map_err(|error| failed("make", &error))?;
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| failed("make", &error))?;
            let written = file.write_all(key.to_text().reveal().as_bytes()).and_then(|()| file.sync_all());
            written.map_err(|error| failed("write", &error))?;
            key
        }
        Err(error) => return Err(failed("read", &error)),
    };
    Ok(Keyring::new(key, Vec::new()))
}

/// A token for a platform that has none.
pub(crate) async fn first_token(meta: &Meta) -> Result<Option<FirstToken>, CliError> {
    let failed = |error: &dyn std::error::Error| {
        CliError::new(Exit::Unavailable, "could not make the first token").caused_by(error)
    };
    let organization: OrganizationId = ORGANIZATION.parse().expect("`local` is a name");
    let clock = SystemClock;
    meta.create_organization(&organization, clock.now_ms()).await.map_err(|error| failed(&error))?;
    let tokens = meta.list_tokens(&organization, None, 1).await.map_err(|error| failed(&error))?;
    if !tokens.is_empty() {
        return Ok(None);
    }
    let (secret, hash) = new_secret();
    let token = Token {
        id: clock.token_id(),
        organization: organization.clone(),
        hash,
        scopes: vec!["*".to_owned(), "admin".to_owned()],
        note: "made by the first `ignite serve`".to_owned(),
        created_ms: clock.now_ms(),
        expires_ms: None,
        revoked_ms: None,
    };
    meta.create_token(&token).await.map_err(|error| failed(&error))?;
    Ok(Some(FirstToken { secret, organization }))
}
