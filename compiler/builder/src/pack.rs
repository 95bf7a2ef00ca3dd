//! From the files of a payload to an artifact in the cache.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use ignite_core_artifact::{
    Compression, MODE_FILE, MODE_PROGRAM, ManifestHead, PayloadFile, WriteError, Written, write,
};

use crate::cache::{ARTIFACT, Cache, Fresh, Wait};
use crate::error::CompileError;
use crate::language::PackedFile;

/// Writes an artifact to a file of the cache that nobody knows yet. Nothing is left of it when the wait ends before.
pub(crate) fn pack(
    cache: &Cache,
    head: ManifestHead,
    files: &[PackedFile],
    compression: Compression,
    wait: &Wait<'_>,
) -> Result<(Fresh, Written), CompileError> {
    let fresh = cache.fresh()?;
    let path = fresh.path().join(ARTIFACT);
    let failed = |cause| CompileError::Cache { path: path.clone(), cause };
    let file = File::create(&path).map_err(failed)?;
    let payload = files.iter().map(|file| {
        let mode = if file.executable { MODE_PROGRAM } else { MODE_FILE };
        PayloadFile::new(file.path.clone(), mode, || {
            Ok(Box::new(Stoppable { inner: File::open(&file.content)?, wait }))
        })
    });
    let mut out = Stoppable { inner: BufWriter::new(file), wait };
    let written =
        write(head, payload.collect(), compression, &mut out).map_err(|error| match (wait.check(), error) {
            (Err(stopped), _) => stopped,
            (Ok(()), WriteError::Output(cause)) => failed(cause),
            (Ok(()), error) => CompileError::Pack(Box::new(error)),
        })?;
    out.flush().map_err(failed)?;
    drop(out);
    Ok((fresh, written))
}

/// Bytes on their way for as long as the compile is to go on.
struct Stoppable<'a, T> {
    inner: T,
    wait: &'a Wait<'a>,
}

impl<T> Stoppable<'_, T> {
    fn check(&self) -> io::Result<()> {
        self.wait.check().map_err(|_| io::Error::other("it was stopped"))
    }
}

impl<T: Read> Read for Stoppable<'_, T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(into)
    }
}

impl<T: Write> Write for Stoppable<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::time::{Duration, Instant};

    use ignite_compiler_sandbox::Cancel;
    use ignite_core_artifact::DeclaredLimits;
    use ignite_core_model::{ArtifactKind, Digest, Runtime, Target};

    use super::*;

    #[test]
    fn packing_stops_when_asked_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let content = dir.path().join("handler.py");
        std::fs::write(&content, "x").unwrap();
        let head = || ManifestHead {
            runtime: Runtime::Python,
            target: Target::Native,
            kind: ArtifactKind::Packed,
            entrypoint: "handler.py".into(),
            abi: 1,
            name: None,
            toolchain: std::collections::BTreeMap::new(),
            source: Digest::of(b"x"),
            limits: DeclaredLimits::default(),
            env: Vec::new(),
            dependencies: Vec::new(),
        };
        let files = [PackedFile { path: "handler.py".into(), content, executable: false }];
        let limit = Duration::from_secs(60);
        let cancel = Cancel::default();
        let wait = Wait { until: Instant::now() + limit, limit, cancel: Some(&cancel) };
        drop(pack(&cache, head(), &files, Compression::Zstd, &wait).unwrap());
        cancel.cancel();
        let stopped = pack(&cache, head(), &files, Compression::Zstd, &wait);
        assert!(matches!(stopped, Err(CompileError::Cancelled)));
        let late = Wait { until: Instant::now(), limit, cancel: None };
        assert!(matches!(pack(&cache, head(), &files, Compression::Zstd, &late), Err(CompileError::TimedOut { .. })));
        assert_eq!(std::fs::read_dir(dir.path().join("cache/fresh")).unwrap().count(), 0);
    }
}
