//! The load generator: closed loop, keep-alive, no pipelining, one thread. [`offer`] is its open loop.
//!
//! Each connection sends its next request when the answer to the last one is whole and checked. Latency is therefore that of
//! a closed loop: a server that stalls is also asked less meanwhile, and nothing is added for requests that were not
//! sent (no correction for coordinated omission). The generator tells what share of a core it used itself: where that
//! is near one, the figure is the generator's and not the server's.

mod answer;
mod connection;
mod open;
mod request;
mod stream;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

pub(crate) use answer::parse;
use connection::{Connection, Step};
pub(crate) use open::offer;
pub(crate) use request::{Answers, Dialect, Handler, Request};
pub(crate) use stream::Address;

/// How long answers are waited for after the time is over.
const GRACE: Duration = Duration::from_secs(5);
/// Connections that are made anew in one run; a server that closes more has failed.
const RECONNECTS_MAX: u64 = 1000;
/// Longest latency that is told apart, in nanoseconds.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// What one run measured.
pub(crate) struct Load {
    /// Right answers in a second, counted until the time was over.
    pub(crate) per_second: f64,
    /// Right answers, those after the end among them.
    pub(crate) answers: u64,
    /// Latencies of right answers, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Wrong answers, broken connections and answers that never came.
    pub(crate) errors: u64,
    /// The first of them.
    pub(crate) first_error: Option<String>,
    /// Share of one core that the generator used, from 0 to 1.
    pub(crate) generator_share: f64,
}

/// A histogram for latencies in nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("these bounds are fine")
}

/// Sends `request` over `connections` for `time`. `at_end` runs when all is answered, with the connections still open.
///
/// # Errors
/// When the server takes no connection. What happens later is counted, not raised.
pub(crate) fn run(
    address: &Address,
    request: &Request,
    connections: usize,
    time: Duration,
    at_end: &mut dyn FnMut(),
) -> Result<Load> {
    let mut poll = Poll::new()?;
    let mut all = Vec::with_capacity(connections);
    for index in 0..connections {
        let connection = Connection::open(address, request.clone(), poll.registry(), Token(index));
        all.push(connection.context("could not connect")?);
    }
    let mut events = Events::with_capacity(connections.clamp(16, 1024));
    let mut run = Run { latency: histogram(), answers: 0, in_time: 0, errors: 0, first_error: None, reconnects: 0 };
    let cpu_before = own_cpu();
    let started = Instant::now();
    let end = started + time;
    let mut open = connections;
    for connection in &mut all {
        let step = connection.send(started);
        open -= usize::from(run.ended(connection, step, address, &poll, end));
    }
    while open > 0 {
        let now = Instant::now();
        if now >= end + GRACE {
            run.error(open as u64, "no answer within the grace");
            break;
        }
        let until = if now < end { end } else { end + GRACE };
        match poll.poll(&mut events, Some(until - now)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let connection = &mut all[event.token().0];
            let step = connection.on_event(event);
            open -= usize::from(run.ended(connection, step, address, &poll, end));
        }
    }
    let wall = started.elapsed().as_secs_f64();
    let generator_share = (own_cpu() - cpu_before) / wall;
    at_end();
    Ok(Load {
        per_second: run.in_time as f64 / time.as_secs_f64(),
        answers: run.answers,
        latency: run.latency,
        errors: run.errors,
        first_error: run.first_error,
        generator_share,
    })
}

struct Run {
    latency: Histogram<u64>,
    answers: u64,
    in_time: u64,
    errors: u64,
    first_error: Option<String>,
    reconnects: u64,
}

impl Run {
    fn error(&mut self, count: u64, what: &str) {
        self.errors += count;
        if self.first_error.is_none() {
            self.first_error = Some(what.to_owned());
        }
    }

    /// Takes what a connection came to, and lets it go on until `end`. Whether it has ended.
    fn ended(
        &mut self,
        connection: &mut Connection,
        mut step: Step,
        address: &Address,
        poll: &Poll,
        end: Instant,
    ) -> bool {
        loop {
            let (now, closes) = match step {
                Step::Waits => return false,
                // After its end, a connection may still be told that the server closed it.
                Step::Idle => return false,
                Step::Right { latency, now, closes } => {
                    self.answers += 1;
                    self.in_time += u64::from(now <= end);
                    // The bound is far above the grace.
                    let _ = self.latency.record((latency.as_nanos() as u64).clamp(1, LATENCY_NS_MAX));
                    (now, closes)
                }
                Step::Wrong { fault, now, closes } => {
                    self.error(1, &fault);
                    (now, closes)
                }
            };
            if now >= end {
                connection.rest();
                return true;
            }
            if closes {
                self.reconnects += 1;
                let again = self.reconnects <= RECONNECTS_MAX;
                if !again || connection.reopen(address, poll.registry()).is_err() {
                    self.error(1, "the server closes its connections");
                    connection.rest();
                    return true;
                }
            }
            step = connection.send(now);
        }
    }
}

/// Processor time of this thread, in seconds.
fn own_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}
