//! Addresses of stores, as a person writes them.

use std::path::PathBuf;

use ignite_core_model::Secret;
use ignite_store_objects::{S3Credentials, S3Options, UrlSigner};
use percent_encoding::percent_decode_str;

/// The region of servers that have none.
const REGION: &str = "us-east-1";

/// Where records are: `sqlite:FILE`, `postgres://…` or `postgresql://…`.
///
/// # Errors
/// What is wrong with it, without repeating it: it may hold a password.
pub(crate) fn records(url: &str) -> Result<ignite_store_meta::Location, String> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        return Ok(ignite_store_meta::Location::Sqlite(file(path)?));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(ignite_store_meta::Location::Postgres(Secret::new(url.to_owned())));
    }
    Err("it begins with neither `sqlite:` nor `postgres://`".to_owned())
}

/// Where objects are: `file:DIR` or `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&virtual-hosted=true]`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn objects(
    url: &str,
    key: (Option<String>, Option<Secret<String>>),
    session: Option<Secret<String>>,
    region: Option<String>,
) -> Result<ignite_store_objects::Location, String> {
    if let Some(path) = url.strip_prefix("file:") {
        // Builders sign no URLs; a key that nobody knows signs none that anybody takes.
        let signer = UrlSigner::new(Secret::new(rand::random()), "http://localhost/objects");
        return Ok(ignite_store_objects::Location::Folder { root: file(path)?, signer });
    }
    let rest = url.strip_prefix("s3://").ok_or("it begins with neither `file:` nor `s3://`")?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err("it names no bucket".to_owned());
    }
    let mut options = S3Options {
        endpoint: None,
        public_endpoint: None,
        bucket: bucket.to_owned(),
        region: region.unwrap_or_else(|| REGION.to_owned()),
        prefix: Some(prefix.trim_matches('/').to_owned()).filter(|prefix| !prefix.is_empty()),
        virtual_hosted: false,
        credentials: match key {
            (Some(id), Some(secret)) => S3Credentials::Key { id, secret, session },
            (None, None) => S3Credentials::Machine,
            _ => return Err("of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set".to_owned()),
        },
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8().map_err(|_| format!("`{name}` is not UTF-8"))?;
        match name {
            "endpoint" => options.endpoint = Some(value.into_owned()),
            "region" => options.region = value.into_owned(),
            "virtual-hosted" => {
                options.virtual_hosted =
                    value.parse().map_err(|_| "`virtual-hosted` is neither true nor false".to_owned())?;
            }
            other => return Err(format!("`{other}` is none of endpoint, region and virtual-hosted")),
        }
    }
    Ok(ignite_store_objects::Location::S3(options))
}

/// The path in a URL with or without an empty host.
fn file(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("//").unwrap_or(text);
    if path.is_empty() {
        return Err("it names no path".to_owned());
    }
    std::path::absolute(path).map_err(|error| format!("its path cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use ignite_store_objects::Location;

    #[test]
    fn addresses_are_read() {
        use ignite_store_meta::Location as Records;
        for (url, path) in [("sqlite:/a/b.db", "/a/b.db"), ("sqlite:///a/b.db", "/a/b.db")] {
            assert!(matches!(records(url), Ok(Records::Sqlite(found)) if found.to_str() == Some(path)), "{url}");
        }
        assert!(matches!(records("postgresql://u:p@h/d"), Ok(Records::Postgres(_))));
        for wrong in ["sqlite:", "mysql://u:hunter2@h", ""] {
            assert!(!records(wrong).unwrap_err().contains("hunter2"));
        }
        let read = |url: &str| objects(url, (Some("id".into()), Some(Secret::new("s".into()))), None, None);
        assert!(matches!(read("file:/o"), Ok(Location::Folder { root, .. }) if root.to_str() == Some("/o")));
        let Ok(Location::S3(options)) =
            read("s3://bucket/a/b?endpoint=http%3A//h%3A9000&region=eu&virtual-hosted=true")
        else {
            panic!("it is read")
        };
        assert_eq!(options.endpoint.as_deref(), Some("http://h:9000"));
        assert_eq!((options.bucket.as_str(), options.prefix.as_deref()), ("bucket", Some("a/b")));
        assert_eq!((options.region.as_str(), options.virtual_hosted), ("eu", true));
        for wrong in ["s3://", "ftp://x", "s3://b?colour=red", "s3://b?virtual-hosted=maybe"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(objects("s3://b", (Some("id".into()), None), None, None).is_err());
    }
}
