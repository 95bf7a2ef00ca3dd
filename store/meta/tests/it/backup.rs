//! A dump shows one moment, goes into either database, and is believed only whole.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ignite_core_model::{ExecutionId, Fault, HostLabel, InstanceId, TokenId};
use ignite_store_meta::{
    Change, Changes, DesiredSet, Expected, Instance, Line, Location, Meta, MetaError, MetaOptions, NewEffect,
    NewExecution, Payload, Token, Upload, events_stream,
};

use crate::support::{NOW, Store, app, job, make_app, number, state, version};

/// Where a dump is written to.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) async fn dump(meta: &Meta) -> Vec<u8> {
    let shared = Shared::default();
    meta.dump(shared.clone()).await.unwrap();
    shared.0.lock().unwrap().clone()
}

/// One of everything that is dumped.
pub(crate) async fn fill(meta: &Meta) {
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    let token = Token {
        id: TokenId::from_parts(NOW, 1),
        organization: hello.organization(),
        hash: [0xfe; 32],
        scopes: vec!["a".into()],
        note: "a \"note\"\n".into(),
        created_ms: NOW,
        expires_ms: None,
        revoked_ms: None,
    };
    meta.create_token(&token).await.unwrap();
    meta.put_secret(&hello.organization(), "s", "git", b"\0\xff", NOW).await.unwrap();
    let mut job = job(1, "compile");
    job.app = Some(hello.clone());
    let change = Change {
        versions: vec![version(&hello, 1)],
        routes_set: vec![(HostLabel::of(&hello), number(1))],
        desired_set: vec![DesiredSet { version: number(1), instances: 1, spec: "{}".into() }],
        jobs: vec![job],
        effects: vec![NewEffect { key: "k".into(), body: "{}".into(), due_ms: NOW }],
        events: vec![Line { at_ms: NOW, body: r#"{"ä":"\u0001"}"#.into() }],
        uses_added: vec!["sources/a".into()],
        ..state(r#"{"full":1}"#)
    };
    meta.commit(&hello, &Expected::Revision(1), &change, NOW).await.unwrap();
    let execution = NewExecution {
        id: ExecutionId::from_parts(NOW, 3),
        app: hello.clone(),
        request: "{}".into(),
        input: Payload::Inline(vec![0, 1, 0xff]),
        due_ms: NOW,
    };
    meta.insert_execution(&execution, NOW).await.unwrap();
    let upload = Upload {
        object: "u/1".into(),
        organization: hello.organization(),
        app: None,
        size: 3,
        digest: ignite_core_model::Digest::of(b"abc"),
        expires_ms: NOW + 1,
        used_ms: None,
    };
    meta.create_upload(&upload).await.unwrap();
    let instance = Instance {
        id: InstanceId::from_parts(NOW, 1),
        agent: "local".into(),
        app: hello,
        version: number(1),
        generation: 2,
        state: "healthy".into(),
        address: None,
        detail: "{}".into(),
        updated_ms: NOW,
    };
    meta.report_instances("local", &[instance], &[]).await.unwrap();
}

/// The filled database reads as it was filled, wherever it came from.
pub(crate) async fn check_filled(meta: &Meta) {
    let hello = app("acme/hello");
    let stored = meta.load_app(&hello).await.unwrap();
    assert_eq!((stored.revision, stored.state.as_str()), (2, r#"{"full":1}"#));
    assert_eq!(meta.list_versions(&hello, None, 9).await.unwrap(), [version(&hello, 1)]);
    assert_eq!(meta.find_token(&[0xfe; 32]).await.unwrap().unwrap().note, "a \"note\"\n");
    assert_eq!(meta.load_sealed(&hello.organization(), "s").await.unwrap(), b"\0\xff");
    let whole = meta.load_execution(&hello, ExecutionId::from_parts(NOW, 3)).await.unwrap();
    assert_eq!(whole.input, Payload::Inline(vec![0, 1, 0xff]));
    let lines = meta.read_log(&events_stream(&hello), 0, 9).await.unwrap();
    assert_eq!((lines.len(), lines[0].body.as_str()), (1, r#"{"ä":"\u0001"}"#));
    assert!(meta.is_object_used("sources/a").await.unwrap());
    let snapshot = meta.snapshot().await.unwrap();
    assert_eq!((snapshot.routes.len(), snapshot.desired.len(), snapshot.instances.len()), (1, 1, 1));
    assert_eq!(meta.list_jobs(&hello, None, 9).await.unwrap().len(), 1);
    assert_eq!(meta.load_upload("u/1", &hello.organization()).await.unwrap().size, 3);
    assert_eq!(meta.count_effects().await.unwrap(), 1);
}

pub(crate) async fn a_dump_goes_into_either_database(meta: &Meta) {
    fill(meta).await;
    let before = meta.last_change().await.unwrap();
    let dump = dump(meta).await;
    for store in [Store::sqlite().await, Store::postgres().await] {
        let rows = store.meta.restore(io::Cursor::new(dump.clone())).await.unwrap();
        assert_eq!(rows, 17);
        check_filled(&store.meta).await;
        // Whoever followed the former database begins anew, and life goes on.
        assert_eq!(store.meta.changes_since(before, 9).await.unwrap(), Changes::TooOld);
        let hello = app("acme/hello");
        let next = store.meta.commit(&hello, &Expected::Revision(2), &state("{}"), NOW).await.unwrap();
        assert!(next.sequence > before + 1);
        let at = store.meta.snapshot().await.unwrap().sequence;
        assert!(matches!(store.meta.changes_since(at, 9).await.unwrap(), Changes::Since { .. }));
        assert!(!self::dump(&store.meta).await.is_empty());
    }
}

pub(crate) async fn a_dump_shows_one_moment(meta: &Meta) {
    let hello = app("acme/hello");
    make_app(meta, &hello).await;
    // Each change adds a version and moves the route to it: a dump must show both or neither.
    let writer = {
        let (meta, hello) = (meta.clone(), hello.clone());
        tokio::spawn(async move {
            for n in 1..=60_u32 {
                let change = Change {
                    versions: vec![version(&hello, n)],
                    routes_set: vec![(HostLabel::of(&hello), number(n))],
                    ..state("{}")
                };
                meta.commit(&hello, &Expected::Revision(u64::from(n)), &change, NOW).await.unwrap();
            }
        })
    };
    for _ in 0..8 {
        let dump = dump(meta).await;
        let copy = Store::sqlite().await;
        copy.meta.restore(io::Cursor::new(dump)).await.unwrap();
        let newest = copy.meta.list_versions(&hello, None, 1).await.unwrap().first().map(|row| row.number);
        let route = copy.meta.find_route(&HostLabel::of(&hello)).await.unwrap().map(|route| route.version);
        assert_eq!(newest, route);
    }
    writer.await.unwrap();
}

pub(crate) async fn a_damaged_dump_changes_nothing(meta: &Meta) {
    let source = Store::sqlite().await;
    fill(&source.meta).await;
    let whole = dump(&source.meta).await;
    let text = String::from_utf8(zstd::decode_all(whole.as_slice()).unwrap()).unwrap();
    let pack = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    let last = text.trim_end().rfind('\n').unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("no dump", b"hello".to_vec()),
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("flipped", flipped),
        ("without end", pack(&text[..=last])),
        ("a row fewer", pack(&text.replacen("[\"sources/a\",\"acme/hello\"]\n", "", 1))),
        ("another table", pack(&text.replace("\"table\":\"jobs\"", "\"table\":\"apps; DROP TABLE apps\""))),
        ("another column", pack(&text.replace("\"ends_by_ms\"", "\"ends_by\""))),
        ("another kind", pack(&text.replace("\"acme/hello\",1,1716900000000", "\"acme/hello\",\"1\",1716900000000"))),
        ("another format", pack(&text.replace("\"ignite_dump\":1", "\"ignite_dump\":2"))),
    ] {
        let refused = meta.restore(io::Cursor::new(bytes)).await.unwrap_err();
        assert!(matches!(refused, MetaError::BadDump(_)), "{what}: {refused:?}");
        assert_eq!(refused.fault(), Fault::Caller);
    }
    let newer = pack(&text.replace("\"schema\":1", "\"schema\":99"));
    let newer = meta.restore(io::Cursor::new(newer)).await.unwrap_err();
    assert!(matches!(newer, MetaError::SchemaNewer { found: 99, .. }), "{newer}");
    assert_eq!(meta.last_change().await.unwrap(), 0);

    meta.restore(io::Cursor::new(whole.clone())).await.unwrap();
    let twice = meta.restore(io::Cursor::new(whole)).await.unwrap_err();
    assert_eq!(
        twice.to_string(),
        "records are restored into an empty database only, and this one has some in `organizations`"
    );
    check_filled(meta).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_is_copied_while_it_serves() {
    let store = Store::sqlite().await;
    fill(&store.meta).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("it's a copy.db");
    let writer = {
        let meta = store.meta.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                meta.append_log(
                    "s",
                    None,
                    &[Line { at_ms: NOW, body: "{}".into() }],
                    &ignite_store_meta::EVENT_BOUNDS,
                    NOW,
                )
                .await
                .unwrap();
            }
        })
    };
    store.meta.copy_sqlite(&to).await.unwrap();
    writer.await.unwrap();
    let again = store.meta.copy_sqlite(&to).await.unwrap_err();
    assert!(matches!(again, MetaError::File { .. }), "{again}");
    let copy = Meta::open(&MetaOptions::new(Location::Sqlite(to))).await.unwrap();
    check_filled(&copy).await;
}
