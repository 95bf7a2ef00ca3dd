//! What comes out of a handler.

use serde_json::json;

use crate::error::BoxError;
use crate::response::ResponseState;
use crate::{Error, IntoResponse, Response, StatusCode};

/// What a handler's return value comes to. Part of what `#[ignite::main]` writes.
#[derive(Debug)]
pub struct Outcome(pub(crate) Result<Response, Error>);

/// What a handler may return: an answer, or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "neither an answer nor a `Result` of one",
    note = "return `Result<impl IntoResponse>`: a string, bytes, `ignite::json!({{ … }})`, `Json(value)` of a value that implements `serde::Serialize`, a `Response`, or `(StatusCode, …)`",
    note = "the error of a returned `Result` is an `ignite::Error`, or implements `std::error::Error`, or turns into `Box<dyn Error + Send + Sync>`"
)]
pub trait Output {
    /// Takes the value apart.
    fn into_outcome(self) -> Outcome;
}

impl<T: IntoResponse> Output for T {
    fn into_outcome(self) -> Outcome {
        Outcome(Ok(self.into_response()))
    }
}

impl<T: IntoResponse, E: Into<BoxError>> Output for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        Outcome(self.map(IntoResponse::into_response).map_err(Error::from_boxed))
    }
}

impl Outcome {
    /// Makes answers of what is no failure: errors with a status of their own. `stream_begun` tells that status and
    /// headers are sent already, so that an error can only break the answer off.
    ///
    /// # Errors
    /// What the caller is answered 500 for.
    pub(crate) fn settle(self, execution_id: &str, stream_begun: bool) -> Result<Settled, Error> {
        let response = match self.0 {
            Ok(Response { state: ResponseState::Broken(error), .. }) | Err(error) => match error.own_status() {
                Some(status) if !stream_begun => {
                    return Ok(Settled::Refused(refusal(status, &error, execution_id), error));
                }
                _ => return Err(error),
            },
            Ok(response) => response,
        };
        match response.state {
            _ if stream_begun => Err(Error::msg(
                "the handler began a stream and returned without finishing it: return what `finish` gives",
            )
            .with_type("stream_unfinished")),
            ResponseState::Streamed => {
                Err(Error::msg("the handler returned the end of a stream that belongs to another execution")
                    .with_type("stream_unfinished"))
            }
            _ => Ok(Settled::Answered(response)),
        }
    }
}

/// An outcome that is an answer.
pub(crate) enum Settled {
    /// What the handler returned.
    Answered(Response),
    /// What an error with a status of its own comes to, and the error for the log.
    Refused(Response, Error),
}

fn refusal(status: StatusCode, error: &Error, execution_id: &str) -> Response {
    let body = json!({ "error": error.to_string(), "type": error.kind(), "execution_id": execution_id });
    Response::json(&body).with_status(status)
}
