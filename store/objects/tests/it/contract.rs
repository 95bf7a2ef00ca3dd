use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use ignite_core_model::{Digest, Fault};
use ignite_store_objects::{Content, Objects, ObjectsError, PART_BYTES};

use crate::support::{folder, key, noise};

async fn put(objects: &Objects, text: &str, bytes: &'static [u8]) {
    objects.put_bytes(&key(text), Bytes::from_static(bytes), &Content::of(bytes)).await.unwrap();
}

async fn read(objects: &Objects, text: &str) -> Bytes {
    objects.get_bytes(&key(text), 1 << 30).await.unwrap()
}

async fn keys(objects: &Objects, prefix: &str) -> Vec<String> {
    let list = objects.list(prefix, None, 1000).await.unwrap();
    list.into_iter().map(|object| object.key.to_string()).collect()
}

pub(crate) async fn what_was_put_can_be_got(objects: &Objects) {
    objects.check().await.unwrap();
    let missing = objects.get_bytes(&key("a/b"), 10).await.unwrap_err();
    assert_eq!((missing.fault(), missing.to_string().as_str()), (Fault::Missing, "there is no object `a/b`"));
    assert!(!objects.has(&key("a/b")).await.unwrap());
    put(objects, "a/b", b"hello").await;
    assert_eq!(read(objects, "a/b").await, "hello");
    assert_eq!(objects.size(&key("a/b")).await.unwrap(), 5);
    put(objects, "a/b", b"again").await;
    assert_eq!(read(objects, "a/b").await, "again");
    put(objects, "empty", b"").await;
    assert_eq!(read(objects, "empty").await, "");
    let large = objects.get_bytes(&key("a/b"), 4).await.unwrap_err();
    assert!(matches!(large, ObjectsError::WrongSize { expected: 4, found: 5, .. }), "{large}");
}

pub(crate) async fn a_part_can_be_got(objects: &Objects) {
    put(objects, "a", b"0123456789").await;
    for (range, expected) in [(0..3, "012"), (3..5, "34"), (8..99, "89"), (0..u64::MAX, "0123456789"), (10..12, "")] {
        let part = objects.get(&key("a"), Some(range.clone())).await.unwrap();
        assert_eq!((part.size, part.range.start), (10, range.start));
        let bytes: Vec<Bytes> = part.body.map(Result::unwrap).collect().await;
        assert_eq!(bytes.concat(), expected.as_bytes(), "{range:?}");
    }
    let beyond = objects.get(&key("a"), Some(11..12)).await.err().unwrap();
    assert_eq!(
        (beyond.fault(), beyond.to_string().as_str()),
        (Fault::Caller, "object `a` has 10 bytes, and a part from byte 11 was asked for")
    );
    assert_eq!(objects.get(&key("none"), Some(0..1)).await.err().unwrap().fault(), Fault::Missing);
}

pub(crate) async fn a_large_object_goes_through_in_parts(objects: &Objects) {
    for size in [PART_BYTES - 1, PART_BYTES, PART_BYTES + 12_345] {
        let bytes = noise(size);
        let chunks: Vec<_> = bytes.chunks(1_000_003).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        objects.put(&key("large"), stream::iter(chunks), &Content::of(&bytes)).await.unwrap();
        objects.verify(&key("large"), &Content::of(&bytes)).await.unwrap();
        assert!(read(objects, "large").await == bytes, "{size}");
    }
    assert_eq!(keys(objects, "").await, ["large"]);
}

pub(crate) async fn nothing_is_stored_that_was_not_promised(objects: &Objects) {
    let content = Content::of(b"hello");
    for bytes in [b"hell".as_slice(), b"hello!", b"", b"jello"] {
        let wrong = objects.put_bytes(&key("a"), Bytes::from_static(bytes), &content).await.unwrap_err();
        assert_eq!(wrong.fault(), Fault::Caller);
        match wrong {
            ObjectsError::WrongSize { expected: 5, found, .. } => assert_eq!(found, bytes.len() as u64),
            ObjectsError::WrongDigest { found, .. } => assert_eq!(found, Digest::of(b"jello")),
            other => panic!("{other:?}"),
        }
    }
    // In parts: too many bytes are noticed before they are all read, others at the end.
    let bytes = noise(PART_BYTES + 10);
    let wrong = Content { digest: content.digest, ..Content::of(&bytes) };
    let result = objects.put_bytes(&key("a"), bytes.clone(), &wrong).await;
    assert!(matches!(result, Err(ObjectsError::WrongDigest { .. })));
    let some = noise(1 << 20);
    let endless = stream::repeat_with(move || Ok(some.clone()));
    let result = objects.put(&key("a"), endless, &Content { size: PART_BYTES as u64 + 1, ..content }).await;
    assert!(matches!(result, Err(ObjectsError::WrongSize { .. })));
    let broken = stream::iter([Ok(noise(PART_BYTES + 1)), Err(io::Error::other("the caller is gone"))]);
    let result = objects.put(&key("a"), broken, &Content::of(&bytes)).await.unwrap_err();
    assert!(matches!(result, ObjectsError::Body { .. }), "{result}");
    assert_eq!(keys(objects, "").await, Vec::<String>::new());
}

pub(crate) async fn what_was_there_stays_when_a_put_fails(objects: &Objects) {
    put(objects, "a", b"before").await;
    let content = Content { digest: Digest::of(b"x"), size: 2 * PART_BYTES as u64 };
    objects.put_bytes(&key("a"), noise(2 * PART_BYTES), &content).await.unwrap_err();
    objects.put_bytes(&key("a"), noise(3), &content).await.unwrap_err();
    assert_eq!(read(objects, "a").await, "before");
}

pub(crate) async fn a_put_that_is_dropped_leaves_nothing(objects: &Objects) {
    let bytes = noise(PART_BYTES + 1);
    let stalls = stream::iter([Ok(bytes.clone())]).chain(stream::pending());
    let (one, content) = (key("a"), Content { size: 3 * PART_BYTES as u64, ..Content::of(&bytes) });
    let put = objects.put(&one, stalls, &content);
    assert!(tokio::time::timeout(Duration::from_millis(300), put).await.is_err());
    assert_eq!(keys(objects, "").await, Vec::<String>::new());
}

pub(crate) async fn many_write_one_key_at_once(objects: &Objects) {
    let writers = (0..8_u8).map(|writer| {
        let objects = objects.clone();
        tokio::spawn(async move {
            let bytes = Bytes::from(vec![writer; 100_000]);
            objects.put_bytes(&key("same/key"), bytes.clone(), &Content::of(&bytes)).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let bytes = read(objects, "same/key").await;
    assert_eq!(bytes.len(), 100_000);
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "one writer's bytes and no other's");
}

pub(crate) async fn lists_are_pages_in_order(objects: &Objects) {
    for text in ["b/2", "a/1", "b/10", "b-c/1", "b/1", "b/x/y", "c"] {
        put(objects, text, text.as_bytes()).await;
    }
    assert_eq!(keys(objects, "").await, ["a/1", "b-c/1", "b/1", "b/10", "b/2", "b/x/y", "c"]);
    assert_eq!(keys(objects, "b").await, ["b/1", "b/10", "b/2", "b/x/y"]);
    assert_eq!(keys(objects, "none").await, Vec::<String>::new());
    let page = objects.list("b", None, 2).await.unwrap();
    assert_eq!(page.iter().map(|o| (o.key.as_str(), o.size)).collect::<Vec<_>>(), [("b/1", 3), ("b/10", 4)]);
    let page = objects.list("b", Some(&key("b/10")), 2).await.unwrap();
    assert_eq!(page.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["b/2", "b/x/y"]);
    assert_eq!(objects.list("b", Some(&key("b/x/y")), 2).await.unwrap(), []);
}

pub(crate) async fn deleting_twice_is_no_error(objects: &Objects) {
    put(objects, "a/b", b"x").await;
    objects.delete(&key("a/b")).await.unwrap();
    objects.delete(&key("a/b")).await.unwrap();
    assert!(!objects.has(&key("a/b")).await.unwrap());
}

pub(crate) async fn a_copy_has_a_life_of_its_own(objects: &Objects) {
    put(objects, "a", b"one").await;
    put(objects, "b/c", b"old").await;
    objects.copy(&key("a"), &key("b/c")).await.unwrap();
    assert_eq!(read(objects, "b/c").await, "one");
    put(objects, "a", b"two").await;
    assert_eq!(read(objects, "b/c").await, "one");
    objects.delete(&key("a")).await.unwrap();
    assert_eq!(read(objects, "b/c").await, "one");
    assert_eq!(objects.copy(&key("a"), &key("d")).await.unwrap_err().fault(), Fault::Missing);
}

pub(crate) async fn an_object_is_verified(objects: &Objects) {
    put(objects, "a", b"hello").await;
    objects.verify(&key("a"), &Content::of(b"hello")).await.unwrap();
    let size = objects.verify(&key("a"), &Content::of(b"hell")).await.unwrap_err();
    assert!(matches!(size, ObjectsError::WrongSize { expected: 4, found: 5, .. }));
    let digest = objects.verify(&key("a"), &Content::of(b"jello")).await.unwrap_err();
    assert_eq!(digest.fault(), Fault::Caller);
    assert!(matches!(digest, ObjectsError::WrongDigest { .. }));
    assert_eq!(objects.verify(&key("b"), &Content::of(b"")).await.unwrap_err().fault(), Fault::Missing);
}

pub(crate) async fn all_objects_are_copied_to_another_store(objects: &Objects) {
    put(objects, "artifacts/a", b"one").await;
    put(objects, "sources/b", b"two!").await;
    let backup = folder();
    let first = objects.copy_all(&backup.objects, "").await.unwrap();
    assert_eq!((first.copied, first.bytes, first.kept), (2, 7, 0));
    put(objects, "sources/c", b"three").await;
    let second = objects.copy_all(&backup.objects, "sources").await.unwrap();
    assert_eq!((second.copied, second.kept), (1, 1));
    assert_eq!(keys(&backup.objects, "").await, ["artifacts/a", "sources/b", "sources/c"]);
    assert_eq!(read(&backup.objects, "sources/b").await, "two!");
}
