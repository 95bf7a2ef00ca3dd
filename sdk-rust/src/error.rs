//! How a handler fails.

use std::any::{Any, type_name};
#[cfg(not(target_family = "wasm"))]
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error as StdError;
use std::fmt::{self, Write as _};

use crate::{BodyError, StatusCode};

/// Any error as a trait object, as `?` makes it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What a handler returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a handler failed: any error, or a message.
///
/// `?` turns every [`std::error::Error`] into one. The caller is answered with status 500 and a JSON body that tells
/// message, type and execution id; the causes and the backtrace (where `RUST_BACKTRACE` asks for one) go to the log.
/// [`Error::status`] answers with a status of its own; what [`Request::body`](crate::Request::body) and
/// [`Request::field`](crate::Request::field) refuse is the caller's fault and answered with 400.
///
/// It is not itself a [`std::error::Error`], so that `?` can take all of those.
pub struct Error(Box<Inner>);

struct Inner {
    status: Option<StatusCode>,
    kind: String,
    message: Option<String>,
    source: Option<BoxError>,
    /// On wasm there are none, and what prints them would be a fifth of a small function.
    #[cfg(not(target_family = "wasm"))]
    backtrace: Backtrace,
    /// Stands for the backtrace where that was written down elsewhere, as with a panic.
    trace: String,
}

/// The type of an error that has no better name.
const UNNAMED: &str = "Error";

impl Error {
    /// An error that says this.
    #[track_caller]
    pub fn msg(message: impl fmt::Display) -> Self {
        Self::make(UNNAMED, Some(message.to_string()), None)
    }

    /// An error that is answered with `status` instead of 500. It is not counted as a failure of the function below 500.
    #[track_caller]
    pub fn status(status: StatusCode, message: impl fmt::Display) -> Self {
        Self::msg(message).with_status(status)
    }

    /// What `anyhow::Error`, `String` and other things become that turn into a boxed error but are none themselves:
    /// `.map_err(Error::from_boxed)`.
    pub fn from_boxed<E: Into<BoxError>>(error: E) -> Self {
        let boxed: BoxError = error.into();
        match boxed.downcast::<Carried>() {
            Ok(carried) => carried.0,
            Err(source) => Self::from_source(source, kind_of::<E>()),
        }
    }

    /// The same error, answered with `status`.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    /// The same error with another type in its answer and in the log; a word the caller's program can match.
    #[must_use]
    pub fn with_type(mut self, kind: impl Into<String>) -> Self {
        self.0.kind = kind.into();
        self
    }

    /// The same error under a message that says what was tried; the former message becomes a cause.
    #[must_use]
    pub fn context(mut self, message: impl fmt::Display) -> Self {
        self.0.source = match (self.0.message.replace(message.to_string()), self.0.source) {
            (Some(message), source) => Some(Box::new(Cause { message, source })),
            (None, source) => source,
        };
        self
    }

    /// The first error in the chain of causes that is an `E`.
    pub fn find<E: StdError + 'static>(&self) -> Option<&E> {
        self.causes().find_map(|cause| cause.downcast_ref())
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn panicked(message: String, trace: String) -> Self {
        let mut error = Self::make("panic", Some(message), None);
        error.0.trace = trace;
        error
    }

    pub(crate) fn cancelled() -> Self {
        Self::make("cancelled", Some("the handler stopped because its execution was cancelled".to_owned()), None)
    }

    fn make(kind: &str, message: Option<String>, source: Option<BoxError>) -> Self {
        Self(Box::new(Inner {
            status: None,
            kind: kind.to_owned(),
            message,
            source,
            #[cfg(not(target_family = "wasm"))]
            backtrace: Backtrace::capture(),
            trace: String::new(),
        }))
    }

    fn from_source(source: BoxError, kind: &str) -> Self {
        if source.is::<BodyError>() {
            return Self::make("invalid_body", None, Some(source)).with_status(StatusCode::BAD_REQUEST);
        }
        Self::make(kind, None, Some(source))
    }

    pub(crate) fn own_status(&self) -> Option<StatusCode> {
        self.0.status
    }

    pub(crate) fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The message and those of all causes, each once.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        for cause in self.causes() {
            let cause = cause.to_string();
            // Many errors print their source as well; once is enough.
            if !text.contains(&cause) {
                let _ = write!(text, ": {cause}");
            }
        }
        text
    }

    /// Causes and backtrace, line by line; empty where there is neither.
    pub(crate) fn trace(&self) -> String {
        let mut text = String::new();
        for cause in self.causes().skip(usize::from(self.0.message.is_none())) {
            let _ = writeln!(text, "caused by: {cause}");
        }
        text.push_str(&self.0.trace);
        #[cfg(not(target_family = "wasm"))]
        if self.0.backtrace.status() == BacktraceStatus::Captured {
            let _ = write!(text, "{}", self.0.backtrace);
        }
        text
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        let first = self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static));
        std::iter::successors(first, next_cause)
    }
}

fn next_cause<'a>(cause: &&'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    (*cause).source()
}

/// The name of an error type, as good as the language tells it.
fn kind_of<E>() -> &'static str {
    let name = type_name::<E>();
    // A string or a box says nothing about what went wrong.
    if name.starts_with("alloc::") || name.starts_with('&') { UNNAMED } else { name }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        // A carried error that went through `Box<dyn Error>` and back is the error it was.
        let mut slot = Some(error);
        if let Some(carried) = (&mut slot as &mut dyn Any).downcast_mut::<Option<Carried>>().and_then(Option::take) {
            return carried.0;
        }
        match slot {
            Some(error) => Self::from_source(Box::new(error), type_name::<E>()),
            None => Self::msg("an error that was taken apart"),
        }
    }
}

impl From<Error> for BoxError {
    fn from(error: Error) -> Self {
        Box::new(Carried(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.message, &self.0.source) {
            (Some(message), _) => f.write_str(message)?,
            (None, Some(source)) => write!(f, "{source}")?,
            (None, None) => f.write_str("unknown error")?,
        }
        if f.alternate() {
            for cause in self.causes().skip(usize::from(self.0.message.is_none())) {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match self.trace() {
            trace if trace.is_empty() => Ok(()),
            trace => write!(f, "\n\n{trace}"),
        }
    }
}

/// An [`Error`] on its way through code that wants a [`std::error::Error`].
struct Carried(Error);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Carried {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.causes().nth(usize::from(self.0.0.message.is_none()))
    }
}

/// A message that [`Error::context`] put a better one over.
#[derive(Debug)]
struct Cause {
    message: String,
    source: Option<BoxError>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
