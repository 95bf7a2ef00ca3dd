//! Where key sets come from.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Longest time to fetch a key set.
const FETCH_MAX: Duration = Duration::from_secs(5);

/// Longest key set, in bytes.
pub const KEY_SET_BYTES_MAX: u64 = 256 * 1024;

/// A key set that is being fetched, or why it could not be.
pub type FetchKeys<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;

/// Fetches key sets.
pub trait KeySource: Send + Sync + 'static {
    /// The document at `url`, of at most [`KEY_SET_BYTES_MAX`].
    fn fetch<'a>(&'a self, url: &'a str) -> FetchKeys<'a>;
}

/// Fetches them over HTTP. Redirects are not followed: they lead where nobody has said that keys may come from.
#[derive(Debug, Clone)]
pub struct HttpKeys(ureq::Agent);

impl Default for HttpKeys {
    fn default() -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(FETCH_MAX)).max_redirects(0);
        Self(config.build().into())
    }
}

impl KeySource for HttpKeys {
    fn fetch<'a>(&'a self, url: &'a str) -> FetchKeys<'a> {
        let (agent, url) = (self.0.clone(), url.to_owned());
        Box::pin(async move {
            let fetching = tokio::task::spawn_blocking(move || {
                let mut response = agent.get(&url).call().map_err(|error| error.to_string())?;
                if response.status().as_u16() != 200 {
                    return Err(format!("the answer is {}", response.status()));
                }
                let body = response.body_mut().with_config().limit(KEY_SET_BYTES_MAX);
                body.read_to_vec().map_err(|error| error.to_string())
            });
            fetching.await.unwrap_or_else(|error| Err(error.to_string()))
        })
    }
}
