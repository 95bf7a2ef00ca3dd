//! The API as its client sees it: Connect with JSON over HTTP, one request at a time.
//!
//! [`Client::call`] asks for one message, [`Client::stream`] for many, and [`follow()`] for many over a connection that may
//! break. Waits and retries have bounds: what is retried is idempotent, here and nowhere else.

mod calls;
mod endpoint;
mod error;
mod follow;
mod interrupt;
mod roots;
mod stream;
pub(crate) mod words;

use std::io::Read;
use std::time::{Duration, Instant};

use ignite_core_model::Secret;
use ureq::http::{HeaderValue, Request, Response, header};
use ureq::tls::TlsConfig;
use ureq::{Agent, SendBody};

pub(crate) use calls::{Call, Resume, StreamCall};
pub(crate) use endpoint::{Endpoint, EndpointError};
pub(crate) use error::{ApiError, Code};
pub(crate) use follow::{FollowError, Followed, Heard, follow};
pub(crate) use interrupt::Interrupt;
pub(crate) use roots::tls;
pub(crate) use stream::Messages;

/// Longest time until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Longest silence of a stream, after which it is asked for anew: a peer that is gone may never say so.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Longest answer of one message, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Pauses before an idempotent call is made again.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1200)];

/// How this program names itself.
const AGENT: &str = concat!("ignite/", env!("CARGO_PKG_VERSION"));

/// The API at one address, asked with one token.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    endpoint: Endpoint,
    authorization: HeaderValue,
    timeout: Duration,
}

impl Client {
    /// Makes no connection yet. `timeout` bounds each call; a stream may go on for longer.
    pub(crate) fn new(endpoint: Endpoint, token: &Secret<String>, timeout: Duration, tls: TlsConfig) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would take the token elsewhere.
            .max_redirects(0)
            .user_agent(AGENT)
            .timeout_connect(Some(CONNECT_MAX))
            .tls_config(tls);
        // No proxy leads back to this machine.
        let agent = if endpoint.is_here() { config.proxy(None) } else { config }.build().into();
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        authorization.set_sensitive(true);
        Self { agent, endpoint, authorization, timeout }
    }

    /// How long one call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks, and again after a pause where that cannot do harm.
    pub(crate) fn call<Q: Call>(&self, request: &Q) -> Result<Q::Answer, ApiError> {
        let body = serde_json::to_vec(request).map_err(ApiError::Unreadable)?;
        let deadline = Instant::now() + self.timeout;
        let mut pauses = PAUSES.iter().take(if Q::IDEMPOTENT { PAUSES.len() } else { 0 });
        loop {
            let error = match self.once(Q::METHOD, &body, deadline) {
                Ok(answer) => return serde_json::from_slice(&answer).map_err(ApiError::Unreadable),
                Err(error) => error,
            };
            match pauses.next().filter(|pause| error.is_passing() && Instant::now() + **pause < deadline) {
                Some(pause) => std::thread::sleep(*pause),
                None => return Err(error),
            }
        }
    }

    /// Asks for a stream. The time until it begins is bounded, and so is each silence in it.
    pub(crate) fn stream<Q: StreamCall>(&self, request: &Q) -> Result<Messages<Q::Answer>, ApiError> {
        self.stream_for(request, SILENCE_MAX)
    }

    /// Asks for a stream that may be silent for so long.
    pub(crate) fn stream_for<Q: StreamCall>(
        &self,
        request: &Q,
        silence_max: Duration,
    ) -> Result<Messages<Q::Answer>, ApiError> {
        let message = serde_json::to_vec(request).map_err(ApiError::Unreadable)?;
        let request = self.request(Q::METHOD, "application/connect+json", stream::enveloped(&message));
        let request = self
            .agent
            .configure_request(request)
            .timeout_send_body(Some(self.timeout))
            .timeout_recv_response(Some(silence_max))
            .timeout_per_read(Some(silence_max))
            .build();
        let mut response = self.agent.run(request).map_err(|error| self.failed(error))?;
        if response.status() == 200 && is_type(&response, "application/connect+json") {
            return Ok(Messages::new(Box::new(response.into_body().into_reader())));
        }
        let status = response.status().as_u16();
        let body = self.read(&mut response)?;
        Err(ApiError::of_status(&self.endpoint.to_string(), status, &body))
    }

    fn once(&self, method: &str, body: &[u8], deadline: Instant) -> Result<Vec<u8>, ApiError> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let request = self.request(method, "application/json", body.to_vec());
        let request = self.agent.configure_request(request).timeout_global(Some(left)).build();
        let mut response = self.agent.run(request).map_err(|error| self.failed(error))?;
        let (status, is_json) = (response.status().as_u16(), is_type(&response, "application/json"));
        let body = self.read(&mut response)?;
        if status == 200 && is_json {
            return Ok(body);
        }
        Err(ApiError::of_status(&self.endpoint.to_string(), status, &body))
    }

    fn request(&self, method: &str, content_type: &'static str, body: Vec<u8>) -> Request<Vec<u8>> {
        let mut request = Request::new(body);
        *request.method_mut() = ureq::http::Method::POST;
        // An endpoint was read as a URI, and methods are the API's own names.
        *request.uri_mut() = self.endpoint.join(method).parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert("connect-protocol-version", HeaderValue::from_static("1"));
        request
    }

    fn read(&self, response: &mut Response<ureq::Body>) -> Result<Vec<u8>, ApiError> {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        body.read_to_vec().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ureq::Error) -> ApiError {
        let endpoint = self.endpoint.to_string();
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                ApiError::Unreachable { endpoint, cause: error }
            }
            ureq::Error::Timeout(_) => ApiError::TimedOut { endpoint },
            ureq::Error::Io(cause) if has_begun(&cause) => ApiError::Broken(cause),
            cause => ApiError::Unreachable { endpoint, cause },
        }
    }

    /// Puts bytes at a place that the API gave for them. It may be another server's: the token stays here.
    pub(crate) fn put(
        &self,
        url: &str,
        headers: &[(String, String)],
        bytes: u64,
        body: impl Read + Send + 'static,
    ) -> Result<(), ApiError> {
        let mut builder = Request::put(url).header(header::CONTENT_LENGTH, bytes);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let request =
            builder.body(SendBody::from_owned_reader(body)).map_err(|error| self.failed(ureq::Error::Http(error)))?;
        let request = self.agent.configure_request(request).timeout_global(Some(self.timeout)).build();
        let mut response = self.agent.run(request).map_err(|error| self.failed(error))?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(());
        }
        let said = self.read(&mut response).unwrap_or_default();
        let said = words::plain(String::from_utf8_lossy(&said).trim());
        let code = if status >= 500 { Code::Unavailable } else { Code::InvalidArgument };
        Err(ApiError::Refused { code, message: format!("the upload was answered with status {status}: {said}") })
    }
}

/// Whether a connection stood before it failed.
fn has_begun(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe)
}

fn is_type<T>(response: &Response<T>, wanted: &str) -> bool {
    let value = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}
