//! One request on a connection of its own, which closes when its answer is dropped: so who goes away cancels the execution.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ignite_core_model::HostAddress;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::task::AbortOnDropHandle;

/// Longest time for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Why a request was not answered.
pub(crate) enum SendError {
    /// Nothing was begun.
    NotDelivered(Box<dyn std::error::Error + Send + Sync>),
    /// It may have begun.
    BrokenOff(Box<dyn std::error::Error + Send + Sync>),
}

/// Sends a request to `host:port`, or to a [`HostAddress`] as it is written, and waits for the head of its answer.
pub(crate) async fn send(address: &str, request: Request<Full<Bytes>>) -> Result<Response<AnswerBody>, SendError> {
    let connected = tokio::time::timeout(CONNECT_MAX, async {
        match address.parse() {
            Ok(HostAddress::Unix(path)) => begin(UnixStream::connect(path).await?).await,
            // The name of a host, where it is no address.
            Ok(HostAddress::Tcp(_)) | Err(_) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                begin(stream).await
            }
        }
    });
    let (mut sender, connection) = match connected.await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(SendError::NotDelivered(error.into())),
        Err(elapsed) => return Err(SendError::NotDelivered(elapsed.into())),
    };
    let answer = sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
        Some(_) => SendError::NotDelivered(error.into_error().into()),
        None => SendError::BrokenOff(error.into_error().into()),
    })?;
    Ok(answer.map(|inner| AnswerBody { inner, _connection: connection }))
}

async fn begin(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> std::io::Result<(SendRequest<Full<Bytes>>, AbortOnDropHandle<()>)> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    let driver = tokio::spawn(async move {
        // Its faults are those of its one request.
        let _ = connection.await;
    });
    Ok((sender, AbortOnDropHandle::new(driver)))
}

/// The body of an answer. While it is there, so is its connection.
pub struct AnswerBody {
    inner: Incoming,
    _connection: AbortOnDropHandle<()>,
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnswerBody").finish()
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
