//! Putting, getting, listing and deleting.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path as FilePath;
use std::pin::{Pin, pin};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt as _};
use ignite_core_model::Digest;
use object_store::{GetOptions, GetRange, MultipartUpload, ObjectStoreExt as _, PutPayload};
use sha2::{Digest as _, Sha256};

use crate::{ObjectKey, Objects, ObjectsError};

/// What is written at once, in bytes. An object that is no larger is written in one piece; so much is held in memory for
/// each object that is being written.
pub const PART_BYTES: usize = 8 << 20;

/// What an object must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Its size, in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
}

impl Content {
    /// What these bytes are.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, digest: Digest::of(bytes) }
    }
}

/// Bytes of an object as they come.
pub type Body = BoxStream<'static, io::Result<Bytes>>;

/// An object, or a part of one, that is being read.
pub struct Object {
    /// Size of the whole object, in bytes.
    pub size: u64,
    /// The part that is read.
    pub range: Range<u64>,
    /// Its bytes.
    pub body: Body,
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSize {
    /// Its key.
    pub key: ObjectKey,
    /// Its size, in bytes.
    pub size: u64,
}

impl Objects {
    /// Stores bytes under a key, in place of what is there. Only bytes that are what was promised can be seen there, and
    /// when this returns they are durable. Dropped before it returns, it leaves what was there.
    ///
    /// # Errors
    /// [`ObjectsError::WrongSize`] as soon as the bytes are too many, [`ObjectsError::WrongDigest`],
    /// [`ObjectsError::Body`] if they could not be read to their end.
    pub async fn put(
        &self,
        key: &ObjectKey,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
        content: &Content,
    ) -> Result<(), ObjectsError> {
        self.put_checked(key, body, content.size, Some(content.digest)).await
    }

    async fn put_checked(
        &self,
        key: &ObjectKey,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
        size: u64,
        digest: Option<Digest>,
    ) -> Result<(), ObjectsError> {
        let path = self.path(key)?;
        let body = pin!(body);
        let mut reader = Reader::new(key, body, size, digest);
        let first = reader.part().await?;
        if first.len() < PART_BYTES {
            reader.check()?;
            self.store.put(&path, PutPayload::from(first)).await.map_err(|error| ObjectsError::of(error, key))?;
            return Ok(());
        }
        let upload = self.store.put_multipart(&path).await.map_err(|error| ObjectsError::of(error, key))?;
        let mut upload = Upload(Some(upload));
        let written = write_parts(&mut upload, &mut reader, first).await;
        match written {
            Ok(()) => upload.complete().await.map_err(|error| ObjectsError::of(error, key)),
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    /// Stores bytes that are at hand.
    pub async fn put_bytes(&self, key: &ObjectKey, bytes: Bytes, content: &Content) -> Result<(), ObjectsError> {
        self.put(key, futures_util::stream::iter([Ok(bytes)]), content).await
    }

    /// Reads an object, or a part of it. A part may end beyond the object's end and is cut there.
    ///
    /// # Errors
    /// [`ObjectsError::Missing`], and [`ObjectsError::OutOfRange`] if the part begins beyond the object's end.
    pub async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Object, ObjectsError> {
        let path = self.path(key)?;
        let mut options = GetOptions::default();
        if let Some(Range { start, end }) = range {
            let size = self.size(key).await?;
            if start > size || start > end {
                return Err(ObjectsError::OutOfRange { key: key.clone(), size, start });
            }
            let range = start..end.min(size);
            if range.is_empty() {
                return Ok(Object { size, range, body: futures_util::stream::empty().boxed() });
            }
            options.range = Some(GetRange::Bounded(range));
        }
        use object_store::ObjectStore as _;
        let got = self.store.get_opts(&path, options).await.map_err(|error| ObjectsError::of(error, key))?;
        let (size, range) = (got.meta.size, got.range.clone());
        Ok(Object { size, range, body: got.into_stream().map(|bytes| bytes.map_err(io::Error::other)).boxed() })
    }

    /// Reads a whole object into memory, if it has at most `bytes_max`.
    ///
    /// # Errors
    /// [`ObjectsError::WrongSize`] if it is larger, [`ObjectsError::Missing`].
    pub async fn get_bytes(&self, key: &ObjectKey, bytes_max: u64) -> Result<Bytes, ObjectsError> {
        let mut object = self.get(key, None).await?;
        if object.size > bytes_max {
            return Err(ObjectsError::WrongSize { key: key.clone(), expected: bytes_max, found: object.size });
        }
        let mut bytes = BytesMut::new();
        while let Some(some) = object.body.next().await {
            bytes.extend_from_slice(&some.map_err(|cause| ObjectsError::Unavailable(cause.into()))?);
        }
        Ok(bytes.freeze())
    }

    /// The size of an object, in bytes.
    ///
    /// # Errors
    /// [`ObjectsError::Missing`].
    pub async fn size(&self, key: &ObjectKey) -> Result<u64, ObjectsError> {
        let path = self.path(key)?;
        self.store.head(&path).await.map(|meta| meta.size).map_err(|error| ObjectsError::of(error, key))
    }

    /// Whether the object is there.
    pub async fn has(&self, key: &ObjectKey) -> Result<bool, ObjectsError> {
        match self.size(key).await {
            Ok(_) => Ok(true),
            Err(ObjectsError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads an object to its end and compares it with what it must be.
    ///
    /// # Errors
    /// [`ObjectsError::WrongSize`], [`ObjectsError::WrongDigest`], [`ObjectsError::Missing`].
    pub async fn verify(&self, key: &ObjectKey, content: &Content) -> Result<(), ObjectsError> {
        let object = self.get(key, None).await?;
        if object.size != content.size {
            return Err(ObjectsError::WrongSize { key: key.clone(), expected: content.size, found: object.size });
        }
        let body = pin!(object.body);
        let mut reader = Reader::new(key, body, content.size, Some(content.digest));
        while reader.part().await.map_err(our_side)?.len() == PART_BYTES {}
        reader.check()
    }

    /// Deletes an object; one that is not there is no error.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectsError> {
        let path = self.path(key)?;
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ObjectsError::of(error, key)),
        }
    }

    /// Copies an object to another key, in place of what is there.
    ///
    /// # Errors
    /// [`ObjectsError::Missing`].
    pub async fn copy(&self, from: &ObjectKey, to: &ObjectKey) -> Result<(), ObjectsError> {
        let (source, target) = (self.path(from)?, self.path(to)?);
        self.store.copy(&source, &target).await.map_err(|error| ObjectsError::of(error, from))
    }

    /// Objects whose key has `prefix` as its first segments, in the order of their keys, after `after`, at most `limit`. An
    /// empty prefix lists all.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectSize>, ObjectsError> {
        use object_store::ObjectStore as _;
        let whole = self.whole_path(prefix);
        let prefix = (!whole.as_ref().is_empty()).then_some(&whole);
        let mut found = match after {
            Some(after) => self.store.list_with_offset(prefix, &self.whole_path(after.as_str())),
            None => self.store.list(prefix),
        };
        // A folder is not read in order; so the first so many are kept, and no more than so many are held.
        let mut first: BTreeMap<ObjectKey, u64> = BTreeMap::new();
        while let Some(meta) = found.next().await {
            let meta = meta.map_err(ObjectsError::general)?;
            let Some(key) = self.key(&meta.location) else { continue };
            first.insert(key, meta.size);
            if first.len() > limit {
                first.pop_last();
                if self.lists_in_order() {
                    break;
                }
            }
        }
        Ok(first.into_iter().map(|(key, size)| ObjectSize { key, size }).collect())
    }

    /// Deletes what puts that were killed half-way have left in a folder, if it is older than `before`: choose a time
    /// before any put that may still go on. Returns how many files it deleted. Of S3 nothing: a rule of the bucket does it.
    pub async fn sweep_unfinished(&self, before: SystemTime) -> Result<u64, ObjectsError> {
        let crate::open::Kind::Folder { root, .. } = &self.kind else { return Ok(0) };
        let root = root.to_path_buf();
        let swept = tokio::task::spawn_blocking(move || sweep_folder(&root, before)).await;
        swept.map_err(|error| ObjectsError::Other(error.into()))?.map_err(|error| ObjectsError::Other(error.into()))
    }

    fn lists_in_order(&self) -> bool {
        matches!(self.kind, crate::open::Kind::S3(_))
    }
}

/// The library writes `name#1` and renames it; no key has a `#`.
fn sweep_folder(folder: &FilePath, before: SystemTime) -> io::Result<u64> {
    let mut swept = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            swept += sweep_folder(&entry.path(), before)?;
        } else if entry.file_name().as_encoded_bytes().contains(&b'#') && metadata.modified()? < before {
            std::fs::remove_file(entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Copies one object to another store; its size is known from a list, its digest is not.
pub(crate) async fn copy_object(from: &Objects, to: &Objects, object: &ObjectSize) -> Result<(), ObjectsError> {
    let source = from.get(&object.key, None).await?;
    to.put_checked(&object.key, source.body, object.size, None).await.map_err(our_side)
}

/// Bytes that come from a store and stop are no fault of a caller.
fn our_side(error: ObjectsError) -> ObjectsError {
    match error {
        ObjectsError::Body { cause, .. } => ObjectsError::Unavailable(cause.into()),
        other => other,
    }
}

/// Takes bytes from a body in parts, counts and hashes them.
struct Reader<'a, S> {
    key: &'a ObjectKey,
    body: Pin<&'a mut S>,
    rest: BytesMut,
    taken: u64,
    hash: Sha256,
    size: u64,
    digest: Option<Digest>,
}

impl<'a, S: Stream<Item = io::Result<Bytes>>> Reader<'a, S> {
    fn new(key: &'a ObjectKey, body: Pin<&'a mut S>, size: u64, digest: Option<Digest>) -> Self {
        Self { key, body, rest: BytesMut::new(), taken: 0, hash: Sha256::new(), size, digest }
    }

    /// The next [`PART_BYTES`]; fewer at the end.
    async fn part(&mut self) -> Result<Bytes, ObjectsError> {
        while self.rest.len() < PART_BYTES {
            let Some(bytes) = self.body.next().await else { break };
            let bytes = bytes.map_err(|cause| ObjectsError::Body { key: self.key.clone(), cause })?;
            self.taken += bytes.len() as u64;
            if self.taken > self.size {
                return Err(self.wrong_size());
            }
            self.hash.update(&bytes);
            self.rest.extend_from_slice(&bytes);
        }
        let part = self.rest.len().min(PART_BYTES);
        Ok(self.rest.split_to(part).freeze())
    }

    /// Whether all that came is what was promised.
    fn check(&mut self) -> Result<(), ObjectsError> {
        if self.taken != self.size {
            return Err(self.wrong_size());
        }
        let found = Digest::from_bytes(self.hash.finalize_reset().into());
        match self.digest {
            Some(expected) if expected != found => {
                Err(ObjectsError::WrongDigest { key: self.key.clone(), expected, found })
            }
            _ => Ok(()),
        }
    }

    fn wrong_size(&self) -> ObjectsError {
        ObjectsError::WrongSize { key: self.key.clone(), expected: self.size, found: self.taken }
    }
}

async fn write_parts<S: Stream<Item = io::Result<Bytes>>>(
    upload: &mut Upload,
    reader: &mut Reader<'_, S>,
    first: Bytes,
) -> Result<(), ObjectsError> {
    let mut part = first;
    loop {
        let last = part.len() < PART_BYTES;
        if !part.is_empty() {
            upload.write(part).await.map_err(|error| ObjectsError::of(error, reader.key))?;
        }
        if last {
            return reader.check();
        }
        part = reader.part().await?;
    }
}

/// An upload in parts that is taken back if it is dropped before it is complete.
struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    async fn write(&mut self, part: Bytes) -> Result<(), object_store::Error> {
        match &mut self.0 {
            Some(upload) => upload.put_part(PutPayload::from(part)).await,
            None => Ok(()),
        }
    }

    async fn complete(mut self) -> Result<(), object_store::Error> {
        let Some(upload) = &mut self.0 else { return Ok(()) };
        upload.complete().await?;
        self.0 = None;
        Ok(())
    }

    async fn abort(mut self) {
        let Some(mut upload) = self.0.take() else { return };
        if let Err(error) = upload.abort().await {
            tracing::warn!(%error, "an unfinished upload could not be taken back; the bucket's own rules remove it");
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            let _ = upload.abort().await;
        });
    }
}
