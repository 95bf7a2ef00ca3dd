//! What a broken database looks like from outside, and that it can be mended.

use std::path::Path;

use ignite_core_model::{Fault, Secret};
use ignite_store_meta::{EVENT_BOUNDS, Expected, Line, Location, Meta, MetaError, MetaOptions};
use ignite_store_testing::Postgres;
use rustix::mount::{MountFlags, UnmountFlags};
use sqlx::{Connection as _, Executor as _};

use crate::support::{NOW, Store, app, make_app, new_database, state};

#[tokio::test]
async fn a_closed_database_is_told_as_such() {
    let store = Store::sqlite().await;
    store.meta.close().await;
    let error = store.meta.ping().await.unwrap_err();
    assert!(matches!(error, MetaError::Closed), "{error:?}");
    assert_eq!(error.fault(), Fault::Busy);
    assert!(matches!(store.meta.create_organization(&"acme".parse().unwrap(), NOW).await, Err(MetaError::Closed)));
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Location::Sqlite(folder.path().join("no/such/folder.db"));
    let error = Meta::open(&MetaOptions::new(missing)).await.unwrap_err();
    assert!(matches!(error, MetaError::File { .. }), "{error:?}");
    let text = folder.path().join("text");
    std::fs::write(&text, "this is not a database, and it is long enough to be read as one\n".repeat(20)).unwrap();
    let error = Meta::open(&MetaOptions::new(Location::Sqlite(text))).await.unwrap_err();
    assert!(matches!(error, MetaError::Database(_)), "{error:?}");

    let url = |url: &str| Location::Postgres(Secret::new(url.to_owned()));
    let error = Meta::open(&MetaOptions::new(url("hunter2 is no url"))).await.unwrap_err();
    let chain = format!("{error:?} {error}");
    assert!(chain.contains("postgres://") && !chain.contains("hunter2"), "{chain}");
    let away = format!("postgres:///d?host={}&user=u", folder.path().display());
    let error = Meta::open(&MetaOptions { acquire_ms_max: 300, ..MetaOptions::new(url(&away)) }).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Busy, "{error:?}");
}

#[tokio::test]
async fn the_file_is_its_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let store = Store::sqlite().await;
    let Location::Sqlite(path) = &store.location else { panic!("a file") };
    make_app(&store.meta, &app("acme/hello")).await;
    for end in ["", "-wal", "-shm"] {
        let mut name = path.clone().into_os_string();
        name.push(end);
        let mode = Path::new(&name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{end}");
    }
}

/// A disk of its own, which only root can make: where tests run as somebody else the kernel is asked in vain.
fn small_disk(folder: &Path) -> bool {
    match rustix::mount::mount("tmpfs", folder, "tmpfs", MountFlags::empty(), Some(c"size=1m")) {
        Ok(()) => true,
        Err(error) => {
            assert!(!rustix::process::geteuid().is_root(), "root can mount: {error}");
            false
        }
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_can_be_mended() {
    let folder = tempfile::tempdir().unwrap();
    if !small_disk(folder.path()) {
        return;
    }
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![0; 300_000]).unwrap();
    let meta = Meta::open(&MetaOptions::new(Location::Sqlite(folder.path().join("m.db")))).await.unwrap();
    let (mut acknowledged, line) = (0, [Line { at_ms: NOW, body: "x".repeat(4096) }]);
    let error = loop {
        match meta.append_log("s", None, &line, &EVENT_BOUNDS, NOW).await {
            Ok(next) => acknowledged = next,
            Err(error) => break error,
        }
    };
    let read = meta.find_log("s").await;
    std::fs::remove_file(&ballast).unwrap();
    let mended = meta.append_log("s", None, &line, &EVENT_BOUNDS, NOW).await;
    meta.close().await;
    rustix::mount::unmount(folder.path(), UnmountFlags::DETACH).unwrap();
    assert!(matches!(error, MetaError::Full(_)), "{error:?}");
    assert_eq!(error.fault(), Fault::Busy);
    assert_eq!(read.unwrap().unwrap().next, acknowledged, "what was acknowledged, and nothing else");
    assert_eq!(mended.unwrap(), acknowledged + 1);
}

#[tokio::test]
async fn a_replica_is_told_as_such() {
    let store = Store::postgres().await;
    let Location::Postgres(url) = &store.location else { panic!("a server") };
    let name = url.reveal().split(['/', '?']).nth(3).unwrap().to_owned();
    let mut connection = sqlx::PgConnection::connect(url.reveal()).await.unwrap();
    let statement = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    connection.close().await.unwrap();
    let error = Meta::open(&MetaOptions::new(store.location.clone())).await.unwrap_err();
    assert!(matches!(error, MetaError::ReadOnly(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_used_again() {
    let mut server = Postgres::start();
    let location = new_database(&server);
    let meta = Meta::open(&MetaOptions { acquire_ms_max: 500, ..MetaOptions::new(location) }).await.unwrap();
    let hello = app("acme/hello");
    make_app(&meta, &hello).await;
    server.stop();
    let error = meta.commit(&hello, &Expected::Revision(1), &state("{}"), NOW).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Busy, "{error:?}");
    server.start_again();
    // Answers once it is up.
    drop(server.create_database());
    meta.commit(&hello, &Expected::Revision(1), &state("{}"), NOW).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_a_file() {
    // Two handles have pools of their own, as two processes would.
    let store = Store::sqlite().await;
    let other = Meta::open(&MetaOptions::new(store.location.clone())).await.unwrap();
    let writers = [store.meta.clone(), other.clone()].map(|meta| {
        tokio::spawn(async move {
            for _ in 0..40 {
                meta.append_log("s", None, &[Line { at_ms: NOW, body: "{}".into() }], &EVENT_BOUNDS, NOW)
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(other.find_log("s").await.unwrap().unwrap().next, 81);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_reached_by_tls_if_its_authority_is_known() {
    let (_server, port) = Postgres::start_with_tls(include_str!("tls/server.crt"), include_str!("tls/server.key"));
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/ca.crt");
    let base = format!("postgres://ignite@localhost:{port}/postgres?sslmode=verify-full");
    let open = |url: String| async move {
        let location = Location::Postgres(Secret::new(url));
        Meta::open(&MetaOptions { acquire_ms_max: 2_000, ..MetaOptions::new(location) }).await
    };
    let began = std::time::Instant::now();
    let meta = loop {
        match open(format!("{base}&sslrootcert={authority}")).await {
            Ok(meta) => break meta,
            Err(error) => assert!(began.elapsed().as_secs() < 60, "{error:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    make_app(&meta, &app("acme/hello")).await;
    let unknown = open(base.clone()).await.unwrap_err();
    assert!(format!("{unknown:?}").contains("UnknownIssuer"), "{unknown:?}");
    let other_name = base.replace("localhost", "127.0.0.1") + "&sslrootcert=" + authority;
    let other_name = open(other_name).await.unwrap_err();
    assert!(format!("{other_name:?}").contains("NotValidForName"), "{other_name:?}");
}

#[tokio::test]
async fn a_file_that_can_only_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    if !small_disk(folder.path()) {
        return;
    }
    let location = Location::Sqlite(folder.path().join("m.db"));
    let meta = Meta::open(&MetaOptions::new(location.clone())).await.unwrap();
    meta.close().await;
    rustix::mount::mount_remount(folder.path(), MountFlags::RDONLY, c"size=1m").unwrap();
    let opened = Meta::open(&MetaOptions::new(location)).await;
    rustix::mount::unmount(folder.path(), UnmountFlags::DETACH).unwrap();
    let error = opened.unwrap_err();
    assert!(matches!(error, MetaError::ReadOnly(_)), "{error:?}");
    assert_eq!(error.fault(), Fault::Internal);
}
