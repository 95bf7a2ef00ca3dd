//! An open loop: requests are due at fixed moments, whether the answers to earlier ones have come or not. Latency counts
//! from the moment a request was due, so a server that stalls pays for all that became due meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mio::{Events, Poll, Token};

use super::connection::{Connection, Step};
use super::request::Request;
use super::stream::Address;
use super::{GRACE, LATENCY_NS_MAX, Load, RECONNECTS_MAX, Run, histogram, own_cpu};

/// Sends `request` so often `per_second`, for `time`, each over the first of `connections` that is free.
///
/// # Errors
/// When the server takes no connection. What happens later is counted, not raised.
pub(crate) fn offer(
    address: &Address,
    request: &Request,
    connections: usize,
    per_second: f64,
    time: Duration,
) -> Result<Load> {
    let mut poll = Poll::new()?;
    let mut all = Vec::with_capacity(connections);
    for index in 0..connections {
        let connection = Connection::open(address, request.clone(), poll.registry(), Token(index));
        all.push(connection.context("could not connect")?);
    }
    let mut free: Vec<usize> = (0..connections).rev().collect();
    let mut events = Events::with_capacity(connections.clamp(16, 1024));
    let mut run = Run { latency: histogram(), answers: 0, in_time: 0, errors: 0, first_error: None, reconnects: 0 };
    let cpu_before = own_cpu();
    let started = Instant::now();
    let end = started + time;
    let whole = (per_second * time.as_secs_f64()) as u64;
    let due = |index: u64| started + Duration::from_secs_f64(index as f64 / per_second);
    let mut sent = 0;
    loop {
        while sent < whole && due(sent) <= Instant::now() {
            let Some(index) = free.pop() else { break };
            if all[index].ended_idle() {
                all[index].reopen(address, poll.registry())?;
            }
            let step = all[index].send(due(sent));
            sent += 1;
            if !matches!(step, Step::Waits) {
                run.settle(step, end, &mut all[index], address, &poll);
                free.push(index);
            }
        }
        if sent == whole && free.len() == connections {
            break;
        }
        let now = Instant::now();
        if now >= end + GRACE {
            run.error(whole - sent + (connections - free.len()) as u64, "no answer within the grace");
            break;
        }
        let until = if sent < whole && !free.is_empty() { due(sent) } else { end + GRACE };
        match poll.poll(&mut events, Some(until.saturating_duration_since(now))) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let index = event.token().0;
            let step = all[index].on_event(event);
            if !matches!(step, Step::Waits | Step::Idle) {
                run.settle(step, end, &mut all[index], address, &poll);
                free.push(index);
            }
        }
    }
    let wall = started.elapsed().as_secs_f64();
    Ok(Load {
        per_second: run.in_time as f64 / time.as_secs_f64(),
        answers: run.answers,
        latency: run.latency,
        errors: run.errors,
        first_error: run.first_error,
        generator_share: (own_cpu() - cpu_before) / wall,
    })
}

impl Run {
    /// Counts what a connection came to, and leaves it open and at rest.
    fn settle(&mut self, step: Step, end: Instant, connection: &mut Connection, address: &Address, poll: &Poll) {
        let closes = match step {
            Step::Waits | Step::Idle => false,
            Step::Right { latency, now, closes } => {
                self.answers += 1;
                self.in_time += u64::from(now <= end);
                // The bound is far above the grace.
                let _ = self.latency.record((latency.as_nanos() as u64).clamp(1, LATENCY_NS_MAX));
                closes
            }
            Step::Wrong { fault, closes, .. } => {
                self.error(1, &fault);
                closes
            }
        };
        connection.rest();
        if closes {
            self.reconnects += 1;
            if self.reconnects > RECONNECTS_MAX || connection.reopen(address, poll.registry()).is_err() {
                self.error(1, "the server closes its connections");
            }
        }
    }
}
