//! A host that was up before it knew its app: from the order on its admin socket to the first right answer.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ignite_tests::product::binary;

use crate::cold::milliseconds;
use crate::contenders::{Contender, Prepared, Target, host_command};
use crate::generator::{Handler, Request};
use crate::server::{Server, ask};

/// Longest time until a warm host is up.
const UP_MAX: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Specialisations.
#[derive(Debug)]
pub(crate) struct Warm {
    /// From the order to the first right answer, in milliseconds.
    pub(crate) total_ms: Vec<f64>,
    /// Of it until the host said that the app is ready.
    pub(crate) ready_ms: Vec<f64>,
    /// Why the host could not use what it had up, where it said so.
    pub(crate) cold_because: Option<String>,
}

/// Starts warm hosts of the target's runtime and gives each its app.
///
/// # Errors
/// When the host cannot do that.
pub(crate) fn measure(contender: &Contender, prepared: &Prepared, target: Target, times: usize) -> Result<Warm> {
    let mut warm = Warm { total_ms: Vec::new(), ready_ms: Vec::new(), cold_because: None };
    let artifact = prepared.artifact.clone().context("it serves no artifact")?;
    for _ in 0..times {
        let runtime = match target {
            Target::Python => "python",
            Target::Deno => "deno",
            Target::Go => "go",
            Target::Rust => "rust",
            Target::Wasm | Target::WasiHttp => "wasm",
        };
        let host = binary("ignite-host")?;
        let command = move |place: &crate::server::Place| {
            let mut command = host_command(&host, place);
            command.args(["--warm", runtime, "--admin"]).arg(format!("unix:{}", place.socket().display()));
            command
        };
        let up = Prepared { version: String::new(), command: Box::new(command), files: Vec::new(), artifact: None };
        let mut server = Server::spawn(contender, &up, &[])?;
        let admin = server.work().join("server.sock");
        let asked = Instant::now();
        while !get(&admin, "GET /readyz", "")
            .is_ok_and(|answer| answer.starts_with("HTTP/1.1 ") && answer.contains("\"warm\""))
        {
            if asked.elapsed() > UP_MAX || server.ended() {
                bail!("the warm host is not up: {}", server.said());
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        let order = serde_json::json!({ "artifact": artifact.display().to_string() }).to_string();
        let ordered = Instant::now();
        let answer = get(&admin, "POST /specialize", &order)?;
        let ready = ordered.elapsed();
        ensure!(answer.starts_with("HTTP/1.1 200"), "{}", answer.split("\r\n\r\n").nth(1).unwrap_or(&answer));
        ask(&server.address, &mut Request::new(Handler::Hello, contender.dialect, contender.answers))?;
        warm.total_ms.push(milliseconds(ordered.elapsed()));
        warm.ready_ms.push(milliseconds(ready));
        let said =
            answer.split("\r\n\r\n").nth(1).and_then(|body| serde_json::from_str::<serde_json::Value>(body).ok());
        let because = said.and_then(|said| said["cold_because"].as_str().map(String::from));
        warm.cold_because = warm.cold_because.or(because);
    }
    Ok(warm)
}

/// One exchange on the admin socket.
fn get(admin: &Path, line: &str, body: &str) -> Result<String> {
    let mut stream = UnixStream::connect(admin)?;
    stream.set_read_timeout(Some(UP_MAX))?;
    let request = format!(
        "{line} HTTP/1.1\r\nhost: admin\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
