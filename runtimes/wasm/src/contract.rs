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

/// Status and headers as HTTP can carry them.
pub(crate) fn answer_head(
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
) -> Result<(StatusCode, HeaderMap), InvokeError> {
    let status = final_status(status)?;
    let mut map = HeaderMap::with_capacity(headers.len());
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
