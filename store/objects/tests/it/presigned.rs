//! What a real S3 server makes of our presigned URLs, and of us.

use bytes::Bytes;
use ignite_core_model::{Fault, Secret};
use ignite_store_objects::{Claim, Content, Location, Objects, ObjectsError, Presigned, S3Credentials, SignedMethod};

use crate::support::{folder, key, options, s3, signer};

/// A server compares with its own clock.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

async fn send(request: &Presigned, body: &'static [u8]) -> u16 {
    let client = reqwest::Client::new();
    let mut sent = client.request(request.method.parse().unwrap(), &request.url);
    for (name, value) in &request.headers {
        // The client sends the length itself: that of the body.
        if name != "content-length" {
            sent = sent.header(name, value);
        }
    }
    if request.method == "PUT" {
        sent = sent.body(body);
    }
    sent.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_url_takes_its_bytes_and_no_others() {
    let store = s3(Some("shared"));
    let (one, content) = (key("uploads/1"), Content::of(b"hello"));
    let url = store.objects.presign_put(&one, &content, 60, now()).await.unwrap();
    assert_eq!(send(&url, b"hell").await, 403, "another size is not what was signed");
    assert_eq!(send(&url, b"hello!").await, 403);
    let other = send(&url, b"jello").await;
    assert!((400..500).contains(&other), "other bytes of the same size: {other}");
    // This server refuses them and keeps them, which is why an upload is verified before it is relied on.
    let kept = store.objects.verify(&one, &content).await.unwrap_err();
    assert!(matches!(kept, ObjectsError::WrongDigest { .. } | ObjectsError::Missing(_)), "{kept}");
    store.objects.delete(&one).await.unwrap();

    let moved = Presigned { url: url.url.replace("uploads/1", "uploads/2"), ..url.clone() };
    assert_eq!(send(&moved, b"hello").await, 403, "another key");
    let without = Presigned { headers: Vec::new(), ..url.clone() };
    let without = send(&without, b"jello").await;
    assert!((400..500).contains(&without), "a digest that is not sent is not checked: {without}");
    let replaced = Content::of(b"jello");
    let replaced = store.objects.presign_put(&one, &replaced, 60, now()).await.unwrap().headers;
    let replaced = Presigned { headers: replaced, ..url.clone() };
    assert_eq!(send(&replaced, b"jello").await, 403, "another digest");
    let got = Presigned { method: "GET", headers: Vec::new(), ..url.clone() };
    assert_eq!(send(&got, b"").await, 403, "another method");
    assert!(!store.objects.has(&one).await.unwrap());

    assert_eq!(send(&url, b"hello").await, 200);
    store.objects.verify(&one, &content).await.unwrap();
    let read = store.objects.presign_get(&one, 60, now()).await.unwrap();
    assert_eq!(reqwest::get(&read.url).await.unwrap().text().await.unwrap(), "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_url_expires() {
    let store = s3(None);
    let (one, content) = (key("uploads/1"), Content::of(b"hello"));
    let late = store.objects.presign_put(&one, &content, 60, now() - 61).await.unwrap();
    assert_eq!(send(&late, b"hello").await, 403);
    let in_time = store.objects.presign_put(&one, &content, 60, now() - 30).await.unwrap();
    assert_eq!(send(&in_time, b"hello").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_us_and_one_that_is_away_are_told_apart() {
    let store = s3(None);
    let url = store.objects.presign_get(&key("a"), 60, now()).await.unwrap().url;
    let endpoint = url.split("/bucket").next().unwrap().to_owned();
    let mut wrong = options(&endpoint);
    wrong.credentials = S3Credentials::Key { id: "id".into(), secret: Secret::new("wrong".into()), session: None };
    let denied = Objects::open(&Location::S3(wrong)).unwrap().get_bytes(&key("a"), 1).await.unwrap_err();
    assert!(matches!(denied, ObjectsError::Denied(_)), "{denied:?}");
    assert_eq!(denied.fault(), Fault::Internal);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = Objects::open(&Location::S3(options(&format!("http://{closed}")))).unwrap();
    let error = away.check().await.unwrap_err();
    assert!(matches!(error, ObjectsError::Unavailable(_)), "{error:?}");
    assert_eq!(error.fault(), Fault::Busy);
}

/// Authors reach the server by another name than we do: what is signed is that name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urls_name_the_public_endpoint() {
    let store = s3(None);
    let url = store.objects.presign_get(&key("a"), 60, now()).await.unwrap().url;
    let endpoint = url.split("/bucket").next().unwrap().to_owned();
    let mut both = options(&endpoint);
    both.public_endpoint = Some(endpoint.replace("127.0.0.1", "localhost"));
    let objects = Objects::open(&Location::S3(both)).unwrap();
    let content = Content::of(b"hello");
    objects.put_bytes(&key("a"), Bytes::from_static(b"hello"), &content).await.unwrap();
    let read = objects.presign_get(&key("a"), 60, now()).await.unwrap();
    assert!(read.url.starts_with("http://localhost:"), "{}", read.url);
    assert_eq!(reqwest::get(&read.url).await.unwrap().text().await.unwrap(), "hello");
}

#[tokio::test]
async fn a_folders_urls_are_verified_by_its_signer() {
    let store = folder();
    let content = Content::of(b"hello");
    let url = store.objects.presign_put(&key("uploads/1"), &content, 60, 1000).await.unwrap();
    assert_eq!((url.method, url.headers), ("PUT", vec![("content-length".into(), "5".into())]));
    let (path, query) = url.url.strip_prefix("http://localhost/objects/").unwrap().split_once('?').unwrap();
    let claim = signer().verify(SignedMethod::Put, path, query, 1059).unwrap();
    assert_eq!(claim, Claim::Put(key("uploads/1"), content));
    assert!(signer().verify(SignedMethod::Put, path, query, 1060).is_err());
    let url = store.objects.presign_get(&key("uploads/1"), 60, 1000).await.unwrap();
    let (path, query) = url.url.strip_prefix("http://localhost/objects/").unwrap().split_once('?').unwrap();
    assert_eq!(signer().verify(SignedMethod::Get, path, query, 1000).unwrap(), Claim::Get(key("uploads/1")));
}
