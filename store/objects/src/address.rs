//! Addresses of object stores, as a person writes them.

use std::path::PathBuf;

use ignite_core_model::Secret;
use percent_encoding::percent_decode_str;

use crate::{Location, S3Credentials, S3Options, UrlSigner};

/// The region of servers that have none.
const REGION: &str = "us-east-1";

/// Where objects are, as it was written.
#[derive(Debug, Clone)]
pub enum Address {
    /// A folder; who opens it says who signs its URLs.
    Folder(PathBuf),
    /// A bucket.
    Bucket(S3Options),
}

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

impl Address {
    /// Reads `file:DIR` or `s3://BUCKET[/PREFIX][?endpoint=URL&public-endpoint=URL&region=NAME&virtual-hosted=true]`, and of a
    /// bucket also AWS' variables, which `find` looks up: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN`, and `AWS_REGION` or `AWS_DEFAULT_REGION` where the address names no region. Without a key it is
    /// the machine's, see [`S3Credentials::Machine`].
    ///
    /// # Errors
    /// When it is neither, or a part of it is unknown, or only half of a key is set.
    pub fn read(url: &str, find: impl Fn(&str) -> Option<String>) -> Result<Self, AddressError> {
        if let Some(path) = url.strip_prefix("file:") {
            // An empty host may stand before it.
            let path = std::path::absolute(path.strip_prefix("//").unwrap_or(path));
            return path.map(Self::Folder).map_err(|error| wrong(format!("its path cannot be used: {error}")));
        }
        let rest = url.strip_prefix("s3://").ok_or_else(|| wrong("it begins with neither `file:` nor `s3://`"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(wrong("it names no bucket"));
        }
        let mut options = S3Options {
            endpoint: None,
            public_endpoint: None,
            bucket: bucket.to_owned(),
            region: find("AWS_REGION").or_else(|| find("AWS_DEFAULT_REGION")).unwrap_or_else(|| REGION.to_owned()),
            prefix: Some(prefix.trim_matches('/').to_owned()).filter(|prefix| !prefix.is_empty()),
            virtual_hosted: false,
            credentials: credentials(find)?,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8().map_err(|_| wrong(format!("`{name}` is not UTF-8")))?;
            match name {
                "endpoint" => options.endpoint = Some(value.into_owned()),
                "public-endpoint" => options.public_endpoint = Some(value.into_owned()),
                "region" => options.region = value.into_owned(),
                "virtual-hosted" => {
                    options.virtual_hosted =
                        value.parse().map_err(|_| wrong("`virtual-hosted` is neither true nor false"))?;
                }
                other => {
                    let known = "endpoint, public-endpoint, region and virtual-hosted";
                    return Err(wrong(format!("`{other}` is none of {known}")));
                }
            }
        }
        Ok(Self::Bucket(options))
    }

    /// The place for whoever reads and writes itself and gives nobody a URL: of a folder they are signed with a key that nobody
    /// has, and lead nowhere.
    #[must_use]
    pub fn unsigned(self) -> Location {
        match self {
            Self::Folder(root) => {
                let signer = UrlSigner::new(Secret::new(rand::random()), "http://localhost/objects");
                Location::Folder { root, signer }
            }
            Self::Bucket(options) => Location::S3(options),
        }
    }
}

fn credentials(find: impl Fn(&str) -> Option<String>) -> Result<S3Credentials, AddressError> {
    match (find("AWS_ACCESS_KEY_ID"), find("AWS_SECRET_ACCESS_KEY").map(Secret::new)) {
        (Some(id), Some(secret)) => {
            Ok(S3Credentials::Key { id, secret, session: find("AWS_SESSION_TOKEN").map(Secret::new) })
        }
        (None, None) => Ok(S3Credentials::Machine),
        _ => Err(wrong("of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set")),
    }
}

fn wrong(why: impl Into<String>) -> AddressError {
    AddressError(why.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn addresses_are_read() {
        let set = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("id".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("hunter2".to_owned()),
            "AWS_DEFAULT_REGION" => Some("there".to_owned()),
            _ => None,
        };
        let read = |url: &str| Address::read(url, set);
        assert!(matches!(read("file:/o"), Ok(Address::Folder(root)) if root.to_str() == Some("/o")));
        let url = "s3://bucket/a/b?endpoint=http%3A//h%3A9000&public-endpoint=https://o&region=eu&virtual-hosted=true";
        let Ok(Address::Bucket(options)) = read(url) else { panic!("it is read") };
        assert_eq!(options.endpoint.as_deref(), Some("http://h:9000"));
        assert_eq!(options.public_endpoint.as_deref(), Some("https://o"));
        assert_eq!((options.bucket.as_str(), options.prefix.as_deref()), ("bucket", Some("a/b")));
        assert_eq!((options.region.as_str(), options.virtual_hosted), ("eu", true));
        assert!(!format!("{options:?}").contains("hunter2"));
        assert!(matches!(read("s3://b"), Ok(Address::Bucket(options)) if options.region == "there"));
        for wrong in ["s3://", "ftp://x", "file:", "s3://b?colour=red", "s3://b?virtual-hosted=maybe"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let half = |name: &str| (name == "AWS_ACCESS_KEY_ID").then(|| "id".to_owned());
        assert!(Address::read("s3://b", half).is_err());
        let none = Address::read("s3://b", |_| None).unwrap();
        assert!(matches!(none, Address::Bucket(S3Options { credentials: S3Credentials::Machine, .. })));
    }
}
