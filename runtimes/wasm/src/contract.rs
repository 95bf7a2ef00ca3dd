//! The host's side of the world `ignite:function`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ignite_runtimes_executor::{InvokeError, LogSource};
use tokio::sync::mpsc;
use wasmtime::component::Resource;

use crate::execution::{Head, Parts};
use crate::failure::Refused;
use crate::state::State;

mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]

    wasmtime::component::bindgen!({
        path: "../../core/abi/wit",
        world: "ignite:function/function",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: {
            "ignite:function/host.[method]body-stream.write": async | trappable,
            "ignite:function/host.[static]body-stream.finish": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: { "ignite:function/host.body-stream": super::BodyStreamResource },
    });
}

pub(crate) use bindings::ignite::function::host as host_interface;
pub(crate) use bindings::ignite::function::types;
pub(crate) use bindings::{Function, FunctionPre};

/// Parts of a streamed answer that wait between guest and host; more wait in the body's own channel.
const STREAM_PARTS_MAX: usize = 1;

/// One part of a streamed answer.
pub(crate) enum Part {
    Data(Bytes),
    /// The body is complete.
    Finish,
}

/// The guest's handle on the body it streams.
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct BodyStreamResource(mpsc::Sender<Part>);

impl types::Host for State {}

impl host_interface::Host for State {
    fn log(&mut self, level: host_interface::Level, message: String, fields: String) -> wasmtime::Result<()> {
        let level = match level {
            host_interface::Level::Trace => "trace",
            host_interface::Level::Debug => "debug",
            host_interface::Level::Info => "info",
            host_interface::Level::Warn => "warn",
            host_interface::Level::Error => "error",
        };
        self.log.line(LogSource::Logger, level, &message, &fields);
        Ok(())
    }

    fn start_stream(
        &mut self,
        status: u16,
        headers: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Resource<BodyStreamResource>> {
        let refuse = |error| wasmtime::Error::new(Refused(error));
        let Some(head) = self.head.take() else {
            return Err(refuse(InvokeError::BadReply("it began to stream a second answer".into())));
        };
        let (status, headers) = answer_head(status, headers).map_err(refuse)?;
        let (sender, receiver) = mpsc::channel(STREAM_PARTS_MAX);
        // Where nobody takes the head the execution is being cancelled, and the first write says so.
        let _ = head.send(Head { status, headers, parts: Parts::Contract(receiver) });
        Ok(self.table.push(BodyStreamResource(sender))?)
    }
}

impl host_interface::HostBodyStream for State {
    async fn write(
        &mut self,
        stream: Resource<BodyStreamResource>,
        chunk: Vec<u8>,
    ) -> wasmtime::Result<Result<(), host_interface::Closed>> {
        let sender = self.table.get(&stream)?.0.clone();
        if chunk.is_empty() {
            return Ok(if sender.is_closed() { Err(host_interface::Closed::Cancelled) } else { Ok(()) });
        }
        Ok(sender.send(Part::Data(chunk.into())).await.map_err(|_| host_interface::Closed::Cancelled))
    }

    async fn finish(&mut self, stream: Resource<BodyStreamResource>) -> wasmtime::Result<()> {
        let BodyStreamResource(sender) = self.table.delete(stream)?;
        let _ = sender.send(Part::Finish).await;
        Ok(())
    }

    fn drop(&mut self, stream: Resource<BodyStreamResource>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

/// Room for the headers that the host adds.
const HOST_HEADERS: usize = 4;

/// Headers of one answer.
const HEADERS_MAX: usize = 1024;

/// Bytes of all names and values of an answer's headers.
const HEADER_BYTES_MAX: usize = 256 * 1024;

/// Status and headers as HTTP can carry them.
pub(crate) fn answer_head(
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
) -> Result<(StatusCode, HeaderMap), InvokeError> {
    let status = final_status(status)?;
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(InvokeError::BadReply(format!(
            "it has {} headers of {bytes} bytes; at most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes can be sent",
            headers.len()
        )));
    }
    let mut map = HeaderMap::with_capacity(headers.len() + HOST_HEADERS);
    for (name, value) in headers {
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            let name: String = name.chars().take(80).collect();
            return Err(InvokeError::BadReply(format!("{name:?} is not a header name")));
        };
        let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) else {
            return Err(InvokeError::BadReply(format!(
                "the value of the header `{parsed}` has bytes HTTP does not allow"
            )));
        };
        map.append(parsed, value);
    }
    Ok((status, map))
}

/// A status that ends an exchange.
pub(crate) fn final_status(status: u16) -> Result<StatusCode, InvokeError> {
    match StatusCode::from_u16(status) {
        Ok(code) if (200..600).contains(&status) => Ok(code),
        _ => Err(InvokeError::BadReply(format!("the status {status} is not between 200 and 599"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn heads_are_what_http_can_carry() {
        let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let (status, headers) =
            answer_head(299, vec![header("X-A", b"1"), header("x-a", b"\xff 2"), header("b", b"")]).unwrap();
        assert_eq!(status, 299);
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), [&b"1"[..], &b"\xff 2"[..]]);
        assert_eq!(headers["b"], "");

        for status in [0, 100, 101, 199, 600, 999, 1000, u16::MAX] {
            assert!(answer_head(status, Vec::new()).is_err(), "{status}");
        }
        for (name, value) in [("", &b"x"[..]), ("a b", b"x"), ("a", b"x\r\ny"), ("a", b"\0")] {
            assert!(answer_head(200, vec![header(name, value)]).is_err(), "{name:?} {value:?}");
        }
        // More than a header map can hold at all.
        let many = (0..40_000).map(|n| header(&format!("h{n}"), b"")).collect();
        assert!(answer_head(200, many).is_err());
        assert!(answer_head(200, vec![header("a", &[b'x'; HEADER_BYTES_MAX])]).is_err());
    }
}
