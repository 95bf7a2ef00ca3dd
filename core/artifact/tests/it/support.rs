//! Sample artifacts, and archives that no writer of ours would make.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use ignite_core_artifact::{
    Compression, DeclaredLimits, Dependency, FileEntry, Manifest, ManifestHead, PayloadFile, ReadArtifact, ReadError,
    ReadLimits, Sink, Written, read, write,
};
use ignite_core_model::{ArtifactKind, Digest, Runtime, Target};

/// The head of a Python app with everything set.
pub(crate) fn head() -> ManifestHead {
    ManifestHead {
        runtime: Runtime::Python,
        target: Target::Native,
        kind: ArtifactKind::Packed,
        entrypoint: "handler.py".to_owned(),
        abi: 1,
        name: Some("hello".parse().unwrap()),
        toolchain: BTreeMap::from([("python".to_owned(), "3.12.1".to_owned()), ("uv".to_owned(), "0.13.8".to_owned())]),
        source: Digest::of(b"sources"),
        limits: DeclaredLimits { timeout_secs: Some(30), memory_mb: Some(256), ..DeclaredLimits::default() },
        env: vec!["GREETING".to_owned()],
        dependencies: vec![Dependency { name: "tabulate".to_owned(), version: "0.9.0".to_owned(), digest: None }],
    }
}

/// The least head there is.
pub(crate) fn bare_head(entrypoint: &str) -> ManifestHead {
    ManifestHead {
        entrypoint: entrypoint.to_owned(),
        name: None,
        toolchain: BTreeMap::new(),
        limits: DeclaredLimits::default(),
        env: Vec::new(),
        dependencies: Vec::new(),
        ..head()
    }
}

/// Payload files of every kind: empty, text, all byte values, run, deep, long and not ASCII.
pub(crate) fn payload() -> Vec<(String, u32, Vec<u8>)> {
    vec![
        ("handler.py".to_owned(), 0o644, b"def handler(payload, ctx):\n    return payload\n".to_vec()),
        ("data/bytes.bin".to_owned(), 0o644, (0..=255).collect()),
        ("data/gr\u{f6}\u{df}e \u{2603}.txt".to_owned(), 0o644, b"snow\n".to_vec()),
        ("empty".to_owned(), 0o644, Vec::new()),
        ("tools/run.sh".to_owned(), 0o755, b"#!/bin/sh\necho run\n".to_vec()),
        (format!("vendor/{}/module.py", "deep/".repeat(30).trim_end_matches('/')), 0o644, vec![b'#'; 1024]),
    ]
}

/// Writes `files` into memory.
pub(crate) fn pack(
    head: ManifestHead,
    files: &[(String, u32, Vec<u8>)],
    compression: Compression,
) -> (Vec<u8>, Written) {
    let files =
        files.iter().map(|(path, mode, content)| PayloadFile::from_bytes(path.clone(), *mode, content)).collect();
    let mut out = Vec::new();
    let written = write(head, files, compression, &mut out).unwrap();
    (out, written)
}

/// Keeps everything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) manifest: Option<Manifest>,
    pub(crate) files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Sink for Keep {
    fn begin(&mut self, manifest: &Manifest) -> io::Result<()> {
        self.manifest = Some(manifest.clone());
        Ok(())
    }

    fn file(&mut self, file: &FileEntry, content: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.files.insert(file.path.clone(), (file.mode, bytes));
        Ok(())
    }
}

/// Reads an artifact with the default limits.
pub(crate) fn unpack(mut artifact: &[u8]) -> Result<(ReadArtifact, Keep), ReadError> {
    let mut keep = Keep::default();
    let read = read(&mut artifact, &ReadLimits::default(), &mut keep)?;
    Ok((read, keep))
}

/// An archive by hand, uncompressed.
pub(crate) struct Archive(Vec<u8>);

impl Archive {
    /// One that begins with `manifest`.
    pub(crate) fn new(manifest: &Manifest) -> Self {
        Self::with_json(&manifest_json(manifest))
    }

    /// One that begins with a manifest of these bytes.
    pub(crate) fn with_json(json: &[u8]) -> Self {
        Self::empty().file("ignite-artifact.json", 0o644, json)
    }

    /// One without a manifest.
    pub(crate) fn empty() -> Self {
        Self(Vec::new())
    }

    /// Adds an ordinary file.
    pub(crate) fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(path.as_bytes(), b'0', mode, content, |_| {})
    }

    /// Adds any entry; `change` may spoil its header before the checksum is made.
    pub(crate) fn entry(
        mut self,
        path: &[u8],
        kind: u8,
        mode: u32,
        content: &[u8],
        change: impl FnOnce(&mut tar::Header),
    ) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_mtime(0);
        change(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Adds bytes as they are.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Ends and compresses it.
    pub(crate) fn end(self) -> Vec<u8> {
        compress(&self.raw(&[0; 1024]).0)
    }

    /// Compresses it without an end.
    pub(crate) fn cut(self) -> Vec<u8> {
        compress(&self.0)
    }
}

/// A manifest's JSON.
pub(crate) fn manifest_json(manifest: &Manifest) -> Vec<u8> {
    serde_json::to_vec(manifest).unwrap()
}

/// Compresses with the cheaper of the two.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A manifest of one file named `app` with `content`.
pub(crate) fn one_file(content: &[u8]) -> Manifest {
    Manifest::new(bare_head("app"), vec![file("app", content)])
}

/// The entry of a file with `content`.
pub(crate) fn file(path: &str, content: &[u8]) -> FileEntry {
    FileEntry { path: path.to_owned(), size: content.len() as u64, mode: 0o644, sha256: Digest::of(content) }
}

/// The chain of an error's messages.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
