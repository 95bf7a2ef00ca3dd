//! What a new platform makes for itself: a key, an organisation, a token.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ignite_control_server::api::new_secret;
use ignite_control_server::{Clock as _, SystemClock};
use ignite_core_model::{OrganizationId, Secret};
use ignite_store_meta::seal::{Keyring, SealError, SealingKey};
use ignite_store_meta::{Meta, Token};

use crate::exit::{CliError, Exit};
use crate::settings::Env;

/// The organisation of a platform on one machine.
const ORGANIZATION: &str = "local";

/// The variable that holds the key that seals secrets, and former ones after it. Nothing else reads it, it is never shown, and no
/// host, worker or compiler has it: each gets an environment of its own.
const SEALING_KEY: &str = "IGNITE_SEALING_KEY";

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

/// The keys that seal and open secrets: those in the environment, else those in this file, else a new one, which the file then
/// holds. A backup holds neither: keep a copy elsewhere.
///
/// The first key seals, all of them open. Where the environment has keys and the file is there, the file's open too, so that who
/// moves a key out of the data folder loses no secret.
pub(crate) fn sealing(env: &Env, path: &Path) -> Result<Keyring, CliError> {
    let failed = |what: &str, error: &dyn std::error::Error| {
        let what = format!("could not {what} the sealing key in {}", path.display());
        CliError::new(Exit::InvalidArgument, what).caused_by(error)
    };
    let stored = match fs::read_to_string(path) {
        Ok(text) => Some(parse(&Secret::new(text)).map_err(|error| {
            let hint = "put the key back from its copy; without it the secrets that it sealed cannot be opened";
            failed("use", &error).hint(hint)
        })?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("read", &error)),
    };
    if let Some(value) = env(SEALING_KEY) {
        let mut keys = of_environment(value)?;
        keys.extend(stored.unwrap_or_default());
        return Ok(ring(keys));
    }
    if let Some(keys) = stored {
        return Ok(ring(keys));
    }
    let key = SealingKey::generate().map_err(|error| failed("make", &error))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed("make", &error))?;
    let written = file.write_all(key.to_text().reveal().as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| failed("write", &error))?;
    Ok(Keyring::new(key, Vec::new()))
}

/// The keys in the value of [`SEALING_KEY`]. What is wrong with it is told without a word of it.
fn of_environment(value: OsString) -> Result<Vec<SealingKey>, CliError> {
    let refused = || {
        CliError::new(Exit::InvalidArgument, format!("could not use the sealing key in {SEALING_KEY}")).hint(format!(
            "`openssl rand -hex 32` makes one; former keys follow it after a comma; unset {SEALING_KEY} to keep the key in the data \
             folder"
        ))
    };
    let text = value.into_string().map_err(|_| refused().because("it is no text"))?;
    if text.trim().is_empty() {
        return Err(refused().because("it is empty"));
    }
    parse(&Secret::new(text)).map_err(|error| refused().caused_by(&error))
}

/// One key or more, with commas or white space between.
fn parse(text: &Secret<String>) -> Result<Vec<SealingKey>, SealError> {
    let between = |digit: char| digit == ',' || digit.is_whitespace();
    let keys = text.reveal().split(between).filter(|word| !word.is_empty());
    let keys = keys.map(|word| SealingKey::parse(&Secret::new(word.to_owned()))).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() { Err(SealError::NotAKey) } else { Ok(keys) }
}

/// The first seals, and the others open what they sealed.
fn ring(keys: Vec<SealingKey>) -> Keyring {
    let mut keys = keys.into_iter();
    let current = keys.next().expect("whoever asks has a key");
    Keyring::new(current, keys.collect())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::sync::Arc;

    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

    fn environment(value: Option<&str>) -> Env {
        let value = value.map(OsString::from);
        Arc::new(move |name| if name == SEALING_KEY { value.clone() } else { None })
    }

    /// What a keyring makes of what another sealed.
    fn opens(ring: &Keyring, sealed: &[u8]) -> bool {
        ring.open(&ORGANIZATION.parse().unwrap(), "db", sealed).is_ok()
    }

    fn sealed(ring: &Keyring) -> Vec<u8> {
        ring.seal(&ORGANIZATION.parse().unwrap(), "db", &Secret::new(b"hunter2".to_vec())).unwrap()
    }

    #[test]
    fn a_key_comes_from_the_environment_or_from_a_file_that_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing-key");
        let of = |value: Option<&str>| sealing(&environment(value), &path).unwrap();
        let one = sealed(&of(Some(ONE)));
        assert!(!path.exists(), "a key in the environment makes no file");
        assert!(opens(&of(Some(ONE)), &one) && !opens(&of(Some(TWO)), &one));
        // A new key, and the former one after it.
        assert!(opens(&of(Some(&format!("{TWO}, {ONE}\n"))), &one));

        let stored = sealed(&of(None));
        assert!(path.exists());
        let moved = of(Some(TWO));
        assert!(opens(&moved, &stored), "what the file's key sealed still opens");
        let two = sealed(&moved);
        assert!(!opens(&of(None), &two) && opens(&of(None), &stored));
        fs::remove_file(&path).unwrap();
        assert!(opens(&of(Some(TWO)), &two), "the environment's key sealed it");
    }

    #[test]
    fn a_value_that_is_no_key_is_refused_without_a_word_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing-key");
        for value in ["", " ", "hunter2", &ONE[1..], &format!("{ONE},{}", &TWO[1..]), &ONE.replacen('1', "x", 1)] {
            let error = sealing(&environment(Some(value)), &path).unwrap_err();
            let words = format!("{error:?}");
            assert!(words.contains(SEALING_KEY) && words.contains("openssl rand -hex 32"), "{words}");
            assert!(!words.contains("hunter2") && !words.contains("1111") && !words.contains("2222"), "{words}");
        }
        assert!(!path.exists());
        fs::write(&path, "hunter2").unwrap();
        let error = format!("{:?}", sealing(&environment(None), &path).unwrap_err());
        assert!(error.contains("64 hexadecimal digits") && !error.contains("hunter2"), "{error}");
    }
}
