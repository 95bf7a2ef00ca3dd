//! An artifact that a host fetches itself, by a URL that names its digest.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use ignite_tests::client::ask;
use ignite_tests::host::Host;
use ignite_tests::product::binary;
use sha2::{Digest as _, Sha256};

use crate::app::artifact;

/// Serves these bytes at `/a`, half of them at `/cut`, and nothing elsewhere, to a few callers.
fn server(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().take(8).flatten() {
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, sent) = match path.as_str() {
                "/a" => ("200 OK", bytes.len()),
                "/cut" => ("200 OK", bytes.len() / 2),
                _ => ("404 Not Found", 0),
            };
            let length = if sent == 0 { 0 } else { bytes.len() };
            let mut stream = &stream;
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(&bytes[..sent]);
        }
    });
    address
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A host that is not expected to start.
fn refused(url: &str) -> Output {
    let work_dir = tempfile::tempdir().unwrap();
    Command::new(binary("ignite-host").unwrap())
        .args(["--artifact", url, "--host", "127.0.0.1", "--port", "0", "--admin", "off"])
        .env("IGNITE_WORK_DIR", work_dir.path())
        .env("IGNITE_CACHE_DIR", work_dir.path().join("cache"))
        .output()
        .unwrap()
}

#[test]
fn an_artifact_is_fetched_and_is_the_one_that_was_named() {
    let bytes = fs::read(artifact()).unwrap();
    let (digest, address) = (hex(&bytes), server(bytes));
    let cache = tempfile::tempdir().unwrap();
    let cache_dir = cache.path().to_str().unwrap();
    let url = format!("http://{address}/a#sha256={digest}");
    let host = Host::serve(Path::new(&url), &[("IGNITE_CACHE_DIR", cache_dir)]).unwrap();
    let answer = ask(host.address(), "GET", "/healthz", "", b"").unwrap();
    assert_eq!(answer.status, 200);
    for (url, says) in [
        (format!("http://{address}/a#sha256={}", "0".repeat(64)), "digest"),
        (format!("http://{address}/cut#sha256={digest}"), ""),
        (format!("http://{address}/nothing#sha256={digest}"), "404"),
        (format!("http://{address}/a"), "sha256"),
        ("http://127.0.0.1:1/a#sha256=".to_owned() + &digest, ""),
    ] {
        let output = refused(&url);
        let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "{url} was served");
        assert!(words.contains("error") && words.contains(says), "{url}: {words}");
    }
}
