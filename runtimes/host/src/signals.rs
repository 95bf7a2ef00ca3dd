//! From the first signal to the exit code.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::HostConfig;
use crate::host::{Ended, Host, StartError};

/// The host could not be started: the configuration or the artifact is not usable.
const EXIT_START: u8 = 1;
/// There is no user namespace to be had. Whoever started it may do without.
const EXIT_NO_OWN_USER: u8 = 3;
/// Work was lost: the second signal came, or the drain limit ended (128 + SIGTERM).
const EXIT_WORK_LOST: u8 = 143;

/// Requests that a thread goes on with before it looks at sockets and timers again, where it always has one to go on with. A limit that
/// passes meanwhile is noticed late by that much: half a millisecond where each is a component's whole execution.
const TURNS_BETWEEN_LOOKS: u32 = 8;

/// Runs a host until SIGTERM or SIGINT, drains it, and gives the exit code: 0 when everything in flight was answered, 143
/// when work was lost to a second signal or the drain limit, 1 when it could not be started or can be of no use.
pub fn run_until_signal(config: HostConfig) -> ExitCode {
    if config.start_with_stdin && !told_to_start() {
        return ExitCode::SUCCESS;
    }
    // Before anything else: it needs to be the only thread.
    if config.own_user
        && let Err(error) = crate::own_user::enter()
    {
        failed(&NoOwnUser(error));
        return ExitCode::from(EXIT_NO_OWN_USER);
    }
    crate::descriptors::raise();
    // Before there are threads and workers, which are to have it as well. Where it is refused, all is only slower.
    let _ = ignite_scheduling::prefer_batches();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().event_interval(TURNS_BETWEEN_LOOKS).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&StartErrorText(error.to_string())),
    };
    let ended = runtime.block_on(serve(config));
    // Blocking tasks are only reads of files and the log's flush; none is worth waiting for.
    runtime.shutdown_background();
    match ended {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::WorkLost) => ExitCode::from(EXIT_WORK_LOST),
        Err(error) => failed(&error),
    }
}

async fn serve(config: HostConfig) -> Result<Ended, StartError> {
    let mut signals = Signals::new(config.stop_with_stdin).map_err(StartError::Admin)?;
    let host = tokio::select! {
        host = Host::start(config) => host?,
        () = signals.next() => return Ok(Ended::Drained),
    };
    let of_no_use = tokio::select! {
        () = signals.next() => None,
        reason = host.of_no_use() => Some(reason),
    };
    if let Some(reason) = of_no_use {
        host.drain().await;
        return Err(StartError::Load(reason));
    }
    tokio::select! {
        ended = host.drain() => Ok(ended),
        () = signals.next() => Ok(Ended::WorkLost),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Ends with stdin, if that is a request to stop.
    parent: Option<oneshot::Receiver<()>>,
}

impl Signals {
    fn new(stop_with_stdin: bool) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            parent: if stop_with_stdin { Some(stdin_end()?) } else { None },
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
            () = ended(&mut self.parent) => (),
        }
    }
}

/// Waits for a byte on stdin. False when there is none to come: whoever started this host has ended.
fn told_to_start() -> bool {
    std::io::stdin().lock().read_exact(&mut [0]).is_ok()
}

/// Tells once that stdin has ended. A thread reads it: reads of stdin cannot be given up, and this one ends with the process.
fn stdin_end() -> std::io::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("stdin-end".into()).spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    })?;
    Ok(end)
}

async fn ended(parent: &mut Option<oneshot::Receiver<()>>) {
    match parent {
        Some(end) => {
            let _ = end.await;
            *parent = None;
        }
        None => std::future::pending().await,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("could not start the runtime: {0}")]
struct StartErrorText(String);

#[derive(Debug, thiserror::Error)]
#[error("this machine has no user namespace for the host: {0}")]
struct NoOwnUser(std::io::Error);

fn failed(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("error: could not start the host\n  cause: {error}\n");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!("  cause: {error}\n"));
        source = error.source();
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(EXIT_START)
}
