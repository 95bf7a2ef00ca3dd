//! Reads what the host sends, in few and large reads.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ignite_core_abi::payload::{CancelReason, decode_number};
use ignite_core_abi::{FRAME_BYTES_MAX, FrameHeader, FrameKind, HEADER_BYTES, split_frame};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::unix::OwnedReadHalf;

use super::connection::Connection;
use super::handler::Handler;
use super::{End, fault};
use crate::execution::{Call, Execution};

/// Size of the read buffer, in bytes. A frame that does not fit is read into memory of its own.
const READ_BYTES: usize = 128 * 1024;

/// Serves what the host sends until it closes the socket or breaks the protocol.
pub(super) async fn read(mut socket: OwnedReadHalf, connection: Arc<Connection>, handler: Arc<impl Handler>) -> End {
    match serve(&mut socket, &connection, &handler).await {
        Ok(()) => End::Done,
        Err(end) => end,
    }
}

async fn serve(
    socket: &mut OwnedReadHalf,
    connection: &Arc<Connection>,
    handler: &Arc<impl Handler>,
) -> Result<(), End> {
    let mut buffer = vec![0; READ_BYTES];
    // What has been read and not been taken is `buffer[start..end]`.
    let (mut start, mut end) = (0, 0);
    loop {
        while let Some((header, payload)) = split_frame(&buffer[start..end], FRAME_BYTES_MAX).map_err(fault)? {
            start += HEADER_BYTES + payload.len();
            accept(header, payload, connection, handler)?;
        }
        let rest = &buffer[start..end];
        if let Some(head) = rest.first_chunk() {
            // The header is sound, or `split_frame` had refused it.
            let header = FrameHeader::decode(head, FRAME_BYTES_MAX).map_err(fault)?;
            if HEADER_BYTES + header.length as usize > READ_BYTES {
                let mut payload = vec![0; header.length as usize];
                let present = rest.len() - HEADER_BYTES;
                payload[..present].copy_from_slice(&rest[HEADER_BYTES..]);
                if !fill(socket, &mut payload[present..]).await {
                    return Ok(());
                }
                (start, end) = (0, 0);
                accept_owned(header, payload, connection, handler)?;
                continue;
            }
        }
        buffer.copy_within(start..end, 0);
        (start, end) = (0, end - start);
        match read_some(socket, &mut buffer[end..]).await {
            // Nobody is there to answer.
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => end += count,
        }
    }
}

async fn read_some(socket: &mut OwnedReadHalf, into: &mut [u8]) -> io::Result<usize> {
    let mut into = ReadBuf::new(into);
    poll_fn(|cx| Pin::new(&mut *socket).poll_read(cx, &mut into)).await?;
    Ok(into.filled().len())
}

/// Fills `into`; `false` if the host closed the socket before.
async fn fill(socket: &mut OwnedReadHalf, mut into: &mut [u8]) -> bool {
    while !into.is_empty() {
        match read_some(socket, into).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => into = &mut into[count..],
        }
    }
    true
}

fn accept(
    header: FrameHeader,
    payload: &[u8],
    connection: &Arc<Connection>,
    handler: &Arc<impl Handler>,
) -> Result<(), End> {
    match header.kind {
        FrameKind::Invoke => return accept_owned(header, payload.to_vec(), connection, handler),
        FrameKind::Cancel => {
            CancelReason::decode(payload).map_err(fault)?;
            // Unknown ids are not at fault: the answer may have crossed the cancel.
            if let Some(execution) = connection.find(header.id) {
                execution.signals.cancel();
            }
        }
        FrameKind::Credit => {
            let bytes = decode_number(payload).map_err(fault)?;
            if let Some(execution) = connection.find(header.id) {
                execution.signals.grant(bytes);
            }
        }
        FrameKind::Drain if payload.is_empty() => {
            if !connection.outbox.drain() {
                return Err(End::Fault("the host sent DRAIN twice".to_owned()));
            }
        }
        FrameKind::Drain => return Err(fault("DRAIN has a payload")),
        kind => return Err(End::Fault(format!("the host sent {kind:?}, which is not for a worker that serves"))),
    }
    Ok(())
}

fn accept_owned(
    header: FrameHeader,
    payload: Vec<u8>,
    connection: &Arc<Connection>,
    handler: &Arc<impl Handler>,
) -> Result<(), End> {
    if header.kind != FrameKind::Invoke {
        return accept(header, &payload, connection, handler);
    }
    if !header.is_end() {
        return Err(fault("INVOKE without END"));
    }
    let (call, timeout_us) = Call::from_payload(payload).map_err(fault)?;
    let deadline = match timeout_us {
        0 => None,
        left => Instant::now().checked_add(Duration::from_micros(left)),
    };
    let credit = connection.stream_window_bytes.into();
    let execution = Execution::new(header.id, call, deadline, credit, connection.clone());
    connection.begin(execution.clone()).map_err(|what| End::Fault(format!("the host sent INVOKE wrongly: {what}")))?;
    handler.start(execution, connection.clone());
    Ok(())
}
