//! Sealing secrets, so that a copy of the database gives none away.
//!
//! XChaCha20-Poly1305 with a random nonce. The organisation and name of a secret are bound in: a sealed value that is moved
//! to another row does not open. A sealed value names the key it was sealed with, so keys can be changed one day:
//! open with old and new, seal with the new.
//!
//! Layout: format (1 byte, `1`), key id (8 bytes), nonce (24 bytes), then the encrypted bytes with their tag.

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ignite_core_model::{Digest, Fault, OrganizationId, Secret};
use zeroize::Zeroize as _;

const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// Why a secret could not be sealed or opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a key.
    #[error("a sealing key is 64 hexadecimal digits")]
    NotAKey,
    /// None of the keys at hand sealed it.
    #[error("the secret was sealed with key {0}, which is not at hand")]
    UnknownKey(String),
    /// It was changed, cut, or moved to another name.
    #[error("the sealed secret is damaged, or was sealed under another name")]
    Damaged,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl SealError {
    /// Whose fault it is: always ours.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Internal
    }
}

/// A key of 32 random bytes.
#[derive(Debug, Clone)]
pub struct SealingKey {
    bytes: Secret<[u8; 32]>,
    id: [u8; KEY_ID_BYTES],
}

impl SealingKey {
    /// A new key.
    ///
    /// # Errors
    /// [`SealError::Random`] if the system gives no random bytes.
    pub fn generate() -> Result<Self, SealError> {
        let mut bytes: [u8; 32] = Generate::try_generate().map_err(|_| SealError::Random)?;
        let key = Self::from_bytes(bytes);
        bytes.zeroize();
        Ok(key)
    }

    /// Reads a key as it stands in a file or variable: 64 hexadecimal digits, white space around them aside.
    ///
    /// # Errors
    /// [`SealError::NotAKey`] if it is anything else.
    pub fn parse(text: &Secret<String>) -> Result<Self, SealError> {
        let digits = text.reveal().trim().as_bytes();
        if digits.len() != 64 {
            return Err(SealError::NotAKey);
        }
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(SealError::NotAKey);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).map_err(|_| SealError::NotAKey)?;
        }
        let key = Self::from_bytes(bytes);
        bytes.zeroize();
        Ok(key)
    }

    /// The key as [`SealingKey::parse`] reads it, to be written to a file that its owner alone can read.
    #[must_use]
    pub fn to_text(&self) -> Secret<String> {
        // A digest is no key, but it writes 32 bytes as digits.
        Secret::new(Digest::from_bytes(*self.bytes.reveal()).to_hex())
    }

    /// Which key it is. Tells nothing about it.
    #[must_use]
    pub fn id(&self) -> String {
        Digest::from_bytes(widen(self.id)).to_hex()[..2 * KEY_ID_BYTES].to_owned()
    }

    fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut named = b"ignite sealing key id".to_vec();
        named.extend_from_slice(&bytes);
        let digest = Digest::of(&named);
        named.zeroize();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest.as_bytes()[..KEY_ID_BYTES]);
        Self { bytes: Secret::new(bytes), id }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.bytes.reveal().into())
    }
}

fn widen(id: [u8; KEY_ID_BYTES]) -> [u8; 32] {
    let mut wide = [0; 32];
    wide[..KEY_ID_BYTES].copy_from_slice(&id);
    wide
}

/// The keys at hand: one that seals, and all that open.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: SealingKey,
    former: Vec<SealingKey>,
}

impl Keyring {
    /// Seals with `current`; opens with it and with `former`.
    #[must_use]
    pub fn new(current: SealingKey, former: Vec<SealingKey>) -> Self {
        Self { current, former }
    }

    /// Seals what is to be stored under a name of an organisation.
    ///
    /// # Errors
    /// [`SealError::Random`] if the system gives no random bytes.
    pub fn seal(
        &self,
        organization: &OrganizationId,
        name: &str,
        secret: &Secret<Vec<u8>>,
    ) -> Result<Vec<u8>, SealError> {
        let nonce = XNonce::try_generate().map_err(|_| SealError::Random)?;
        let bound = bound_to(organization, name);
        let payload = Payload { msg: secret.reveal(), aad: &bound };
        let encrypted = self.current.cipher().encrypt(&nonce, payload).map_err(|_| SealError::Damaged)?;
        let mut sealed = Vec::with_capacity(HEAD_BYTES + encrypted.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.current.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&encrypted);
        Ok(sealed)
    }

    /// Opens what was sealed under this name of this organisation.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] and [`SealError::Damaged`].
    pub fn open(&self, organization: &OrganizationId, name: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
        let (head, encrypted) = sealed.split_at_checked(HEAD_BYTES).ok_or(SealError::Damaged)?;
        let (id, nonce) = head[1..].split_at(KEY_ID_BYTES);
        if head[0] != FORMAT {
            return Err(SealError::Damaged);
        }
        let key = std::iter::once(&self.current).chain(&self.former).find(|key| key.id == id);
        let key = key.ok_or_else(|| SealError::UnknownKey(id.iter().map(|byte| format!("{byte:02x}")).collect()))?;
        let nonce = XNonce::try_from(nonce).map_err(|_| SealError::Damaged)?;
        let bound = bound_to(organization, name);
        let opened = key.cipher().decrypt(&nonce, Payload { msg: encrypted, aad: &bound });
        opened.map(Secret::new).map_err(|_| SealError::Damaged)
    }

    /// Whether a sealed value should be sealed anew, because it was sealed with a former key.
    #[must_use]
    pub fn is_outdated(&self, sealed: &[u8]) -> bool {
        sealed.get(1..=KEY_ID_BYTES) != Some(&self.current.id[..])
    }
}

/// Names of organisations hold no `/`, so two pairs never read alike.
fn bound_to(organization: &OrganizationId, name: &str) -> Vec<u8> {
    format!("ignite secret {organization}/{name}").into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn organization() -> OrganizationId {
        "acme".parse().unwrap()
    }

    fn key(text: &str) -> SealingKey {
        SealingKey::parse(&Secret::new(text.to_owned())).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_under_its_name_only() {
        let keys = Keyring::new(SealingKey::generate().unwrap(), Vec::new());
        let secret = Secret::new(b"hunter2".to_vec());
        let sealed = keys.seal(&organization(), "registry", &secret).unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_eq!(keys.open(&organization(), "registry", &sealed).unwrap().reveal(), secret.reveal());
        assert_ne!(keys.seal(&organization(), "registry", &secret).unwrap(), sealed, "never the same nonce");

        assert_eq!(keys.open(&organization(), "other", &sealed).unwrap_err(), SealError::Damaged);
        assert_eq!(keys.open(&"zeta".parse().unwrap(), "registry", &sealed).unwrap_err(), SealError::Damaged);
        for at in [0, HEAD_BYTES - 1, HEAD_BYTES, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(&organization(), "registry", &changed).unwrap_err(), SealError::Damaged, "{at}");
        }
        for length in [0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 15] {
            assert_eq!(keys.open(&organization(), "registry", &sealed[..length]).unwrap_err(), SealError::Damaged);
        }
    }

    #[test]
    fn keys_can_be_changed() {
        let (old, new) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
        let secret = Secret::new(b"x".to_vec());
        let sealed = Keyring::new(old.clone(), Vec::new()).seal(&organization(), "n", &secret).unwrap();
        let without = Keyring::new(new.clone(), Vec::new());
        assert_eq!(without.open(&organization(), "n", &sealed).unwrap_err(), SealError::UnknownKey(old.id()));
        let both = Keyring::new(new, vec![old]);
        assert_eq!(both.open(&organization(), "n", &sealed).unwrap().reveal(), b"x");
        assert!(both.is_outdated(&sealed));
        assert!(!both.is_outdated(&both.seal(&organization(), "n", &secret).unwrap()));
    }

    #[test]
    fn a_key_is_64_digits() {
        let made = SealingKey::generate().unwrap();
        let text = made.to_text();
        assert_eq!(key(&format!("{}\n", text.reveal())).id(), made.id());
        assert!(!format!("{made:?}").contains(text.reveal()));
        for bad in ["", "00", &"0".repeat(63), &"g".repeat(64), &"0".repeat(65), &"ä".repeat(32)] {
            assert_eq!(SealingKey::parse(&Secret::new(bad.to_owned())).unwrap_err(), SealError::NotAKey, "{bad}");
        }
    }

    /// What an earlier release sealed stays readable.
    #[test]
    fn a_stored_secret_opens() {
        let keys = Keyring::new(key(&"07".repeat(32)), Vec::new());
        let golden = include_bytes!("../golden/sealed-1.bin");
        assert_eq!(keys.open(&organization(), "registry", golden).unwrap().reveal(), b"hunter2");
    }
}
