//! A real Postgres for tests.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ignite_core_model::Secret;
use ignite_store_meta::Location;
use tempfile::TempDir;

use crate::stage::eventually;

/// A server on a Unix socket in a folder of its own. It ends with the last test that uses it.
pub(crate) struct Postgres {
    server: Child,
    folder: TempDir,
}

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// The server of this process, started if none runs. Fails where Postgres is not installed: a skipped contract
    /// would hold nothing.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if let Some((uid, gid)) = ordinary_user() {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid)).unwrap();
            std::os::unix::fs::chown(&data, Some(uid), Some(gid)).unwrap();
        }
        let made = as_user("initdb")
            .args(["--username=ignite", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let server = as_user("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { server, folder }
    }

    /// An empty database.
    pub(crate) async fn create_database(&self) -> Location {
        let name = format!("case_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        eventually("Postgres answers", async || {
            let mut create = as_user("createdb");
            create.arg("-h").arg(self.folder.path()).args(["-U", "ignite", &name]).current_dir(self.folder.path());
            create.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success().then_some(())
        })
        .await;
        let url = format!("postgres:///{name}?host={}&user=ignite", self.folder.path().display());
        Location::Postgres(Secret::new(url))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: at once.
        let pid = rustix::process::Pid::from_child(&self.server);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.server.wait();
    }
}

/// Where its programs are: beside each other, and Debian puts only some of them on PATH.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("initdb")).find(|file| file.exists());
    if found.is_none() {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        found = versions.map(|version| version.path().join("bin/initdb")).find(|file| file.exists());
    }
    let initdb = found.expect("Postgres must be installed for these tests: `initdb` is not on PATH");
    initdb.canonicalize().unwrap().parent().unwrap().to_owned()
}

/// Postgres refuses to run as root, so root runs it as somebody else.
fn ordinary_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |wanted: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("an ordinary user to run Postgres as"))
}

fn as_user(program: &str) -> Command {
    let program: &Path = &programs().join(program);
    let Some((uid, gid)) = ordinary_user() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).args(["--clear-groups", "--"]).arg(program);
    command
}
