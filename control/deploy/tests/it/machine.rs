//! This machine: hosts, processes, requests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use ignite_control_deploy::local::{Confine, LocalOptions, Probing};
use ignite_core_model::HostAddress;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;

use crate::rows::SOON;

/// The host, built with this test or before it.
pub(crate) fn host_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let beside = test.ancestors().skip(1).take(2).map(Path::to_owned);
    let built = beside.chain(["release", "debug"].map(|profile| target.join(profile)));
    let found = built.map(|folder| folder.join("ignite-host")).find(|path| path.is_file());
    found.expect("`ignite-host` is built: run `cargo build --release -p ignite-runtimes-host`")
}

/// Options for a backend below `folder` that finds faults soon.
pub(crate) fn options(folder: &Path) -> LocalOptions {
    let handed = ["PATH", "HOME", "IGNITE_PYTHON", "PYENV_ROOT"];
    LocalOptions {
        host_program: host_program(),
        work_dir: folder.join("w"),
        cache_dir: folder.join("cache"),
        warm_per_runtime: 0,
        start_max: SOON,
        drain_max: Duration::from_secs(10),
        probing: Probing {
            every: Duration::from_millis(50),
            answer_max: Duration::from_millis(500),
            failed_max: 2,
            unhealthy_max: Duration::from_secs(600),
        },
        confine: Confine::WherePossible,
        env: handed.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect(),
    }
}

/// Calls an instance: status and body.
pub(crate) async fn call(address: &HostAddress, path: &str, body: &str) -> Result<(u16, String), String> {
    call_with(address, path, body, &[]).await
}

/// Calls an instance with headers.
pub(crate) async fn call_with(
    address: &HostAddress,
    path: &str,
    body: &str,
    headers: &[(&str, &str)],
) -> Result<(u16, String), String> {
    let HostAddress::Unix(socket) = address else { panic!("{address} is open to the whole machine") };
    let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let body = Full::new(Bytes::from(body.to_owned()));
    let mut request = Request::post(path).header("host", "app");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body).unwrap();
    let answer = tokio::time::timeout(SOON, sender.send_request(request)).await.map_err(|_| "no answer".to_owned())?;
    let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

/// Where a process listens for TCP, as the system writes addresses.
pub(crate) fn ports(pid: u32) -> Vec<String> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let sockets: Vec<String> = open
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let mut ports = Vec::new();
    for table in ["tcp", "tcp6"] {
        for line in std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, state, socket) = (fields[1], fields[3], fields[9]);
            // TCP_LISTEN of the kernel's.
            if state == "0A" && sockets.iter().any(|own| own == socket) {
                ports.push(address.to_owned());
            }
        }
    }
    ports
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Processes that have `text` in their arguments and have not ended.
pub(crate) fn processes(text: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(text)
    };
    pids.filter(|pid| *pid != std::process::id() && has(pid) && is_alive(*pid)).collect()
}

/// Whether there is such a process, and it is not one that only waits to be reaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The parent, grandparent and so on.
pub(crate) fn parents(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut at = pid;
    while at > 1 {
        let stat = std::fs::read_to_string(format!("/proc/{at}/stat")).unwrap_or_default();
        let parent =
            stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let Some(parent) = parent else { break };
        found.push(parent);
        at = parent;
    }
    found
}

/// Waits until `holds`.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "it did not come to this: {what}");
}
