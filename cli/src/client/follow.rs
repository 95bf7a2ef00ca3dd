//! Following something that takes long, over a connection that may break, until it ends or the person has seen enough.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::calls::Next;
use super::{ApiError, Client, Interrupt, Resume};
use crate::exit::{CliError, Exit};

/// Messages that wait to be shown.
const WAITING_MAX: usize = 64;

/// Silence after which what is followed is told of it, and the longest time until a Ctrl-C is seen.
const QUIET: Duration = Duration::from_millis(150);

/// A stream that lived for so long, silent or not, was no failure.
const SOUND: Duration = Duration::from_secs(30);

/// Pauses before a stream that broke is asked for anew, from where it was; a message begins them afresh. Together they
/// outlast a control plane that restarts.
const PAUSES_MS: [u64; 9] = [100, 200, 400, 800, 1600, 3200, 5000, 10_000, 10_000];

/// What came of following.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    /// It ended.
    Ended,
    /// The person pressed Ctrl-C: it goes on without them.
    Detached,
}

/// What is heard of it.
pub(crate) enum Heard<A> {
    /// A message.
    Message(A),
    /// Nothing, for a moment.
    Quiet,
}

/// Why following ended before it should.
#[derive(Debug)]
pub(crate) enum FollowError {
    /// The API.
    Api(ApiError),
    /// Whoever was told.
    Told(CliError),
}

impl FollowError {
    /// As a failure of what was tried.
    pub(crate) fn told(self, what: impl Into<String>) -> CliError {
        match self {
            Self::Api(error) => error.told(what),
            Self::Told(error) => error,
        }
    }
}

/// Hands each message to `take` until the last one, a refusal, or Ctrl-C. A stream that breaks is asked for anew.
pub(crate) fn follow<Q: Resume>(
    client: &Client,
    request: Q,
    interrupt: &Interrupt,
    take: &mut dyn FnMut(Heard<Q::Answer>) -> Result<(), CliError>,
) -> Result<Followed, FollowError>
where
    Q::Answer: Send + 'static,
{
    let (send, receive) = sync_channel(WAITING_MAX);
    let client = client.clone();
    // It ends with the stream, or with its next message when nobody listens any more; the process does not wait for it.
    std::thread::Builder::new().name("follow".to_owned()).spawn(move || read(&client, request, &send)).map_err(
        |error| FollowError::Told(CliError::new(Exit::Internal, "could not start a thread").caused_by(&error)),
    )?;
    hear(&receive, &|| interrupt.pressed(), take)
}

fn hear<A>(
    receive: &Receiver<Result<A, ApiError>>,
    pressed: &dyn Fn() -> bool,
    take: &mut dyn FnMut(Heard<A>) -> Result<(), CliError>,
) -> Result<Followed, FollowError> {
    loop {
        if pressed() {
            return Ok(Followed::Detached);
        }
        let heard = match receive.recv_timeout(QUIET) {
            Ok(Ok(message)) => Heard::Message(message),
            Ok(Err(error)) => return Err(FollowError::Api(error)),
            Err(RecvTimeoutError::Timeout) => Heard::Quiet,
            Err(RecvTimeoutError::Disconnected) => return Ok(Followed::Ended),
        };
        take(heard).map_err(FollowError::Told)?;
    }
}

/// Sends each message, and at the end the error if it ended by one.
fn read<Q: Resume>(client: &Client, mut request: Q, send: &SyncSender<Result<Q::Answer, ApiError>>) {
    let mut failures = 0;
    loop {
        let began = Instant::now();
        match read_once(client, &mut request, send, &mut failures) {
            Ok(()) => return,
            Err(error) => {
                if began.elapsed() >= SOUND {
                    failures = 0;
                }
                let again = error.is_passing() || matches!(error, ApiError::TimedOut { .. });
                match PAUSES_MS.get(failures).filter(|_| again) {
                    Some(pause) => std::thread::sleep(Duration::from_millis(*pause)),
                    None => {
                        let _ = send.send(Err(error));
                        return;
                    }
                }
                failures += 1;
            }
        }
    }
}

fn read_once<Q: Resume>(
    client: &Client,
    request: &mut Q,
    send: &SyncSender<Result<Q::Answer, ApiError>>,
    failures: &mut usize,
) -> Result<(), ApiError> {
    let mut messages = client.stream(request)?;
    while let Some(message) = messages.next()? {
        *failures = 0;
        let next = request.advance(&message);
        if send.send(Ok(message)).is_err() || next == Next::End {
            return Ok(());
        }
    }
    // A platform that restarts may end what it streams in good order.
    if Q::ENDS { Err(ApiError::Broken(std::io::ErrorKind::UnexpectedEof.into())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::cell::Cell;

    use super::*;

    #[test]
    fn ctrl_c_detaches_and_the_end_ends() {
        let (send, receive) = sync_channel::<Result<u32, ApiError>>(8);
        let (heard, pressed) = (Cell::new(0), Cell::new(false));
        send.send(Ok(1)).unwrap();
        let mut take = |message| {
            match message {
                Heard::Message(number) => heard.set(number),
                Heard::Quiet => pressed.set(true),
            }
            Ok(())
        };
        assert_eq!(hear(&receive, &|| pressed.get(), &mut take).unwrap(), Followed::Detached);
        assert_eq!(heard.get(), 1);
        drop(send);
        assert_eq!(hear(&receive, &|| false, &mut |_: Heard<u32>| Ok(())).unwrap(), Followed::Ended);
    }
}
