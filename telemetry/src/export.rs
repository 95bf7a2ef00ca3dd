//! The thread that sends spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use ignite_core_model::TraceContext;
use serde_json::json;

use crate::span::{Entered, Span, attributes};
use crate::{TracerFault, TracerOptions};

/// Spans that may wait; further ones are dropped and counted.
const SPANS_WAITING_MAX: usize = 4096;

/// Spans of one request to the collector.
const BATCH_MAX: usize = 512;

/// Longest time a span waits for others.
const GATHER_MAX: Duration = Duration::from_secs(1);

/// Longest time for a request to the collector.
const SEND_MAX: Duration = Duration::from_secs(5);

/// Least time between two lines that say that the collector does not take spans.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Makes and sends spans, or does nothing.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Sending>>);

#[derive(Debug)]
struct Sending {
    spans: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Span(Box<Span>),
    Flush(SyncSender<()>),
}

impl Tracer {
    /// Makes no spans.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Sends spans as `options` say, from a thread of its own.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(options: TracerOptions) -> Result<Self, TracerFault> {
        let (spans, received) = sync_channel(SPANS_WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("span-sender".into())
            .spawn(move || send_all(&received, &options, &counted))
            .map_err(|error| TracerFault::Thread(error.to_string()))?;
        Ok(Self(Some(Arc::new(Sending { spans, dropped }))))
    }

    /// Whether spans are made.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A request comes in that says this of its trace. Without a collector, that is passed on as it is; a request that says
    /// nothing begins a trace in any case, because lines of logs name it.
    #[must_use]
    pub fn enter(&self, said: Option<TraceContext>) -> Entered {
        match said {
            Some(said) if self.is_on() => Entered { context: said.child(rand::random()), parent: Some(said.span) },
            Some(said) => Entered { context: said, parent: None },
            None => Entered { context: TraceContext::begin(rand::random(), rand::random()), parent: None },
        }
    }

    /// Sends a span some time, if its trace is to be kept and there is room. Never waits.
    pub fn export(&self, span: impl FnOnce() -> Span, of: &Entered) {
        let Some(sending) = &self.0 else { return };
        if !of.context.sampled {
            return;
        }
        if let Err(TrySendError::Full(_)) = sending.spans.try_send(Message::Span(Box::new(span()))) {
            sending.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Spans that were dropped: there was no room, or the collector did not take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |sending| sending.dropped.load(Ordering::Relaxed))
    }

    /// Waits until what was exported so far was sent, or `at_most`. Blocks.
    pub fn flush(&self, at_most: Duration) {
        let Some(sending) = &self.0 else { return };
        let (done, finished) = sync_channel(1);
        if sending.spans.try_send(Message::Flush(done)).is_ok() {
            let _ = finished.recv_timeout(at_most);
        }
    }
}

/// Until nobody can export any more.
fn send_all(received: &Receiver<Message>, options: &TracerOptions, dropped: &AtomicU64) {
    let config = ureq::Agent::config_builder().timeout_global(Some(SEND_MAX)).max_redirects(0);
    let agent: ureq::Agent = config.build().into();
    let mut complained: Option<Instant> = None;
    while let Ok(first) = received.recv() {
        let (batch, flush, open) = gather(first, received);
        if !batch.is_empty()
            && let Err(reason) = send(&agent, options, &batch)
        {
            dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
            if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                complained = Some(Instant::now());
                tracing::warn!(
                    endpoint = options.endpoint,
                    reason,
                    "the collector does not take spans; they are dropped"
                );
            }
        }
        if let Some(done) = flush {
            let _ = done.try_send(());
        }
        if !open {
            return;
        }
    }
}

/// Spans that come together; whether more may come.
fn gather(first: Message, received: &Receiver<Message>) -> (Vec<Span>, Option<SyncSender<()>>, bool) {
    let (mut batch, until) = (Vec::new(), Instant::now() + GATHER_MAX);
    let mut next = first;
    loop {
        match next {
            Message::Span(span) => batch.push(*span),
            Message::Flush(done) => return (batch, Some(done), true),
        }
        if batch.len() >= BATCH_MAX {
            return (batch, None, true);
        }
        match received.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(message) => next = message,
            Err(RecvTimeoutError::Timeout) => return (batch, None, true),
            Err(RecvTimeoutError::Disconnected) => return (batch, None, false),
        }
    }
}

fn send(agent: &ureq::Agent, options: &TracerOptions, batch: &[Span]) -> Result<(), String> {
    let resource = [
        ("service.namespace", "ignite"),
        ("service.name", options.service.as_str()),
        ("service.instance.id", options.instance.as_str()),
    ];
    let spans: Vec<serde_json::Value> = batch.iter().map(Span::to_json).collect();
    let body = json!({ "resourceSpans": [{
        "resource": { "attributes": attributes(resource.into_iter()) },
        "scopeSpans": [{ "scope": { "name": "ignite", "version": env!("CARGO_PKG_VERSION") }, "spans": spans }],
    }] });
    let mut request = agent.post(format!("{}/v1/traces", options.endpoint)).header("content-type", "application/json");
    for (name, value) in &options.headers {
        request = request.header(name, value.reveal());
    }
    request.send(body.to_string()).map(drop).map_err(|error| error.to_string())
}
