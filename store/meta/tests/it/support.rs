//! Databases for tests, and short ways to fill them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use ignite_core_model::{Digest, FunctionId, HostLabel, JobId, Secret, VersionNumber};
use ignite_store_meta::{Change, Committed, Expected, Location, Meta, MetaOptions, NewJob, VersionRow};
use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;

/// A database of its own, gone when dropped.
pub(crate) struct Store {
    pub meta: Meta,
    pub location: Location,
    _folder: Option<TempDir>,
    _server: Option<Arc<Postgres>>,
}

impl Store {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("with space %41?.db"));
        let meta = Meta::open(&MetaOptions::new(location.clone())).await.unwrap();
        Self { meta, location, _folder: Some(folder), _server: None }
    }

    pub(crate) async fn postgres() -> Self {
        let server = Postgres::shared();
        let location = server.create_database().await;
        let meta = Meta::open(&MetaOptions::new(location.clone())).await.unwrap();
        Self { meta, location, _folder: None, _server: Some(server) }
    }
}

/// A Postgres server on a Unix socket in a folder of its own. It ends with the last test that uses it.
pub(crate) struct Postgres {
    server: Child,
    folder: TempDir,
}

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// Longest wait for the server to answer, and to end.
const SERVER_WAIT: Duration = Duration::from_secs(60);

impl Postgres {
    /// The server of this process, started if none runs. Fails where Postgres is not installed: a skipped contract
    /// would hold nothing.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server of the caller's own.
    pub(crate) fn start() -> Self {
        let folder = Self::initialised();
        let server = serve(folder.path(), &[]);
        Self { server, folder }
    }

    /// A server that is reached by TLS at `localhost` only, and its port.
    pub(crate) fn start_with_tls() -> (Self, u16) {
        let folder = Self::initialised();
        for (name, text) in
            [("server.crt", include_str!("tls/server.crt")), ("server.key", include_str!("tls/server.key"))]
        {
            let path = folder.path().join("data").join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((_, uid, gid)) = ordinary_user() {
                std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
            }
        }
        // Postgres takes no port 0. One that was free a moment ago is free but for a rare accident.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = ["ssl=on".to_owned(), "listen_addresses=127.0.0.1".to_owned(), format!("port={port}")];
        let server = serve(folder.path(), &arguments);
        (Self { server, folder }, port)
    }

    fn initialised() -> TempDir {
        let programs = programs();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let user = ordinary_user();
        if let Some((_, uid, gid)) = &user {
            std::os::unix::fs::chown(folder.path(), Some(*uid), Some(*gid)).unwrap();
            std::os::unix::fs::chown(&data, Some(*uid), Some(*gid)).unwrap();
        }
        let made = as_user(&user, &programs.join("initdb"))
            .args(["--username=ignite", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        folder
    }

    /// Ends the server at once, as a loss of power would.
    pub(crate) fn stop(&mut self) {
        // SIGQUIT: it does not tidy up.
        let pid = rustix::process::Pid::from_child(&self.server);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.server.wait();
    }

    /// Starts the server anew on what it has.
    pub(crate) fn start_again(&mut self) {
        self.server = serve(self.folder.path(), &[]);
    }

    /// An empty database.
    pub(crate) async fn create_database(&self) -> Location {
        let name = format!("case_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let began = Instant::now();
        let mut connection = loop {
            match sqlx::PgConnection::connect(&self.url("postgres")).await {
                Ok(connection) => break connection,
                Err(error) => {
                    let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                    assert!(began.elapsed() < SERVER_WAIT, "Postgres does not answer: {error}\n{log}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        connection.close().await.unwrap();
        Location::Postgres(Secret::new(self.url(&name)))
    }

    fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=ignite", self.folder.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(folder: &Path, settings: &[String]) -> Child {
    as_user(&ordinary_user(), &programs().join("postgres"))
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

/// Where `initdb` and `postgres` are: beside each other, and Debian puts only some of them on PATH.
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
fn ordinary_user() -> Option<(String, u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |wanted: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((wanted.to_owned(), fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("an ordinary user to run Postgres as"))
}

fn as_user(user: &Option<(String, u32, u32)>, program: &Path) -> Command {
    let Some((_, uid, gid)) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).args(["--clear-groups", "--"]).arg(program);
    command
}

/// A moment in 2024, and some after it.
pub(crate) const NOW: u64 = 1_716_900_000_000;

pub(crate) fn app(text: &str) -> FunctionId {
    text.parse().unwrap()
}

pub(crate) fn number(number: u32) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

pub(crate) fn job_id(number: u32) -> JobId {
    JobId::from_parts(NOW + u64::from(number), 1)
}

/// Makes an app and its organisation.
pub(crate) async fn make_app(meta: &Meta, id: &FunctionId) -> Committed {
    meta.create_organization(&id.organization(), NOW).await.unwrap();
    let change = Change { state: r#"{"made":true}"#.into(), ..Change::default() };
    meta.commit(id, &Expected::New(HostLabel::of(id)), &change, NOW).await.unwrap()
}

/// A change that only writes a state.
pub(crate) fn state(state: &str) -> Change {
    Change { state: state.into(), ..Change::default() }
}

pub(crate) fn version(app: &FunctionId, version: u32) -> VersionRow {
    VersionRow {
        app: app.clone(),
        number: number(version),
        created_ms: NOW,
        artifact: Some(Digest::of(&version.to_be_bytes())),
        snapshot: format!(r#"{{"number":{version}}}"#),
    }
}

pub(crate) fn job(id: u32, kind: &str) -> NewJob {
    NewJob {
        id: job_id(id),
        kind: kind.into(),
        app: None,
        payload: format!(r#"{{"job":{id}}}"#),
        attempts_max: 3,
        due_ms: NOW,
        ends_by_ms: NOW + 3_600_000,
    }
}
