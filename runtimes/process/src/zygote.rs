//! A worker that has loaded the handler and forks others.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ignite_core_abi::payload::{Log, decode_number, encode_empty};
use ignite_core_abi::{FrameKind, HEADER_BYTES};
use ignite_framing::{Flush, Incoming, Link, Socket};
use ignite_runtimes_executor::{LogLine, LogSource};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};
use tokio::sync::oneshot;

use crate::ahead::Tokens;
use crate::child::{Child, End};
use crate::launch::{self, Streams};
use crate::process::Process;
use crate::shared::Shared;
use crate::worker::{Fault, level};

/// A ready zygote.
pub(crate) struct Zygote {
    pub(crate) process: Arc<Process>,
    /// Executions each of its children can run at once.
    pub(crate) capacity: u32,
    /// How many executions each takes ahead.
    ahead: u8,
    link: Link,
    forks: Mutex<Forks>,
}

#[derive(Default)]
struct Forks {
    last: u64,
    started: HashMap<u64, oneshot::Sender<u32>>,
    children: HashMap<u64, ForkedChild>,
}

#[derive(Default)]
struct ForkedChild {
    process: Weak<Process>,
    end: Option<End>,
}

/// A forked worker and its socket.
pub(crate) struct Forked {
    pub(crate) process: Arc<Process>,
    pub(crate) connection: Socket,
    pub(crate) tokens: Option<Tokens>,
}

impl Zygote {
    pub(crate) fn new(process: Arc<Process>, capacity: u32, ahead: u8, link: Link) -> Self {
        Self { process, capacity, ahead, link, forks: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Forks> {
        self.forks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forks a worker. The caller bounds how long this may take.
    ///
    /// # Errors
    /// When streams cannot be made, or the zygote or its child is gone.
    pub(crate) async fn fork(&self, shared: &Shared) -> io::Result<Forked> {
        let Streams { connection, output, theirs } = launch::streams()?;
        let connection = Socket::from_unix(connection)?;
        let tokens = if self.ahead > 0 { Some(Tokens::new(self.ahead.into())?) } else { None };
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut forks = self.lock();
            forks.last += 1;
            let id = forks.last;
            forks.started.insert(id, sender);
            forks.children.insert(id, ForkedChild::default());
            id
        };
        let mut frame = Vec::with_capacity(HEADER_BYTES);
        encode_empty(FrameKind::Fork, id, &mut frame);
        {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut with = SendAncillaryBuffer::new(&mut space);
            let fds: Vec<_> = theirs.iter().map(AsFd::as_fd).chain(tokens.as_ref().map(Tokens::as_fd)).collect();
            with.push(SendAncillaryMessage::ScmRights(&fds));
            self.link.socket().send_with(&frame, &mut with).await?;
        }
        drop(theirs);
        let gone = || io::Error::other("the zygote ended before it forked");
        let pid = receiver.await.map_err(|_| gone())?;
        let child = Child::forked(pid)?;
        let limits = &shared.config.limits;
        let process = Arc::new(Process::new(child, output, Arc::clone(&shared.config.logs), limits.log_line_bytes_max));
        let mut forks = self.lock();
        let known = forks.children.entry(id).or_default();
        match known.end {
            Some(end) => {
                process.child.tell_end(end);
                forks.children.remove(&id);
            }
            None => known.process = Arc::downgrade(&process),
        }
        Ok(Forked { process, connection, tokens })
    }

    /// Handles what came from the zygote.
    ///
    /// # Errors
    /// When it broke the protocol.
    pub(crate) fn handle(&self, shared: &Shared, incoming: Incoming<'_>) -> Result<(), Fault> {
        let Incoming::Frame(header, payload) = incoming else {
            return Err(Fault("unexpected RESULT frame from a zygote".into()));
        };
        let number = || decode_number(&payload).map_err(|error| Fault(format!("{:?}: {error}", header.kind)));
        match header.kind {
            FrameKind::Forked => {
                let pid = number()?;
                let waiting = self.lock().started.remove(&header.id);
                let waiting = waiting.ok_or_else(|| Fault("FORKED without FORK".into()))?;
                let _ = waiting.send(pid);
                Ok(())
            }
            FrameKind::Exited => {
                let end = End::from_wait_status(number()?);
                let mut forks = self.lock();
                let child = forks.children.get_mut(&header.id).ok_or_else(|| Fault("EXITED without FORK".into()))?;
                child.end = Some(end);
                if let Some(process) = child.process.upgrade() {
                    forks.children.remove(&header.id);
                    drop(forks);
                    process.child.tell_end(end);
                }
                Ok(())
            }
            FrameKind::Log => {
                let log = Log::decode(&payload).map_err(|error| Fault(format!("LOG: {error}")))?;
                shared.config.logs.line(LogLine {
                    source: LogSource::Logger,
                    level: level(log.level),
                    execution_id: None,
                    message: log.message,
                    fields: log.fields,
                });
                Ok(())
            }
            FrameKind::Bye => Ok(()),
            kind => Err(Fault(format!("unexpected {kind:?} frame from a zygote"))),
        }
    }

    /// Asks it to go.
    pub(crate) fn leave(&self) {
        let _ = self.link.send(Flush::Now, |out| encode_empty(FrameKind::Drain, 0, out));
    }

    /// It is gone: nobody waits for its word any more.
    pub(crate) fn end(&self) {
        self.link.close();
        let mut forks = self.lock();
        forks.started.clear();
        for (_, child) in forks.children.drain() {
            if let Some(process) = child.process.upgrade() {
                process.child.adopt();
            }
        }
    }
}
