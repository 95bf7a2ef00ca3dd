//! A listener for operators, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use ignite_probes::{Answer, CONNECTIONS_MAX, metrics, serve, words};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Ample for anything here.
const SOON: Duration = Duration::from_secs(20);

struct Stage {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Stage {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(serve(listener, stop.clone(), |request| async move { answer(request.uri().path()) }));
        Self { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn answer(path: &str) -> Answer {
    match path {
        "/metrics" => metrics("# EOF\n"),
        "/readyz" => words(StatusCode::SERVICE_UNAVAILABLE, "waits for the store"),
        _ => words(StatusCode::NOT_FOUND, "no"),
    }
}

/// One exchange on a connection that stays open.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut said = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&said).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        if let (Some(length), Some(head)) = (length, text.find("\r\n\r\n"))
            && said.len() >= head + 4 + length
        {
            return text;
        }
        let read = timeout(SOON, stream.read_buf(&mut said)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed after {text:?}");
    }
}

#[tokio::test]
async fn what_a_service_answers_is_sent() {
    let stage = Stage::new().await;
    let mut stream = stage.connect().await;
    let page = ask(&mut stream, "/metrics").await;
    assert!(
        page.starts_with("http/1.1 200") && page.contains("application/openmetrics-text") && page.ends_with("# eof\n")
    );
    let ready = ask(&mut stream, "/readyz").await;
    assert!(ready.starts_with("http/1.1 503") && ready.ends_with("waits for the store"), "{ready}");
}

#[tokio::test]
async fn further_connections_wait_for_a_place() {
    let stage = Stage::new().await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = stage.connect().await;
        ask(&mut stream, "/").await;
        open.push(stream);
    }
    let mut further = stage.connect().await;
    let asked = ask(&mut further, "/metrics");
    tokio::pin!(asked);
    assert!(timeout(Duration::from_millis(100), &mut asked).await.is_err(), "there is no place");
    open.pop();
    assert!(asked.await.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn it_ends_with_all_its_connections() {
    let stage = Stage::new().await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = stage.connect().await;
        ask(&mut stream, "/").await;
        open.push(stream);
    }
    stage.stop.cancel();
    timeout(SOON, stage.task).await.unwrap().unwrap();
    for mut stream in open {
        assert_eq!(timeout(SOON, stream.read(&mut [0; 8])).await.unwrap().unwrap_or(0), 0);
    }
    assert!(TcpStream::connect(stage.address).await.is_err(), "nobody listens any more");
}
