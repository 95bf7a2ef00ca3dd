//! `ignite invoke`: what it sends, what it passes on, and how it ends.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ignite_tests::cli::{Said, command, ignite, said};

/// What the server of one request got: head and body.
type Got = (String, Vec<u8>);

/// Answers one request with `answer` and gives what it got.
fn server(answer: Vec<u8>) -> (String, JoinHandle<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/path?query=1", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut got = Vec::new();
        let mut part = [0; 4096];
        let end = loop {
            if let Some(end) = got.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            let count = stream.read(&mut part).unwrap();
            assert!(count > 0, "the request ended within its head");
            got.extend_from_slice(&part[..count]);
        };
        let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        let mut body = got.split_off(end + 4);
        while body.len() < length {
            let count = stream.read(&mut part).unwrap();
            assert!(count > 0, "the request ended within its body");
            body.extend_from_slice(&part[..count]);
        }
        stream.write_all(&answer).unwrap();
        (head, body)
    });
    (url, serving)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Invokes a server that answers with `answer`.
fn invoke(reply: Vec<u8>, words: &[&str], input: Option<&[u8]>) -> (Said, Got) {
    let (url, serving) = server(reply);
    let mut command = command(Path::new("."), &[&["invoke", "--url", &url], words].concat()).unwrap();
    let output = match input {
        None => command.output().unwrap(),
        Some(input) => {
            use std::process::Stdio;
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(input).unwrap();
            child.wait_with_output().unwrap()
        }
    };
    (said(output), serving.join().unwrap())
}

#[test]
fn the_exit_code_tells_who_failed() {
    for (status, code) in [
        ("200 OK", 0),
        ("302 Found", 0),
        ("400 Bad Request", 1),
        ("401 Unauthorized", 3),
        ("403 Forbidden", 4),
        ("404 Not Found", 5),
        ("429 Too Many Requests", 7),
        ("500 Internal Server Error", 1),
        ("503 Service Unavailable", 9),
        ("504 Gateway Timeout", 8),
    ] {
        let headers = "x-ignite-execution-id: 01J\r\nlocation: /elsewhere\r\n";
        let (said, _) = invoke(answer(status, headers, b"why"), &["-p", "{}"], None);
        assert_eq!((said.code, said.text().as_str()), (code, "why"), "{status}: {}", said.stderr);
        assert!(said.stderr.contains(&format!("status {status}  execution 01J")), "{}", said.stderr);
    }
}

#[test]
fn bodies_pass_unchanged_both_ways() {
    let bytes: Vec<u8> = (0..200_000).map(|index| (index % 256) as u8).collect();
    let (said, (head, body)) = invoke(answer("200 OK", "", &bytes), &["--payload-file", "-"], Some(&bytes));
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout == bytes && body == bytes);
    assert!(head.starts_with("post /path?query=1 http/1.1"), "{head}");
    assert!(head.contains("content-type: application/octet-stream"), "{head}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("payload.json");
    std::fs::write(&file, "{\"a\": 1}\n").unwrap();
    let (_, (head, body)) = invoke(answer("200 OK", "", b""), &["--payload-file", file.to_str().unwrap()], None);
    assert_eq!(body, b"{\"a\": 1}\n");
    assert!(head.contains("content-type: application/json"), "{head}");
}

#[test]
fn method_and_headers_are_the_persons() {
    let words = ["-X", "PUT", "-H", "X-A: one", "-H", "x-a: two", "-H", "Content-Type: text/x", "-p", "\"text\""];
    let (said, (head, body)) = invoke(answer("200 OK", "", b""), &words, None);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(head.starts_with("put /path"), "{head}");
    assert!(head.contains("x-a: one") && head.contains("x-a: two"), "{head}");
    assert_eq!(head.matches("content-type").count(), 1, "{head}");
    assert!(head.contains("content-type: text/x"), "{head}");
    assert_eq!(body, b"\"text\"");
    let (said, (head, body)) = invoke(answer("204 No Content", "", b""), &["-X", "GET"], None);
    assert_eq!((said.code, body.len()), (0, 0), "{}", said.stderr);
    assert!(head.starts_with("get /path") && !head.contains("content-type"), "{head}");
}

#[test]
fn an_answer_that_breaks_off_is_not_a_success() {
    let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    let (said, _) = invoke(broken, &[], None);
    assert_eq!((said.code, said.text().as_str()), (9, "half"), "{}", said.stderr);
    assert!(said.stderr.contains("broken off"), "{}", said.stderr);
}

#[test]
fn a_server_that_is_silent_is_waited_for_no_longer_than_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let said = ignite(Path::new("."), &["invoke", "--url", &url, "--timeout-secs", "1"]).unwrap();
    assert_eq!(said.code, 8, "{}", said.stderr);
    assert!(said.stderr.contains("--timeout-secs"), "{}", said.stderr);
    drop(listener);
    let said = ignite(Path::new("."), &["invoke", "--url", &url]).unwrap();
    assert_eq!(said.code, 9, "{}", said.stderr);
    assert!(said.stderr.contains(&url) && said.stderr.contains("ignite run"), "{}", said.stderr);
}

#[test]
fn mistakes_are_told_before_anything_is_sent() {
    for words in [
        &["-p", "{"][..],
        &["-p", "{}", "--payload-file", "-"],
        &["--payload-file", "/nonexistent"],
        &["-H", "no colon"],
        &["-H", "bad name: x"],
        &["-X", "A B"],
        &["--url", "not an address"],
        &["--url", "ftp://127.0.0.1/"],
        &["--timeout-secs", "soon"],
    ] {
        let said = ignite(Path::new("."), &[&["invoke"], words].concat()).unwrap();
        assert_eq!((said.code, said.text().as_str()), (2, ""), "{words:?}: {}", said.stderr);
    }
}
