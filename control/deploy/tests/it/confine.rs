//! What the kernel holds hosts to. A machine that cannot must say so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ignite_control_deploy::Backend;
use ignite_core_model::{AppSettings, Tier};

use crate::contract::{Kind, Watch};
use crate::local::LocalStage;
use crate::machine::{call, until};

/// The folder of a process's group that has the file `file`.
fn group(pid: u32, controller: &str, file: &str) -> Option<PathBuf> {
    let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let mount = match controllers {
            "" => "/sys/fs/cgroup".to_owned(),
            _ if controllers.split(',').any(|one| one == controller) => format!("/sys/fs/cgroup/{controllers}"),
            _ => return None,
        };
        let folder = Path::new(&mount).join(path.trim_start_matches('/'));
        folder.join(file).exists().then_some(folder)
    })
}

/// What the file says first: a number, or that there is no limit.
fn limit(folder: &Path, file: &str) -> String {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}

/// Whether the controller holds this process in a group of ours.
fn held(pid: u32, controller: &str, files: [&'static str; 2]) -> Option<(PathBuf, &'static str, String)> {
    files.into_iter().find_map(|file| {
        let folder = group(pid, controller, file)?;
        let ours = folder.file_name()?.to_str()?.starts_with("ignite-");
        ours.then(|| (folder.clone(), file, limit(&folder, file)))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_and_its_worker_are_held_to_their_tier() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let small = AppSettings { tier: Tier::Small, ..AppSettings::default() };
    let id = watch.start(&*stage.backend, 1, stage.spec(Kind::Good, small));
    let address = watch.healthy(id).await;
    let host = stage.backend.process_id(id).unwrap();
    let worker: u32 = call(&address, "/pid", "").await.unwrap().1.parse().unwrap();
    let lacking = stage.backend.lacking();
    let expected = [
        // 256 MiB for the app, and what the host itself takes.
        ("memory", ["memory.max", "memory.limit_in_bytes"], (256_u64 + 128) << 20),
        // A quarter of each tenth of a second.
        ("cpu", ["cpu.max", "cpu.cfs_quota_us"], 25_000),
        ("pids", ["pids.max", "pids.max"], 2048),
    ];
    let mut folders = Vec::new();
    for (controller, files, most) in expected {
        let told = lacking.iter().any(|line| line.contains(&format!("`{controller}`")));
        let (of_host, of_worker) = (held(host, controller, files), held(worker, controller, files));
        assert_eq!(of_host.is_none(), told, "{controller}: {of_host:?}, and said is {lacking:?}");
        assert_eq!(of_host, of_worker, "{controller}");
        if let Some((folder, file, found)) = of_host {
            assert_eq!(found, most.to_string(), "{file}");
            folders.push(folder);
        }
    }
    stage.backend.drain(id);
    watch.ended(id).await;
    until("its groups are gone", || !folders.iter().any(|folder| folder.exists())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_app_cannot_look_into_another() {
    let stage = LocalStage::new(Duration::from_secs(600));
    let mut watch = Watch::new();
    let one = watch.start(&*stage.backend, 1, stage.good());
    let other = watch.start(&*stage.backend, 2, stage.good());
    let (one_at, other_at) = (watch.healthy(one).await, watch.healthy(other).await);
    let told = stage.backend.lacking().iter().any(|line| line.contains("user namespace"));
    let worker = call(&other_at, "/pid", "").await.unwrap().1;
    let host = stage.backend.process_id(other).unwrap().to_string();
    let agent = std::process::id().to_string();
    for process in [worker, host, agent] {
        let seen = call(&one_at, "/look", &process).await.unwrap().1;
        let expected = if told { "PATH" } else { "PermissionError" };
        assert!(seen.contains(expected), "process {process}: {seen}");
    }
    // Each may look at itself.
    let own = call(&one_at, "/pid", "").await.unwrap().1;
    assert!(call(&one_at, "/look", &own).await.unwrap().1.contains("PATH"));
    for id in [one, other] {
        stage.backend.drain(id);
        watch.ended(id).await;
    }
}
