//! HTTP status codes an answer may have.

use std::fmt;

/// The status of an answer, 200 to 599: what is below is said by the host itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(u16);

macro_rules! statuses {
    ($($number:literal $name:ident $phrase:literal,)*) => {
        impl StatusCode {
            $(#[doc = concat!(stringify!($number), " ", $phrase)] pub const $name: StatusCode = StatusCode($number);)*

            /// The phrase that usually goes with the number, or nothing for a number without one.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self.0 {
                    $($number => $phrase,)*
                    _ => "",
                }
            }
        }
    };
}

statuses! {
    200 OK "OK",
    201 CREATED "Created",
    202 ACCEPTED "Accepted",
    204 NO_CONTENT "No Content",
    206 PARTIAL_CONTENT "Partial Content",
    301 MOVED_PERMANENTLY "Moved Permanently",
    302 FOUND "Found",
    303 SEE_OTHER "See Other",
    304 NOT_MODIFIED "Not Modified",
    307 TEMPORARY_REDIRECT "Temporary Redirect",
    308 PERMANENT_REDIRECT "Permanent Redirect",
    400 BAD_REQUEST "Bad Request",
    401 UNAUTHORIZED "Unauthorized",
    402 PAYMENT_REQUIRED "Payment Required",
    403 FORBIDDEN "Forbidden",
    404 NOT_FOUND "Not Found",
    405 METHOD_NOT_ALLOWED "Method Not Allowed",
    406 NOT_ACCEPTABLE "Not Acceptable",
    408 REQUEST_TIMEOUT "Request Timeout",
    409 CONFLICT "Conflict",
    410 GONE "Gone",
    411 LENGTH_REQUIRED "Length Required",
    412 PRECONDITION_FAILED "Precondition Failed",
    413 PAYLOAD_TOO_LARGE "Payload Too Large",
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type",
    416 RANGE_NOT_SATISFIABLE "Range Not Satisfiable",
    418 IM_A_TEAPOT "I'm a teapot",
    422 UNPROCESSABLE_ENTITY "Unprocessable Entity",
    424 FAILED_DEPENDENCY "Failed Dependency",
    428 PRECONDITION_REQUIRED "Precondition Required",
    429 TOO_MANY_REQUESTS "Too Many Requests",
    451 UNAVAILABLE_FOR_LEGAL_REASONS "Unavailable For Legal Reasons",
    500 INTERNAL_SERVER_ERROR "Internal Server Error",
    501 NOT_IMPLEMENTED "Not Implemented",
    502 BAD_GATEWAY "Bad Gateway",
    503 SERVICE_UNAVAILABLE "Service Unavailable",
    504 GATEWAY_TIMEOUT "Gateway Timeout",
}

impl StatusCode {
    /// The status with this number.
    ///
    /// # Errors
    /// When the number is not within 200..=599.
    pub fn from_u16(number: u16) -> Result<Self, InvalidStatus> {
        if (200..=599).contains(&number) { Ok(Self(number)) } else { Err(InvalidStatus(number)) }
    }

    /// The number, 200 to 599.
    #[must_use]
    pub fn as_u16(self) -> u16 {
        self.0
    }

    /// Whether the number is within 400..=599.
    #[must_use]
    pub fn is_error(self) -> bool {
        self.0 >= 400
    }
}

impl TryFrom<u16> for StatusCode {
    type Error = InvalidStatus;

    fn try_from(number: u16) -> Result<Self, InvalidStatus> {
        Self::from_u16(number)
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.0),
            reason => write!(f, "{} {reason}", self.0),
        }
    }
}

impl fmt::Debug for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A number that is no status of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidStatus(u16);

impl fmt::Display for InvalidStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an answer's status is within 200 to 599, not {}", self.0)
    }
}

impl std::error::Error for InvalidStatus {}
