//! Any bytes as an artifact: refused, or read as its manifest says, within the limits.
#![no_main]

use std::io::{self, Read, Write};

use ignite_core_artifact::{FileEntry, Manifest, ReadLimits, Sink, read};
use ignite_core_model::Digest;
use libfuzzer_sys::fuzz_target;

/// Small, so that a reader which ignores them is noticed soon.
const LIMITS: ReadLimits = ReadLimits { files_max: 64, unpacked_bytes_max: 1 << 20, manifest_bytes_max: 1 << 16 };

/// Compares each file with the manifest on its own account.
#[derive(Default)]
struct Check {
    bytes: u64,
    files: usize,
}

impl Sink for Check {
    fn begin(&mut self, manifest: &Manifest) -> io::Result<()> {
        assert!(manifest.files.len() <= LIMITS.files_max);
        Ok(())
    }

    fn file(&mut self, file: &FileEntry, content: &mut dyn Read) -> io::Result<()> {
        assert!(!file.path.starts_with('/') && file.path.split('/').all(|part| !matches!(part, "" | "." | "..")));
        assert!(file.mode == 0o644 || file.mode == 0o755);
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, file.size);
        assert_eq!(Digest::of(&bytes), file.sha256);
        self.bytes += file.size;
        self.files += 1;
        Ok(())
    }
}

fn run(mut artifact: &[u8]) {
    let mut check = Check::default();
    if let Ok(whole) = read(&mut artifact, &LIMITS, &mut check) {
        assert_eq!(check.files, whole.manifest.files.len());
        assert!(check.bytes <= LIMITS.unpacked_bytes_max);
    }
}

fuzz_target!(|data: &[u8]| {
    let compressed = data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || data.starts_with(&[0x1f, 0x8b]);
    if compressed {
        run(data);
    } else {
        // As an archive, without a checksum of the compression in the fuzzer's way.
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(data).and_then(|()| encoder.finish()).map_or_else(|_| (), |artifact| run(&artifact));
    }
});
