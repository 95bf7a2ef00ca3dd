//! What a handler may answer.

use std::borrow::Cow;

use serde::Serialize;

use crate::{Error, StatusCode};

/// Headers in order, names in lower case.
pub(crate) type HeaderList = Vec<(String, Vec<u8>)>;

/// A complete answer: status, headers and body.
///
/// ```
/// use ignite::prelude::*;
///
/// let made = Response::new("made").with_status(StatusCode::CREATED).with_header("location", "/things/7");
/// assert_eq!(made.status(), StatusCode::CREATED);
/// ```
#[derive(Debug)]
#[must_use = "a response is sent by returning it"]
pub struct Response {
    status: StatusCode,
    headers: HeaderList,
    body: Cow<'static, [u8]>,
    pub(crate) state: ResponseState,
}

/// What a response stands for when it is sent.
#[derive(Debug)]
pub(crate) enum ResponseState {
    /// Itself.
    Whole,
    /// The answer that went through a stream.
    Streamed,
    /// It could not be built; this is why.
    Broken(Error),
}

impl Response {
    /// The answer that `body` makes.
    pub fn new(body: impl IntoResponse) -> Self {
        body.into_response()
    }

    /// The same answer with another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same answer with this header instead of all others of the name. A name or value that HTTP does not allow
    /// makes the execution fail with type `invalid_header`.
    pub fn with_header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        self.headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        self.with_further_header(name, value)
    }

    /// The same answer with one more header, beside others of the name: what `set-cookie` needs.
    pub fn with_further_header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        match checked_header(name.as_ref(), value.as_ref()) {
            Ok(header) => self.headers.push(header),
            Err(error) => self.state = ResponseState::Broken(error),
        }
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers in the order they will be sent, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn streamed() -> Self {
        Self { state: ResponseState::Streamed, ..Self::plain(None, Cow::Borrowed(&[])) }
    }

    pub(crate) fn into_parts(self) -> (StatusCode, HeaderList, Cow<'static, [u8]>) {
        (self.status, self.headers, self.body)
    }

    fn plain(content_type: Option<&str>, body: Cow<'static, [u8]>) -> Self {
        let headers = content_type.map(|value| ("content-type".to_owned(), value.as_bytes().to_vec()));
        let headers = headers.into_iter().collect();
        Self { status: StatusCode::OK, headers, body, state: ResponseState::Whole }
    }

    pub(crate) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::plain(Some("application/json"), body.into()),
            Err(error) => {
                let error = Error::from(error).context("could not write the answer as JSON");
                Self { state: ResponseState::Broken(error), ..Self::plain(None, Cow::Borrowed(&[])) }
            }
        }
    }
}

/// A header as it is sent: the name a token in lower case, the value without control characters.
pub(crate) fn checked_header(name: &str, value: &[u8]) -> Result<(String, Vec<u8>), Error> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_visible = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    let fault = if name.is_empty() || !name.bytes().all(is_token) {
        "its name is not a token"
    } else if !value.iter().all(|byte| is_visible(*byte)) {
        "its value has a control character"
    } else if name.len().max(value.len()) > usize::from(u16::MAX) {
        "it is longer than 65,535 bytes"
    } else {
        return Ok((name.to_ascii_lowercase(), value.trim_ascii().to_vec()));
    };
    let shown: String = name.chars().take(100).collect();
    Err(Error::msg(format_args!("header {shown:?} cannot be sent: {fault}")).with_type("invalid_header"))
}

/// What a handler may return.
///
/// | returned | status | content type |
/// | --- | --- | --- |
/// | [`serde_json::Value`], [`Json<T>`](Json) | 200 | `application/json` |
/// | `&str`, `String` | 200 | `text/plain; charset=utf-8` |
/// | `Vec<u8>`, `&[u8]`, `[u8; N]` | 200 | `application/octet-stream` |
/// | `()` | 200 | none, the body is empty |
/// | [`StatusCode`] | that one | none, the body is empty |
/// | `(StatusCode, T)` | that one | as of `T` |
/// | `(StatusCode, headers, T)` | that one | as of `T`, unless a header says otherwise |
/// | [`Response`] | as built | as built |
/// | [`Streamed`](crate::Streamed) | as streamed | as streamed |
///
/// Headers are an array or a `Vec` of name and value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something a handler can answer with",
    label = "not an answer",
    note = "answer with a string, bytes, `ignite::json!({{ … }})`, `Json(value)` of a value that implements `serde::Serialize`, a `Response`, or `(StatusCode, …)`"
)]
pub trait IntoResponse {
    /// Makes the answer.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::plain(None, Cow::Borrowed(&[]))
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        ().into_response().with_status(self)
    }
}

/// A value that is answered as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0)
    }
}

impl IntoResponse for serde_json::Value {
    fn into_response(self) -> Response {
        Response::json(&self)
    }
}

const TEXT: Option<&str> = Some("text/plain; charset=utf-8");
const BYTES: Option<&str> = Some("application/octet-stream");

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::plain(TEXT, self.as_bytes().into())
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::plain(TEXT, self.into_bytes().into())
    }
}

impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        match self {
            Cow::Borrowed(text) => text.into_response(),
            Cow::Owned(text) => text.into_response(),
        }
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::plain(BYTES, self.into())
    }
}

impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Response::plain(BYTES, self.into())
    }
}

impl<const N: usize> IntoResponse for &'static [u8; N] {
    fn into_response(self) -> Response {
        self.as_slice().into_response()
    }
}

impl<const N: usize> IntoResponse for [u8; N] {
    fn into_response(self) -> Response {
        self.to_vec().into_response()
    }
}

impl IntoResponse for Box<[u8]> {
    fn into_response(self) -> Response {
        self.into_vec().into_response()
    }
}

impl IntoResponse for Cow<'static, [u8]> {
    fn into_response(self) -> Response {
        Response::plain(BYTES, self)
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl<H, N, V, T> IntoResponse for (StatusCode, H, T)
where
    H: IntoIterator<Item = (N, V)>,
    N: AsRef<str>,
    V: AsRef<[u8]>,
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        let (status, headers, body) = self;
        let mut response = body.into_response().with_status(status);
        let mut own = ().into_response();
        for (name, value) in headers {
            own = own.with_further_header(name, value);
        }
        if let ResponseState::Broken(error) = own.state {
            response.state = ResponseState::Broken(error);
        }
        response.headers.retain(|(name, _)| !own.headers.iter().any(|(given, _)| given == name));
        response.headers.append(&mut own.headers);
        response
    }
}
