//! Header blocks as maps.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use ignite_core_abi::{DecodeError, Headers};

/// Why a header block is none that HTTP can carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadersError {
    /// The block itself is malformed.
    Malformed(DecodeError),
    /// This cannot be the name of a header.
    Name(String),
    /// The header of this name has a value that cannot be one.
    Value(String),
    /// More than a map can hold.
    TooMany,
}

impl std::fmt::Display for HeadersError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Name(name) => write!(f, "the name of header `{}` is not valid", name.escape_debug()),
            Self::Value(name) => write!(f, "the value of header `{}` is not valid", name.escape_debug()),
            Self::TooMany => f.write_str("it has too many headers"),
        }
    }
}

/// The headers of `block`, which lies in `payload`: the values are parts of it and no copies.
///
/// # Errors
/// When HTTP cannot carry them.
pub fn header_map(block: Headers<'_>, payload: &Bytes) -> Result<HeaderMap, HeadersError> {
    let mut headers = HeaderMap::new();
    for entry in block {
        let (name, value) = entry.map_err(HeadersError::Malformed)?;
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeadersError::Name(name.to_owned()))?;
        let value = HeaderValue::from_maybe_shared(payload.slice_ref(value))
            .map_err(|_| HeadersError::Value(name.to_owned()))?;
        headers.try_append(parsed, value).map_err(|_| HeadersError::TooMany)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use ignite_core_abi::encode_headers;

    use super::*;

    fn read(headers: &[(&str, &str)]) -> Result<HeaderMap, HeadersError> {
        let mut block = Vec::new();
        encode_headers(headers.iter().copied(), &mut block);
        let payload = Bytes::from(block);
        header_map(Headers(&payload[4..]), &payload)
    }

    #[test]
    fn a_header_that_stands_twice_stands_twice() {
        let headers = read(&[("x-a", "1"), ("host", "b"), ("x-a", "2")]).unwrap();
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(headers["host"], "b");
    }

    #[test]
    fn what_http_cannot_carry_is_refused() {
        assert_eq!(read(&[("x a", "1")]), Err(HeadersError::Name("x a".to_owned())));
        assert_eq!(read(&[("x-a", "1\r\nx-b: 2")]), Err(HeadersError::Value("x-a".to_owned())));
        let payload = Bytes::from_static(&[9, 0, b'a']);
        assert!(matches!(header_map(Headers(&payload), &payload), Err(HeadersError::Malformed(_))));
    }
}
