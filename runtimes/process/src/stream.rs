//! A streamed answer on its way from a worker to its reader.

use std::future::poll_fn;
use std::sync::Arc;

use ignite_core_abi::STREAM_WINDOW_BYTES;
use ignite_core_abi::payload::encode_credit;
use ignite_framing::{Arriving, Flush, Next};
use ignite_runtimes_executor::{BodySender, BodyStream, body_channel};

use crate::worker::Worker;

/// Parts under way between this executor and whoever reads the body. Few: the window bounds what waits before them.
const PARTS_MAX: usize = 2;

/// Credit is granted in pieces of at least this, in bytes, so that small parts do not each cost a frame.
const CREDIT_STEP_BYTES: u32 = STREAM_WINDOW_BYTES / 4;

/// Starts the task that carries a streamed answer to its reader, and returns the reader's side.
pub(crate) fn carry(worker: Arc<Worker>, id: u64, stream: Arc<Arriving>) -> BodyStream {
    let (sender, body) = body_channel(PARTS_MAX);
    let handle = worker.shared.handle.clone();
    // Owned by the two ends: it ends with the worker's last part, the worker's death, or when the reader goes away.
    handle.spawn(async move {
        if run(&worker, id, &stream, sender).await.is_err() {
            worker.abandon(id);
        }
    });
    body
}

/// The reader went away.
struct Gone;

async fn run(worker: &Worker, id: u64, stream: &Arriving, sender: BodySender) -> Result<(), Gone> {
    let mut taken = 0_u32;
    loop {
        let next = tokio::select! {
            biased;
            () = sender.closed() => return Err(Gone),
            next = poll_fn(|cx| stream.poll_next(cx)) => next,
        };
        match next {
            Next::Part(part) => {
                // A part is never longer than the window.
                let length = part.len() as u32;
                sender.send(part).await.map_err(|_| Gone)?;
                taken += length;
                if taken >= CREDIT_STEP_BYTES {
                    stream.grant(taken);
                    // A worker that is gone needs no credit; the end of the stream comes by itself.
                    let _ = worker.link.send(Flush::Now, |out| encode_credit(id, taken, out));
                    taken = 0;
                }
            }
            Next::End(Ok(())) => {
                sender.finish();
                return Ok(());
            }
            Next::End(Err(why)) => {
                sender.break_off(why);
                return Ok(());
            }
        }
    }
}
