//! Whom a connection over TLS trusts.

use std::io::Read as _;
use std::path::Path;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::exit::{CliError, Exit};

/// Largest file of certificates, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Trust in the certificates of one file, as `SSL_CERT_FILE` names it to other programs; without one, in those that browsers
/// trust.
pub(crate) fn tls(file: Option<&Path>) -> Result<TlsConfig, CliError> {
    let Some(file) = file else { return Ok(TlsConfig::default()) };
    let refused = |why: String| {
        CliError::new(Exit::InvalidArgument, format!("could not use the certificates in {}", file.display()))
            .because(why)
            .hint("SSL_CERT_FILE names a file of certificates in PEM; without it, public ones are trusted")
    };
    let mut text = Vec::new();
    let opened = std::fs::File::open(file).map_err(|error| refused(error.to_string()))?;
    opened.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(|error| refused(error.to_string()))?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(refused("there are none in it".to_owned()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("roots.pem");
        assert_eq!(tls(Some(&file)).unwrap_err().exit, Exit::InvalidArgument);
        std::fs::write(&file, "nothing").unwrap();
        assert_eq!(tls(Some(&file)).unwrap_err().causes, ["there are none in it"]);
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap();
        let RootCerts::Specific(certificates) = tls(Some(&file)).unwrap().root_certs().clone() else { unreachable!() };
        assert_eq!(certificates.len(), 1);
    }
}
