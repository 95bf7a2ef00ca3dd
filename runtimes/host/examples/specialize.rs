//! Measures how long a warm host takes from the call that specialises it to its first answer.
//!
//! `cargo run --release -p ignite-runtimes-host --example specialize -- [--rounds N] [--cold] HOST RUNTIME ARTIFACT`
//!
//! `HOST` is the `ignite-host` binary. With `--cold` the same is measured for a host that is started with the artifact: from
//! the start of the process to the first answer. Prints one line of JSON: medians, in milliseconds.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people who measure")]

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PAYLOAD: &str = r#"{"name":"Ada"}"#;

/// A host; killed at the end.
struct Host {
    child: Child,
    /// stdout, kept open.
    _lines: BufReader<std::process::ChildStdout>,
    address: String,
    admin: String,
}

impl Host {
    fn start(program: &Path, arguments: &[&str], work_dir: &Path) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .env("PORT", "0")
            .env("IGNITE_LISTEN_HOST", "127.0.0.1")
            .env("IGNITE_WORK_DIR", work_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let listening = next_line(&mut lines, "listening");
        let text = |name: &str| listening[name].as_str().unwrap().to_owned();
        let (address, admin) = (text("address"), text("admin").trim_start_matches("unix:").to_owned());
        Self { child, _lines: lines, address, admin }
    }

    fn wait_for(&mut self, message: &str) -> Value {
        next_line(&mut self._lines, message)
    }

    fn specialize(&self, artifact: &str) -> Value {
        let body = json!({ "artifact": artifact, "function_id": "local/hello" }).to_string();
        let mut stream = UnixStream::connect(&self.admin).unwrap();
        let head = format!(
            "POST /specialize HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Asks once on a connection that is open already; gives the time until the answer's status.
    fn ask(&self, stream: &mut TcpStream) {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            PAYLOAD.len()
        );
        stream.write_all((head + PAYLOAD).as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn next_line(lines: &mut impl std::io::BufRead, message: &str) -> Value {
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the host ended before it said `{message}`");
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        if value["message"] == message {
            return value;
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    (figures[figures.len() / 2] * 100.0).round() / 100.0
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let cold = arguments.iter().position(|argument| argument == "--cold").map(|at| arguments.remove(at)).is_some();
    let rounds = match arguments.iter().position(|argument| argument == "--rounds") {
        Some(at) => {
            arguments.remove(at);
            arguments.remove(at).parse().unwrap()
        }
        None => 15,
    };
    let [program, runtime, artifact] = &arguments[..] else { panic!("HOST RUNTIME ARTIFACT") };
    let (program, artifact) = (PathBuf::from(program), std::fs::canonicalize(artifact).unwrap());
    let artifact = artifact.to_str().unwrap();
    let work_dir = std::env::temp_dir().join(format!("ignite-specialize-{}", std::process::id()));
    std::fs::create_dir_all(&work_dir).unwrap();
    let mut columns: [Vec<f64>; 4] = Default::default();
    let mut last = Value::Null;
    for round in 0..=rounds {
        let (total, phases) = if cold {
            let begun = Instant::now();
            let host = Host::start(&program, &["--artifact", artifact], &work_dir);
            let listening = begun.elapsed();
            host.ask(&mut TcpStream::connect(&host.address).unwrap());
            (begun.elapsed(), [ms(listening), 0.0, 0.0])
        } else {
            let mut host = Host::start(&program, &["--warm", runtime], &work_dir);
            host.wait_for("warm");
            let mut stream = TcpStream::connect(&host.address).unwrap();
            stream.set_nodelay(true).unwrap();
            let begun = Instant::now();
            last = host.specialize(artifact);
            let specialized = begun.elapsed();
            host.ask(&mut stream);
            let total = begun.elapsed();
            (
                total,
                [last["artifact_ms"].as_f64().unwrap(), last["start_ms"].as_f64().unwrap(), ms(total - specialized)],
            )
        };
        // The first fills the caches.
        if round > 0 {
            columns[0].push(ms(total));
            for (column, phase) in columns[1..].iter_mut().zip(phases) {
                column.push(phase);
            }
        }
    }
    let worst = columns[0].iter().copied().fold(0.0, f64::max);
    let best = columns[0].iter().copied().fold(f64::INFINITY, f64::min);
    let [total, first, second, third] = columns.map(median);
    let answer = if cold {
        json!({ "runtime": runtime, "cold_ms": total, "listening_ms": first, "best_ms": best, "worst_ms": worst })
    } else {
        json!({ "runtime": runtime, "first_answer_ms": total, "artifact_ms": first, "start_ms": second,
                "request_ms": third, "best_ms": best, "worst_ms": worst, "last": last })
    };
    println!("{answer}");
    let _ = std::fs::remove_dir_all(work_dir);
}
