//! One execution: what was asked, and what may happen to it while its handler runs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use ignite_core_abi::payload::LogLevel;
use ignite_core_abi::{DecodeError, Headers};

use crate::Closed;
use crate::signals::Signals;

/// Where an execution's logs and streamed parts go: the host's socket, the host's imports, or a test.
pub(crate) trait Outlet: Send + Sync {
    /// Passes on one log record; `fields` is a JSON object or empty. Never waits.
    fn log(&self, execution: &Execution, level: LogLevel, message: &str, fields: &str);

    /// Begins a streamed answer.
    fn start(&self, execution: &Execution, status: u16, headers: &[(String, Vec<u8>)]);

    /// Passes on a part of a streamed answer, for which the stream has taken credit.
    ///
    /// # Errors
    /// When the caller wants no more.
    fn part(&self, execution: &Execution, bytes: &[u8]) -> Result<(), Closed>;

    /// Ends a streamed answer.
    fn finish(&self, execution: &Execution);
}

/// One execution, shared by its request, its context, its streams and the worker.
pub(crate) struct Execution {
    /// The id of its frames; 0 where there are none.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "components know one execution"))]
    pub(crate) id: u64,
    pub(crate) call: Call,
    pub(crate) deadline: Option<Instant>,
    pub(crate) signals: Signals,
    pub(crate) outlet: Arc<dyn Outlet>,
    answer: AtomicU8,
    scratch: OnceLock<Mutex<Scratch>>,
}

/// How far an execution's answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Answer {
    /// Nothing was sent.
    Open = 0,
    /// A stream has begun.
    Streaming = 1,
    /// The stream has ended.
    Streamed = 2,
    /// The execution is over.
    Over = 3,
}

impl Execution {
    pub(crate) fn new(
        id: u64,
        call: Call,
        deadline: Option<Instant>,
        credit: u64,
        outlet: Arc<dyn Outlet>,
    ) -> Arc<Self> {
        let signals = Signals::new(credit);
        Arc::new(Self { id, call, deadline, signals, outlet, answer: AtomicU8::new(0), scratch: OnceLock::new() })
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer::from_byte(self.answer.load(Ordering::Acquire))
    }

    /// Moves the answer from `from` to `to`; `false` if it was not there.
    pub(crate) fn advance(&self, from: Answer, to: Answer) -> bool {
        self.answer.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends the execution and tells how far its answer had come. What outlives the handler (a task it started, a clone of
    /// its context) can send no more, and the scratch store is gone.
    pub(crate) fn end(&self) -> Answer {
        let before = Answer::from_byte(self.answer.swap(Answer::Over as u8, Ordering::AcqRel));
        if let Some(scratch) = self.scratch.get() {
            *lock(scratch) = Scratch::default();
        }
        before
    }

    pub(crate) fn scratch(&self) -> MutexGuard<'_, Scratch> {
        lock(self.scratch.get_or_init(Mutex::default))
    }
}

impl Answer {
    fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Open,
            1 => Self::Streaming,
            2 => Self::Streamed,
            _ => Self::Over,
        }
    }
}

/// What a scratch store holds.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) values: BTreeMap<String, Vec<u8>>,
    /// Bytes counted against the limit.
    pub(crate) bytes: usize,
}

/// A lock that outlives a panic: what it guards is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The request of an execution, as it came.
pub(crate) struct Call {
    /// Holds the texts, and with frames everything else.
    buffer: Vec<u8>,
    texts: [Range<usize>; Text::COUNT],
    headers: CallHeaders,
    body: CallBody,
}

/// One of the texts of a call; the number is its place in [`Call::texts`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text {
    ExecutionId,
    FunctionId,
    OrganizationId,
    Method,
    Path,
    Query,
}

impl Text {
    const COUNT: usize = 6;
}

enum CallHeaders {
    /// Still encoded, within the buffer.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "components get their headers as a list"))]
    Block(Range<usize>),
    /// As a component and a test get them.
    List(Vec<(String, Vec<u8>)>),
}

enum CallBody {
    /// The end of the buffer, from here on.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "components get their body by itself"))]
    Tail(usize),
    Own(Vec<u8>),
}

impl Call {
    /// Takes the payload of an INVOKE frame; also tells the time left, in microseconds.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn from_payload(payload: Vec<u8>) -> Result<(Self, u64), DecodeError> {
        let invoke = ignite_core_abi::payload::Invoke::decode(&payload)?;
        let within = |part: &[u8]| {
            let start = part.as_ptr().addr() - payload.as_ptr().addr();
            start..start + part.len()
        };
        let texts =
            [invoke.execution_id, invoke.function_id, invoke.organization_id, invoke.method, invoke.path, invoke.query]
                .map(|text| within(text.as_bytes()));
        let headers = CallHeaders::Block(within(invoke.headers.0));
        let body = CallBody::Tail(payload.len() - invoke.body.len());
        let timeout_us = invoke.timeout_us;
        Ok((Self { buffer: payload, texts, headers, body }, timeout_us))
    }

    /// Puts a call together from its parts; header names are in lower case.
    pub(crate) fn from_parts(texts: [&str; Text::COUNT], headers: Vec<(String, Vec<u8>)>, body: Vec<u8>) -> Self {
        let mut buffer = Vec::with_capacity(texts.iter().map(|text| text.len()).sum());
        let texts = texts.map(|text| {
            let start = buffer.len();
            buffer.extend_from_slice(text.as_bytes());
            start..buffer.len()
        });
        Self { buffer, texts, headers: CallHeaders::List(headers), body: CallBody::Own(body) }
    }

    pub(crate) fn text(&self, text: Text) -> &str {
        let bytes = &self.buffer[self.texts[text as usize].clone()];
        // Both constructors took it from a `str`.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    pub(crate) fn body(&self) -> &[u8] {
        match &self.body {
            CallBody::Tail(start) => &self.buffer[*start..],
            CallBody::Own(bytes) => bytes,
        }
    }

    /// The headers in the order they were sent; malformed ones end the walk.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let (block, list) = match &self.headers {
            CallHeaders::Block(range) => (Headers(&self.buffer[range.clone()]), [].as_slice()),
            CallHeaders::List(list) => (Headers(&[]), list.as_slice()),
        };
        let list = list.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        block.iter().map_while(Result::<_, DecodeError>::ok).chain(list)
    }
}
