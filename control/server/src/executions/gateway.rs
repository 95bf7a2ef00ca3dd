//! The way to apps: HTTP to the gateway, with the app's own hostname and the platform's key.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use ignite_core_model::{EXECUTION_ID_HEADER, ExecutionId, Fault, FunctionId, HostLabel, PLATFORM_KEY_HEADER, Secret};

use super::Call;
use super::send::{AnswerBody, SendError, send};

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
        let answer = send(&self.0.address, request).await.map_err(|error| match error {
            SendError::NotDelivered(cause) => GatewayCallError::NotDelivered(cause),
            SendError::BrokenOff(cause) => GatewayCallError::BrokenOff(cause),
        })?;
        // A gateway that knows the key takes the id, and says so.
        let taken = answer.headers().get(EXECUTION_ID_HEADER).and_then(|value| value.to_str().ok());
        if taken != Some(id.to_string().as_str()) {
            return Err(GatewayCallError::Stranger);
        }
        Ok(answer)
    }

    /// The hostname of an app.
    pub(crate) fn host(&self, app: &FunctionId) -> String {
        format!("{}.{}", HostLabel::of(app), self.0.base_domain)
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
        let host = value(self.host(app))?;
        let mut key = value(self.0.key.reveal().clone())?;
        key.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(header::HOST, host);
        headers.insert(PLATFORM_KEY_HEADER, key);
        headers.insert(EXECUTION_ID_HEADER, value(id.to_string())?);
        Ok(request)
    }
}
