//! What a handler is asked, as it is checked, stored and sent.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};

/// Method, path with query, and headers. It has no `Debug`: its headers may hold an app's own tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path and the query, as the handler gets them.
    pub target: PathAndQuery,
    /// The caller's headers.
    pub headers: HeaderMap,
}

/// As it stands in the records. It may only grow.
#[derive(Serialize, Deserialize)]
struct Stored {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl Call {
    pub(crate) fn to_stored(&self) -> String {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let stored = Stored {
            method: self.method.to_string(),
            target: self.target.to_string(),
            headers: self.headers.iter().map(header).collect(),
        };
        serde_json::to_string(&stored).expect("texts have a JSON form")
    }

    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text).ok()?;
        let mut headers = HeaderMap::with_capacity(stored.headers.len());
        for (name, value) in stored.headers {
            headers.append(HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        Some(Self { method: stored.method.parse().ok()?, target: stored.target.parse().ok()?, headers })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_call_reads_back_what_was_stored() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", "1".parse().unwrap());
        headers.append("x-a", HeaderValue::from_bytes("ä".as_bytes()).unwrap());
        let call = Call { method: Method::PUT, target: "/a/b?c=d%20e".parse().unwrap(), headers };
        assert!(Call::from_stored(&call.to_stored()).unwrap() == call);
        assert!(Call::from_stored("{}").is_none());
    }

    /// What an earlier release stored stays readable.
    #[test]
    fn a_stored_call_reads_back() {
        let call = Call::from_stored(r#"{"method":"POST","target":"/?a=b","headers":[["content-type","text/plain"]]}"#);
        assert_eq!(call.unwrap().headers["content-type"], "text/plain");
    }
}
