//! Workers of a host: one more for those who wait, one in place of a killed one, and what each further one costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::cold::milliseconds;
use crate::contenders::{Contender, Prepared, Target};
use crate::generator::{self, Handler, Request};
use crate::idle::DEFAULTS;
use crate::server::{Server, ask};
use crate::tree;

/// Longest time until a killed worker is replaced.
const REPLACE_MAX: Duration = Duration::from_secs(10);
/// How long a host is up before its worker is killed, so that all it does at its start is done.
pub(crate) const UP: Duration = Duration::from_millis(100);
/// How long it takes until a request that holds a worker holds it surely.
const HELD: Duration = Duration::from_millis(40);
/// Requests that are held at once, so that as many workers stand.
const HELD_AT_ONCE: usize = 3;

/// The time to the first answer of each further worker, in milliseconds, in one host whose workers are all held.
///
/// # Errors
/// When the host gives a wrong answer.
pub(crate) fn fork(contender: &Contender, prepared: &Prepared) -> Result<Vec<f64>> {
    let server = Server::start_with(contender, prepared, &DEFAULTS)?;
    let request = Request::new(Handler::Hello, contender.dialect, contender.answers);
    let hold = Request::to_path(Handler::Hello, "/hold", contender.dialect, contender.answers);
    std::thread::scope(|scope| {
        let mut holders = Vec::new();
        let mut times = Vec::new();
        for _ in 0..HELD_AT_ONCE {
            let (address, mut hold) = (&server.address, hold.clone());
            holders.push(scope.spawn(move || ask(address, &mut hold)));
            std::thread::sleep(HELD);
            let sent = Instant::now();
            ask(&server.address, &mut request.clone())?;
            times.push(milliseconds(sent.elapsed()));
        }
        for holder in holders {
            holder.join().ok().context("a holder panicked")??;
        }
        Ok(times)
    })
}

/// The time from SIGKILL of the worker that answered to the next right answer, in milliseconds, in a host that was `up` for a
/// while after its first answer.
///
/// # Errors
/// When there is no worker, or it is not replaced.
pub(crate) fn replace(contender: &Contender, prepared: &Prepared, target: Target, up: Duration) -> Result<f64> {
    let server = Server::start_with(contender, prepared, &DEFAULTS)?;
    std::thread::sleep(up);
    let worker = workers(&server, target).first().copied().context("the host has no worker process")?;
    let mut request = Request::new(Handler::Hello, contender.dialect, contender.answers);
    let killed = Instant::now();
    kill_process(Pid::from_raw(worker as i32).context("a process id")?, Signal::KILL)?;
    while let Err(error) = ask(&server.address, &mut request) {
        ensure!(killed.elapsed() < REPLACE_MAX, "no right answer after a worker was killed: {error:#}");
    }
    Ok(milliseconds(killed.elapsed()))
}

/// Pages of each worker that it shares with none, in bytes, after it has answered some requests.
///
/// # Errors
/// When the host gives a wrong answer.
pub(crate) fn private_bytes(contender: &Contender, prepared: &Prepared) -> Result<Vec<u64>> {
    let server = Server::start_with(contender, prepared, &DEFAULTS)?;
    let request = |path| Request::to_path(Handler::Hello, path, contender.dialect, contender.answers);
    let mut bytes = Vec::new();
    generator::run(&server.address, &request("/hold"), 8, Duration::from_millis(200), &mut || {})?;
    generator::run(&server.address, &request("/"), 8, Duration::from_millis(300), &mut || {
        let memory = workers(&server, Target::Python).into_iter().filter_map(tree::memory);
        bytes = memory.map(|memory| memory.private).collect();
    })?;
    ensure!(bytes.len() > 1, "there is only one worker");
    Ok(bytes)
}

/// The processes that run the handler: for Python the children of the one that forks, else those of the host.
fn workers(server: &Server, target: Target) -> Vec<u32> {
    let own = tree::children(server.pid());
    match target {
        Target::Python => own.into_iter().flat_map(tree::children).collect(),
        _ => own,
    }
}
