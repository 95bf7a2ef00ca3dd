//! Artifacts of every released format stay readable for ever.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ignite_core_artifact::Compression;
use ignite_core_model::Digest;

use crate::support::{head, manifest_json, pack, payload, unpack};

fn golden(extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/format-1.{extension}"))
}

/// Compares with a golden file, or writes it with `UPDATE_GOLDEN=1`.
fn same_as_golden(extension: &str, bytes: &[u8]) {
    let path = golden(extension);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "{} differs from what is written now", path.display());
}

#[test]
fn format_1_is_read() {
    // The last was written by another compression library.
    let written = Compression::ALL.iter().map(|compression| compression.as_str()).chain(["before-zlib-rs.tar.gz"]);
    for extension in written {
        let artifact = std::fs::read(golden(extension)).unwrap();
        let (read, keep) = unpack(&artifact).unwrap();
        assert_eq!(read.digest, Digest::of(&artifact));
        let payload: BTreeMap<_, _> =
            payload().into_iter().map(|(path, mode, content)| (path, (mode, content))).collect();
        assert_eq!(keep.files, payload);
        // The manifest as it stands in the archive, to be read by people.
        same_as_golden("manifest.json", &[manifest_json(&read.manifest), b"\n".to_vec()].concat());
    }
}

/// The bytes that are written may change only when a compression library does. Then keep these files readable under
/// another name, and write new ones with `UPDATE_GOLDEN=1`.
#[test]
fn format_1_is_written_byte_for_byte() {
    for compression in Compression::ALL {
        let (artifact, _) = pack(head(), &payload(), compression);
        same_as_golden(compression.as_str(), &artifact);
    }
}
