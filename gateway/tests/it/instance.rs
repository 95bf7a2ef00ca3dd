//! A stand-in for an instance: answers over real sockets and tells what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

/// What an instance was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Bytes,
}

pub(crate) struct FakeInstance {
    pub(crate) address: SocketAddr,
    pub(crate) asked: mpsc::UnboundedReceiver<Asked>,
    /// Requests at once, the most there ever were.
    pub(crate) peak: Arc<AtomicU32>,
    /// While this is armed, answers wait for it.
    pub(crate) hold: Arc<Hold>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
pub(crate) struct Hold {
    armed: std::sync::atomic::AtomicBool,
    notify: Notify,
}

impl Hold {
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.armed.store(false, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    async fn pass(&self) {
        loop {
            let notified = self.notify.notified();
            if !self.armed.load(Ordering::SeqCst) {
                return;
            }
            notified.await;
        }
    }
}

impl FakeInstance {
    pub(crate) async fn start(words: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::unbounded_channel();
        let (now, peak, hold) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), Arc::new(Hold::default()));
        let shared = (now, Arc::clone(&peak), Arc::clone(&hold));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tell, shared) = (tell.clone(), shared.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| {
                        let (tell, (now, peak, hold)) = (tell.clone(), shared.clone());
                        async move {
                            let running = now.fetch_add(1, Ordering::SeqCst) + 1;
                            peak.fetch_max(running, Ordering::SeqCst);
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                            let _ = tell.send(Asked { head, body });
                            hold.pass().await;
                            now.fetch_sub(1, Ordering::SeqCst);
                            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(words.as_bytes()))))
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, asked, peak, hold, task }
    }

    /// Takes no more connections. Those there are go on.
    pub(crate) fn close(&self) {
        self.task.abort();
    }
}
