//! Where the API is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ureq::http::Uri;

/// The address of an API: `http://host:port`, or `https://…`, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

/// Why a text is no address of an API.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndpointError(String);

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not the address of an API: write HOST:PORT, or https://HOST", self.0)
    }
}

impl Endpoint {
    /// Where `ignite serve` listens on this machine.
    pub(crate) const LOCAL: &str = "http://127.0.0.1:7070";

    /// Whether it is this machine.
    pub(crate) fn is_here(&self) -> bool {
        self.0.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(is_here))
    }

    /// The address of something below it; `path` has no slash at its beginning.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}/{path}", self.0)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Reads `HOST[:PORT]`, which is https but on this machine's own addresses, or a whole URL.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError(text.chars().take(200).collect());
        let uri: Uri = match text.split_once("://") {
            Some(_) => text.parse().map_err(|_| wrong())?,
            None => {
                let uri: Uri = format!("https://{text}").parse().map_err(|_| wrong())?;
                if uri.host().is_some_and(is_here) {
                    format!("http://{text}").parse().map_err(|_| wrong())?
                } else {
                    uri
                }
            }
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let sound = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && !authority.host().is_empty()
            && !authority.as_str().contains('@')
            // A port that is no number leaves a colon behind.
            && (authority.port_u16().is_some() || !authority.as_str().rsplit(']').next().unwrap_or_default().contains(':'));
        if !sound {
            return Err(wrong());
        }
        let scheme = uri.scheme_str().unwrap_or_default();
        Ok(Self(format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'))))
    }
}

fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn an_endpoint_is_https_but_here() {
        for (text, whole) in [
            ("rpc.example.io:443", "https://rpc.example.io:443"),
            ("rpc.example.io", "https://rpc.example.io"),
            ("localhost:7070", "http://localhost:7070"),
            ("127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("[::1]:7070", "http://[::1]:7070"),
            ("http://control.internal:7070/", "http://control.internal:7070"),
            ("https://example.io/ignite/", "https://example.io/ignite"),
        ] {
            let endpoint = text.parse::<Endpoint>().unwrap();
            assert_eq!(endpoint.to_string(), whole, "{text}");
            assert_eq!(endpoint.is_here(), ["localhost", "127.", "[::1]"].iter().any(|host| text.starts_with(host)));
        }
        for bad in ["", "ftp://x", "http://", "a b", "http://user:pw@x", "https://x?y=1", "x:port", "://"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
