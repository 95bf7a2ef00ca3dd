//! Host processes on this machine: what goes beyond the contract of backends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ignite_control_deploy::local::LocalBackend;
use ignite_control_deploy::{Backend, Said};
use ignite_core_model::{AppSettings, Credential, Digest, Env, HostAddress, InstanceId, InstanceSpec, Secret, Tier};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::app::{APP, BROKEN, STUCK, Shelf, Vault};
use crate::contract::{Kind, Watch};
use crate::machine::{call, options, parents, processes, signal, until};
use crate::rows::spec;

/// A backend with real hosts, in a folder of its own.
pub(crate) struct LocalStage {
    pub(crate) backend: Arc<LocalBackend>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) folder: TempDir,
}

impl LocalStage {
    pub(crate) fn new(unhealthy_max: Duration) -> Self {
        Self::with(unhealthy_max, 0)
    }

    pub(crate) fn with(unhealthy_max: Duration, warm_per_runtime: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Arc::new(Shelf::new(&folder.path().join("artifacts")));
        let mut options = options(folder.path());
        options.probing.unhealthy_max = unhealthy_max;
        options.warm_per_runtime = warm_per_runtime;
        let vault = Arc::new(Vault::default());
        let backend = LocalBackend::new(options, Arc::clone(&shelf) as _, Arc::clone(&vault) as _).unwrap();
        Self { backend: Arc::new(backend), shelf, vault, folder }
    }

    pub(crate) fn spec(&self, kind: Kind, settings: AppSettings) -> Arc<InstanceSpec> {
        let handler = match kind {
            Kind::Good => APP,
            Kind::Broken => BROKEN,
            Kind::Stuck => STUCK,
        };
        Arc::new(spec(self.shelf.put(handler), 1, 1, settings))
    }

    pub(crate) fn good(&self) -> Arc<InstanceSpec> {
        self.spec(Kind::Good, AppSettings::default())
    }

    pub(crate) fn signal(&self, id: InstanceId, which: Signal) {
        signal(self.backend.process_id(id).unwrap(), which);
    }

    /// Processes of this stage that run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        processes(&self.folder.path().display().to_string())
    }

    /// Files and sockets of its hosts.
    pub(crate) fn files(&self) -> Vec<std::path::PathBuf> {
        let lives = std::fs::read_dir(self.folder.path().join("w")).into_iter().flatten().flatten();
        lives.flat_map(|life| std::fs::read_dir(life.path()).unwrap().flatten()).map(|entry| entry.path()).collect()
    }
}

fn with_env(variables: &[(&str, &str)]) -> AppSettings {
    let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    AppSettings { env: Env(env.collect()), ..AppSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_and_leaves_nothing() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    let address = watch.healthy(id).await;
    assert_eq!(call(&address, "/", "").await, Ok((200, "hello from acme/hello".to_owned())));
    let worker: u32 = call(&address, "/pid", "").await.unwrap().1.parse().unwrap();
    assert!(parents(worker).contains(&stage.backend.process_id(id).unwrap()));
    assert!(!stage.files().is_empty());
    stage.backend.drain(id);
    watch.ended(id).await;
    assert!(call(&address, "/", "").await.is_err(), "it answers");
    assert_eq!(stage.backend.process_id(id), None);
    assert_eq!(stage.files(), Vec::<std::path::PathBuf>::new());
    until("its worker has ended", || !crate::machine::is_alive(worker)).await;
    assert_eq!(stage.processes(), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_killed_leaves_nothing_and_is_told_of() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    let address = watch.healthy(id).await;
    let worker: u32 = call(&address, "/pid", "").await.unwrap().1.parse().unwrap();
    stage.signal(id, Signal::KILL);
    let line = watch.line(id, |line| line.stream == "host" && line.level == "error").await;
    assert!(line.text.contains("the host ended with signal: 9"), "{line:?}");
    watch.ended(id).await;
    assert_eq!(stage.files(), Vec::<std::path::PathBuf>::new());
    until("its worker has ended", || !crate::machine::is_alive(worker)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_calls_it_past_the_gateway() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    let HostAddress::Unix(socket) = watch.healthy(id).await else { panic!("it has a port") };
    let file = std::fs::metadata(&socket).unwrap();
    assert!(file.file_type().is_socket() && file.permissions().mode() & 0o077 == 0, "{file:?}");
    assert_eq!(crate::machine::ports(stage.backend.process_id(id).unwrap()), [""; 0]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = format!(":{:04X}", listener.local_addr().unwrap().port());
    let seen = crate::machine::ports(std::process::id());
    assert!(seen.iter().any(|address| address.ends_with(&own)), "what is looked for is seen: {seen:?}");
    stage.backend.drain(id);
    watch.ended(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_is_finished_when_it_drains() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    let address = watch.healthy(id).await;
    let held = tokio::spawn(async move { call(&address, "/hold", "700").await });
    watch.line(id, |line| line.text == "begun").await;
    stage.backend.drain(id);
    assert_eq!(held.await.unwrap(), Ok((200, "hello from acme/hello".to_owned())));
    watch.ended(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_that_of_the_tier() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let tier = |tier| AppSettings { tier, ..AppSettings::default() };
    let small = watch.start(&*stage.backend, 1, stage.spec(Kind::Good, tier(Tier::Small)));
    let medium = watch.start(&*stage.backend, 2, stage.spec(Kind::Good, tier(Tier::Medium)));
    let (small_at, medium_at) = (watch.healthy(small).await, watch.healthy(medium).await);
    assert_eq!(call(&medium_at, "/eat", "300").await, Ok((200, "300".to_owned())));
    let (status, body) = call(&small_at, "/eat", "2000").await.unwrap();
    assert_eq!(status, 502, "{body}");
    assert!(body.contains("256 MiB"), "{body}");
    // It serves again.
    until_answered(&small_at).await;
    for id in [small, medium] {
        stage.backend.drain(id);
        watch.ended(id).await;
    }
}

async fn until_answered(address: &HostAddress) {
    let answered = tokio::time::timeout(crate::rows::SOON, async {
        while call(address, "/", "").await.map(|(status, _)| status) != Ok(200) {
            tokio::task::yield_now().await;
        }
    });
    answered.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_reach_their_own_instance_only() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let one = watch.start(&*stage.backend, 1, stage.spec(Kind::Good, with_env(&[("COLOUR", "mauve of acme")])));
    let other = watch.start(&*stage.backend, 2, stage.spec(Kind::Good, with_env(&[("SHAPE", "round")])));
    let (one_at, other_at) = (watch.healthy(one).await, watch.healthy(other).await);
    let env = async |address: HostAddress| -> BTreeMap<String, String> {
        serde_json::from_str(&call(&address, "/env", "").await.unwrap().1).unwrap()
    };
    let (one_env, other_env) = (env(one_at).await, env(other_at).await);
    assert_eq!(one_env.get("COLOUR").map(String::as_str), Some("mauve of acme"));
    assert_eq!(other_env.get("SHAPE").map(String::as_str), Some("round"));
    assert!(!other_env.contains_key("COLOUR") && !one_env.contains_key("SHAPE"));
    // Cargo sets this one in a test: it is of this process, and handed to nobody.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!one_env.contains_key("CARGO_MANIFEST_DIR"), "{one_env:?}");
    // A host carries it in neither arguments nor environment.
    let host = stage.backend.process_id(one).unwrap();
    for file in ["cmdline", "environ"] {
        let shown = std::fs::read(format!("/proc/{host}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&shown).contains("mauve"), "{file} of the host shows it");
    }
    for id in [one, other] {
        stage.backend.drain(id);
        loop {
            match watch.next(id).await {
                Said::Line(line) => assert!(!line.text.contains("mauve"), "{line:?}"),
                Said::Ended { failed: None } => break,
                said => panic!("{said:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_can_be_a_secret() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let hub = Credential::Registry {
        username: "ada".to_owned(),
        password: Secret::new("hunter2".to_owned()),
        server_address: String::new(),
    };
    stage.vault.0.lock().unwrap().insert("hub".to_owned(), hub);
    let mut watch = Watch::new();
    let env = with_env(&[("PASSWORD", "secret://hub"), ("USERNAME", "secret://hub/username"), ("COLOUR", "mauve")]);
    let id = watch.start(&*stage.backend, 1, stage.spec(Kind::Good, env));
    let address = watch.healthy(id).await;
    let env: BTreeMap<String, String> = serde_json::from_str(&call(&address, "/env", "").await.unwrap().1).unwrap();
    let found = ["PASSWORD", "USERNAME", "COLOUR"].map(|name| env[name].as_str());
    assert_eq!(found, ["hunter2", "ada", "mauve"]);
    stage.backend.drain(id);
    watch.ended(id).await;

    let env = with_env(&[("ONE", "secret://missing"), ("TWO", "secret://hub/token"), ("THREE", "secret://hub")]);
    let id = watch.start(&*stage.backend, 2, stage.spec(Kind::Good, env));
    let Said::Ended { failed: Some(reason) } = watch.state(id).await else { panic!("it did not fail") };
    expect_test::expect![[r#"
        the variable `ONE` has no value: there is no secret `missing`
        the variable `TWO` has no value: the secret `hub` is a registry_secret and has no part `token`"#]]
    .assert_eq(&reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_is_not_there_is_named() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let missing = Digest::of(b"nothing");
    let id = watch.start(&*stage.backend, 1, Arc::new(spec(missing, 1, 1, AppSettings::default())));
    let Said::Ended { failed: Some(reason) } = watch.state(id).await else { panic!("it did not fail") };
    assert_eq!(reason, format!("the artifact could not be had: there is no artifact {missing}"));
    assert_eq!(stage.files(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_comes_back_is_ended() {
    let stage = LocalStage::new(Duration::from_millis(200));
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    watch.healthy(id).await;
    let host = stage.backend.process_id(id).unwrap();
    stage.signal(id, Signal::STOP);
    let Said::Unhealthy(_) = watch.state(id).await else { panic!("it is healthy") };
    let line = watch.line(id, |line| line.stream == "host" && line.level == "error").await;
    assert!(line.text.contains("it was ended because it was not healthy"), "{line:?}");
    watch.ended(id).await;
    assert!(!crate::machine::is_alive(host));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_the_backend() {
    let stage = LocalStage::with(Duration::from_secs(600), 1);
    let mut watch = Watch::new();
    let id = watch.start(&*stage.backend, 1, stage.good());
    watch.healthy(id).await;
    until("a warm host is up", || stage.backend.warm("python") == 1).await;
    let LocalStage { backend, folder, .. } = stage;
    drop(backend);
    let text = folder.path().display().to_string();
    until("no process is left", || processes(&text).is_empty()).await;
    until("no file is left", || std::fs::read_dir(folder.path().join("w")).unwrap().next().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Arc::new(Shelf::new(folder.path()));
    let good = Arc::new(spec(shelf.put(APP), 1, 1, AppSettings::default()));
    let mut options = options(folder.path());
    options.host_program = "/nowhere/ignite-host".into();
    let backend = LocalBackend::new(options.clone(), Arc::clone(&shelf) as _, Arc::new(Vault::default())).unwrap();
    let mut watch = Watch::new();
    let id = watch.start(&backend, 1, good);
    let Said::Ended { failed: Some(reason) } = watch.state(id).await else { panic!("it did not fail") };
    assert!(reason.contains("could not start /nowhere/ignite-host"), "{reason}");
    options.work_dir = folder.path().join("x".repeat(200));
    let refused = LocalBackend::new(options, shelf, Arc::new(Vault::default())).err().unwrap();
    assert!(refused.to_string().contains("too long"), "{refused}");
}
