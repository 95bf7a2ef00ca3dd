//! What servers are sent, and what they must answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Length of the echoed body, in bytes.
const ECHO_BYTES: usize = 64 * 1024;
/// How long `/wait` waits, less what a timer's grain may take off.
const WAIT_MIN: Duration = Duration::from_millis(9);
/// Ids have ten digits, so that each is as long as the next.
const FIRST_ID: u64 = 1_000_000_000;
const ID_DIGITS: usize = 10;

/// One of the three handlers that every contender has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Handler {
    /// `{"name":"Ada","id":"…"}` → `{"greeting":"Hello, Ada!","id":"…"}`.
    Hello,
    /// 64 KiB come back.
    Echo,
    /// As hello, after 10 ms.
    Wait,
}

impl Handler {
    /// Its path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Hello => "/",
            Self::Echo => "/echo",
            Self::Wait => "/wait",
        }
    }

    /// In tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Echo => "64 KiB echo",
            Self::Wait => "wait 10 ms",
        }
    }
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// HTTP, each handler by its path.
    Http,
    /// HTTP to `/call`; the path and method of the request are headers, as Fn's agent sends them.
    Fn,
}

/// What a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// Every handler as it says.
    Greeting,
    /// The bare echo: what it was sent, whatever the handler.
    Payload,
}

/// A request that is sent again and again, each time with an id of its own.
#[derive(Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    body_at: usize,
    id_at: usize,
    handler: Handler,
    answers: Answers,
}

impl Request {
    /// The request for `handler`.
    pub(crate) fn new(handler: Handler, dialect: Dialect, answers: Answers) -> Self {
        Self::to_path(handler, handler.path(), dialect, answers)
    }

    /// The request for a handler of the same kind at another path.
    pub(crate) fn to_path(handler: Handler, path: &str, dialect: Dialect, answers: Answers) -> Self {
        let line = match dialect {
            Dialect::Http => format!("POST {path} HTTP/1.1\r\nhost: bench\r\n"),
            Dialect::Fn => format!(
                "POST /call HTTP/1.1\r\nhost: bench\r\nfn-intent: httprequest\r\nfn-call-id: bench\r\n\
                 fn-http-method: POST\r\nfn-http-request-url: {path}\r\nfn-deadline: 2099-01-01T00:00:00Z\r\n"
            ),
        };
        Self::after(&line, handler, answers)
    }

    /// The request for a handler of ours by hostname; `headers` are whole lines, each with its line end.
    pub(crate) fn to_host(handler: Handler, host: &str, headers: &str) -> Self {
        let line = format!("POST {} HTTP/1.1\r\nhost: {host}\r\n{headers}", handler.path());
        Self::after(&line, handler, Answers::Greeting)
    }

    fn after(line: &str, handler: Handler, answers: Answers) -> Self {
        let (body, kind, id_in_body) = match handler {
            Handler::Hello | Handler::Wait => {
                let begin = r#"{"name":"Ada","id":""#;
                (format!("{begin}{FIRST_ID}\"}}").into_bytes(), "application/json", begin.len())
            }
            Handler::Echo => {
                let mut body = FIRST_ID.to_string().into_bytes();
                body.extend((0..ECHO_BYTES - ID_DIGITS).map(|index| b'a' + (index % 23) as u8));
                (body, "application/octet-stream", 0)
            }
        };
        let head = format!("{line}content-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        let (body_at, id_at) = (head.len(), head.len() + id_in_body);
        Self { bytes: [head.as_bytes(), &body].concat(), body_at, id_at, handler, answers }
    }

    /// The bytes to send, with an id that no other request of this program has.
    pub(crate) fn next(&mut self) -> &[u8] {
        static NEXT: AtomicU64 = AtomicU64::new(FIRST_ID);
        let mut id = NEXT.fetch_add(1, Ordering::Relaxed);
        for digit in self.bytes[self.id_at..self.id_at + ID_DIGITS].iter_mut().rev() {
            *digit = b'0' + (id % 10) as u8;
            id /= 10;
        }
        &self.bytes
    }

    /// The bytes of the request under way.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is wrong with an answer to the request under way.
    pub(crate) fn fault(&self, status: u16, body: &[u8], latency: Duration) -> Option<String> {
        let shown = || String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        if status != 200 {
            return Some(format!("status {status}: {}", shown()));
        }
        if self.handler == Handler::Wait && latency < WAIT_MIN {
            return Some(format!("answered after {latency:?}, before its wait was over"));
        }
        let id = &self.bytes[self.id_at..self.id_at + ID_DIGITS];
        let right = match (self.answers, self.handler) {
            (Answers::Payload, _) | (_, Handler::Echo) => body == &self.bytes[self.body_at..],
            (Answers::Greeting, _) => holds(body, b"Hello, Ada!") && holds(body, id),
        };
        (!right).then(|| format!("a wrong body for id {}: {}", String::from_utf8_lossy(id), shown()))
    }
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_its_own_id_and_wants_it_back() {
        let mut request = Request::new(Handler::Hello, Dialect::Http, Answers::Greeting);
        let first = request.next().to_vec();
        let id = String::from_utf8_lossy(&first[request.id_at..request.id_at + ID_DIGITS]).into_owned();
        let answer = format!(r#"{{"greeting": "Hello, Ada!", "id": "{id}"}}"#);
        assert_eq!(request.fault(200, answer.as_bytes(), Duration::ZERO), None);
        assert!(request.fault(500, answer.as_bytes(), Duration::ZERO).is_some());
        assert_ne!(request.next(), first);
        assert!(request.fault(200, answer.as_bytes(), Duration::ZERO).is_some(), "another's answer");
    }

    #[test]
    fn an_answer_before_the_wait_is_over_is_wrong() {
        let mut request = Request::new(Handler::Wait, Dialect::Http, Answers::Payload);
        let body = request.next().to_vec().split_off(request.body_at);
        assert!(request.fault(200, &body, Duration::from_millis(3)).is_some());
        assert_eq!(request.fault(200, &body, Duration::from_millis(10)), None);
    }
}
