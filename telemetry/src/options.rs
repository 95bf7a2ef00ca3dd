//! Where spans go, as the environment says (OpenTelemetry's specification of exporters).

use std::fmt;

use ignite_core_model::Secret;

/// The variable with the collector's base URL. Without it no spans are made.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The variable with headers for it, such as a key: `NAME=VALUE`, with commas between.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// The variable that turns all of it off.
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// The variables to hand on to hosts. Not that with headers: what a host has in its environment its app can read.
pub const TRACER_VARIABLES: [&str; 2] = [ENDPOINT, DISABLED];

/// Where spans go and whose they are.
#[derive(Clone)]
pub struct TracerOptions {
    /// The base URL, without a slash at its end.
    pub endpoint: String,
    /// Headers of each request. Values may be keys.
    pub headers: Vec<(String, Secret<String>)>,
    /// Which part of the platform makes them, such as `ignite-gateway`.
    pub service: String,
    /// Which one of its kind.
    pub instance: String,
}

impl fmt::Debug for TracerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("TracerOptions").field("service", &self.service).field("headers", &names).finish_non_exhaustive()
    }
}

/// Why spans cannot be sent as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TracerFault {
    /// Not a URL.
    #[error("{ENDPOINT} must be a URL that begins with `http://` or `https://`")]
    Endpoint,
    /// Not headers. They are not repeated: they hold keys.
    #[error("{HEADERS} must be NAME=VALUE, with commas between")]
    Headers,
    /// No thread can be started.
    #[error("the thread that sends spans could not be started: {0}")]
    Thread(String),
}

impl TracerOptions {
    /// What the environment says, which `find` reads; `None` where it names no collector.
    ///
    /// # Errors
    /// When what it says cannot be used.
    pub fn read(
        find: impl Fn(&str) -> Option<String>,
        service: &str,
        instance: &str,
    ) -> Result<Option<Self>, TracerFault> {
        let find = |name: &str| find(name).filter(|value| !value.trim().is_empty());
        if find(DISABLED).is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let Some(endpoint) = find(ENDPOINT) else { return Ok(None) };
        let endpoint = endpoint.trim().trim_end_matches('/').to_owned();
        let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        if rest.is_none_or(str::is_empty) {
            return Err(TracerFault::Endpoint);
        }
        let mut headers = Vec::new();
        for pair in find(HEADERS).unwrap_or_default().split(',').filter(|pair| !pair.trim().is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(TracerFault::Headers)?;
            let (name, value) = (name.trim(), value.trim());
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if name.is_empty() || !name.bytes().all(fits) || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                return Err(TracerFault::Headers);
            }
            headers.push((name.to_owned(), Secret::new(value.to_owned())));
        }
        Ok(Some(Self { endpoint, headers, service: service.to_owned(), instance: instance.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<TracerOptions>, TracerFault> {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        TracerOptions::read(find, "part", "one")
    }

    #[test]
    fn the_environment_decides() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[(ENDPOINT, "http://c:4318"), (DISABLED, "TRUE")]).unwrap().is_none());
        let options = read(&[(ENDPOINT, "http://c:4318/"), (HEADERS, "x-key=hunter2, tenant=a")]).unwrap().unwrap();
        assert_eq!((options.endpoint.as_str(), options.headers.len()), ("http://c:4318", 2));
        assert!(!format!("{options:?}").contains("hunter2"));
        for bad in ["c:4318", "ftp://c", "http://"] {
            assert_eq!(read(&[(ENDPOINT, bad)]).unwrap_err(), TracerFault::Endpoint, "{bad}");
        }
        for bad in ["hunter2", "a b=c", "a=b\nc", "=x"] {
            assert_eq!(read(&[(ENDPOINT, "http://c"), (HEADERS, bad)]).unwrap_err(), TracerFault::Headers, "{bad}");
        }
    }
}
