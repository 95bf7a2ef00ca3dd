//! Algorithms of signatures (RFC 7518 §3.1, RFC 8037), none of them with a shared key.

use ring::signature::{self, VerificationAlgorithm};
use serde::Deserialize;

/// An algorithm that tokens may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// RSA with PKCS #1 padding and SHA-256.
    RS256,
    /// The same with SHA-384.
    RS384,
    /// The same with SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    const ALL: [(Self, &'static str); 7] = [
        (Self::RS256, "RS256"),
        (Self::RS384, "RS384"),
        (Self::RS512, "RS512"),
        (Self::PS256, "PS256"),
        (Self::ES256, "ES256"),
        (Self::ES384, "ES384"),
        (Self::EdDSA, "EdDSA"),
    ];

    pub(crate) fn find(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(algorithm, _)| *algorithm)
    }

    /// How RSA keys are used for it.
    pub(crate) fn rsa(self) -> Option<&'static signature::RsaParameters> {
        match self {
            Self::RS256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
            Self::ES256 | Self::ES384 | Self::EdDSA => None,
        }
    }

    /// How points on `curve` are used for it.
    pub(crate) fn on_curve(self, curve: &str) -> Option<&'static dyn VerificationAlgorithm> {
        match (self, curve) {
            (Self::ES256, "P-256") => Some(&signature::ECDSA_P256_SHA256_FIXED),
            (Self::ES384, "P-384") => Some(&signature::ECDSA_P384_SHA384_FIXED),
            (Self::EdDSA, "Ed25519") => Some(&signature::ED25519),
            _ => None,
        }
    }
}
