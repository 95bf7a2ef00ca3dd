//! The life of one process: start, handshake, service, end.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ignite_core_abi::payload::{Failure, Hello, Log, Ready};
use ignite_core_abi::{ABI_VERSION, FrameKind, STREAM_WINDOW_BYTES};
use ignite_framing::{Flush, FrameReader, Incoming, Link, ReadEnd, Socket};
use ignite_runtimes_executor::{LogLine, LogSource};
use tokio::task::JoinSet;

use crate::ahead::Tokens;
use crate::launch::{self, Connection};
use crate::process::{KillReason, Obituary, Process};
use crate::shared::{Event, Shared};
use crate::starter;
use crate::supervisor::OnItsWay;
use crate::worker::{Worker, describe, level};
use crate::zygote::Zygote;

/// How long the last frames of a process that has ended are waited for: something it started may hold its socket open.
const LAST_FRAMES_MAX: Duration = Duration::from_millis(100);

/// No worker runs more executions at once, whatever it says; ids have room for that many.
const CAPACITY_MAX: u32 = 1 << 16;

/// How a process ended, for the supervisor.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) role: Role,
    /// Why, as a sentence.
    pub(crate) cause: String,
    /// It was asked to go, or killed for one execution's sake: no sign of anything being wrong with the app.
    pub(crate) expected: bool,
    /// The handler cannot be loaded, as the worker itself or the clock says: a person has to read that at once.
    pub(crate) conclusive: bool,
}

/// What a process was when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It had not become ready.
    Starting,
    /// A zygote.
    Zygote,
    /// A worker.
    Worker,
}

/// Starts a process and lives with it until it has ended.
pub(crate) async fn start(shared: Arc<Shared>, way: OnItsWay) -> Ended {
    let failed = |cause: String| Ended { role: Role::Starting, cause, expected: false, conclusive: true };
    let program = launch::program(&shared.config);
    let warm = shared.warm.lock().unwrap_or_else(PoisonError::into_inner).take();
    let warm = match warm {
        Some(warm) => warm.assign(&shared.config).await.ok(),
        None => None,
    };
    let started = match warm {
        Some(started) => Ok(started),
        // None, or one that has ended meanwhile: nothing of the app has run in it.
        None => {
            let shared = Arc::clone(&shared);
            starter::run(move || {
                let _runtime = shared.handle.enter();
                let mark = shared.orphans().mark().to_owned();
                launch::start(&shared.config, &mark)
            })
            .await
        }
    };
    let started = match started {
        Ok(started) => started,
        Err(error) => return failed(format!("could not start `{}`: {error}", program.display())),
    };
    shared.stats.started.fetch_add(1, Ordering::Relaxed);
    let logs = Arc::clone(&shared.config.logs);
    let line_bytes_max = shared.config.limits.log_line_bytes_max;
    let process = Arc::new(Process::new(started.child, started.output, logs, line_bytes_max));
    watched(&shared, &process, serve_started(&shared, &process, started.connection, way)).await
}

/// Forks a process off `zygote` and lives with it until it has ended.
pub(crate) async fn fork(shared: Arc<Shared>, zygote: Arc<Zygote>, way: OnItsWay) -> Ended {
    let wait = shared.config.limits.start_timeout;
    let forked = match tokio::time::timeout(wait, zygote.fork(&shared)).await {
        Ok(Ok(forked)) => forked,
        Ok(Err(error)) => {
            let cause = format!("a worker could not be forked: {error}");
            return Ended { role: Role::Starting, cause, expected: false, conclusive: false };
        }
        Err(_) => {
            zygote.process.kill(KillReason::StartTimeout(wait));
            let cause = format!("a worker was not forked within {} ms", wait.as_millis());
            return Ended { role: Role::Starting, cause, expected: false, conclusive: false };
        }
    };
    shared.stats.started.fetch_add(1, Ordering::Relaxed);
    let life = async {
        let (reader, link) = split(&shared, forked.connection);
        serve_worker(&shared, &forked.process, reader, link, (zygote.capacity, forked.tokens), way).await
    };
    watched(&shared, &forked.process, life).await
}

/// Keeps `process` among those that are watched, and reads what it prints, while it lives.
pub(crate) async fn watched(shared: &Shared, process: &Arc<Process>, life: impl Future<Output = Ended>) -> Ended {
    shared.processes().push(Arc::clone(process));
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let process = Arc::clone(process);
        async move { process.output.read_loop().await }
    });
    let ended = life.await;
    shared.forget(process);
    ended
}

pub(crate) fn split(shared: &Shared, connection: Socket) -> (FrameReader, Link) {
    let connection = Arc::new(connection);
    let (frame_bytes_max, body_bytes_max) = (shared.frame_bytes_max(), shared.config.limits.response_bytes_max);
    (FrameReader::new(Arc::clone(&connection), frame_bytes_max, body_bytes_max), Link::new(connection))
}

/// Resolves when the process has ended and its last frames had time to be read.
async fn gone(process: &Process) {
    process.child.ended().await;
    tokio::time::sleep(LAST_FRAMES_MAX).await;
}

async fn serve_started(shared: &Arc<Shared>, process: &Arc<Process>, connection: Connection, way: OnItsWay) -> Ended {
    let wait = shared.config.limits.start_timeout;
    let handshake = tokio::select! {
        biased;
        handshake = tokio::time::timeout(wait, shake_hands(shared, connection)) => handshake,
        () = gone(process) => Ok(Err(NotReady::Closed)),
    };
    let (reader, link, ready) = match handshake {
        Ok(Ok(ready)) => ready,
        Ok(Err(NotReady::Closed)) => {
            let obituary = shared.bury(process).await;
            return never_ready(&obituary, None);
        }
        Ok(Err(NotReady::Init(why))) => {
            let obituary = shared.bury(process).await;
            return never_ready(&obituary, Some(why));
        }
        Ok(Err(NotReady::Fault(why))) => {
            process.kill(KillReason::Fault(why));
            let obituary = shared.bury(process).await;
            return never_ready(&obituary, None);
        }
        Err(_) => {
            process.kill(KillReason::StartTimeout(wait));
            let obituary = shared.bury(process).await;
            let cause = obituary.cause.clone();
            return never_ready(&obituary, Some(cause));
        }
    };
    if ready.zygote {
        serve_zygote(shared, process, reader, link, ready, way).await
    } else {
        serve_worker(shared, process, reader, link, (ready.capacity, None), way).await
    }
}

fn never_ready(obituary: &Obituary, why: Option<String>) -> Ended {
    let conclusive = why.is_some();
    let cause = why.unwrap_or_else(|| format!("the worker ended while loading the handler: {}", obituary.cause));
    Ended { role: Role::Starting, cause, expected: false, conclusive }
}

/// Why a handshake did not end with READY.
enum NotReady {
    /// The worker closed its socket.
    Closed,
    /// INIT_ERROR, as a sentence.
    Init(String),
    /// It broke the protocol.
    Fault(String),
}

/// What READY says.
#[derive(Debug, Clone, Copy)]
struct Promise {
    capacity: u32,
    zygote: bool,
    ahead: u8,
}

async fn shake_hands(shared: &Shared, connection: Connection) -> Result<(FrameReader, Link, Promise), NotReady> {
    let connection = connection.open().await.and_then(Socket::from_unix).map_err(|_| NotReady::Closed)?;
    let (mut reader, link) = split(shared, connection);
    let hello = Hello {
        abi_version: ABI_VERSION,
        frame_bytes_max: shared.frame_bytes_max(),
        stream_window_bytes: STREAM_WINDOW_BYTES,
        max_concurrency: shared.config.limits.max_concurrency,
    };
    // Where the socket is closed already, reading says so.
    let _ = link.send(Flush::Together, |out| hello.encode(out));
    let _ = link.flush().await;
    let promise = loop {
        let (header, payload) = match reader.next().await {
            Ok(Incoming::Frame(header, payload)) => (header, payload),
            Ok(Incoming::TooLarge { .. }) => return Err(NotReady::Fault("a RESULT before READY".into())),
            Err(ReadEnd::Closed) => return Err(NotReady::Closed),
            Err(ReadEnd::Fault(why)) => return Err(NotReady::Fault(why)),
        };
        let fault = |error| NotReady::Fault(format!("{:?}: {error}", header.kind));
        match header.kind {
            FrameKind::Ready => {
                let ready = Ready::decode(&payload).map_err(fault)?;
                if ready.abi_version != ABI_VERSION {
                    return Err(NotReady::Init(format!(
                        "the worker speaks protocol version {}, this host {ABI_VERSION}; compile the app again",
                        ready.abi_version
                    )));
                }
                let (capacity, ahead) = (ready.max_concurrency.min(CAPACITY_MAX), Ready::takes_ahead(&payload));
                break Promise { capacity, zygote: ready.zygote, ahead };
            }
            FrameKind::InitError => {
                let failure = Failure::decode(&payload).map_err(fault)?;
                shared.log("error", None, &describe(failure), "");
                return Err(NotReady::Init(format!("{}: {}", failure.kind, failure.message)));
            }
            FrameKind::Log => {
                let log = Log::decode(&payload).map_err(fault)?;
                shared.config.logs.line(LogLine {
                    source: LogSource::Logger,
                    level: level(log.level),
                    execution_id: None,
                    message: log.message,
                    fields: log.fields,
                });
            }
            kind => return Err(NotReady::Fault(format!("{kind:?} before READY"))),
        }
    };
    Ok((reader, link, promise))
}

async fn serve_zygote(
    shared: &Arc<Shared>,
    process: &Arc<Process>,
    mut reader: FrameReader,
    link: Link,
    ready: Promise,
    way: OnItsWay,
) -> Ended {
    let zygote = Arc::new(Zygote::new(Arc::clone(process), ready.capacity, ready.ahead, link));
    let _ = shared.events.send(Event::Zygote(Arc::clone(&zygote), way));
    let reading = async {
        loop {
            match reader.next().await {
                Ok(incoming) => {
                    if let Err(fault) = zygote.handle(shared, incoming) {
                        return Some(fault.0);
                    }
                }
                Err(ReadEnd::Closed) => return None,
                Err(ReadEnd::Fault(why)) => return Some(why),
            }
        }
    };
    let fault = tokio::select! {
        biased;
        fault = reading => fault,
        () = gone(process) => None,
    };
    if let Some(why) = fault {
        process.kill(KillReason::Fault(why));
    }
    let obituary = shared.bury(process).await;
    zygote.end();
    let cause = format!("the zygote {}", obituary.cause);
    Ended { role: Role::Zygote, cause, expected: shared.is_draining(), conclusive: false }
}

pub(crate) async fn serve_worker(
    shared: &Arc<Shared>,
    process: &Arc<Process>,
    mut reader: FrameReader,
    link: Link,
    (capacity, tokens): (u32, Option<Tokens>),
    way: OnItsWay,
) -> Ended {
    let worker = Arc::new(Worker::new(Arc::clone(shared), Arc::clone(process), link, capacity, tokens));
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let worker = Arc::clone(&worker);
        // When writing fails, reading ends too.
        async move { drop(worker.link.write_loop().await) }
    });
    shared.add_worker(&worker, way.is_spare());
    drop(way);
    let _ = shared.events.send(Event::Demand);
    let reading = async {
        loop {
            match reader.next().await {
                Ok(incoming) => {
                    if let Err(fault) = worker.handle(incoming) {
                        return Some(fault.0);
                    }
                }
                Err(ReadEnd::Closed) => return None,
                Err(ReadEnd::Fault(why)) => return Some(why),
            }
        }
    };
    let fault = tokio::select! {
        biased;
        fault = reading => fault,
        () = gone(process) => None,
    };
    // No new executions while it is buried.
    shared.pool().remove(&worker);
    if worker.has_served() {
        // The next one starts meanwhile. One that ends before it has served anything is looked at first: it may be the
        // beginning of a crash loop.
        let _ = shared.events.send(Event::Demand);
    }
    if let Some(why) = fault {
        process.kill(KillReason::Fault(why));
    }
    let obituary = shared.bury(process).await;
    let expected = worker.is_leaving()
        || shared.is_draining()
        || matches!(obituary.reason, Some(KillReason::Overdue | KillReason::Surplus));
    worker.end(&obituary);
    shared.remove_worker(&worker);
    Ended { role: Role::Worker, cause: format!("the worker {}", obituary.cause), expected, conclusive: false }
}
