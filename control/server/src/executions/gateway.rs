//! The way to apps: HTTP to the gateway, with the app's own hostname and the platform's key.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ignite_core_model::{EXECUTION_ID_HEADER, ExecutionId, Fault, FunctionId, HostLabel, PLATFORM_KEY_HEADER, Secret};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::Call;

/// Longest time for a connection to the gateway.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Where the gateway is, and how it knows this control plane.
#[derive(Debug, Clone)]
pub struct GatewayClientOptions {
    /// `host:port` of its public listener.
    pub address: String,
    /// Hostnames are `<app>-<org>.` and this.
    pub base_domain: String,
    /// The key that the gateway was given too. Visible ASCII; make it long and random.
    pub key: Secret<String>,
}

/// Calls apps through the gateway.
#[derive(Clone)]
pub struct GatewayClient(Arc<GatewayClientOptions>);

/// Why the gateway has not answered a call.
#[derive(Debug, thiserror::Error)]
pub enum GatewayCallError {
    /// It was not reached: nothing was begun.
    #[error("the gateway could not be reached")]
    NotDelivered(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was reached and went away before it answered: the execution may have begun.
    #[error("the gateway ended before it answered")]
    BrokenOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It does not know the platform's key.
    #[error("the gateway does not take the platform's key: give both the same one")]
    Stranger,
}

impl GatewayCallError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotDelivered(_) | Self::BrokenOff(_) => Fault::Busy,
            Self::Stranger => Fault::Internal,
        }
    }
}

impl GatewayClient {
    /// A client of one gateway, or of whatever spreads calls over several.
    #[must_use]
    pub fn new(options: GatewayClientOptions) -> Self {
        Self(Arc::new(options))
    }

    /// Sends a call and waits for the head of its answer. Each has a connection of its own: when the answer is dropped it
    /// closes, and so the execution is cancelled.
    pub(crate) async fn call(
        &self,
        app: &FunctionId,
        id: ExecutionId,
        call: &Call,
        body: Bytes,
    ) -> Result<Response<AnswerBody>, GatewayCallError> {
        let request = self.request(app, id, call, body)?;
        let connected = tokio::time::timeout(CONNECT_MAX, async {
            let stream = TcpStream::connect(&self.0.address).await?;
            stream.set_nodelay(true)?;
            http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)
        });
        let (mut sender, connection) = match connected.await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(GatewayCallError::NotDelivered(error.into())),
            Err(elapsed) => return Err(GatewayCallError::NotDelivered(elapsed.into())),
        };
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // Its faults are those of its one request.
            let _ = connection.await;
        }));
        let answer = sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(_) => GatewayCallError::NotDelivered(error.into_error().into()),
            None => GatewayCallError::BrokenOff(error.into_error().into()),
        })?;
        // A gateway that knows the key takes the id, and says so.
        let taken = answer.headers().get(EXECUTION_ID_HEADER).and_then(|value| value.to_str().ok());
        if taken != Some(id.to_string().as_str()) {
            return Err(GatewayCallError::Stranger);
        }
        Ok(answer.map(|inner| AnswerBody { inner, _connection: connection }))
    }

    fn request(
        &self,
        app: &FunctionId,
        id: ExecutionId,
        call: &Call,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, GatewayCallError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.target.clone().into();
        *request.headers_mut() = call.headers.clone();
        let value =
            |text: String| HeaderValue::try_from(text).map_err(|error| GatewayCallError::NotDelivered(error.into()));
        let host = value(format!("{}.{}", HostLabel::of(app), self.0.base_domain))?;
        let mut key = value(self.0.key.reveal().clone())?;
        key.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(header::HOST, host);
        headers.insert(PLATFORM_KEY_HEADER, key);
        headers.insert(EXECUTION_ID_HEADER, value(id.to_string())?);
        Ok(request)
    }
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
