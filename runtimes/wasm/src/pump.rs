//! Carries a streamed answer from its guest to the caller, and the guest to its end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ignite_runtimes_executor::{BodySender, InvokeError, LogSource};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::crowd::Guest;
use crate::execution::{Ended, Next, Parts};
use crate::failure::describe;
use crate::lines::ExecutionLog;

/// Parts under way between guest and caller.
pub(crate) const BODY_PARTS_MAX: usize = 8;

/// Longest part handed on, in bytes; a guest's longer ones are cut, so that the bound above bounds memory.
const PART_BYTES_MAX: usize = 256 * 1024;

/// Longest body that is held back to see whether it ends at once, in bytes.
const EARLY_BYTES_MAX: usize = 256 * 1024;

/// When an execution has to end.
#[derive(Clone)]
pub(crate) struct Ends {
    /// At the latest then.
    pub(crate) deadline: Instant,
    /// Or when this is cancelled: the executor ends all work.
    pub(crate) stop: CancellationToken,
    /// How long a guest may go on that nobody listens to.
    pub(crate) cancel_grace: Duration,
    pub(crate) log: ExecutionLog,
}

/// A guest whose answer has begun.
pub(crate) struct Streaming {
    pub(crate) guest: Guest,
    /// Set once the guest has ended.
    pub(crate) ended: Option<Ended>,
    pub(crate) parts: Parts,
    pub(crate) waiting: VecDeque<Bytes>,
}

/// What became of a body that was given a chance to end at once.
pub(crate) enum Early {
    /// It ended.
    Whole(Bytes),
    /// It goes on, or is too long to hold back.
    GoesOn,
    /// It broke.
    Broken(String),
}

impl Streaming {
    /// Lets the guest run for as long as it makes progress, and gathers what it writes. Never waits: a body that ends
    /// here can be sent with its length, and one that does not is streamed from its first byte.
    pub(crate) async fn gather(&mut self) -> Early {
        poll_fn(|cx| {
            let mut gathered = 0;
            loop {
                if self.ended.is_none()
                    && let Poll::Ready(ended) = Pin::new(&mut self.guest).poll(cx)
                {
                    self.ended = Some(ended);
                }
                let mut progress = false;
                while let Poll::Ready(next) = pin!(self.parts.next()).poll(cx) {
                    match next {
                        Next::Data(data) => {
                            gathered += data.len();
                            progress = true;
                            self.waiting.push_back(data);
                            if gathered > EARLY_BYTES_MAX {
                                return Poll::Ready(Early::GoesOn);
                            }
                        }
                        Next::End => return Poll::Ready(Early::Whole(joined(&mut self.waiting))),
                        Next::Broken(why) => return Poll::Ready(Early::Broken(why)),
                    }
                }
                if !progress {
                    return Poll::Ready(Early::GoesOn);
                }
            }
        })
        .await
    }

    /// Sends the body to `sender` and runs the guest to its end.
    pub(crate) async fn run(mut self, sender: BodySender, ends: Ends) {
        match self.send_all(&sender, &ends).await {
            Sent::Whole => {
                sender.finish();
                self.finish_guest_and_report(ends.deadline, &ends).await;
            }
            Sent::Broken(why) => {
                sender.break_off(why);
                self.finish_guest_and_report(ends.deadline, &ends).await;
            }
            Sent::Stopped(why) => {
                sender.break_off(why);
                // Dropping it stops the guest.
            }
            Sent::Unwanted => {
                drop(sender);
                // What a guest says of a caller that went away is no failure.
                let grace = Instant::now() + ends.cancel_grace;
                self.finish_guest(grace.min(ends.deadline), &ends).await;
            }
        }
    }

    async fn send_all(&mut self, sender: &BodySender, ends: &Ends) -> Sent {
        let mut parts_end = None;
        let mut deadline = pin!(sleep_until(ends.deadline));
        loop {
            if self.waiting.is_empty() {
                match parts_end.take() {
                    Some(Ok(())) => return Sent::Whole,
                    Some(Err(why)) => return Sent::Broken(why),
                    None => {}
                }
            }
            let next = self.waiting.front_mut().map(|part| part.slice(..part.len().min(PART_BYTES_MAX)));
            let has_next = next.is_some();
            tokio::select! {
                biased;
                () = ends.stop.cancelled() => return Sent::Stopped("the host is shutting down".into()),
                () = &mut deadline => {
                    ends.log.line(LogSource::Host, "error", "the execution exceeded its time limit while it streamed", "");
                    return Sent::Stopped(InvokeError::TimedOut.to_string());
                }
                () = sender.closed() => return Sent::Unwanted,
                ended = &mut self.guest, if self.ended.is_none() => self.ended = Some(ended),
                // A send that is dropped has sent nothing, so a part that lost to another branch is offered again.
                sent = sender.send(next.unwrap_or_default()), if has_next => {
                    if sent.is_err() {
                        return Sent::Unwanted;
                    }
                    self.drop_sent();
                }
                next = self.parts.next(), if !has_next && parts_end.is_none() => match next {
                    Next::Data(data) => self.waiting.push_back(data),
                    Next::End => parts_end = Some(Ok(())),
                    Next::Broken(why) => parts_end = Some(Err(self.why_broken(why))),
                },
            }
        }
    }

    fn drop_sent(&mut self) {
        if let Some(part) = self.waiting.front_mut() {
            let sent = part.len().min(PART_BYTES_MAX);
            drop(part.split_to(sent));
            if part.is_empty() {
                self.waiting.pop_front();
            }
        }
    }

    /// The guest's own end explains more than its silence.
    fn why_broken(&self, silence: String) -> String {
        match &self.ended {
            Some(Ended::Failed(error)) => error.to_string(),
            _ => silence,
        }
    }

    /// Lets the guest run on until `until`. How it failed goes to the log, for its answer is gone.
    pub(crate) async fn finish_guest_and_report(self, until: Instant, ends: &Ends) {
        if let Some(Ended::Failed(error)) = self.finish_guest(until, ends).await {
            report(&error, &ends.log);
        }
    }

    /// Lets the guest run on until `until`, and tells how it ended if it did.
    async fn finish_guest(self, until: Instant, ends: &Ends) -> Option<Ended> {
        // The body goes first: a guest that still writes learns that nobody listens.
        drop(self.parts);
        match self.ended {
            Some(ended) => Some(ended),
            None => tokio::select! {
                biased;
                ended = timeout_at(until, self.guest) => ended.ok(),
                () = ends.stop.cancelled() => None,
            },
        }
    }
}

enum Sent {
    /// All of it.
    Whole,
    /// Its guest broke it off.
    Broken(String),
    /// The execution has to end now.
    Stopped(String),
    /// Nobody reads any more.
    Unwanted,
}

/// Logs a failure that came too late to be answered.
pub(crate) fn report(error: &InvokeError, log: &ExecutionLog) {
    let message = format!("the handler failed after its answer had begun: {}", describe(error));
    log.line(LogSource::Host, "error", &message, "");
}

fn joined(parts: &mut VecDeque<Bytes>) -> Bytes {
    if parts.len() <= 1 {
        return parts.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    for part in parts.drain(..) {
        whole.extend_from_slice(&part);
    }
    whole.freeze()
}
