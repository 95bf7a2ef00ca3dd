//! The app that limits and faults are shown with, and executions that go on until a test ends them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ignite_tests::client::Client;
use ignite_tests::host::Host;
use ignite_tests::product::{compile, repository};
use tempfile::TempDir;

/// How long anything may take that should be done at once, on a machine that has much else to do.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The artifact of `tests/cases/apps/faults`, compiled once.
pub(crate) fn artifact() -> &'static Path {
    static ARTIFACT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = ARTIFACT.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = compile(&repository().join("tests/cases/apps/faults"), dir.path(), &[]).unwrap();
        (dir, path)
    });
    path
}

/// Serves it with these variables.
pub(crate) fn serve(env: &[(&str, &str)]) -> Host {
    Host::serve(artifact(), env).unwrap()
}

/// An execution id that no other test uses.
pub(crate) fn execution_id() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("01JD{:022}", LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// What executions wait for: a file that is not there yet.
pub(crate) struct Gate(TempDir);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> String {
        self.0.path().join("open").display().to_string()
    }

    /// Lets all go on.
    pub(crate) fn open(&self) {
        std::fs::write(self.path(), "").unwrap();
    }

    /// Sends a request that waits here, and returns when it does.
    pub(crate) fn enter(&self, host: &Host, headers: &str) -> AtGate {
        let id = execution_id();
        let mut client = Client::connect(host.address()).unwrap();
        let headers = format!("{headers}x-ignite-execution-id: {id}\r\n");
        client.request("POST", "/gate", &headers, self.path().as_bytes()).unwrap();
        let line = host.log_line(SOON, |line| line["execution_id"] == id.as_str() && line["message"] == "at the gate");
        let pid = line.unwrap()["pid"].as_u64().unwrap() as u32;
        AtGate { client, pid, id }
    }
}

/// An execution that runs, and whoever waits for its answer.
pub(crate) struct AtGate {
    pub(crate) client: Client,
    /// The worker's process.
    pub(crate) pid: u32,
    pub(crate) id: String,
}

/// Waits until `done` holds.
pub(crate) fn wait_until(what: &str, wait: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + wait;
    while !done() {
        assert!(Instant::now() < deadline, "not within {wait:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
