//! One connection of the generator.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Registry, Token};

use super::answer::parse;
use super::request::Request;
use super::stream::{Address, Stream};

/// What is read at once, in bytes: an echo fits.
const READ_BYTES: usize = 72 * 1024;

/// A connection and its request under way.
pub(super) struct Connection {
    stream: Stream,
    token: Token,
    request: Request,
    /// Bytes of the request that are sent.
    sent: usize,
    sent_at: Instant,
    received: Vec<u8>,
    filled: usize,
    joined: Vec<u8>,
    waits: bool,
    /// The server ended it while nothing was asked, as one may whose patience with idle connections is over.
    ended_idle: bool,
}

/// What a connection came to.
pub(super) enum Step {
    /// The answer is not whole.
    Waits,
    /// Nothing is asked.
    Idle,
    /// A right answer.
    Right { latency: Duration, now: Instant, closes: bool },
    /// A wrong answer, or none.
    Wrong { fault: String, now: Instant, closes: bool },
}

impl Connection {
    pub(super) fn open(address: &Address, request: Request, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = Stream::connect(address)?;
        stream.register(registry, token)?;
        let (sent, sent_at) = (request.bytes().len(), Instant::now());
        let (received, joined) = (vec![0; 1024], Vec::new());
        Ok(Self { stream, token, request, sent, sent_at, received, filled: 0, joined, waits: false, ended_idle: false })
    }

    /// A new connection in place of this one.
    pub(super) fn reopen(&mut self, address: &Address, registry: &Registry) -> io::Result<()> {
        let _ = self.stream.deregister(registry);
        self.ended_idle = false;
        self.stream = Stream::connect(address)?;
        self.stream.register(registry, self.token)
    }

    /// Sends the next request; `now` is when.
    pub(super) fn send(&mut self, now: Instant) -> Step {
        self.request.next();
        self.sent = 0;
        self.filled = 0;
        self.sent_at = now;
        self.waits = true;
        self.write()
    }

    /// Whether the server ended it while nothing was asked.
    pub(super) fn ended_idle(&self) -> bool {
        self.ended_idle
    }

    /// Asks nothing more.
    pub(super) fn rest(&mut self) {
        self.waits = false;
    }

    pub(super) fn on_event(&mut self, event: &Event) -> Step {
        if !self.waits {
            self.ended_idle |= event.is_read_closed();
            return Step::Idle;
        }
        if event.is_writable()
            && self.sent < self.request.bytes().len()
            && let wrong @ Step::Wrong { .. } = self.write()
        {
            return wrong;
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() { self.read() } else { Step::Waits }
    }

    fn write(&mut self) -> Step {
        loop {
            let rest = &self.request.bytes()[self.sent..];
            if rest.is_empty() {
                return Step::Waits;
            }
            match self.stream.write(rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Waits,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return broken(&error.to_string()),
            }
        }
    }

    /// Reads what is there. A read that does not fill the buffer has emptied the socket: what comes later is a new event.
    fn read(&mut self) -> Step {
        loop {
            if self.received.len() == self.filled {
                self.received.resize(if self.filled < READ_BYTES { READ_BYTES } else { self.filled * 2 }, 0);
            }
            let room = self.received.len() - self.filled;
            match self.stream.read(&mut self.received[self.filled..]) {
                Ok(0) => return broken("the server closed the connection"),
                Ok(count) => {
                    self.filled += count;
                    if count == room {
                        continue;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Waits,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return broken(&error.to_string()),
            }
            return match parse(&self.received[..self.filled], &mut self.joined) {
                Ok(None) => Step::Waits,
                Ok(Some(answer)) => {
                    let now = Instant::now();
                    let latency = now - self.sent_at;
                    let closes = answer.closes;
                    match self.request.fault(answer.status, answer.body, latency) {
                        None => Step::Right { latency, now, closes },
                        Some(fault) => Step::Wrong { fault, now, closes },
                    }
                }
                Err(error) => broken(&format!("{error:#}")),
            };
        }
    }
}

fn broken(why: &str) -> Step {
    Step::Wrong { fault: why.to_owned(), now: Instant::now(), closes: true }
}
