//! A real Postgres.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A Postgres server on a Unix socket in a folder of its own.
pub struct Postgres {
    server: Child,
    folder: TempDir,
}

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// Longest wait for the server to answer.
const SERVER_WAIT: Duration = Duration::from_secs(60);

/// Pause between two tries.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Postgres {
    /// The server of this process, started if none runs. It ends with the last test that uses it.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server of the caller's own.
    #[must_use]
    pub fn start() -> Self {
        let folder = initialised();
        let server = serve(folder.path(), &[]);
        Self { server, folder }
    }

    /// A server that is reached by TLS at `localhost` only, with this certificate and key in PEM, and its port.
    #[must_use]
    pub fn start_with_tls(certificate: &str, key: &str) -> (Self, u16) {
        let folder = initialised();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = folder.path().join("data").join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            give_to_user(&path);
        }
        // Postgres takes no port 0. One that was free a moment ago is free but for a rare accident.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = ["ssl=on".to_owned(), "listen_addresses=127.0.0.1".to_owned(), format!("port={port}")];
        let server = serve(folder.path(), &settings);
        (Self { server, folder }, port)
    }

    /// Ends the server at once, as a loss of power would.
    pub fn stop(&mut self) {
        // SIGQUIT: it does not tidy up.
        let pid = rustix::process::Pid::from_child(&self.server);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.server.wait();
    }

    /// Starts the server anew on what it has.
    pub fn start_again(&mut self) {
        self.server = serve(self.folder.path(), &[]);
    }

    /// Makes an empty database, and gives its URL.
    #[must_use]
    pub fn create_database(&self) -> String {
        let name = format!("case_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let began = Instant::now();
        loop {
            let mut create = as_user("createdb");
            create.arg("-h").arg(self.folder.path()).args(["-U", "ignite", &name]);
            let made = create.current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap();
            if made.status.success() {
                return format!("postgres:///{name}?host={}&user=ignite", self.folder.path().display());
            }
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let said = String::from_utf8_lossy(&made.stderr);
            assert!(began.elapsed() < SERVER_WAIT, "Postgres makes no database: {said}\n{}", log());
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A folder with a new cluster in it.
fn initialised() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    give_to_user(folder.path());
    give_to_user(&data);
    let made = as_user("initdb")
        .args(["--username=ignite", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
        .arg(&data)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    folder
}

fn serve(folder: &Path, settings: &[String]) -> Child {
    as_user("postgres")
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        // Durability of the server itself is not what is tested.
        .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"])
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap()
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

fn give_to_user(path: &Path) {
    if let Some((uid, gid)) = ordinary_user() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    }
}

fn as_user(program: &str) -> Command {
    let program: &Path = &programs().join(program);
    let Some((uid, gid)) = ordinary_user() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).args(["--clear-groups", "--"]).arg(program);
    command
}
