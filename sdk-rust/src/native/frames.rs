//! Reads what the host sends, in few and large reads.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ignite_core_abi::payload::{CancelReason, decode_number};
use ignite_core_abi::{FRAME_BYTES_MAX, FrameHeader, FrameKind, HEADER_BYTES, split_frame};

use super::connection::Connection;
use super::handler::Handler;
use super::{End, fault};
use crate::execution::{Call, Execution};

/// Size of the read buffer, in bytes. A frame that does not fit is read into memory of its own.
const READ_BYTES: usize = 128 * 1024;

/// Serves what the host sends until it closes the socket or breaks the protocol. Runs on a thread of its own, so that no
/// handler, whatever it does to the runtime, keeps a cancel or a drain from being heard.
pub(super) fn read(socket: &UnixStream, connection: &Arc<Connection>, handler: &Arc<impl Handler>) -> End {
    match serve(socket, connection, handler) {
        Ok(()) => End::Done,
        Err(end) => end,
    }
}

fn serve(mut socket: &UnixStream, connection: &Arc<Connection>, handler: &Arc<impl Handler>) -> Result<(), End> {
    let mut buffer = vec![0; READ_BYTES];
    // What has been read and not been taken is `buffer[start..end]`.
    let (mut start, mut end) = (0, 0);
    loop {
        connection.outbox.hold();
        while let Some((header, payload)) = split_frame(&buffer[start..end], FRAME_BYTES_MAX).map_err(fault)? {
            start += HEADER_BYTES + payload.len();
            accept(header, payload, connection, handler)?;
        }
        connection.outbox.release();
        let rest = &buffer[start..end];
        if let Some(head) = rest.first_chunk() {
            // The header is sound, or `split_frame` had refused it.
            let header = FrameHeader::decode(head, FRAME_BYTES_MAX).map_err(fault)?;
            if HEADER_BYTES + header.length as usize > READ_BYTES {
                let mut payload = vec![0; header.length as usize];
                let present = rest.len() - HEADER_BYTES;
                payload[..present].copy_from_slice(&rest[HEADER_BYTES..]);
                if socket.read_exact(&mut payload[present..]).is_err() {
                    return Ok(());
                }
                (start, end) = (0, 0);
                accept_owned(header, payload, connection, handler)?;
                continue;
            }
        }
        buffer.copy_within(start..end, 0);
        (start, end) = (0, end - start);
        match socket.read(&mut buffer[end..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Nobody is there to answer.
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => end += count,
        }
    }
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
