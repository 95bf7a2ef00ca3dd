//! A host for one worker: this test program once more, started as the worker of one of [`crate::functions`].

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use ignite_core_abi::payload::{
    CancelReason, Failure, Hello, Invoke, Log, LogLevel, Ready, Reply, encode_credit, encode_empty,
};
use ignite_core_abi::{
    ABI_VERSION, ENV_WORKER_FD, FRAME_BYTES_MAX, FrameHeader, FrameKind, HEADER_BYTES, Headers, flags,
};

/// Longest wait for a frame or for the end of a worker.
const PATIENCE: Duration = Duration::from_secs(20);

/// The number the worker finds its socket under.
const WORKER_FD: i32 = 5;

pub(crate) struct Host {
    socket: UnixStream,
    child: Child,
}

/// A frame from the worker, with its payload still encoded.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    pub(crate) id: u64,
    pub(crate) end: bool,
    pub(crate) payload: Vec<u8>,
}

/// A request to be sent.
pub(crate) struct Call<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    pub(crate) timeout_us: u64,
}

impl<'a> Call<'a> {
    pub(crate) fn to(path: &'a str) -> Self {
        Self { path, query: "", headers: &[], body: &[], timeout_us: 0 }
    }

    pub(crate) fn with(path: &'a str, body: &'a [u8]) -> Self {
        Self { body, ..Self::to(path) }
    }
}

/// An answer in one frame.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) const USUAL: Hello = Hello {
    abi_version: ABI_VERSION,
    frame_bytes_max: FRAME_BYTES_MAX,
    stream_window_bytes: 256 * 1024,
    max_concurrency: 16,
};

pub(crate) fn command(function: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["functions::serve", "--exact", "--nocapture", "--test-threads=1"]).env("IT_FUNCTION", function);
    command.env("GREETING", "hello").env_remove("RUST_BACKTRACE").env_remove(ENV_WORKER_FD);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Host {
    /// A worker that was sent HELLO and has answered READY.
    pub(crate) fn start(function: &str) -> Self {
        Self::start_with(function, USUAL)
    }

    pub(crate) fn start_with(function: &str, hello: Hello) -> Self {
        let mut host = Self::greeted(function, hello);
        let frame = host.next();
        assert_eq!(frame.kind, FrameKind::Ready);
        let ready = Ready::decode(&frame.payload).unwrap();
        assert_eq!(ready.abi_version, ABI_VERSION);
        assert_eq!(ready.max_concurrency, hello.max_concurrency);
        assert!(!ready.zygote);
        assert_eq!(ready.sdk, concat!("ignite-rust/", env!("CARGO_PKG_VERSION")));
        host
    }

    /// A worker that was sent HELLO.
    pub(crate) fn greeted(function: &str, hello: Hello) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut command = command(function);
        command.env(ENV_WORKER_FD, WORKER_FD.to_string());
        command.fd_mappings(vec![FdMapping { parent_fd: OwnedFd::from(theirs), child_fd: WORKER_FD }]).unwrap();
        let mut host = Self { socket, child: command.spawn().unwrap() };
        host.send(|out| hello.encode(out));
        host
    }

    pub(crate) fn send(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        encode(&mut out);
        self.socket.write_all(&out).unwrap();
    }

    pub(crate) fn invoke(&mut self, id: u64, call: &Call<'_>) {
        let invoke = Invoke {
            timeout_us: call.timeout_us,
            execution_id: &format!("01J{id:023}"),
            function_id: "acme/it",
            organization_id: "acme",
            method: "POST",
            path: call.path,
            query: call.query,
            headers: Headers::default(),
            body: call.body,
        };
        self.send(|out| invoke.encode_from(id, call.headers.iter().copied(), out));
    }

    pub(crate) fn cancel(&mut self, id: u64) {
        self.send(|out| CancelReason::Deadline.encode(id, out));
    }

    pub(crate) fn credit(&mut self, id: u64, bytes: u32) {
        self.send(|out| encode_credit(id, bytes, out));
    }

    pub(crate) fn drain(&mut self) {
        self.send(|out| encode_empty(FrameKind::Drain, 0, out));
    }

    pub(crate) fn next(&mut self) -> Frame {
        let mut header = [0; HEADER_BYTES];
        self.socket.read_exact(&mut header).unwrap();
        let header = FrameHeader::decode(&header, FRAME_BYTES_MAX).unwrap();
        let mut payload = vec![0; header.length as usize];
        self.socket.read_exact(&mut payload).unwrap();
        Frame { kind: header.kind, id: header.id, end: header.flags & flags::END != 0, payload }
    }

    /// The next frame, which is a complete answer to `id`.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: u64) -> Answer {
        let frame = self.next();
        if frame.kind == FrameKind::Error {
            panic!("{:?}", Failure::decode(&frame.payload));
        }
        assert_eq!((frame.kind, frame.id, frame.end), (FrameKind::Result, id, true));
        let reply = Reply::decode(&frame.payload).unwrap();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let headers = reply.headers.iter().map(Result::unwrap).map(|(name, value)| (name.to_owned(), text(value)));
        Answer { status: reply.status, headers: headers.collect(), body: reply.body.to_vec() }
    }

    /// Sends a call and waits for its complete answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, id: u64, call: &Call<'_>) -> Answer {
        self.invoke(id, call);
        self.answer(id)
    }

    /// The next frame, which says that `id` failed: type, message, trace.
    #[track_caller]
    pub(crate) fn failure(&mut self, id: u64) -> (String, String, String) {
        let frame = self.next();
        assert_eq!((frame.kind, frame.id), (FrameKind::Error, id));
        let failure = Failure::decode(&frame.payload).unwrap();
        (failure.kind.to_owned(), failure.message.to_owned(), failure.trace.to_owned())
    }

    /// The next frame, which is a log record: id, level, message, fields.
    #[track_caller]
    pub(crate) fn log(&mut self) -> (u64, LogLevel, String, String) {
        let frame = self.next();
        assert_eq!(frame.kind, FrameKind::Log);
        let log = Log::decode(&frame.payload).unwrap();
        (frame.id, log.level, log.message.to_owned(), log.fields.to_owned())
    }

    /// The next frame, which begins a stream for `id`: its status.
    #[track_caller]
    pub(crate) fn stream(&mut self, id: u64) -> u16 {
        let frame = self.next();
        assert_eq!((frame.kind, frame.id, frame.end), (FrameKind::Result, id, false));
        Reply::decode(&frame.payload).unwrap().status
    }

    /// The next frame, which is a part of the body of `id`, and whether it is the last.
    #[track_caller]
    pub(crate) fn part(&mut self, id: u64) -> (String, bool) {
        let frame = self.next();
        assert_eq!((frame.kind, frame.id), (FrameKind::Chunk, id));
        (String::from_utf8(frame.payload).unwrap(), frame.end)
    }

    /// Drops the socket and tells how the worker ends: its status and what it said.
    pub(crate) fn end(self) -> (i32, String) {
        let Self { socket, child } = self;
        drop(socket);
        wait(child)
    }

    /// Tells how the worker ends by itself.
    pub(crate) fn ended(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "the worker had more to say");
        self.end()
    }
}

/// The status a program ends with and what it said on stderr.
pub(crate) fn wait(mut child: Child) -> (i32, String) {
    let mut said = String::new();
    // Ends when the worker does: nobody else has the other end of the pipe. A worker that stays is met by the bound of the
    // whole run, which names this test.
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), said)
}
