//! What went into an artifact: a payload file that says so, beside what was made of it.
//!
//! It is a file of the payload rather than a part of the manifest, because a reader of format 1 refuses a manifest with a
//! key it does not know, and serves an artifact with one file more. No app can have a file of its name: `.ignite` is
//! never packed. A reader that knows it finds, in an artifact that was made before there was any, nothing.

use std::io::{self, Read};

use ignite_core_model::{ArtifactKind, Digest, Runtime, Target};
use serde::{Deserialize, Serialize};

use crate::read::{ReadArtifact, ReadError, ReadLimits, Sink, read};
use crate::{FileEntry, Manifest};

/// The path of the payload file.
pub const PROVENANCE_NAME: &str = ".ignite/provenance.json";
/// The version that is written, and the newest that is read. New keys, which a reader may leave out, do not raise it.
pub const PROVENANCE_VERSION: u32 = 1;
/// Largest such file that is read, in bytes.
pub const PROVENANCE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Sources that are listed one by one; of more, only the manifest's digest of all is known.
pub const SOURCES_LISTED_MAX: usize = 2000;

/// What went into an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// [`PROVENANCE_VERSION`] of who wrote it.
    pub version: u32,
    /// The compiler itself.
    pub compiler: UsedTool,
    /// What was asked of it, as it was understood.
    pub options: Options,
    /// The tools it ran, by name.
    pub tools: Vec<UsedTool>,
    /// The digest of the SDK that was compiled in, for languages that have one compiled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdk: Option<Digest>,
    /// The source files, by path; empty where there are more than [`SOURCES_LISTED_MAX`].
    pub sources: Vec<SourceEntry>,
    /// The third-party packages, by ecosystem, name and version.
    pub packages: Vec<Package>,
}

/// A tool that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedTool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Of the files it consists of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// What a compile was asked for, beside its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The language.
    pub runtime: Runtime,
    /// The machine.
    pub target: Target,
    /// The form of the payload.
    pub kind: ArtifactKind,
    /// Whether it was to be compiled sooner rather than to smaller and faster code.
    pub quick: bool,
}

/// One source file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEntry {
    /// Its path, relative to the author's folder.
    pub path: String,
    /// Of its content.
    pub digest: Digest,
    /// Whether it may be run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// Where packages of a kind are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecosystem {
    /// Rust crates.
    Cargo,
    /// Go modules.
    Golang,
    /// Packages of the JavaScript registry.
    Jsr,
    /// Packages of npm.
    Npm,
    /// Python distributions.
    Pypi,
    /// Modules that are named by their address.
    Url,
}

/// A third-party package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// What kind it is.
    pub ecosystem: Ecosystem,
    /// Its name there; an address for [`Ecosystem::Url`].
    pub name: String,
    /// Its version; empty for [`Ecosystem::Url`].
    pub version: String,
    /// Where it came from, when that is not the public registry of its ecosystem. Holds no credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Digests of the package as published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<PackageHash>,
}

/// What proves the content of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackageHash {
    /// `SHA-256`, `SHA-512` and so on, as in CycloneDX; or `h1` (Go's digest of a module's files), `record` (SHA-256 of the
    /// list of a Python distribution's files), which are digests of lists rather than of archives.
    pub algorithm: String,
    /// In lower-case hexadecimal digits, or for `h1` as `go.sum` writes it.
    pub value: String,
}

/// Why the provenance of an artifact cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ProvenanceError {
    /// The artifact cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It was made before artifacts said what went into them, or by another compiler.
    #[error("the artifact does not say what went into it")]
    Absent,
    /// What it says cannot be understood.
    #[error("what the artifact says of its making cannot be read")]
    Syntax(#[source] serde_json::Error),
    /// A later version wrote it.
    #[error(
        "made by a newer ignite: what went into it is written in version {found}, and this build reads {PROVENANCE_VERSION}"
    )]
    Newer {
        /// Its version.
        found: u32,
    },
}

impl Provenance {
    /// As the bytes of the payload file: the same for the same content.
    ///
    /// # Errors
    /// Never in practice: every part is plain data.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// From the bytes of the payload file.
    ///
    /// # Errors
    /// [`ProvenanceError::Syntax`] and [`ProvenanceError::Newer`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProvenanceError> {
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let any: Any = serde_json::from_slice(bytes).map_err(ProvenanceError::Syntax)?;
        if any.version > PROVENANCE_VERSION {
            return Err(ProvenanceError::Newer { found: any.version });
        }
        serde_json::from_slice(bytes).map_err(ProvenanceError::Syntax)
    }
}

/// Reads a whole artifact, verified, and what it says of its making.
///
/// # Errors
/// [`ProvenanceError`]. [`ProvenanceError::Absent`] is told only of an artifact that is otherwise sound.
pub fn read_provenance(
    input: &mut dyn Read,
    limits: &ReadLimits,
) -> Result<(ReadArtifact, Provenance), ProvenanceError> {
    let mut found = Found::default();
    let artifact = read(input, limits, &mut found)?;
    let provenance = Provenance::parse(&found.0.ok_or(ProvenanceError::Absent)?)?;
    Ok((artifact, provenance))
}

/// Keeps that one file.
#[derive(Default)]
struct Found(Option<Vec<u8>>);

impl Sink for Found {
    fn begin(&mut self, _: &Manifest) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, file: &FileEntry, content: &mut dyn Read) -> io::Result<()> {
        if file.path == PROVENANCE_NAME {
            let mut bytes = Vec::new();
            content.take(PROVENANCE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > PROVENANCE_BYTES_MAX {
                return Err(io::Error::other(format!("{PROVENANCE_NAME} is larger than {PROVENANCE_BYTES_MAX} bytes")));
            }
            self.0 = Some(bytes);
        }
        Ok(())
    }
}
