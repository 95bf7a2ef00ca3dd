//! Any bytes on a connection: a valid answer or the end of the connection, and no panic.
//!
//! The inputs of `fuzz/corpus/http_edge`, and what random changes make of them, go over real sockets to the server in front
//! of an executor that answers at once. This is no target of the coverage-guided fuzzer, as those beside it are: the host
//! carries the WebAssembly engine, which would have to be built once more for it. `IGNITE_FUZZ_SECS` says for how long,
//! `IGNITE_FUZZ_SEED` repeats a run.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ignite_core_abi::PREFACE;
use ignite_core_model::{HostAddress, Limits};
use ignite_runtimes_executor::fake::FakeExecutor;
use ignite_runtimes_executor::{Reply, ReplyBody, RequestBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::host::Shared;
use crate::listen::Listener;
use crate::serve;
use crate::serving::{Identity, Serving};

/// How long inputs are made where nothing else is said.
const SECS: u64 = 3;
/// Longest time until a connection whose caller has said all is answered and closed.
const END_MAX: Duration = Duration::from_secs(10);
/// Longest input, in bytes.
const INPUT_BYTES_MAX: usize = 128 * 1024;
/// Connections at once.
const AT_ONCE: usize = 8;
/// The threads whose panics are this test's concern.
const THREADS: &str = "edge-fuzz";

/// What HTTP is made of, to be put anywhere.
const WORDS: [&[u8]; 33] = [
    PREFACE,
    // HELLO, and an INVOKE that is too short.
    b"\x0e\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\0\0\0\x04\0\xff\xff\xff\xff",
    b"\x04\0\0\0\x02\x01\0\0\x01\0\0\0\0\0\0\0\0\0\0\0",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b": ",
    b":",
    b"0\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"GET / HTTP/1.1\r\nhost: test\r\n\r\n",
    b"HEAD ",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"content-length: 18446744073709551616\r\n",
    b"content-length: -1\r\n",
    b"content-length: 7\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: identity, chunked\r\n",
    b"connection: close\r\n",
    b"connection: ,,x-ignite-execution-id, ,\xc3\r\n",
    b"expect: 100-continue\r\n",
    b"upgrade: websocket\r\n",
    b"x-ignite-timeout-ms: 18446744073709551616\r\n",
    b"x-ignite-timeout-ms: 0\r\n",
    b"x-ignite-function-id: a/b\r\n",
    b"\xff\xfe\x00",
    b"%00%ff%",
];

/// Numbers that look random, from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides.max(1) as u64) as usize
    }

    /// What some changes make of one of `corpus`.
    fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.roll(corpus.len())].clone();
        for _ in 0..self.roll(6) {
            let at = self.roll(input.len() + 1);
            match self.roll(7) {
                0 if at < input.len() => input[at] ^= 1 << self.roll(8),
                1 => drop(input.splice(at..at, WORDS[self.roll(WORDS.len())].iter().copied())),
                2 => drop(input.drain(at..(at + self.roll(20)).min(input.len()))),
                3 => input.truncate(at),
                4 => input.extend_from_slice(&corpus[self.roll(corpus.len())]),
                5 => {
                    let part = input[at..(at + self.roll(200)).min(input.len())].to_vec();
                    let most = if self.roll(20) == 0 { 4000 } else { 4 };
                    let times = 1 + self.roll(most);
                    drop(input.splice(at..at, part.repeat(times)));
                }
                _ => input.insert(at, self.roll(256) as u8),
            }
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }
}

fn server() -> (std::net::SocketAddr, watch::Sender<bool>) {
    let executor = FakeExecutor::new(|invocation| async move {
        // What an executor relies on, whatever the caller sent.
        assert!(invocation.path.starts_with('/') || invocation.path == "*" || invocation.path.is_empty());
        assert!(
            !invocation.headers.contains_key("connection") && !invocation.headers.contains_key("transfer-encoding")
        );
        assert!(!invocation.headers.contains_key("x-ignite-execution-id"));
        let RequestBody::Full(body) = invocation.body else { panic!("a body that was not read") };
        let body = if body.is_empty() { Bytes::from_static(b"nothing") } else { body };
        Ok(Reply { status: http::StatusCode::OK, headers: invocation.headers, body: ReplyBody::Full(body) })
    });
    let short = Duration::from_secs(2);
    let limits = Limits {
        header_timeout: short,
        body_idle_timeout: short,
        execution_timeout: short,
        payload_bytes_max: 64 * 1024,
        ..Limits::default()
    };
    in_front_of(executor, limits)
}

/// A server of one app, on a free port; it stops when it is told so.
pub(crate) fn in_front_of(executor: FakeExecutor, limits: Limits) -> (std::net::SocketAddr, watch::Sender<bool>) {
    let config = crate::args::parse(["ignite-host", "--artifact", "none"].map(Into::into), Vec::new()).unwrap();
    let identity = Identity { function: config.function_id.clone(), organization: config.organization_id.clone() };
    let shared = Arc::new(Shared::of_one(Serving::new(Box::new(executor), limits, false, identity, None), config));
    let listener = Listener::open(&HostAddress::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let Ok(HostAddress::Tcp(address)) = listener.address() else { panic!("it listens elsewhere") };
    let (stopping, stop) = watch::channel(false);
    tokio::spawn(serve::accept(listener, shared, stop));
    (address, stopping)
}

/// Sends `input` and reads until the connection ends. A caller who `has_said_all` tells so, and may go without an answer:
/// the host takes it for one who has gone away.
async fn exchange(address: std::net::SocketAddr, input: &[u8], has_said_all: bool) -> Result<Vec<u8>, String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let (read, ()) = tokio::join!(tokio::time::timeout(END_MAX, reading.read_to_end(&mut answer)), async {
        // The host may well end the connection first.
        let _ = writing.write_all(input).await;
        if has_said_all {
            let _ = writing.shutdown().await;
        }
    });
    match read {
        // A reset is an end as well.
        Ok(_) => Ok(answer),
        Err(_) => Err("the connection is neither answered nor closed".into()),
    }
}

/// Checks that `bytes` are whole answers of HTTP/1.1, one after the other.
fn check(mut bytes: &[u8]) -> Result<(), String> {
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or("a head without an end")?;
        // Values may have bytes beyond ASCII.
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status: u16 = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 ")))
            .and_then(|line| line.get(..3)?.parse().ok())
            .ok_or("a line that is no status")?;
        if !(100..600).contains(&status) {
            return Err(format!("status {status}"));
        }
        let headers: Vec<(&str, &str)> =
            lines.map(|line| line.split_once(": ").ok_or(line)).collect::<Result<_, _>>()?;
        let find =
            |name: &str| headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        bytes = &bytes[end + 4..];
        if status < 200 {
            continue;
        }
        let length: usize = find("content-length").map_or(Ok(0), str::parse).map_err(|_| "a length that is none")?;
        // HEAD is answered with a length and nothing of that length.
        if bytes.starts_with(b"HTTP/1.") || bytes.is_empty() {
            continue;
        }
        let body = bytes.get(..length).ok_or("a body that breaks off")?;
        let own = find("content-type") == Some("application/json") && status >= 400;
        if own && serde_json::from_slice::<serde_json::Value>(body).is_err() {
            return Err("an error that is no JSON".into());
        }
        bytes = &bytes[length..];
    }
    Ok(())
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/http_edge");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn any_bytes_are_answered_or_end_the_connection() {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name().is_some_and(|name| name == THREADS) {
            PANICKED.store(true, Ordering::SeqCst);
        }
        before(panic);
    }));
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("IGNITE_FUZZ_SEED")
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    let time = Duration::from_secs(number("IGNITE_FUZZ_SECS").unwrap_or(SECS));
    let corpus = corpus();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(THREADS)
        .enable_all()
        .build()
        .unwrap();
    let failure = runtime.block_on(async move {
        let (address, _stopping) = server();
        let (begun, mut dice, mut next) = (Instant::now(), Dice(seed), 0);
        let mut running = tokio::task::JoinSet::new();
        loop {
            while running.len() < AT_ONCE && (next < corpus.len() || begun.elapsed() < time) {
                // Each of the corpus as it is, then what becomes of them.
                let input = corpus.get(next).cloned().unwrap_or_else(|| dice.input(&corpus));
                next += 1;
                running.spawn(async move {
                    // Frames are not read here, HTTP/2's or our own: it is enough that the connection ends.
                    let frames = input.starts_with(b"PRI ") || input.starts_with(PREFACE);
                    let checked = exchange(address, &input, true).await.and_then(|answer| {
                        let checked = if frames { Ok(()) } else { check(&answer) };
                        checked.map_err(|error| format!("{error}: {}", answer.escape_ascii()))
                    });
                    let panicked = PANICKED.load(Ordering::SeqCst).then(|| Err("a panic".to_owned()));
                    panicked.unwrap_or(checked).map_err(|error| format!("{error}\nfor {}", input.escape_ascii()))
                });
            }
            match running.join_next().await {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return Some(error),
                Some(Err(error)) => return Some(error.to_string()),
            }
        }
        // All of it has left the server as it was.
        let answer = exchange(address, b"GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n", false)
            .await
            .unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
        None
    });
    if let Some(failure) = failure {
        panic!("IGNITE_FUZZ_SEED={seed}: {failure}");
    }
}
