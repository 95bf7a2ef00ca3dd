//! The request an execution answers.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::execution::{Execution, Text};
use crate::{BodyError, body, query};

/// The request: method, path, query, headers and body. All of it is read only when asked for.
pub struct Request(Arc<Execution>);

impl Request {
    pub(crate) fn new(execution: Arc<Execution>) -> Self {
        Self(execution)
    }

    /// The field `key` of the JSON object in the body. A `T` that is an `Option` may be absent.
    ///
    /// Each call reads the body anew; for several fields derive `Deserialize` and use [`Request::body`].
    ///
    /// # Errors
    /// When the body is no JSON object, has no such field, or the field is no `T`. Passed on with `?` it answers 400.
    pub fn field<'a, T: Deserialize<'a>>(&'a self, key: &str) -> Result<T, BodyError> {
        body::read_field(self.raw(), key)
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// When it is not JSON or no `T`; the error names the place. Passed on with `?` it answers 400.
    pub fn body<'a, T: Deserialize<'a>>(&'a self) -> Result<T, BodyError> {
        body::read(self.raw())
    }

    /// The body as it came; empty where there is none.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        self.0.call.body()
    }

    /// The HTTP method as sent, as in `POST`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.call.text(Text::Method)
    }

    /// The path as sent: percent-encoded, beginning with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.call.text(Text::Path)
    }

    /// The query as sent, without the `?`; empty where there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.0.call.text(Text::Query)
    }

    /// The first value of `key` in the query, decoded; `None` where it does not occur.
    #[must_use]
    pub fn query_param(&self, key: &str) -> Option<Cow<'_, str>> {
        self.query_params().find(|(present, _)| present == key).map(|(_, value)| value)
    }

    /// Each key and value of the query, decoded, in the order they stand.
    pub fn query_params(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(self.query())
    }

    /// The first value of the header `name` (in any case); `None` where it does not occur or is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers().find(|(present, _)| present.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The headers in the order they were sent, names in lower case; one that occurs twice stands twice.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.call.headers()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method(), self.path(), self.raw().len())
    }
}
