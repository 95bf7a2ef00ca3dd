//! The artifact format: one file that holds a compiled app, written, read and verified over `Read` and `Write`.
//!
//! An artifact is a tar archive, compressed with zstd or gzip. Its first entry is the [`Manifest`], which names every
//! other entry with size, mode and SHA-256; `docs/reference/artifact.md` is the format in words. The same manifest head
//! and files give the same bytes, wherever and whenever they are written.
//!
//! This crate opens no file and knows no directory: [`write()`] takes contents that can be opened twice, [`read`] hands
//! verified contents to a [`Sink`]. What it refuses it refuses before a sink sees it, each fault by its own error.
//! Memory is bounded by [`ReadLimits`] and the decompressor's window, whatever the input claims.
//!
//! [`provenance`] is what an artifact says of its making, and [`cyclonedx`] its bill of materials.
//!
//! Begin with [`Manifest`], [`write()`] and [`read`].
#![forbid(unsafe_code)]

mod compression;
mod manifest;
mod path;
pub mod provenance;
mod read;
mod rules;
mod sbom;
mod tar;
mod write;

pub use compression::{Compression, UnknownCompression};
pub use manifest::{DeclaredLimits, Dependency, FileEntry, Manifest, ManifestHead};
pub use path::{PathFault, check_path, folded};
pub use read::{Discard, ReadArtifact, ReadError, ReadLimits, Sink, read, read_manifest};
pub use rules::ManifestFault;
pub use sbom::cyclonedx;
pub use tar::HeaderFault;
pub use write::{PayloadFile, WriteError, Written, write};

/// The version of the format that this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// The name of the manifest's entry, which is the first. No payload file may have it.
pub const MANIFEST_NAME: &str = "ignite-artifact.json";

/// The mode of a payload file that is read.
pub const MODE_FILE: u32 = 0o644;

/// The mode of a payload file that is run.
pub const MODE_PROGRAM: u32 = 0o755;
